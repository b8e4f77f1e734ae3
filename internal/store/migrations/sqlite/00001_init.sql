-- +goose Up
-- NUMERIC becomes REAL in SQLite and loses digits, so amounts are TEXT with a CHECK and are summed in Go.
-- min_binary: the oldest schema version a binary may be built for and still run against this schema.
CREATE TABLE schema_info (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    min_binary INTEGER NOT NULL
);
INSERT INTO schema_info (id, min_binary) VALUES (1, 1);

CREATE TABLE account_keys (
    id          TEXT PRIMARY KEY,
    merchant_id TEXT NOT NULL REFERENCES merchants (id) DEFERRABLE INITIALLY DEFERRED,
    xpub        TEXT NOT NULL,
    branch      INTEGER NOT NULL,
    next_index  INTEGER NOT NULL DEFAULT 0 CHECK (next_index BETWEEN 0 AND 2147483648),
    created_at  DATETIME NOT NULL
);

CREATE TABLE merchants (
    id                TEXT PRIMARY KEY,
    name              TEXT NOT NULL,
    account_key_id    TEXT REFERENCES account_keys (id),
    accept_late       BOOLEAN NOT NULL DEFAULT FALSE,
    paused_at         DATETIME,
    rate_per_second   INTEGER,
    max_endpoints     INTEGER,
    max_keys          INTEGER,
    max_open_payments INTEGER,
    created_at        DATETIME NOT NULL,
    updated_at        DATETIME NOT NULL
);

CREATE TABLE api_keys (
    id           TEXT PRIMARY KEY,
    merchant_id  TEXT NOT NULL REFERENCES merchants (id),
    name         TEXT NOT NULL,
    prefix       TEXT NOT NULL,
    hash         TEXT NOT NULL UNIQUE,
    test         BOOLEAN NOT NULL,
    scopes       TEXT NOT NULL,
    expires_at   DATETIME,
    revoked_at   DATETIME,
    last_used_at DATETIME,
    created_at   DATETIME NOT NULL
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
    chain_id               INTEGER NOT NULL,
    asset                  TEXT NOT NULL,
    asset_symbol           TEXT NOT NULL,
    asset_decimals         INTEGER NOT NULL CHECK (asset_decimals BETWEEN 0 AND 255),
    address                TEXT NOT NULL UNIQUE CHECK (length(address) = 42 AND address GLOB '0x*' AND substr(address, 3) NOT GLOB '*[^0-9a-f]*'),
    account_key_id         TEXT NOT NULL REFERENCES account_keys (id),
    address_index          INTEGER NOT NULL,
    derivation_path        TEXT NOT NULL,
    amount                 TEXT NOT NULL CHECK (amount <> '0') CHECK (amount NOT GLOB '*[^0-9]*' AND amount <> '' AND (amount = '0' OR amount NOT GLOB '0*') AND (length(amount) < 78 OR (length(amount) = 78 AND amount <= '115792089237316195423570985008687907853269984665640564039457584007913129639935'))),
    amount_received        TEXT NOT NULL DEFAULT '0' CHECK (amount_received NOT GLOB '*[^0-9]*' AND amount_received <> '' AND (amount_received = '0' OR amount_received NOT GLOB '0*') AND (length(amount_received) < 78 OR (length(amount_received) = 78 AND amount_received <= '115792089237316195423570985008687907853269984665640564039457584007913129639935'))),
    amount_confirmed       TEXT NOT NULL DEFAULT '0' CHECK (amount_confirmed NOT GLOB '*[^0-9]*' AND amount_confirmed <> '' AND (amount_confirmed = '0' OR amount_confirmed NOT GLOB '0*') AND (length(amount_confirmed) < 78 OR (length(amount_confirmed) = 78 AND amount_confirmed <= '115792089237316195423570985008687907853269984665640564039457584007913129639935'))),
    overpaid_announced     TEXT NOT NULL DEFAULT '0' CHECK (overpaid_announced NOT GLOB '*[^0-9]*' AND overpaid_announced <> '' AND (overpaid_announced = '0' OR overpaid_announced NOT GLOB '0*') AND (length(overpaid_announced) < 78 OR (length(overpaid_announced) = 78 AND overpaid_announced <= '115792089237316195423570985008687907853269984665640564039457584007913129639935'))),
    late_announced         TEXT NOT NULL DEFAULT '0' CHECK (late_announced NOT GLOB '*[^0-9]*' AND late_announced <> '' AND (late_announced = '0' OR late_announced NOT GLOB '0*') AND (length(late_announced) < 78 OR (length(late_announced) = 78 AND late_announced <= '115792089237316195423570985008687907853269984665640564039457584007913129639935'))),
    tolerance_bps          INTEGER NOT NULL DEFAULT 0 CHECK (tolerance_bps BETWEEN 0 AND 1000),
    accept_late            BOOLEAN NOT NULL DEFAULT FALSE,
    confirmations          INTEGER NOT NULL DEFAULT 0,
    required_confirmations INTEGER NOT NULL,
    sequence               INTEGER NOT NULL DEFAULT 0,
    metadata               TEXT NOT NULL,
    redirect_url           TEXT NOT NULL DEFAULT '',
    created_at             DATETIME NOT NULL,
    updated_at             DATETIME NOT NULL,
    expires_at             DATETIME NOT NULL,
    detected_at            DATETIME,
    confirmed_at           DATETIME,
    closed_at              DATETIME,
    watch_until            DATETIME,
    quarantined_at         DATETIME,
    quarantine_reason      TEXT NOT NULL DEFAULT '',
    UNIQUE (account_key_id, address_index)
);
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
    address         TEXT PRIMARY KEY CHECK (length(address) = 42 AND address GLOB '0x*' AND substr(address, 3) NOT GLOB '*[^0-9a-f]*'),
    account_key_id  TEXT NOT NULL REFERENCES account_keys (id),
    address_index   INTEGER NOT NULL,
    derivation_path TEXT NOT NULL,
    merchant_id     TEXT NOT NULL REFERENCES merchants (id),
    payment_id      TEXT REFERENCES payments (id) DEFERRABLE INITIALLY DEFERRED,
    skipped_reason  TEXT NOT NULL DEFAULT '',
    created_at      DATETIME NOT NULL,
    UNIQUE (account_key_id, address_index)
);
CREATE INDEX addresses_merchant ON addresses (merchant_id, address_index);

