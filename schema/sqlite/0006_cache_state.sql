-- What is known of the cache. See package backend/cache.

-- +goose Up
CREATE TABLE cache_state (
    id      INTEGER PRIMARY KEY,
    epoch   INTEGER NOT NULL,
    enabled INTEGER NOT NULL,
    drained INTEGER NOT NULL,
    nodes   BLOB    NOT NULL
) STRICT;
INSERT INTO cache_state (id, epoch, enabled, drained, nodes) VALUES (1, 1, 1, 0, x'');

-- +goose Down
DROP TABLE cache_state;
