-- What was found out about a chain, and the blocks that are being read again. Older binaries know neither.

-- +goose Up
ALTER TABLE chain_cursors ADD COLUMN known TEXT NOT NULL DEFAULT '';
ALTER TABLE chain_cursors ADD COLUMN reread_next BIGINT NOT NULL DEFAULT 0;
ALTER TABLE chain_cursors ADD COLUMN reread_to BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE chain_cursors DROP COLUMN reread_to;
ALTER TABLE chain_cursors DROP COLUMN reread_next;
ALTER TABLE chain_cursors DROP COLUMN known;
