-- A log that can be emptied at once is not append-only either.

-- +goose Up
CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only();

-- +goose Down
DROP TRIGGER audit_log_no_truncate ON audit_log;
