-- What was answered to a write, for a day.

-- +goose Up
CREATE TABLE IF NOT EXISTS idempotency (
    idem_key   VARBINARY(32) NOT NULL,
    user_id    BIGINT        NOT NULL,
    session    VARBINARY(32) NOT NULL,
    request    VARBINARY(32) NOT NULL,
    reply      MEDIUMBLOB    NOT NULL,
    created_at BIGINT        NOT NULL,
    PRIMARY KEY (idem_key),
    KEY idempotency_created_at (created_at),
    KEY idempotency_user_id (user_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
DROP TABLE IF EXISTS idempotency;
