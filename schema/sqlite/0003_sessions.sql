-- The sessions of a user lie side by side. ip and user_agent are bytes
-- because browsers send what they like.

-- +goose Up
CREATE TABLE sessions (
    user_id      INTEGER NOT NULL,
    digest       BLOB    NOT NULL,
    auth_epoch   INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    ip           BLOB    NOT NULL,
    user_agent   BLOB    NOT NULL,
    PRIMARY KEY (user_id, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_expires_at ON sessions (expires_at);

-- +goose Down
DROP TABLE sessions;
