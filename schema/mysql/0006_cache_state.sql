-- What all backends know of the cache. See package backend/cache.

-- +goose Up
CREATE TABLE IF NOT EXISTS cache_state (
    id      TINYINT         NOT NULL,
    epoch   BIGINT          NOT NULL,
    enabled TINYINT         NOT NULL,
    drained TINYINT         NOT NULL,
    nodes   VARBINARY(4096) NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
INSERT IGNORE INTO cache_state (id, epoch, enabled, drained, nodes) VALUES (1, 1, 1, 0, '');

-- +goose Down
DROP TABLE IF EXISTS cache_state;
