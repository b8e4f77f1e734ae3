-- Endpoint health, pauses, replay jobs and batches.

-- +goose Up
ALTER TABLE webhook_endpoints ADD COLUMN breaker_probe TEXT    NOT NULL DEFAULT '';
ALTER TABLE webhook_endpoints ADD COLUMN timeouts      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE webhook_endpoints ADD COLUMN failures      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE webhook_endpoints ADD COLUMN slow          BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX webhook_endpoints_breaker ON webhook_endpoints (breaker_open_until) WHERE breaker_state <> 'closed';
CREATE INDEX webhook_endpoints_batching ON webhook_endpoints (id) WHERE batch_max_events > 1 AND deleted_at IS NULL;

-- What the attempts of the last minutes came to, in ten-second buckets, of endpoints that had failures.
CREATE TABLE endpoint_windows (
    endpoint_id TEXT        NOT NULL REFERENCES webhook_endpoints (id) ON DELETE CASCADE,
    bucket      DATETIME NOT NULL,
    ok          INTEGER     NOT NULL,
    failed      INTEGER     NOT NULL,
    PRIMARY KEY (endpoint_id, bucket)
);
CREATE INDEX endpoint_windows_age ON endpoint_windows (bucket);

-- Up to when the requests to an endpoint with a rate limit are given out to workers.
CREATE TABLE endpoint_rates (
    endpoint_id TEXT PRIMARY KEY REFERENCES webhook_endpoints (id) ON DELETE CASCADE,
    given_until DATETIME NOT NULL
);

-- The incident switch: while paused_at is set, nothing is sent to anybody.
CREATE TABLE delivery_pause (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    paused_at DATETIME,
    reason    TEXT NOT NULL DEFAULT ''
);
INSERT INTO delivery_pause (id) VALUES (1);
ALTER TABLE merchants ADD COLUMN deliveries_paused_at DATETIME;

-- parked: taken out of Redis while a pause lasts; no task, and none until it is resumed.
-- slow: the task is in the lane of slow endpoints.
-- batch_id: of a member, the batch that carries it; of a batch delivery, which has no event of its own, the batch that it is.
--
-- A delivery is written in the transaction of its event, and retention deletes it before that one, so it needs no checked
-- references. Ids sort by the time they were made, so the primary key finds what is old.
DROP INDEX attempts_age;
DROP INDEX events_age;
ALTER TABLE deliveries RENAME TO deliveries_1;
DROP INDEX deliveries_first;
DROP INDEX deliveries_replays;
DROP INDEX deliveries_sweep;
DROP INDEX deliveries_unarchived;
DROP INDEX deliveries_list;
DROP INDEX deliveries_waiting;
DROP INDEX deliveries_age;
CREATE TABLE deliveries (
    id              TEXT PRIMARY KEY,
    event_id        TEXT,
    endpoint_id     TEXT NOT NULL,
    merchant_id     TEXT NOT NULL,
    payment_id      TEXT,
    event_type      TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('pending', 'held', 'delivered', 'dead', 'canceled')),
    generation      INTEGER NOT NULL DEFAULT 1 CHECK (generation > 0),
    attempts        INTEGER NOT NULL DEFAULT 0,
    attempt_base    INTEGER NOT NULL DEFAULT 0,
    max_attempts    INTEGER NOT NULL,
    next_attempt_at DATETIME NOT NULL,
    sweep_after     DATETIME NOT NULL,
    last_class      TEXT NOT NULL DEFAULT '',
    last_status     INTEGER NOT NULL DEFAULT 0,
    dead_reason     TEXT NOT NULL DEFAULT '',
    replay_of       TEXT,
    archived_at     DATETIME,
    dead_at         DATETIME,
    delivered_at    DATETIME,
    created_at      DATETIME NOT NULL,
    updated_at      DATETIME NOT NULL,
    parked          BOOLEAN NOT NULL DEFAULT FALSE,
    slow            BOOLEAN NOT NULL DEFAULT FALSE,
    batch_id        TEXT,
    replay_id       TEXT
);
INSERT INTO deliveries (id, event_id, endpoint_id, merchant_id, payment_id, event_type, state, generation, attempts, attempt_base, max_attempts, next_attempt_at, sweep_after, last_class, last_status, dead_reason, replay_of, archived_at, dead_at, delivered_at, created_at, updated_at)
    SELECT id, event_id, endpoint_id, merchant_id, payment_id, event_type, state, generation, attempts, attempt_base, max_attempts, next_attempt_at, sweep_after, last_class, last_status, dead_reason, replay_of, archived_at, dead_at, delivered_at, created_at, updated_at FROM deliveries_1;
