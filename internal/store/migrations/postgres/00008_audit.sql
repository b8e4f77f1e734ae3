-- Lines of the audit log that are written with what they tell about and are not yet in the chain of hashes. Writers do
-- not wait for each other here; whoever chains the lines takes the log's lock. A line leaves only when the log has it.

-- +goose Up
CREATE TABLE audit_entries (
    id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       TIMESTAMPTZ NOT NULL,
    actor    TEXT NOT NULL,
    action   TEXT NOT NULL,
    subject  TEXT NOT NULL,
    merchant TEXT NOT NULL DEFAULT '',
    detail   JSONB NOT NULL,
    ip       TEXT NOT NULL DEFAULT ''
);
-- What is deleted has to be what the log was just given, line for line.
-- +goose StatementBegin
CREATE FUNCTION audit_entries_are_chained() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT at, actor, action, subject, merchant, detail, ip FROM gone
        EXCEPT ALL
        SELECT at, actor, action, subject, merchant, detail, ip FROM audit_log
            WHERE seq > (SELECT max(seq) FROM audit_log) - (SELECT count(*) FROM gone))
    THEN
        RAISE EXCEPTION 'audit_entries holds lines of the audit log, which is append-only';
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_entries_chained AFTER DELETE ON audit_entries REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_are_chained();
CREATE TRIGGER audit_entries_no_update BEFORE UPDATE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION audit_log_is_append_only();
CREATE TRIGGER audit_entries_no_truncate BEFORE TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only();

-- +goose Down
DROP TABLE audit_entries;
DROP FUNCTION audit_entries_are_chained;
