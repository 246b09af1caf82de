-- How far each lane is, what it has to publish, what it did.
CREATE TABLE gristmill.lanes (
    pipeline text NOT NULL,
    topic text NOT NULL,
    partition bigint NOT NULL,
    epoch bigint NOT NULL,
    batch bigint NOT NULL DEFAULT 0,
    next_offset bigint,
    published bigint NOT NULL DEFAULT 0,
    distrust_group boolean NOT NULL DEFAULT false,
    PRIMARY KEY (pipeline, topic, partition)
) WITH (fillfactor = 50); -- updated with every batch: room for updates in place

CREATE TABLE gristmill.outbox (
    pipeline text NOT NULL,
    topic text NOT NULL,
    partition bigint NOT NULL,
    batch bigint NOT NULL,
    next_offset bigint NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (pipeline, topic, partition, batch)
);

CREATE TABLE gristmill.batches (
    pipeline text NOT NULL,
    topic text NOT NULL,
    partition bigint NOT NULL,
    batch bigint NOT NULL,
    epoch bigint NOT NULL,
    origin text NOT NULL, -- log | parked
    records bigint NOT NULL,
    first_offset bigint,
    last_offset bigint,
    next_offset bigint NOT NULL,
    stages text NOT NULL, -- JSON: which module's digest did what
    counts text NOT NULL, -- JSON: what the commit did
    committed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pipeline, topic, partition, batch)
);
