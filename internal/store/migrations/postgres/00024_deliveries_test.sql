-- +goose NO TRANSACTION
-- Lists of what test keys see do not read past what live keys see. Older binaries go on without.
-- Nobody waits for it: an index that broke off is made anew.

-- +goose Up
DROP INDEX CONCURRENTLY IF EXISTS deliveries_list_test;
CREATE INDEX CONCURRENTLY deliveries_list_test ON deliveries (merchant_id, created_at DESC, id DESC)
    WHERE test IS NOT FALSE;

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS deliveries_list_test;
