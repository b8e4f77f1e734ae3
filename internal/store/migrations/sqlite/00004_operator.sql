-- Operators repeat requests too, and they are no merchant: their records have an empty merchant_id.

-- +goose Up
CREATE TABLE idempotency_keys_new (
    merchant_id  TEXT NOT NULL,
    method       TEXT NOT NULL,
    path         TEXT NOT NULL,
    key          TEXT NOT NULL CHECK (length(key) <= 255),
    request_hash TEXT NOT NULL,
    status_code  INTEGER NOT NULL,
    answer       BLOB NOT NULL,
    created_at   DATETIME NOT NULL,
    expires_at   DATETIME NOT NULL,
    PRIMARY KEY (merchant_id, method, path, key)
);
INSERT INTO idempotency_keys_new SELECT * FROM idempotency_keys;
DROP TABLE idempotency_keys;
ALTER TABLE idempotency_keys_new RENAME TO idempotency_keys;
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);

-- For the figures of an endpoint: what died of late.
CREATE INDEX deliveries_died ON deliveries (endpoint_id, dead_at) WHERE state = 'dead';

-- +goose Down
DROP INDEX deliveries_died;
CREATE TABLE idempotency_keys_old (
    merchant_id  TEXT NOT NULL REFERENCES merchants (id),
    method       TEXT NOT NULL,
    path         TEXT NOT NULL,
    key          TEXT NOT NULL CHECK (length(key) <= 255),
    request_hash TEXT NOT NULL,
    status_code  INTEGER NOT NULL,
    answer       BLOB NOT NULL,
    created_at   DATETIME NOT NULL,
    expires_at   DATETIME NOT NULL,
    PRIMARY KEY (merchant_id, method, path, key)
);
INSERT INTO idempotency_keys_old SELECT * FROM idempotency_keys WHERE merchant_id <> '';
DROP TABLE idempotency_keys;
ALTER TABLE idempotency_keys_old RENAME TO idempotency_keys;
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);
