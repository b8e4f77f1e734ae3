-- The requests of an attempt that made more than one, oldest first. Older binaries write none.

-- +goose Up
ALTER TABLE attempts ADD COLUMN tries TEXT;

-- +goose Down
ALTER TABLE attempts DROP COLUMN tries;
