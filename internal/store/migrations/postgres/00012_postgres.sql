-- Who lives: every process writes its row every ten seconds, and that write is how it learns whether the record takes
-- writes. Older binaries write none.

-- +goose Up
CREATE TABLE processes (
    id         TEXT PRIMARY KEY,
    role       TEXT NOT NULL,
    version    TEXT NOT NULL,
    schema     BIGINT NOT NULL,
    max_conns  INTEGER NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    seen_at    TIMESTAMPTZ NOT NULL
) WITH (fillfactor = 50);

-- +goose Down
DROP TABLE processes;
