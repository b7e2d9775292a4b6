-- Usernames are folded by the program and compared as bytes, so that no
-- collation has a say in who is who. The id is the row's place in the file.

-- +goose Up
CREATE TABLE users (
    id         INTEGER PRIMARY KEY,
    username   BLOB    NOT NULL UNIQUE,
    nickname   TEXT    NOT NULL,
    credential BLOB    NOT NULL,
    picture    BLOB,
    version    INTEGER NOT NULL,
    auth_epoch INTEGER NOT NULL,
    disabled   INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- +goose Down
DROP TABLE users;
