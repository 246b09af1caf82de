-- The journal: the log of the embedded set. Topics are never dropped and keep their number of partitions.
CREATE TABLE gristmill_journal_partitions (
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next_offset INTEGER NOT NULL DEFAULT 0,
    UNIQUE (topic, partition)
) STRICT;

-- One b-tree for all partitions: a record's place is its partition's id, shifted left by 40 bits, and its offset.
-- So a batch is one range of rowids, and appending is at the end of a range.
CREATE TABLE gristmill_journal_records (
    place INTEGER PRIMARY KEY,
    timestamp_ms INTEGER NOT NULL,
    key BLOB,
    value BLOB,
    headers BLOB
) STRICT;

-- What each pipeline's group remembers. The generation is raised by every publisher that is opened and fences the
-- ones before it.
CREATE TABLE gristmill_journal_groups (
    pipeline TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    next_offset INTEGER,
    metadata TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (pipeline, topic, partition)
) STRICT, WITHOUT ROWID;