CREATE TABLE transfers (
    id               TEXT PRIMARY KEY,
    payment_id       TEXT NOT NULL REFERENCES payments (id),
    merchant_id      TEXT NOT NULL REFERENCES merchants (id),
    chain_id         INTEGER NOT NULL,
    tx_hash          TEXT NOT NULL,
    asset            TEXT NOT NULL,
    recipient        TEXT NOT NULL,
    ordinal          INTEGER NOT NULL CHECK (ordinal >= 0),
    sender           TEXT NOT NULL,
    amount                 TEXT NOT NULL CHECK (amount NOT GLOB '*[^0-9]*' AND amount <> '' AND (amount = '0' OR amount NOT GLOB '0*') AND (length(amount) < 78 OR (length(amount) = 78 AND amount <= '115792089237316195423570985008687907853269984665640564039457584007913129639935'))),
    log_index        INTEGER,
    status           TEXT NOT NULL CHECK (status IN ('seen', 'confirmed', 'orphaned')),
    source           TEXT NOT NULL CHECK (source IN ('chain', 'balance')),
    misdirected      BOOLEAN NOT NULL DEFAULT FALSE,
    block_number     INTEGER NOT NULL,
    block_hash       TEXT NOT NULL,
    block_time       DATETIME NOT NULL,
    first_block_time DATETIME NOT NULL,
    created_at       DATETIME NOT NULL,
    updated_at       DATETIME NOT NULL,
    UNIQUE (chain_id, tx_hash, asset, recipient, ordinal)
);
CREATE INDEX transfers_payment ON transfers (payment_id, block_number, id);
CREATE INDEX transfers_block ON transfers (chain_id, block_number);
CREATE INDEX transfers_unconfirmed ON transfers (chain_id, block_number) WHERE status = 'seen';

CREATE TABLE blocks (
    chain_id    INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    hash        TEXT NOT NULL,
    parent_hash TEXT NOT NULL,
    time        DATETIME NOT NULL,
    PRIMARY KEY (chain_id, number)
);

CREATE TABLE chain_cursors (
    chain_id     INTEGER PRIMARY KEY,
    chain        TEXT NOT NULL,
    number       INTEGER NOT NULL,
    hash         TEXT NOT NULL,
    block_time   DATETIME NOT NULL,
    head_number  INTEGER NOT NULL,
    final_number INTEGER NOT NULL,
    halted_at    DATETIME,
    halt_reason  TEXT NOT NULL DEFAULT '',
    updated_at   DATETIME NOT NULL
);

CREATE TABLE chain_leases (
    chain_id   INTEGER PRIMARY KEY,
    holder     TEXT NOT NULL,
    fence      INTEGER NOT NULL,
    expires_at DATETIME NOT NULL
);

-- There is one writer, so seq is commit order.
CREATE TABLE events (
    id          TEXT NOT NULL UNIQUE,
    merchant_id TEXT NOT NULL REFERENCES merchants (id),
    payment_id  TEXT REFERENCES payments (id),
    endpoint_id TEXT,
    type        TEXT NOT NULL,
    sequence    INTEGER NOT NULL DEFAULT 0,
    body        BLOB NOT NULL CHECK (length(body) <= 65536),
    retracts    TEXT,
    created_at  DATETIME NOT NULL,
    seq         INTEGER PRIMARY KEY AUTOINCREMENT
);
CREATE UNIQUE INDEX events_sequence ON events (payment_id, sequence) WHERE payment_id IS NOT NULL;
CREATE INDEX events_list ON events (merchant_id, created_at DESC, id DESC);
CREATE INDEX events_after ON events (merchant_id, seq);
CREATE INDEX events_age ON events (created_at);

