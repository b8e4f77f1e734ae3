-- An endpoint may take the events of some payments only; event_filter is JSON, null where it takes all.
-- A merchant says how their checkout page looks. A link opens the portal once, with the scopes that it carries.
-- Older binaries go on without.

-- +goose Up
ALTER TABLE webhook_endpoints ADD COLUMN event_filter TEXT;
ALTER TABLE merchants ADD COLUMN support_url TEXT;
ALTER TABLE merchants ADD COLUMN support_email TEXT;
ALTER TABLE merchants ADD COLUMN languages TEXT;
ALTER TABLE merchants ADD COLUMN logo_hash TEXT;
CREATE TABLE logos (
    hash        TEXT NOT NULL CHECK (length(hash) = 64),
    merchant_id TEXT NOT NULL REFERENCES merchants (id),
    media_type  TEXT NOT NULL,
    image       BLOB NOT NULL CHECK (length(image) <= 65536),
    created_at  DATETIME NOT NULL,
    PRIMARY KEY (hash, merchant_id)
);
CREATE TABLE portal_links (
    id              TEXT PRIMARY KEY,
    hash            TEXT NOT NULL UNIQUE CHECK (length(hash) = 64),
    merchant_id     TEXT NOT NULL REFERENCES merchants (id),
    key_id          TEXT REFERENCES api_keys (id),
    scopes          TEXT NOT NULL,
    test            BOOLEAN NOT NULL,
    created_by      TEXT NOT NULL,
    created_at      DATETIME NOT NULL,
    expires_at      DATETIME NOT NULL,
    used_at         DATETIME,
    session_hash    TEXT UNIQUE,
    session_ends_at DATETIME
);
CREATE INDEX portal_links_end ON portal_links (expires_at);
CREATE INDEX portal_links_key ON portal_links (key_id);

-- +goose Down
DROP TABLE portal_links;
DROP TABLE logos;
ALTER TABLE merchants DROP COLUMN logo_hash;
ALTER TABLE merchants DROP COLUMN languages;
ALTER TABLE merchants DROP COLUMN support_email;
ALTER TABLE merchants DROP COLUMN support_url;
ALTER TABLE webhook_endpoints DROP COLUMN event_filter;
