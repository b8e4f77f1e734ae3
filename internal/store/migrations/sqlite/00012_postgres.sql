-- Who lives: every process writes its row every ten seconds, and that write is how it learns whether the record takes
-- writes. Older binaries write none.

-- +goose Up
CREATE TABLE processes (
    id         TEXT PRIMARY KEY,
    role       TEXT NOT NULL,
    version    TEXT NOT NULL,
    schema     INTEGER NOT NULL,
    max_conns  INTEGER NOT NULL,
    started_at DATETIME NOT NULL,
    seen_at    DATETIME NOT NULL
);

-- +goose Down
DROP TABLE processes;
