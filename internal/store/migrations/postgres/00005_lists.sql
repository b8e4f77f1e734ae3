-- Every filter of a list finds its page at once, however many rows a merchant has.

-- +goose Up
CREATE INDEX payments_list_order ON payments (merchant_id, order_id, created_at DESC, id DESC) WHERE order_id IS NOT NULL;
CREATE INDEX payments_list_chain ON payments (merchant_id, chain, created_at DESC, id DESC);
CREATE INDEX payments_list_test ON payments (merchant_id, created_at DESC, id DESC) WHERE test;
CREATE INDEX events_list_type ON events (merchant_id, type, created_at DESC, id DESC);
CREATE INDEX deliveries_list_endpoint ON deliveries (endpoint_id, created_at DESC, id DESC);
CREATE INDEX deliveries_list_type ON deliveries (merchant_id, event_type, created_at DESC, id DESC);
CREATE INDEX deliveries_list_over ON deliveries (merchant_id, state, created_at DESC, id DESC) WHERE state IN ('dead', 'canceled');

-- +goose Down
DROP INDEX deliveries_list_over;
DROP INDEX deliveries_list_type;
DROP INDEX deliveries_list_endpoint;
DROP INDEX events_list_type;
DROP INDEX payments_list_test;
DROP INDEX payments_list_chain;
DROP INDEX payments_list_order;
