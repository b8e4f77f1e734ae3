-- Endpoint health, pauses, replay jobs and batches.

-- +goose Up
ALTER TABLE webhook_endpoints
    ADD COLUMN breaker_probe TEXT    NOT NULL DEFAULT '',
    ADD COLUMN timeouts      INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN failures      INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN slow          BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX webhook_endpoints_breaker ON webhook_endpoints (breaker_open_until) WHERE breaker_state <> 'closed';
CREATE INDEX webhook_endpoints_batching ON webhook_endpoints (id) WHERE batch_max_events > 1 AND deleted_at IS NULL;

-- What the attempts of the last minutes came to, in ten-second buckets, of endpoints that had failures.
CREATE TABLE endpoint_windows (
    endpoint_id TEXT        NOT NULL REFERENCES webhook_endpoints (id) ON DELETE CASCADE,
    bucket      TIMESTAMPTZ NOT NULL,
    ok          INTEGER     NOT NULL,
    failed      INTEGER     NOT NULL,
    PRIMARY KEY (endpoint_id, bucket)
);
CREATE INDEX endpoint_windows_age ON endpoint_windows (bucket);

-- Up to when the requests to an endpoint with a rate limit are given out to workers.
CREATE TABLE endpoint_rates (
    endpoint_id TEXT PRIMARY KEY REFERENCES webhook_endpoints (id) ON DELETE CASCADE,
    given_until TIMESTAMPTZ NOT NULL
);

-- The incident switch: while paused_at is set, nothing is sent to anybody.
CREATE TABLE delivery_pause (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    paused_at TIMESTAMPTZ,
    reason    TEXT NOT NULL DEFAULT ''
);
INSERT INTO delivery_pause (id) VALUES (1);
ALTER TABLE merchants ADD COLUMN deliveries_paused_at TIMESTAMPTZ;

-- parked: taken out of Redis while a pause lasts; no task, and none until it is resumed.
-- slow: the task is in the lane of slow endpoints.
-- batch_id: of a member, the batch that carries it; of a batch delivery, which has no event of its own, the batch that it is.
ALTER TABLE deliveries
    ADD COLUMN parked    BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN slow      BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN batch_id  TEXT,
    ADD COLUMN replay_id TEXT,
    ALTER COLUMN event_id DROP NOT NULL;
-- A delivery is written in the transaction of its event, and retention deletes it before that one, so these references hold
-- without a check of every row; and a check of them could use no partial index.
ALTER TABLE deliveries
    DROP CONSTRAINT deliveries_event_id_fkey,
    DROP CONSTRAINT deliveries_endpoint_id_fkey,
    DROP CONSTRAINT deliveries_merchant_id_fkey;
-- Ids sort by the time they were made, so the primary key finds what is old.
DROP INDEX deliveries_age, attempts_age, events_age;
CREATE INDEX deliveries_parked ON deliveries (endpoint_id, created_at, id) WHERE parked AND state = 'pending';
CREATE INDEX deliveries_batch ON deliveries (batch_id) WHERE batch_id IS NOT NULL;

CREATE TABLE batches (
    id          TEXT PRIMARY KEY,
    merchant_id TEXT NOT NULL REFERENCES merchants (id),
    endpoint_id TEXT NOT NULL REFERENCES webhook_endpoints (id),
    events      INTEGER NOT NULL,
    body        BYTEA NOT NULL CHECK (octet_length(body) <= 262144),
    created_at  TIMESTAMPTZ NOT NULL
);

CREATE TABLE replays (
    id             TEXT PRIMARY KEY,
    merchant_id    TEXT NOT NULL REFERENCES merchants (id),
    endpoint_id    TEXT NOT NULL REFERENCES webhook_endpoints (id),
    event_type     TEXT NOT NULL DEFAULT '',
    state          TEXT NOT NULL DEFAULT '',
    created_after  TIMESTAMPTZ,
    created_before TIMESTAMPTZ NOT NULL,
    rate           INTEGER NOT NULL CHECK (rate > 0),
    test           BOOLEAN NOT NULL DEFAULT FALSE,
    status         TEXT NOT NULL CHECK (status IN ('running', 'done', 'canceled')),
    matched        INTEGER NOT NULL,
    replayed       INTEGER NOT NULL DEFAULT 0,
    skipped        INTEGER NOT NULL DEFAULT 0,
    cursor_at      TIMESTAMPTZ,
    cursor_id      TEXT NOT NULL DEFAULT '',
    next_at        TIMESTAMPTZ NOT NULL,
    actor          TEXT NOT NULL,
    created_at     TIMESTAMPTZ NOT NULL,
    updated_at     TIMESTAMPTZ NOT NULL
);
CREATE INDEX replays_running ON replays (next_at) WHERE status = 'running';

-- +goose Down
DROP TABLE replays, batches;
DROP INDEX deliveries_parked, deliveries_batch;
DELETE FROM deliveries WHERE event_id IS NULL;
CREATE INDEX deliveries_age ON deliveries (created_at);
CREATE INDEX attempts_age ON attempts (started_at);
CREATE INDEX events_age ON events (created_at);
ALTER TABLE deliveries
    ADD CONSTRAINT deliveries_event_id_fkey FOREIGN KEY (event_id) REFERENCES events (id),
    ADD CONSTRAINT deliveries_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES webhook_endpoints (id),
    ADD CONSTRAINT deliveries_merchant_id_fkey FOREIGN KEY (merchant_id) REFERENCES merchants (id);
ALTER TABLE deliveries DROP COLUMN parked, DROP COLUMN slow, DROP COLUMN batch_id, DROP COLUMN replay_id, ALTER COLUMN event_id SET NOT NULL;
ALTER TABLE merchants DROP COLUMN deliveries_paused_at;
DROP TABLE delivery_pause, endpoint_rates, endpoint_windows;
DROP INDEX webhook_endpoints_breaker, webhook_endpoints_batching;
ALTER TABLE webhook_endpoints DROP COLUMN breaker_probe, DROP COLUMN timeouts, DROP COLUMN failures, DROP COLUMN slow;
