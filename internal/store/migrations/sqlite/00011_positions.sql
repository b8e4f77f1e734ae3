-- Events have a position of their own for each merchant: the order of commit, without holes. It is taken as the last
-- statement before the commit. Events that exist have positions set aside here; 00016 gives them out.

-- +goose Up
ALTER TABLE events ADD COLUMN numbered BOOLEAN;

CREATE TABLE event_log (
    merchant_id TEXT NOT NULL,
    pos         BIGINT NOT NULL CHECK (pos > 0),
    event_id    TEXT NOT NULL UNIQUE,
    PRIMARY KEY (merchant_id, pos)
);
CREATE TABLE event_heads (
    merchant_id TEXT PRIMARY KEY,
    last        BIGINT NOT NULL
);
INSERT INTO event_heads (merchant_id, last) SELECT merchant_id, count(*) FROM events GROUP BY merchant_id;

-- An event that retention deletes gives its place up; the place stays empty.
-- +goose StatementBegin
CREATE TRIGGER events_forget AFTER DELETE ON events
BEGIN
    DELETE FROM event_log WHERE event_id = OLD.id;
END;
-- +goose StatementEnd

-- Of a batch, the positions of its events, as its header tells them.
ALTER TABLE batches ADD COLUMN positions TEXT NOT NULL DEFAULT '';

-- Which database this is. A file is its own; the table is there for what both dialects read.
CREATE TABLE database_identity (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    cluster     TEXT NOT NULL,
    timeline    TEXT NOT NULL,
    place       TEXT NOT NULL,
    adopted_at  DATETIME NOT NULL,
    changed_at  DATETIME,
    change      TEXT NOT NULL DEFAULT '',
    unfinished  BOOLEAN NOT NULL DEFAULT FALSE,
    prepared_at DATETIME
);

-- +goose Down
DROP TABLE database_identity;
ALTER TABLE batches DROP COLUMN positions;
DROP TRIGGER events_forget;
DROP TABLE event_heads;
DROP TABLE event_log;
ALTER TABLE events DROP COLUMN numbered;
