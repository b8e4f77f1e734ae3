-- +goose Up
CREATE DOMAIN base_units AS NUMERIC(78, 0)
    CHECK (VALUE >= 0 AND VALUE <= 115792089237316195423570985008687907853269984665640564039457584007913129639935);

-- min_binary: the oldest schema version a binary may be built for and still run against this schema.
CREATE TABLE schema_info (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    min_binary BIGINT NOT NULL
);
INSERT INTO schema_info (id, min_binary) VALUES (1, 1);

CREATE TABLE account_keys (
    id          TEXT PRIMARY KEY,
    merchant_id TEXT NOT NULL,
    xpub        TEXT NOT NULL,
    branch      BIGINT NOT NULL,
    next_index  BIGINT NOT NULL DEFAULT 0 CHECK (next_index BETWEEN 0 AND 2147483648),
    created_at  TIMESTAMPTZ NOT NULL
);

CREATE TABLE merchants (
    id                TEXT PRIMARY KEY,
    name              TEXT NOT NULL,
    account_key_id    TEXT REFERENCES account_keys (id),
    accept_late       BOOLEAN NOT NULL DEFAULT FALSE,
    paused_at         TIMESTAMPTZ,
    rate_per_second   INTEGER,
    max_endpoints     INTEGER,
    max_keys          INTEGER,
    max_open_payments INTEGER,
    created_at        TIMESTAMPTZ NOT NULL,
    updated_at        TIMESTAMPTZ NOT NULL
);
ALTER TABLE account_keys ADD CONSTRAINT account_keys_merchant_fk FOREIGN KEY (merchant_id) REFERENCES merchants (id);

CREATE TABLE api_keys (
    id           TEXT PRIMARY KEY,
    merchant_id  TEXT NOT NULL REFERENCES merchants (id),
    name         TEXT NOT NULL,
    prefix       TEXT NOT NULL,
    hash         TEXT NOT NULL UNIQUE,
    test         BOOLEAN NOT NULL,
    scopes       JSONB NOT NULL,
    expires_at   TIMESTAMPTZ,
    revoked_at   TIMESTAMPTZ,
    last_used_at TIMESTAMPTZ,
    created_at   TIMESTAMPTZ NOT NULL
);
CREATE INDEX api_keys_merchant ON api_keys (merchant_id, created_at DESC, id DESC);

CREATE TABLE payments (
    id                     TEXT PRIMARY KEY,
    merchant_id            TEXT NOT NULL REFERENCES merchants (id),
    token                  TEXT NOT NULL UNIQUE,
    order_id               TEXT,
    status                 TEXT NOT NULL CHECK (status IN ('pending', 'detected', 'confirmed', 'expired', 'canceled')),
    partial                BOOLEAN NOT NULL DEFAULT FALSE,
    overpaid               BOOLEAN NOT NULL DEFAULT FALSE,
    late                   BOOLEAN NOT NULL DEFAULT FALSE,
    test                   BOOLEAN NOT NULL DEFAULT FALSE,
    chain                  TEXT NOT NULL,
    chain_id               BIGINT NOT NULL,
    asset                  TEXT NOT NULL,
    asset_symbol           TEXT NOT NULL,
    asset_decimals         SMALLINT NOT NULL CHECK (asset_decimals BETWEEN 0 AND 255),
    address                TEXT NOT NULL UNIQUE CHECK (address ~ '^0x[0-9a-f]{40}$'),
    account_key_id         TEXT NOT NULL REFERENCES account_keys (id),
    address_index          BIGINT NOT NULL,
    derivation_path        TEXT NOT NULL,
    amount                 base_units NOT NULL CHECK (amount > 0),
    amount_received        base_units NOT NULL DEFAULT 0,
    amount_confirmed       base_units NOT NULL DEFAULT 0,
    overpaid_announced     base_units NOT NULL DEFAULT 0,
    late_announced         base_units NOT NULL DEFAULT 0,
    tolerance_bps          INTEGER NOT NULL DEFAULT 0 CHECK (tolerance_bps BETWEEN 0 AND 1000),
    accept_late            BOOLEAN NOT NULL DEFAULT FALSE,
    confirmations          BIGINT NOT NULL DEFAULT 0,
    required_confirmations BIGINT NOT NULL,
    sequence               INTEGER NOT NULL DEFAULT 0,
    metadata               JSONB NOT NULL,
    redirect_url           TEXT NOT NULL DEFAULT '',
    created_at             TIMESTAMPTZ NOT NULL,
    updated_at             TIMESTAMPTZ NOT NULL,
    expires_at             TIMESTAMPTZ NOT NULL,
    detected_at            TIMESTAMPTZ,
    confirmed_at           TIMESTAMPTZ,
    closed_at              TIMESTAMPTZ,
    watch_until            TIMESTAMPTZ,
    quarantined_at         TIMESTAMPTZ,
    quarantine_reason      TEXT NOT NULL DEFAULT '',
    xact                   XID8 NOT NULL DEFAULT pg_current_xact_id(),
    UNIQUE (account_key_id, address_index)
);
-- xact lets a scanner ask for exactly the payments that it has not seen yet, in whatever order they were committed.
CREATE INDEX payments_xact ON payments (xact);
CREATE UNIQUE INDEX payments_order ON payments (merchant_id, order_id)
    WHERE order_id IS NOT NULL AND status NOT IN ('expired', 'canceled');
