-- Pipelines: one row for each revision of a spec; the newest of a pipeline is what hosts of the catalog run.
CREATE TABLE gristmill_revisions (
    pipeline TEXT NOT NULL,
    revision INTEGER NOT NULL, -- from 1
    spec TEXT NOT NULL, -- TOML, as it was written; empty: the pipeline was removed
    files TEXT NOT NULL, -- JSON: the texts of the files that it names
    digest TEXT NOT NULL, -- the sha256 of both
    by_whom TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (pipeline, revision)
) STRICT;

-- JSON: the revisions that a host runs, and what keeps it from others; null of a host that runs files alone.
ALTER TABLE gristmill_hosts ADD COLUMN pipelines TEXT;
