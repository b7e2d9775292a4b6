-- Secrets that all instances share, such as the key of device cookies.

-- +goose Up
CREATE TABLE IF NOT EXISTS secrets (
    name  VARBINARY(64)  NOT NULL,
    value VARBINARY(255) NOT NULL,
    PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
DROP TABLE IF EXISTS secrets;
