-- Who points at a picture, looked up by its key: kept in step with
-- users.picture by every transaction that changes it.

-- +goose Up
CREATE TABLE pictures (
    picture BLOB    NOT NULL,
    user_id INTEGER NOT NULL,
    PRIMARY KEY (picture, user_id)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE pictures;
