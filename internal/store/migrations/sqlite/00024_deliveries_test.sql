-- Lists of what test keys see do not read past what live keys see. Older binaries go on without.

-- +goose Up
CREATE INDEX deliveries_list_test ON deliveries (merchant_id, created_at DESC, id DESC) WHERE test IS NOT FALSE;

-- +goose Down
DROP INDEX deliveries_list_test;
