-- The catalog: modules and their versions, what is active where, and who did what.
CREATE TABLE gristmill_module_code (
    digest TEXT PRIMARY KEY,
    code BLOB NOT NULL
) STRICT;

CREATE TABLE gristmill_modules (
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    digest TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    about TEXT NOT NULL,
    imports TEXT NOT NULL, -- JSON: a list of names
    signed_by TEXT, -- the name of the trusted key
    cases TEXT NOT NULL, -- JSON: files by path, in base64
    report TEXT NOT NULL, -- JSON: what the check before acceptance found
    pushed_by TEXT NOT NULL,
    pushed_at_ms INTEGER NOT NULL,
    PRIMARY KEY (name, version)
) STRICT;
CREATE INDEX gristmill_modules_by_digest ON gristmill_modules (digest);

-- One row for each swap; the newest of a stage is in force.
CREATE TABLE gristmill_activations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pipeline TEXT NOT NULL,
    stage TEXT NOT NULL,
    module TEXT NOT NULL,
    version TEXT NOT NULL, -- empty: what the pipeline's spec itself names
    digest TEXT NOT NULL,
    config TEXT NOT NULL,
    base TEXT NOT NULL, -- what the spec said of the stage: another spec ends the activation
    by_whom TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    note TEXT NOT NULL,
    taken_back TEXT -- why it was rolled back
) STRICT;
CREATE INDEX gristmill_activations_by_stage ON gristmill_activations (pipeline, stage, id);

-- Which host works a lane, and which activations it works with.
CREATE TABLE gristmill_lane_hosts (
    pipeline TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    host TEXT NOT NULL,
    activations TEXT NOT NULL, -- JSON: by stage
    at_ms INTEGER NOT NULL,
    pause_us INTEGER NOT NULL,
    PRIMARY KEY (pipeline, topic, partition)
) STRICT;

CREATE TABLE gristmill_hosts (
    host TEXT PRIMARY KEY,
    seen_ms INTEGER NOT NULL,
    trouble TEXT NOT NULL -- JSON: activations that it could not take up, and why
) STRICT;

CREATE TABLE gristmill_pauses (
    pipeline TEXT PRIMARY KEY,
    by_whom TEXT NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE gristmill_audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL -- JSON
) STRICT;

-- Counts the catalog's changes: what hosts look at to hear of them.
CREATE TABLE gristmill_catalog_clock (
    id INTEGER PRIMARY KEY,
    changes INTEGER NOT NULL
) STRICT;
INSERT INTO gristmill_catalog_clock (id, changes) VALUES (1, 0);
