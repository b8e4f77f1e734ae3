-- Coin has more sources than blocks, what two providers tell of a transfer is remembered, and a contradiction about it
-- waits for a person. A payment that has given up its order id does not take it back.

-- +goose Up
ALTER TABLE transfers DROP CONSTRAINT transfers_source_check;
ALTER TABLE transfers ADD COLUMN witness TEXT NOT NULL DEFAULT '';
ALTER TABLE transfers ADD COLUMN doubt_id TEXT;
ALTER TABLE blocks ADD COLUMN provider TEXT NOT NULL DEFAULT '';
ALTER TABLE chain_cursors ADD COLUMN seen_at TIMESTAMPTZ;
ALTER TABLE chain_cursors ADD COLUMN balances_number BIGINT NOT NULL DEFAULT 0;
ALTER TABLE chain_cursors ADD COLUMN balances_time TIMESTAMPTZ;

CREATE TABLE doubts (
    id           TEXT PRIMARY KEY,
    kind         TEXT NOT NULL,
    status       TEXT NOT NULL CHECK (status IN ('open', 'accepted', 'rejected')),
    chain        TEXT NOT NULL,
    chain_id     BIGINT NOT NULL,
    payment_id   TEXT NOT NULL REFERENCES payments (id),
    merchant_id  TEXT NOT NULL REFERENCES merchants (id),
    tx_hash      TEXT NOT NULL,
    asset        TEXT NOT NULL,
    recipient    TEXT NOT NULL,
    ordinal      INTEGER NOT NULL,
    sender       TEXT NOT NULL,
    amount       base_units NOT NULL,
    log_index    INTEGER,
    source       TEXT NOT NULL,
    block_number BIGINT NOT NULL,
    block_hash   TEXT NOT NULL,
    block_time   TIMESTAMPTZ NOT NULL,
    answers      JSONB NOT NULL,
    settled_by   TEXT NOT NULL DEFAULT '',
    reason       TEXT NOT NULL DEFAULT '',
    settled_at   TIMESTAMPTZ,
    created_at   TIMESTAMPTZ NOT NULL,
    updated_at   TIMESTAMPTZ NOT NULL,
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
ALTER TABLE chain_cursors DROP COLUMN balances_time, DROP COLUMN balances_number, DROP COLUMN seen_at;
ALTER TABLE blocks DROP COLUMN provider;
ALTER TABLE transfers DROP COLUMN doubt_id, DROP COLUMN witness;
ALTER TABLE transfers ADD CONSTRAINT transfers_source_check CHECK (source IN ('chain', 'balance'));
