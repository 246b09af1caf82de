-- How far each lane is, what it has to publish, what it did.
CREATE TABLE gristmill_lanes (
    pipeline TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    batch INTEGER NOT NULL DEFAULT 0,
    next_offset INTEGER,
    published INTEGER NOT NULL DEFAULT 0,
    distrust_group INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (pipeline, topic, partition)
) STRICT;

CREATE TABLE gristmill_outbox (
    pipeline TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    batch INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (pipeline, topic, partition, batch)
) STRICT;

CREATE TABLE gristmill_batches (
    pipeline TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    batch INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    origin TEXT NOT NULL, -- log | parked
    records INTEGER NOT NULL,
    first_offset INTEGER,
    last_offset INTEGER,
    next_offset INTEGER NOT NULL,
    stages TEXT NOT NULL, -- JSON: which module's digest did what
    counts TEXT NOT NULL, -- JSON: what the commit did
    committed_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    PRIMARY KEY (pipeline, topic, partition, batch)
) STRICT;
