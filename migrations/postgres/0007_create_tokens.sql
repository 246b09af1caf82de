-- Who may use the HTTP interface. Of a token only its SHA-256 is kept: it cannot be read back. Revoked ones stay, so
-- that names in an audit trail can be looked up, and so that a host that had tokens once never opens again by itself.
CREATE TABLE gristmill.tokens (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    digest bytea NOT NULL UNIQUE,
    role text, -- viewer | operator | author | admin; NULL for an ingest token
    topics text, -- JSON: an ingest token's topics; NULL for one with a role
    created_ms bigint NOT NULL,
    created_by text NOT NULL,
    expires_ms bigint,
    revoked_ms bigint,
    revoked_by text,
    CHECK ((role IS NULL) <> (topics IS NULL))
);
CREATE UNIQUE INDEX tokens_by_name ON gristmill.tokens (name) WHERE revoked_ms IS NULL;
