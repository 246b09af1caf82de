-- Records that were refused for good, and those that wait to be tried again. Headers and faults are JSON texts.
CREATE TABLE gristmill_dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pipeline TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    record_offset INTEGER NOT NULL,
    timestamp_ms INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    stage TEXT NOT NULL,
    digest TEXT NOT NULL,
    code TEXT NOT NULL,
    faults TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    key BLOB,
    value BLOB,
    headers TEXT NOT NULL
) STRICT;
CREATE INDEX gristmill_dead_letters_by_pipeline ON gristmill_dead_letters (pipeline, id);
CREATE INDEX gristmill_dead_letters_by_code ON gristmill_dead_letters (pipeline, code, id);

CREATE TABLE gristmill_parked (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pipeline TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    record_offset INTEGER NOT NULL,
    timestamp_ms INTEGER NOT NULL,
    code TEXT NOT NULL,
    faults TEXT NOT NULL,
    key BLOB,
    value BLOB,
    headers TEXT NOT NULL
) STRICT;
CREATE INDEX gristmill_parked_by_due ON gristmill_parked (pipeline, topic, partition, due_ms, id);
