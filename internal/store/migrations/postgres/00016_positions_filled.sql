-- +goose NO TRANSACTION
-- Gives the events that were there before 00011 the positions that it set aside, in the order in which they were read
-- until now. Merchant by merchant, each in a transaction of its own: nobody waits for it, and it goes on where it was.

-- +goose Up
-- +goose StatementBegin
DO $$
DECLARE
    merchant TEXT;
BEGIN
    FOR merchant IN SELECT h.merchant_id FROM event_heads h ORDER BY h.merchant_id LOOP
        INSERT INTO event_log (merchant_id, pos, event_id)
            SELECT e.merchant_id,
                COALESCE((SELECT min(l.pos) FROM event_log l WHERE l.merchant_id = merchant),
                    (SELECT h.last + 1 FROM event_heads h WHERE h.merchant_id = merchant))
                    - row_number() OVER (ORDER BY e.xact DESC, e.seq DESC),
                e.id
            FROM events e
            WHERE e.merchant_id = merchant AND NOT EXISTS (SELECT 1 FROM event_log l WHERE l.event_id = e.id);
        COMMIT;
    END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose Down
SELECT 1;
