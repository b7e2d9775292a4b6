-- Secrets that outlive the process, such as the key of device cookies.

-- +goose Up
CREATE TABLE secrets (
    name  BLOB NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE secrets;
