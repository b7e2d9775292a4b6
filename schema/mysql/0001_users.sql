-- Usernames are folded by the program and compared as bytes, so that no
-- collation has a say in who is who. A row with its index entry is to stay
-- below 220 bytes: memory for ten million of them decides how fast logins are.

-- +goose Up
CREATE TABLE IF NOT EXISTS users (
    id         BIGINT         NOT NULL,
    username   VARBINARY(32)  NOT NULL,
    nickname   VARCHAR(64)    CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    credential VARBINARY(255) NOT NULL,
    picture    VARBINARY(32)  NULL,
    version    BIGINT         NOT NULL,
    auth_epoch BIGINT         NOT NULL,
    disabled   TINYINT        NOT NULL,
    created_at BIGINT         NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY users_username (username)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
DROP TABLE IF EXISTS users;