CREATE INDEX payments_list ON payments (merchant_id, created_at DESC, id DESC);
CREATE INDEX payments_list_status ON payments (merchant_id, status, created_at DESC, id DESC);
CREATE INDEX payments_expiring ON payments (chain_id, expires_at) WHERE status = 'pending';
CREATE INDEX payments_watched ON payments (watch_until) WHERE watch_until IS NOT NULL;
CREATE INDEX payments_detected ON payments (chain_id) WHERE status = 'detected';
CREATE INDEX payments_quarantined ON payments (quarantined_at) WHERE quarantined_at IS NOT NULL;

-- Every address ever handed out or skipped; an address is used once, by one payment.
CREATE TABLE addresses (
    address         TEXT PRIMARY KEY CHECK (address ~ '^0x[0-9a-f]{40}$'),
    account_key_id  TEXT NOT NULL REFERENCES account_keys (id),
    address_index   BIGINT NOT NULL,
    derivation_path TEXT NOT NULL,
    merchant_id     TEXT NOT NULL REFERENCES merchants (id),
    payment_id      TEXT REFERENCES payments (id) DEFERRABLE INITIALLY DEFERRED,
    skipped_reason  TEXT NOT NULL DEFAULT '',
    created_at      TIMESTAMPTZ NOT NULL,
    UNIQUE (account_key_id, address_index)
);
CREATE INDEX addresses_merchant ON addresses (merchant_id, address_index);

CREATE TABLE transfers (
    id               TEXT PRIMARY KEY,
    payment_id       TEXT NOT NULL REFERENCES payments (id),
    merchant_id      TEXT NOT NULL REFERENCES merchants (id),
    chain_id         BIGINT NOT NULL,
    tx_hash          TEXT NOT NULL,
    asset            TEXT NOT NULL,
    recipient        TEXT NOT NULL,
    ordinal          INTEGER NOT NULL CHECK (ordinal >= 0),
    sender           TEXT NOT NULL,
    amount           base_units NOT NULL,
    log_index        INTEGER,
    status           TEXT NOT NULL CHECK (status IN ('seen', 'confirmed', 'orphaned')),
    source           TEXT NOT NULL CHECK (source IN ('chain', 'balance')),
    misdirected      BOOLEAN NOT NULL DEFAULT FALSE,
    block_number     BIGINT NOT NULL,
    block_hash       TEXT NOT NULL,
    block_time       TIMESTAMPTZ NOT NULL,
    first_block_time TIMESTAMPTZ NOT NULL,
    created_at       TIMESTAMPTZ NOT NULL,
    updated_at       TIMESTAMPTZ NOT NULL,
    UNIQUE (chain_id, tx_hash, asset, recipient, ordinal)
);
CREATE INDEX transfers_payment ON transfers (payment_id, block_number, id);
CREATE INDEX transfers_block ON transfers (chain_id, block_number);
CREATE INDEX transfers_unconfirmed ON transfers (chain_id, block_number) WHERE status = 'seen';

CREATE TABLE blocks (
    chain_id    BIGINT NOT NULL,
    number      BIGINT NOT NULL,
    hash        TEXT NOT NULL,
    parent_hash TEXT NOT NULL,
    time        TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (chain_id, number)
);

CREATE TABLE chain_cursors (
    chain_id     BIGINT PRIMARY KEY,
    chain        TEXT NOT NULL,
    number       BIGINT NOT NULL,
    hash         TEXT NOT NULL,
    block_time   TIMESTAMPTZ NOT NULL,
    head_number  BIGINT NOT NULL,
    final_number BIGINT NOT NULL,
    halted_at    TIMESTAMPTZ,
    halt_reason  TEXT NOT NULL DEFAULT '',
    updated_at   TIMESTAMPTZ NOT NULL
);

