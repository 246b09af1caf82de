-- The store's own stand-in for Redis: what `store:` lookups answer from.
CREATE TABLE gristmill_reference (
    key BLOB PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;
