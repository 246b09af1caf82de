-- Mails on their way: written with the rows of their records, sent afterwards. Content is JSON.
CREATE TABLE gristmill_mails (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pipeline TEXT NOT NULL,
    message_id TEXT NOT NULL,
    sender TEXT NOT NULL,
    content TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending', -- pending | sent | failed
    due_ms INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    attempts_max INTEGER NOT NULL,
    error TEXT
) STRICT;
CREATE INDEX gristmill_mails_by_due ON gristmill_mails (due_ms, id) WHERE state = 'pending';
CREATE INDEX gristmill_mails_by_state ON gristmill_mails (pipeline, state);
