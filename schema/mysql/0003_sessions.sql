-- The sessions of a user lie side by side. ip and user_agent are bytes
-- because browsers send what they like.

-- +goose Up
CREATE TABLE IF NOT EXISTS sessions (
    user_id      BIGINT         NOT NULL,
    digest       VARBINARY(32)  NOT NULL,
    auth_epoch   BIGINT         NOT NULL,
    created_at   BIGINT         NOT NULL,
    last_seen_at BIGINT         NOT NULL,
    expires_at   BIGINT         NOT NULL,
    ip           VARBINARY(45)  NOT NULL,
    user_agent   VARBINARY(255) NOT NULL,
    PRIMARY KEY (user_id, digest),
    KEY sessions_expires_at (expires_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
DROP TABLE IF EXISTS sessions;