CREATE TABLE webhook_endpoints (
    id                 TEXT PRIMARY KEY,
    merchant_id        TEXT NOT NULL REFERENCES merchants (id),
    url                TEXT NOT NULL CHECK (length(url) <= 2048),
    description        TEXT NOT NULL DEFAULT '',
    events             TEXT NOT NULL,
    status             TEXT NOT NULL CHECK (status IN ('enabled', 'disabled', 'paused')),
    disabled_reason    TEXT NOT NULL DEFAULT '',
    is_default         BOOLEAN NOT NULL DEFAULT FALSE,
    headers_sealed     BLOB,
    ca_pem             TEXT NOT NULL DEFAULT '',
    spki_pins          TEXT,
    client_cert_pem    TEXT NOT NULL DEFAULT '',
    client_key_sealed  BLOB,
    timeout_ms         INTEGER CHECK (timeout_ms BETWEEN 1000 AND 30000),
    rate_limit         INTEGER CHECK (rate_limit > 0),
    max_in_flight      INTEGER CHECK (max_in_flight > 0),
    max_attempts       INTEGER CHECK (max_attempts > 0),
    retry_base_ms      INTEGER CHECK (retry_base_ms > 0),
    retry_max_ms       INTEGER CHECK (retry_max_ms > 0),
    batch_max_events   INTEGER CHECK (batch_max_events BETWEEN 1 AND 100),
    batch_max_wait_ms  INTEGER CHECK (batch_max_wait_ms > 0),
    breaker_state      TEXT NOT NULL DEFAULT 'closed' CHECK (breaker_state IN ('closed', 'open', 'half_open')),
    breaker_open_until DATETIME,
    breaker_trips      INTEGER NOT NULL DEFAULT 0,
    not_before         DATETIME,
    last_success_at    DATETIME,
    failing_since      DATETIME,
    version            INTEGER NOT NULL DEFAULT 1,
    created_at         DATETIME NOT NULL,
    updated_at         DATETIME NOT NULL,
    deleted_at         DATETIME
);
CREATE INDEX webhook_endpoints_merchant ON webhook_endpoints (merchant_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX webhook_endpoints_default ON webhook_endpoints (merchant_id) WHERE is_default AND deleted_at IS NULL;

CREATE TABLE endpoint_secrets (
    id          TEXT PRIMARY KEY,
    endpoint_id TEXT NOT NULL REFERENCES webhook_endpoints (id),
    sealed      BLOB NOT NULL,
    active_from DATETIME NOT NULL,
    expires_at  DATETIME,
    created_at  DATETIME NOT NULL
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
    updated_at      DATETIME NOT NULL
);
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
    request_headers  TEXT,
    response_headers TEXT,
    response_body    BLOB,
    remote_ip        TEXT NOT NULL DEFAULT '',
    dns_us           INTEGER NOT NULL DEFAULT 0,
    connect_us       INTEGER NOT NULL DEFAULT 0,
    tls_us           INTEGER NOT NULL DEFAULT 0,
    first_byte_us    INTEGER NOT NULL DEFAULT 0,
    total_us         INTEGER NOT NULL DEFAULT 0,
    started_at       DATETIME NOT NULL
);
CREATE INDEX attempts_delivery ON attempts (delivery_id, number);
CREATE INDEX attempts_age ON attempts (started_at);

-- The Redis that the tasks of pending deliveries were put into. Another one, or an emptied one, has another epoch.
CREATE TABLE queue_epoch (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    epoch   TEXT NOT NULL,
    seen_at DATETIME NOT NULL
);

CREATE TABLE idempotency_keys (
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
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);

CREATE TABLE audit_log (
    seq       INTEGER PRIMARY KEY,
    at        DATETIME NOT NULL,
    actor     TEXT NOT NULL,
    action    TEXT NOT NULL,
    subject   TEXT NOT NULL,
    merchant  TEXT NOT NULL DEFAULT '',
    detail    TEXT NOT NULL,
    ip        TEXT NOT NULL DEFAULT '',
    prev_hash TEXT NOT NULL,
    hash      TEXT NOT NULL UNIQUE
);
CREATE INDEX audit_log_merchant ON audit_log (merchant, seq);

-- The log is append-only for everybody who comes through SQL.
-- +goose StatementBegin
CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only');
END;
-- +goose StatementEnd

-- +goose Down
DROP TABLE audit_log;
DROP TABLE idempotency_keys;
DROP TABLE queue_epoch;
DROP TABLE attempts;
DROP TABLE deliveries;
DROP TABLE endpoint_secrets;
DROP TABLE webhook_endpoints;
DROP TABLE events;
DROP TABLE chain_leases;
DROP TABLE chain_cursors;
DROP TABLE blocks;
DROP TABLE transfers;
DROP TABLE addresses;
DROP TABLE payments;
DROP TABLE api_keys;
DROP TABLE account_keys;
DROP TABLE merchants;
DROP TABLE schema_info;
