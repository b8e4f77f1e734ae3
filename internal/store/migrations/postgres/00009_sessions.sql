-- A session of the portal lives on our side: signing out ends it, whoever kept the cookie. Older binaries go on without.
-- misdirected_announced is how many misdirected transfers a payment's events have told of.

-- +goose Up
CREATE TABLE portal_sessions (
    hash        TEXT PRIMARY KEY CHECK (length(hash) = 64),
    merchant_id TEXT NOT NULL REFERENCES merchants (id),
    key_id      TEXT NOT NULL REFERENCES api_keys (id),
    created_at  TIMESTAMPTZ NOT NULL,
    ends_at     TIMESTAMPTZ NOT NULL
);
CREATE INDEX portal_sessions_end ON portal_sessions (ends_at);
CREATE INDEX portal_sessions_key ON portal_sessions (key_id);
ALTER TABLE payments ADD COLUMN misdirected_announced INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE payments DROP COLUMN misdirected_announced;
DROP TABLE portal_sessions;
