-- The trace of what caused an event: the request, or the block. Attempts, retries and replays join it. "" where nobody
-- traced, and in rows that older binaries write.

-- +goose Up
ALTER TABLE events ADD COLUMN traceparent TEXT NOT NULL DEFAULT '';
ALTER TABLE batches ADD COLUMN traceparent TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE batches DROP COLUMN traceparent;
ALTER TABLE events DROP COLUMN traceparent;
