-- The catalog: modules and their versions, what is active where, and who did what.
CREATE TABLE gristmill.module_code (
    digest text PRIMARY KEY,
    code bytea NOT NULL
);
-- WebAssembly shrinks by little: packing it would only make reading slow.
ALTER TABLE gristmill.module_code ALTER COLUMN code SET STORAGE EXTERNAL;

CREATE TABLE gristmill.modules (
    name text NOT NULL,
    version text NOT NULL,
    digest text NOT NULL,
    bytes bigint NOT NULL,
    about text NOT NULL,
    imports text NOT NULL, -- JSON: a list of names
    signed_by text, -- the name of the trusted key
    cases text NOT NULL, -- JSON: files by path, in base64
    report text NOT NULL, -- JSON: what the check before acceptance found
    pushed_by text NOT NULL,
    pushed_at_ms bigint NOT NULL,
    PRIMARY KEY (name, version)
);
CREATE INDEX modules_by_digest ON gristmill.modules (digest);

-- One row for each swap; the newest of a stage is in force.
CREATE TABLE gristmill.activations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline text NOT NULL,
    stage text NOT NULL,
    module text NOT NULL,
    version text NOT NULL, -- empty: what the pipeline's spec itself names
    digest text NOT NULL,
    config text NOT NULL,
    base text NOT NULL, -- what the spec said of the stage: another spec ends the activation
    by_whom text NOT NULL,
    at_ms bigint NOT NULL,
    note text NOT NULL,
    taken_back text -- why it was rolled back
);
CREATE INDEX activations_by_stage ON gristmill.activations (pipeline, stage, id);

-- Which host works a lane, and which activations it works with.
CREATE TABLE gristmill.lane_hosts (
    pipeline text NOT NULL,
    topic text NOT NULL,
    partition bigint NOT NULL,
    host text NOT NULL,
    activations text NOT NULL, -- JSON: by stage
    at_ms bigint NOT NULL,
    pause_us bigint NOT NULL,
    PRIMARY KEY (pipeline, topic, partition)
);

CREATE TABLE gristmill.hosts (
    host text PRIMARY KEY,
    seen_ms bigint NOT NULL,
    trouble text NOT NULL -- JSON: activations that it could not take up, and why
);

CREATE TABLE gristmill.pauses (
    pipeline text PRIMARY KEY,
    by_whom text NOT NULL,
    at_ms bigint NOT NULL
);

CREATE TABLE gristmill.audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_ms bigint NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    detail text NOT NULL -- JSON
);

-- Counts the catalog's changes: what hosts look at to hear of them.
CREATE TABLE gristmill.catalog_clock (
    id bigint PRIMARY KEY,
    changes bigint NOT NULL
);
INSERT INTO gristmill.catalog_clock (id, changes) VALUES (1, 0);
