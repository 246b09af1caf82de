-- Records that were refused for good, and those that wait to be tried again. Headers and faults are JSON texts.
CREATE TABLE gristmill.dead_letters (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline text NOT NULL,
    topic text NOT NULL,
    partition bigint NOT NULL,
    record_offset bigint NOT NULL,
    timestamp_ms bigint NOT NULL,
    verdict text NOT NULL,
    stage text NOT NULL,
    digest text NOT NULL,
    code text NOT NULL,
    faults text NOT NULL,
    attempts bigint NOT NULL,
    at_ms bigint NOT NULL,
    key bytea,
    value bytea,
    headers text NOT NULL
);
CREATE INDEX dead_letters_by_pipeline ON gristmill.dead_letters (pipeline, id);
CREATE INDEX dead_letters_by_code ON gristmill.dead_letters (pipeline, code, id);

CREATE TABLE gristmill.parked (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline text NOT NULL,
    topic text NOT NULL,
    partition bigint NOT NULL,
    due_ms bigint NOT NULL,
    attempts bigint NOT NULL,
    record_offset bigint NOT NULL,
    timestamp_ms bigint NOT NULL,
    code text NOT NULL,
    faults text NOT NULL,
    key bytea,
    value bytea,
    headers text NOT NULL
);
CREATE INDEX parked_by_due ON gristmill.parked (pipeline, topic, partition, due_ms, id);
