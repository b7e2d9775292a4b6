-- Who points at a picture, looked up by its key: kept in step with
-- users.picture by every transaction that changes it.

-- +goose Up
CREATE TABLE IF NOT EXISTS pictures (
    picture VARBINARY(32) NOT NULL,
    user_id BIGINT        NOT NULL,
    PRIMARY KEY (picture, user_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
DROP TABLE IF EXISTS pictures;
