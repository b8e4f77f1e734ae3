-- Ed25519 signatures, the age of secrets, tests with one secret.

-- +goose Up
ALTER TABLE webhook_endpoints ADD COLUMN ed25519 BOOLEAN NOT NULL DEFAULT FALSE;
-- The gateway's own keys, which sign for every endpoint that asks for it. generation makes two rotations at once impossible.
CREATE TABLE signing_keys (
    id          TEXT PRIMARY KEY,
    generation  INTEGER     NOT NULL UNIQUE,
    public_key  TEXT        NOT NULL,
    sealed      BYTEA       NOT NULL,
    active_from TIMESTAMPTZ NOT NULL,
    expires_at  TIMESTAMPTZ,
    created_at  TIMESTAMPTZ NOT NULL
);
-- When the merchant was told that the secret should be rotated.
ALTER TABLE endpoint_secrets ADD COLUMN warned_at TIMESTAMPTZ;
-- Of a test: the role of the one secret that signs it; empty for all of them.
ALTER TABLE deliveries ADD COLUMN sign_with TEXT NOT NULL DEFAULT '';
-- For what is exported of one delivery.
CREATE INDEX audit_log_subject ON audit_log (subject, seq);
-- Few of them, and found at once: who turns our signatures away.
CREATE INDEX attempts_rejected ON attempts (id) WHERE class = 'auth_rejected';

-- +goose Down
DROP INDEX attempts_rejected;
DROP INDEX audit_log_subject;
ALTER TABLE deliveries DROP COLUMN sign_with;
ALTER TABLE endpoint_secrets DROP COLUMN warned_at;
DROP TABLE signing_keys;
ALTER TABLE webhook_endpoints DROP COLUMN ed25519;
