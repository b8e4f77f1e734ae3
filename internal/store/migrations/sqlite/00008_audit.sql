-- Lines of the audit log that are written with what they tell about and are not yet in the chain of hashes. A line
-- leaves only when the log has it.

-- +goose Up
CREATE TABLE audit_entries (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    at       DATETIME NOT NULL,
    actor    TEXT NOT NULL,
    action   TEXT NOT NULL,
    subject  TEXT NOT NULL,
    merchant TEXT NOT NULL DEFAULT '',
    detail   TEXT NOT NULL,
    ip       TEXT NOT NULL DEFAULT ''
);
-- +goose StatementBegin
CREATE TRIGGER audit_entries_no_update BEFORE UPDATE ON audit_entries
BEGIN
    SELECT RAISE(ABORT, 'audit_entries holds lines of the audit log, which is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_entries_no_delete BEFORE DELETE ON audit_entries WHEN NOT EXISTS (
    SELECT 1 FROM audit_log l WHERE l.subject = OLD.subject AND l.seq > (SELECT max(seq) FROM audit_log) - 1000
        AND l.at = OLD.at AND l.actor = OLD.actor AND l.action = OLD.action AND l.merchant = OLD.merchant
        AND l.detail = OLD.detail AND l.ip = OLD.ip)
BEGIN
    SELECT RAISE(ABORT, 'audit_entries holds lines of the audit log, which is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_entries_no_replace BEFORE INSERT ON audit_entries WHEN EXISTS (SELECT 1 FROM audit_entries WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'audit_entries holds lines of the audit log, which is append-only');
END;
-- +goose StatementEnd

-- +goose Down
DROP TABLE audit_entries;
