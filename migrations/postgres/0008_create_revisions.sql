-- Pipelines: one row for each revision of a spec; the newest of a pipeline is what hosts of the catalog run.
CREATE TABLE gristmill.revisions (
    pipeline text NOT NULL,
    revision bigint NOT NULL, -- from 1
    spec text NOT NULL, -- TOML, as it was written; empty: the pipeline was removed
    files text NOT NULL, -- JSON: the texts of the files that it names
    digest text NOT NULL, -- the sha256 of both
    by_whom text NOT NULL,
    at_ms bigint NOT NULL,
    note text NOT NULL,
    PRIMARY KEY (pipeline, revision)
);

-- JSON: the revisions that a host runs, and what keeps it from others; null of a host that runs files alone.
ALTER TABLE gristmill.hosts ADD COLUMN pipelines text;
