-- Gives the events that were there before 00011 the positions that it set aside, in the order in which they were read
-- until now.

-- +goose Up
INSERT INTO event_log (merchant_id, pos, event_id)
    SELECT e.merchant_id, row_number() OVER (PARTITION BY e.merchant_id ORDER BY e.seq), e.id FROM events e
    WHERE NOT EXISTS (SELECT 1 FROM event_log l WHERE l.event_id = e.id);

-- +goose Down
SELECT 1;
