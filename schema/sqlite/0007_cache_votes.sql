-- Which backends miss the cache.

-- +goose Up
CREATE TABLE cache_votes (
    backend BLOB    NOT NULL PRIMARY KEY,
    away    INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE cache_votes;
