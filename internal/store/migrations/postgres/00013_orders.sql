-- A payment may replace another one of the same order: the old one gives the order up and is watched on.
-- Older binaries go on without.

-- +goose Up
ALTER TABLE payments ADD COLUMN replaces TEXT;
ALTER TABLE payments ADD COLUMN replaced_by TEXT;

-- +goose Down
ALTER TABLE payments DROP COLUMN replaced_by;
ALTER TABLE payments DROP COLUMN replaces;
