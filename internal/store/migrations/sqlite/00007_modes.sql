-- Endpoints and signing keys have a mode, and a key knows which key made it. Only new columns with a default and new tables: older
-- processes run on beside it. Endpoints that exist get the events of both modes, as until now.

-- +goose Up
ALTER TABLE webhook_endpoints ADD COLUMN mode TEXT NOT NULL DEFAULT 'both' CHECK (mode IN ('live', 'test', 'both'));

-- Whether the event is about test money, so that a worker sees at once what does not belong to its endpoint; null in rows of older processes.
ALTER TABLE deliveries ADD COLUMN test BOOLEAN;

-- The key that made the key; null is the operator, or a time before this was written down.
ALTER TABLE api_keys ADD COLUMN created_by TEXT;
CREATE INDEX api_keys_created_by ON api_keys (created_by) WHERE created_by IS NOT NULL;

-- The gateway's own keys for test endpoints. They are a table of their own, so that no process signs live events with one of them.
CREATE TABLE test_signing_keys (
    id          TEXT PRIMARY KEY,
    generation  INTEGER     NOT NULL UNIQUE,
    public_key  TEXT        NOT NULL,
    sealed      BLOB        NOT NULL,
    active_from DATETIME NOT NULL,
    expires_at  DATETIME,
    created_at  DATETIME NOT NULL
);

-- +goose Down
DROP TABLE test_signing_keys;
DROP INDEX api_keys_created_by;
ALTER TABLE api_keys DROP COLUMN created_by;
ALTER TABLE deliveries DROP COLUMN test;
ALTER TABLE webhook_endpoints DROP COLUMN mode;