CREATE TABLE chain_leases (
    chain_id   BIGINT PRIMARY KEY,
    holder     TEXT NOT NULL,
    fence      BIGINT NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);

-- xact lets GET /events?after read in commit order: a row is shown once no older transaction can still insert before
-- it.
CREATE TABLE events (
    id          TEXT PRIMARY KEY,
    merchant_id TEXT NOT NULL REFERENCES merchants (id),
    payment_id  TEXT REFERENCES payments (id),
    endpoint_id TEXT,
    type        TEXT NOT NULL,
    sequence    INTEGER NOT NULL DEFAULT 0,
    body        BYTEA NOT NULL CHECK (octet_length(body) <= 65536),
    retracts    JSONB,
    created_at  TIMESTAMPTZ NOT NULL,
    seq         BIGINT GENERATED ALWAYS AS IDENTITY,
    xact        XID8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE UNIQUE INDEX events_sequence ON events (payment_id, sequence) WHERE payment_id IS NOT NULL;
CREATE INDEX events_list ON events (merchant_id, created_at DESC, id DESC);
CREATE INDEX events_after ON events (merchant_id, xact, seq);
CREATE INDEX events_age ON events (created_at);

CREATE TABLE webhook_endpoints (
    id                 TEXT PRIMARY KEY,
    merchant_id        TEXT NOT NULL REFERENCES merchants (id),
    url                TEXT NOT NULL CHECK (length(url) <= 2048),
    description        TEXT NOT NULL DEFAULT '',
    events             JSONB NOT NULL,
    status             TEXT NOT NULL CHECK (status IN ('enabled', 'disabled', 'paused')),
    disabled_reason    TEXT NOT NULL DEFAULT '',
    is_default         BOOLEAN NOT NULL DEFAULT FALSE,
    headers_sealed     BYTEA,
    ca_pem             TEXT NOT NULL DEFAULT '',
    spki_pins          JSONB,
    client_cert_pem    TEXT NOT NULL DEFAULT '',
    client_key_sealed  BYTEA,
    timeout_ms         INTEGER CHECK (timeout_ms BETWEEN 1000 AND 30000),
    rate_limit         INTEGER CHECK (rate_limit > 0),
    max_in_flight      INTEGER CHECK (max_in_flight > 0),
    max_attempts       INTEGER CHECK (max_attempts > 0),
    retry_base_ms      INTEGER CHECK (retry_base_ms > 0),
    retry_max_ms       INTEGER CHECK (retry_max_ms > 0),
    batch_max_events   INTEGER CHECK (batch_max_events BETWEEN 1 AND 100),
    batch_max_wait_ms  INTEGER CHECK (batch_max_wait_ms > 0),
    breaker_state      TEXT NOT NULL DEFAULT 'closed' CHECK (breaker_state IN ('closed', 'open', 'half_open')),
    breaker_open_until TIMESTAMPTZ,
    breaker_trips      INTEGER NOT NULL DEFAULT 0,
    not_before         TIMESTAMPTZ,
    last_success_at    TIMESTAMPTZ,
    failing_since      TIMESTAMPTZ,
    version            INTEGER NOT NULL DEFAULT 1,
    created_at         TIMESTAMPTZ NOT NULL,
    updated_at         TIMESTAMPTZ NOT NULL,
    deleted_at         TIMESTAMPTZ
);
CREATE INDEX webhook_endpoints_merchant ON webhook_endpoints (merchant_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX webhook_endpoints_default ON webhook_endpoints (merchant_id) WHERE is_default AND deleted_at IS NULL;

CREATE TABLE endpoint_secrets (
    id          TEXT PRIMARY KEY,
    endpoint_id TEXT NOT NULL REFERENCES webhook_endpoints (id),
    sealed      BYTEA NOT NULL,
    active_from TIMESTAMPTZ NOT NULL,
    expires_at  TIMESTAMPTZ,
    created_at  TIMESTAMPTZ NOT NULL
);
CREATE INDEX endpoint_secrets_endpoint ON endpoint_secrets (endpoint_id, created_at DESC);

CREATE TABLE deliveries (
    id              TEXT PRIMARY KEY,
    event_id        TEXT NOT NULL REFERENCES events (id),
    endpoint_id     TEXT NOT NULL REFERENCES webhook_endpoints (id),
    merchant_id     TEXT NOT NULL REFERENCES merchants (id),
    payment_id      TEXT,
    event_type      TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('pending', 'held', 'delivered', 'dead', 'canceled')),
    generation      INTEGER NOT NULL DEFAULT 1 CHECK (generation > 0),
    attempts        INTEGER NOT NULL DEFAULT 0,
    attempt_base    INTEGER NOT NULL DEFAULT 0,
    max_attempts    INTEGER NOT NULL,
    next_attempt_at TIMESTAMPTZ NOT NULL,
    sweep_after     TIMESTAMPTZ NOT NULL,
    last_class      TEXT NOT NULL DEFAULT '',
    last_status     INTEGER NOT NULL DEFAULT 0,
    dead_reason     TEXT NOT NULL DEFAULT '',
    replay_of       TEXT,
    archived_at     TIMESTAMPTZ,
    dead_at         TIMESTAMPTZ,
    delivered_at    TIMESTAMPTZ,
    created_at      TIMESTAMPTZ NOT NULL,
    updated_at      TIMESTAMPTZ NOT NULL
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX deliveries_first ON deliveries (event_id, endpoint_id) WHERE replay_of IS NULL;
CREATE INDEX deliveries_replays ON deliveries (event_id, endpoint_id) WHERE replay_of IS NOT NULL;
CREATE INDEX deliveries_sweep ON deliveries (sweep_after) WHERE state = 'pending';
CREATE INDEX deliveries_unarchived ON deliveries (dead_at) WHERE state = 'dead' AND archived_at IS NULL;
CREATE INDEX deliveries_list ON deliveries (merchant_id, created_at DESC, id DESC);
CREATE INDEX deliveries_waiting ON deliveries (endpoint_id, created_at, id) WHERE state IN ('pending', 'held');
CREATE INDEX deliveries_age ON deliveries (created_at);

CREATE TABLE attempts (
    id               TEXT PRIMARY KEY,
    delivery_id      TEXT NOT NULL,
    event_id         TEXT NOT NULL,
    endpoint_id      TEXT NOT NULL,
    merchant_id      TEXT NOT NULL,
    number           INTEGER NOT NULL,
    generation       INTEGER NOT NULL,
    class            TEXT NOT NULL,
    status_code      INTEGER NOT NULL DEFAULT 0,
    error            TEXT NOT NULL DEFAULT '',
    request_headers  JSONB,
    response_headers JSONB,
    response_body    BYTEA,
    remote_ip        TEXT NOT NULL DEFAULT '',
    dns_us           BIGINT NOT NULL DEFAULT 0,
    connect_us       BIGINT NOT NULL DEFAULT 0,
    tls_us           BIGINT NOT NULL DEFAULT 0,
    first_byte_us    BIGINT NOT NULL DEFAULT 0,
    total_us         BIGINT NOT NULL DEFAULT 0,
    started_at       TIMESTAMPTZ NOT NULL
);
CREATE INDEX attempts_delivery ON attempts (delivery_id, number);
CREATE INDEX attempts_age ON attempts (started_at);

-- The Redis that the tasks of pending deliveries were put into. Another one, or an emptied one, has another epoch.
CREATE TABLE queue_epoch (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    epoch   TEXT NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE idempotency_keys (
    merchant_id  TEXT NOT NULL REFERENCES merchants (id),
    method       TEXT NOT NULL,
    path         TEXT NOT NULL,
    key          TEXT NOT NULL CHECK (length(key) <= 255),
    request_hash TEXT NOT NULL,
    status_code  INTEGER NOT NULL,
    answer       BYTEA NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    expires_at   TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (merchant_id, method, path, key)
);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);

CREATE TABLE audit_log (
    seq       BIGINT PRIMARY KEY,
    at        TIMESTAMPTZ NOT NULL,
    actor     TEXT NOT NULL,
    action    TEXT NOT NULL,
    subject   TEXT NOT NULL,
    merchant  TEXT NOT NULL DEFAULT '',
    detail    JSONB NOT NULL,
    ip        TEXT NOT NULL DEFAULT '',
    prev_hash TEXT NOT NULL,
    hash      TEXT NOT NULL UNIQUE
);
CREATE INDEX audit_log_merchant ON audit_log (merchant, seq);

-- The log is append-only for everybody who comes through SQL.
-- +goose StatementBegin
CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_log is append-only';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION audit_log_is_append_only();

-- +goose Down
DROP TABLE audit_log, idempotency_keys, queue_epoch, attempts, deliveries, endpoint_secrets, webhook_endpoints, events, chain_leases,
    chain_cursors, blocks, transfers, addresses, payments, api_keys CASCADE;
ALTER TABLE account_keys DROP CONSTRAINT account_keys_merchant_fk;
DROP TABLE merchants, account_keys, schema_info;
DROP FUNCTION audit_log_is_append_only;
DROP DOMAIN base_units;
