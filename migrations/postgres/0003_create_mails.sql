-- Mails on their way: written with the rows of their records, sent afterwards. Content is JSON.
CREATE TABLE gristmill.mails (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline text NOT NULL,
    message_id text NOT NULL,
    sender text NOT NULL,
    content text NOT NULL,
    state text NOT NULL DEFAULT 'pending', -- pending | sent | failed
    due_ms bigint NOT NULL DEFAULT 0,
    attempts bigint NOT NULL DEFAULT 0,
    attempts_max bigint NOT NULL,
    error text
);
CREATE INDEX mails_by_due ON gristmill.mails (due_ms, id) WHERE state = 'pending';
CREATE INDEX mails_by_state ON gristmill.mails (pipeline, state);