DROP TABLE deliveries_1;
CREATE UNIQUE INDEX deliveries_first ON deliveries (event_id, endpoint_id) WHERE replay_of IS NULL;
CREATE INDEX deliveries_replays ON deliveries (event_id, endpoint_id) WHERE replay_of IS NOT NULL;
CREATE INDEX deliveries_sweep ON deliveries (sweep_after) WHERE state = 'pending';
CREATE INDEX deliveries_unarchived ON deliveries (dead_at) WHERE state = 'dead' AND archived_at IS NULL;
CREATE INDEX deliveries_list ON deliveries (merchant_id, created_at DESC, id DESC);
CREATE INDEX deliveries_waiting ON deliveries (endpoint_id, created_at, id) WHERE state IN ('pending', 'held');
CREATE INDEX deliveries_parked ON deliveries (endpoint_id, created_at, id) WHERE parked AND state = 'pending';
CREATE INDEX deliveries_batch ON deliveries (batch_id) WHERE batch_id IS NOT NULL;

CREATE TABLE batches (
    id          TEXT PRIMARY KEY,
    merchant_id TEXT NOT NULL REFERENCES merchants (id),
    endpoint_id TEXT NOT NULL REFERENCES webhook_endpoints (id),
    events      INTEGER NOT NULL,
    body        BLOB NOT NULL CHECK (length(body) <= 262144),
    created_at  DATETIME NOT NULL
);

CREATE TABLE replays (
    id             TEXT PRIMARY KEY,
    merchant_id    TEXT NOT NULL REFERENCES merchants (id),
    endpoint_id    TEXT NOT NULL REFERENCES webhook_endpoints (id),
    event_type     TEXT NOT NULL DEFAULT '',
    state          TEXT NOT NULL DEFAULT '',
    created_after  DATETIME,
    created_before DATETIME NOT NULL,
    rate           INTEGER NOT NULL CHECK (rate > 0),
    test           BOOLEAN NOT NULL DEFAULT FALSE,
    status         TEXT NOT NULL CHECK (status IN ('running', 'done', 'canceled')),
    matched        INTEGER NOT NULL,
    replayed       INTEGER NOT NULL DEFAULT 0,
    skipped        INTEGER NOT NULL DEFAULT 0,
    cursor_at      DATETIME,
    cursor_id      TEXT NOT NULL DEFAULT '',
    next_at        DATETIME NOT NULL,
    actor          TEXT NOT NULL,
    created_at     DATETIME NOT NULL,
    updated_at     DATETIME NOT NULL
);
CREATE INDEX replays_running ON replays (next_at) WHERE status = 'running';

-- +goose Down
DROP TABLE replays;
DROP TABLE batches;
DELETE FROM deliveries WHERE event_id IS NULL;
DROP INDEX deliveries_parked;
DROP INDEX deliveries_batch;
CREATE INDEX deliveries_age ON deliveries (created_at);
CREATE INDEX attempts_age ON attempts (started_at);
CREATE INDEX events_age ON events (created_at);
ALTER TABLE deliveries DROP COLUMN parked;
ALTER TABLE deliveries DROP COLUMN slow;
ALTER TABLE deliveries DROP COLUMN batch_id;
ALTER TABLE deliveries DROP COLUMN replay_id;
ALTER TABLE merchants DROP COLUMN deliveries_paused_at;
DROP TABLE delivery_pause;
DROP TABLE endpoint_rates;
DROP TABLE endpoint_windows;
DROP INDEX webhook_endpoints_breaker;
DROP INDEX webhook_endpoints_batching;
ALTER TABLE webhook_endpoints DROP COLUMN breaker_probe;
ALTER TABLE webhook_endpoints DROP COLUMN timeouts;
ALTER TABLE webhook_endpoints DROP COLUMN failures;
ALTER TABLE webhook_endpoints DROP COLUMN slow;
