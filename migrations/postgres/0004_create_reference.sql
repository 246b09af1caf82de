-- The store's own stand-in for Redis: what `store:` lookups answer from.
CREATE TABLE gristmill.reference (
    key bytea PRIMARY KEY,
    value bytea NOT NULL
);
