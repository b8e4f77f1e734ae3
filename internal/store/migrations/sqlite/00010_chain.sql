-- Coin has more sources than blocks, what two providers tell of a transfer is remembered, and a contradiction about it
-- waits for a person. A payment that has given up its order id does not take it back.

-- +goose Up
CREATE TABLE transfers_new (
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
    source           TEXT NOT NULL,
    misdirected      BOOLEAN NOT NULL DEFAULT FALSE,
    block_number     INTEGER NOT NULL,
    block_hash       TEXT NOT NULL,
    block_time       DATETIME NOT NULL,
    first_block_time DATETIME NOT NULL,
    created_at       DATETIME NOT NULL,
    updated_at       DATETIME NOT NULL,
    witness          TEXT NOT NULL DEFAULT '',
    doubt_id         TEXT,
    UNIQUE (chain_id, tx_hash, asset, recipient, ordinal)
);
INSERT INTO transfers_new (id, payment_id, merchant_id, chain_id, tx_hash, asset, recipient, ordinal, sender, amount, log_index, status, source, misdirected, block_number, block_hash, block_time, first_block_time, created_at, updated_at)
    SELECT id, payment_id, merchant_id, chain_id, tx_hash, asset, recipient, ordinal, sender, amount, log_index, status, source, misdirected, block_number, block_hash, block_time, first_block_time, created_at, updated_at FROM transfers;
DROP TABLE transfers;
ALTER TABLE transfers_new RENAME TO transfers;
CREATE INDEX transfers_payment ON transfers (payment_id, block_number, id);
CREATE INDEX transfers_block ON transfers (chain_id, block_number);
CREATE INDEX transfers_unconfirmed ON transfers (chain_id, block_number) WHERE status = 'seen';
ALTER TABLE blocks ADD COLUMN provider TEXT NOT NULL DEFAULT '';
ALTER TABLE chain_cursors ADD COLUMN seen_at DATETIME;
ALTER TABLE chain_cursors ADD COLUMN balances_number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chain_cursors ADD COLUMN balances_time DATETIME;

CREATE TABLE doubts (
    id           TEXT PRIMARY KEY,
    kind         TEXT NOT NULL,
    status       TEXT NOT NULL CHECK (status IN ('open', 'accepted', 'rejected')),
    chain        TEXT NOT NULL,
    chain_id     INTEGER NOT NULL,
    payment_id   TEXT NOT NULL REFERENCES payments (id),
    merchant_id  TEXT NOT NULL REFERENCES merchants (id),
    tx_hash      TEXT NOT NULL,
    asset        TEXT NOT NULL,
    recipient    TEXT NOT NULL,
    ordinal      INTEGER NOT NULL,
    sender       TEXT NOT NULL,
    amount TEXT NOT NULL CHECK (amount NOT GLOB '*[^0-9]*' AND amount <> '' AND (amount = '0' OR amount NOT GLOB '0*') AND (length(amount) < 78 OR (length(amount) = 78 AND amount <= '115792089237316195423570985008687907853269984665640564039457584007913129639935'))),
    log_index    INTEGER,
    source       TEXT NOT NULL,
    block_number INTEGER NOT NULL,
    block_hash   TEXT NOT NULL,
    block_time   DATETIME NOT NULL,
    answers      TEXT NOT NULL,
    settled_by   TEXT NOT NULL DEFAULT '',
    reason       TEXT NOT NULL DEFAULT '',
    settled_at   DATETIME,
    created_at   DATETIME NOT NULL,
    updated_at   DATETIME NOT NULL,
    UNIQUE (chain_id, block_hash, tx_hash, asset, recipient, ordinal)
);
CREATE INDEX doubts_open ON doubts (chain_id, id) WHERE status = 'open';
CREATE INDEX doubts_payment ON doubts (payment_id);

ALTER TABLE payments ADD COLUMN order_released BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE payments SET order_released = TRUE WHERE order_id IS NOT NULL AND status IN ('expired', 'canceled');
-- An order has one open payment of each mode, so that a test key takes no order from a live one.
DROP INDEX payments_order;
CREATE UNIQUE INDEX payments_order ON payments (merchant_id, test, order_id)
    WHERE order_id IS NOT NULL AND NOT order_released AND status NOT IN ('expired', 'canceled');
CREATE INDEX payments_open ON payments (chain_id, asset, id) WHERE status IN ('pending', 'detected');

-- +goose Down
DROP INDEX payments_open;
DROP INDEX payments_order;
CREATE UNIQUE INDEX payments_order ON payments (merchant_id, order_id)
    WHERE order_id IS NOT NULL AND status NOT IN ('expired', 'canceled');
ALTER TABLE payments DROP COLUMN order_released;
DROP TABLE doubts;
ALTER TABLE chain_cursors DROP COLUMN balances_time;
ALTER TABLE chain_cursors DROP COLUMN balances_number;
ALTER TABLE chain_cursors DROP COLUMN seen_at;
ALTER TABLE blocks DROP COLUMN provider;
CREATE TABLE transfers_old (
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
INSERT INTO transfers_old (id, payment_id, merchant_id, chain_id, tx_hash, asset, recipient, ordinal, sender, amount, log_index, status, source, misdirected, block_number, block_hash, block_time, first_block_time, created_at, updated_at)
    SELECT id, payment_id, merchant_id, chain_id, tx_hash, asset, recipient, ordinal, sender, amount, log_index, status, source, misdirected, block_number, block_hash, block_time, first_block_time, created_at, updated_at FROM transfers WHERE source IN ('chain', 'balance');
DROP TABLE transfers;
ALTER TABLE transfers_old RENAME TO transfers;
CREATE INDEX transfers_payment ON transfers (payment_id, block_number, id);
CREATE INDEX transfers_block ON transfers (chain_id, block_number);
CREATE INDEX transfers_unconfirmed ON transfers (chain_id, block_number) WHERE status = 'seen';
