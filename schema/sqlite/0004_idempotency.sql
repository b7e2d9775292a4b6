-- What was answered to a write, for a day. The replies are too large for a
-- table without rowids.

-- +goose Up
CREATE TABLE idempotency (
    idem_key   BLOB    NOT NULL PRIMARY KEY,
    user_id    INTEGER NOT NULL,
    session    BLOB    NOT NULL,
    request    BLOB    NOT NULL,
    reply      BLOB    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX idempotency_created_at ON idempotency (created_at);
CREATE INDEX idempotency_user_id ON idempotency (user_id);

-- +goose Down
DROP TABLE idempotency;
