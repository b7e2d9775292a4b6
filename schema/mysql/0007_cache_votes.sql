-- Which backends miss the cache.

-- +goose Up
CREATE TABLE IF NOT EXISTS cache_votes (
    backend VARBINARY(32) NOT NULL,
    away    TINYINT       NOT NULL,
    seen_at BIGINT        NOT NULL,
    PRIMARY KEY (backend)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
DROP TABLE IF EXISTS cache_votes;
