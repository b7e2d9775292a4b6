package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"gatehouse/backend/session"
	"gatehouse/backend/user"
)

const (
	// MaxLoad is how many accounts one call of Load takes. More would bring
	// little more a second and make what an interruption costs larger.
	MaxLoad = 25_000
	// perInsert is how many rows one INSERT brings. It keeps the statement
	// below every database's limits on its length and its parameters.
	perInsert = 500
	// serverLoads is how many transactions a server is loaded with at once.
	serverLoads = 3
	// bulkTimeout bounds each statement and each transaction of a Loader.
	bulkTimeout = 2 * time.Minute
)

// Account is a user with its credential, and to be loaded with a session where
// that is not nil.
type Account struct {
	User       user.User
	Credential []byte
	Session    *session.Session
}

// A Loader inserts accounts by the thousand, on connections of its own, with
// time limits to suit. Its methods may be called at the same time.
type Loader struct {
	store *Store // the same database, seen through the connections of the Loader
	// streams is true while the server takes LOAD DATA LOCAL INFILE, which
	// brought rows in half as fast again as inserts of many rows did.
	streams atomic.Bool
}

// Loader opens a Loader. It must be closed before the Store.
func (s *Store) Loader(ctx context.Context) (*Loader, error) {
	view := *s
	view.bulk = true
	l := &Loader{store: &view}
	if s.openBulk == nil {
		return l, nil
	}
	db, err := s.openBulk()
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(serverLoads)
	db.SetMaxIdleConns(serverLoads)
	view.read, view.write = db, db
	l.streams.Store(takesStreams(ctx, db))
	return l, nil
}

// Close closes the connections of the Loader.
func (l *Loader) Close() {
	if l.store.openBulk != nil {
		l.store.write.Close() // Whether they could say goodbye or not.
	}
}

// Parallel is how many calls of Load at once are worth their while: one on a
// file, where all writing is in turn.
func (l *Loader) Parallel() int {
	if l.store.openBulk == nil {
		return 1
	}
	return serverLoads
}

// Note says, in words for the operator, why loading is slower than it could
// be, and is empty where it is not. A server may turn out not to take streams
// only once it is asked to.
func (l *Loader) Note() string {
	if l.store.openBulk == nil || l.streams.Load() {
		return ""
	}
	return "the server does not take LOAD DATA LOCAL INFILE (local_infile is off there), so rows go in by INSERT, which is slower"
}

// Load inserts at most MaxLoad accounts in one transaction: all or none. It
// returns user.ErrTaken, wrapped, where one of the ids or names exists.
func (l *Loader) Load(ctx context.Context, accounts []Account) error {
	if len(accounts) > MaxLoad {
		return fmt.Errorf("load %d accounts: at most %d at once", len(accounts), MaxLoad)
	}
	for _, a := range accounts {
		if err := checkAccount(a); err != nil {
			return fmt.Errorf("load account %q: %w", a.User.Username, err)
		}
	}
	err := l.load(ctx, accounts)
	if err != nil {
		return fmt.Errorf("load accounts: %w", err)
	}
	return nil
}

func (l *Loader) load(ctx context.Context, accounts []Account) error {
	if l.streams.Load() {
		err := l.store.stream(ctx, accounts)
		if !streamRefused(err) {
			return err
		}
		l.streams.Store(false)
	}
	return l.store.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for some := range slices.Chunk(accounts, perInsert) {
			if err := l.store.insertAccounts(ctx, tx, some); err != nil {
				return err
			}
		}
		return nil
	})
}

// checkAccount refuses what a column has no room for or would cut.
func checkAccount(a Account) error {
	err := errors.Join(checkUser(a.User.Username, a.User.Nickname), fits("credential", len(a.Credential), maxCredential))
	if a.User.Picture != "" {
		err = errors.Join(err, errors.New("a picture cannot be loaded"))
	}
	if a.Session != nil {
		err = errors.Join(err, fits("ip", len(a.Session.IP), session.MaxIP), fits("user agent", len(a.Session.UserAgent), session.MaxUserAgent))
	}
	return err
}

// loadColumns are those of users that are loaded; the picture stays NULL.
const loadColumns = "id, username, nickname, version, auth_epoch, disabled, created_at, credential"

func (s *Store) insertAccounts(ctx context.Context, tx *sql.Tx, accounts []Account) error {
	var users, sessions []any
	for _, a := range accounts {
		u := a.User
		users = append(users, u.ID, []byte(u.Username), u.Nickname, u.Version, u.AuthEpoch, u.Disabled, micros(u.CreatedAt), a.Credential)
		if one := a.Session; one != nil {
			sessions = append(sessions, one.UserID, one.Digest[:], one.AuthEpoch, micros(one.CreatedAt), micros(one.LastSeenAt),
				micros(one.ExpiresAt), []byte(one.IP), []byte(one.UserAgent))
		}
	}
	if err := s.insertMany(ctx, tx, "users", loadColumns, users); err != nil {
		return err
	}
	return s.insertMany(ctx, tx, "sessions", sessionColumns, sessions)
}

// insertMany inserts rows whose values stand one after the other.
func (s *Store) insertMany(ctx context.Context, tx *sql.Tx, table, columns string, values []any) error {
	if len(values) == 0 {
		return nil
	}
	width := strings.Count(columns, ",") + 1
	row := "(?" + strings.Repeat(", ?", width-1) + ")"
	query := "INSERT INTO " + table + " (" + columns + ") VALUES " + row + strings.Repeat(", "+row, len(values)/width-1)
	_, err := s.exec(ctx, tx, query, values...)
	if errors.Is(err, errDuplicate) {
		return refuse(user.ErrTaken)
	}
	return err
}

// Unload removes the accounts with ids from first to last, at most MaxLoad of
// them, with their sessions and pictures, and tells how many there were.
func (l *Loader) Unload(ctx context.Context, first, last int64) (int, error) {
	if last-first >= MaxLoad {
		return 0, fmt.Errorf("unload accounts %d to %d: at most %d at once", first, last, MaxLoad)
	}
	var removed int64
	err := l.store.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, query := range []string{
			"DELETE FROM sessions WHERE user_id BETWEEN ? AND ?",
			"DELETE FROM pictures WHERE picture IN (SELECT picture FROM users WHERE id BETWEEN ? AND ? AND picture IS NOT NULL)",
			"DELETE FROM users WHERE id BETWEEN ? AND ?",
		} {
			var err error
			if removed, err = l.store.exec(ctx, tx, query, first, last); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("unload accounts %d to %d: %w", first, last, err)
	}
	return int(removed), nil
}
