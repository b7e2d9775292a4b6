package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-sql-driver/mysql"

	"gatehouse/backend/user"
)

// takesStreams tells whether a server takes LOAD DATA LOCAL INFILE.
func takesStreams(ctx context.Context, db *sql.DB) bool {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	var allowed bool
	// Where there is no such variable there is no such statement.
	err := db.QueryRowContext(ctx, "SELECT @@GLOBAL.local_infile").Scan(&allowed)
	return err == nil && allowed
}

// streamRefused tells the errors of servers that do not take LOAD DATA LOCAL
// INFILE, for all that their settings say.
func streamRefused(err error) bool {
	var refusal *mysql.MySQLError
	if !errors.As(err, &refusal) {
		return false
	}
	switch refusal.Number {
	case 1148, // Not allowed with this version.
		1235, // Not supported yet (TiDB, for some forms).
		3948, // Disabled on one of the two sides (MySQL 8).
		4166: // Disabled here (MariaDB).
		return true
	}
	return false
}

// stream inserts accounts through LOAD DATA LOCAL INFILE, in one transaction.
func (s *Store) stream(ctx context.Context, accounts []Account) error {
	var users, sessions []byte
	count := 0
	for _, a := range accounts {
		users = appendUser(users, a)
		if a.Session != nil {
			sessions = appendSession(sessions, a)
			count++
		}
	}
	return s.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := streamInto(ctx, tx, "users", loadColumns, users, len(accounts)); err != nil {
			return err
		}
		return streamInto(ctx, tx, "sessions", sessionColumns, sessions, count)
	})
}

// streamInto loads rows into a table. The columns are bytes to the server:
// under any other character set than binary it would take credentials for
// text, and lose those that are none.
func streamInto(ctx context.Context, tx *sql.Tx, table, columns string, rows []byte, count int) error {
	if count == 0 {
		return nil
	}
	// The driver gives the rows to whoever asks for them by this name, which
	// a server can do at any time: so there is a name for as long as there is
	// a statement.
	name := rand.Text()
	mysql.RegisterReaderHandler(name, func() io.Reader { return bytes.NewReader(rows) })
	defer mysql.DeregisterReaderHandler(name)
	result, err := tx.ExecContext(ctx, "LOAD DATA LOCAL INFILE 'Reader::"+name+"' INTO TABLE "+table+" CHARACTER SET binary ("+columns+")")
	if err != nil {
		if mysqlFault(err) == faultDuplicate {
			return refuse(user.ErrTaken)
		}
		return err
	}
	return streamed(ctx, tx, table, result, count)
}

// streamed looks at whether every row came in as it was. A server cannot stop
// a client that streams, and so goes on after errors: a row whose key is taken
// is left out, a value that does not fit is cut, and all that comes of it is
// a warning.
func streamed(ctx context.Context, tx *sql.Tx, table string, result sql.Result, count int) error {
	loaded, err := result.RowsAffected()
	if err != nil {
		return err
	}
	var warnings int
	if err := tx.QueryRowContext(ctx, "SELECT @@warning_count").Scan(&warnings); err != nil {
		return err
	}
	if warnings == 0 && loaded == int64(count) {
		return nil
	}
	var level, message string
	var number int
	if err := tx.QueryRowContext(ctx, "SHOW WARNINGS LIMIT 1").Scan(&level, &number, &message); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if number == 1062 { // A duplicate key.
		return refuse(user.ErrTaken)
	}
	// The message may quote a value, and that may be a credential.
	return refuse(fmt.Errorf("the server loaded %d of %d rows into %s with %d warnings, the first of number %d", loaded, count, table, warnings, number))
}

func appendUser(b []byte, a Account) []byte {
	u := a.User
	b = strconv.AppendInt(b, u.ID, 10)
	b = appendField(b, u.Username)
	b = appendField(b, u.Nickname)
	b = appendNumber(b, u.Version)
	b = appendNumber(b, u.AuthEpoch)
	if u.Disabled {
		b = appendNumber(b, 1)
	} else {
		b = appendNumber(b, 0)
	}
	b = appendNumber(b, micros(u.CreatedAt))
	b = appendField(b, a.Credential)
	return append(b, '\n')
}

func appendSession(b []byte, a Account) []byte {
	one := a.Session
	b = strconv.AppendInt(b, one.UserID, 10)
	b = appendField(b, one.Digest[:])
	b = appendNumber(b, one.AuthEpoch)
	b = appendNumber(b, micros(one.CreatedAt))
	b = appendNumber(b, micros(one.LastSeenAt))
	b = appendNumber(b, micros(one.ExpiresAt))
	b = appendField(b, one.IP)
	b = appendField(b, one.UserAgent)
	return append(b, '\n')
}

func appendNumber(b []byte, n int64) []byte { return strconv.AppendInt(append(b, '\t'), n, 10) }

// appendField writes a tab and a value in which the bytes that LOAD DATA reads
// as its own are escaped. Escaping makes a credential 2 % longer, where HEX
// would double it and UNHEX cost the server time.
func appendField[T string | []byte](b []byte, value T) []byte {
	b = append(b, '\t')
	for i := range len(value) {
		switch c := value[i]; c {
		case 0:
			b = append(b, '\\', '0')
		case '\t':
			b = append(b, '\\', 't')
		case '\n':
			b = append(b, '\\', 'n')
		case '\\':
			b = append(b, '\\', '\\')
		default:
			b = append(b, c)
		}
	}
	return b
}
