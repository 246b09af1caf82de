-- Who may use the HTTP interface. Of a token only its SHA-256 is kept: it cannot be read back. Revoked ones stay, so
-- that names in an audit trail can be looked up, and so that a host that had tokens once never opens again by itself.
CREATE TABLE gristmill_tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    digest BLOB NOT NULL UNIQUE,
    role TEXT, -- viewer | operator | author | admin; NULL for an ingest token
    topics TEXT, -- JSON: an ingest token's topics; NULL for one with a role
    created_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_ms INTEGER,
    revoked_ms INTEGER,
    revoked_by TEXT,
    CHECK ((role IS NULL) <> (topics IS NULL))
) STRICT;
CREATE UNIQUE INDEX gristmill_tokens_by_name ON gristmill_tokens (name) WHERE revoked_ms IS NULL;
