package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"gatehouse/backend/user"
)

// Limits of a change.
const (
	// txTimeout bounds one transaction from its beginning to its COMMIT.
	txTimeout = 2 * time.Second
	// changeTimeout bounds a change whose caller sets no deadline, with the
	// wait for a connection and the repetitions.
	changeTimeout = 5 * time.Second
	// maxRetries is how often a transaction that was certainly not applied is
	// tried again.
	maxRetries = 3
)

// fault is what an error of the database means for a transaction.
type fault int

const (
	// faultOther means that nothing is known: a COMMIT that fails with it may
	// have been done.
	faultOther fault = iota
	// faultDuplicate means that a row of the same key exists.
	faultDuplicate
	// faultTransient means that the statement, or the COMMIT, was not done,
	// and that the same transaction may succeed when tried again.
	faultTransient
	// faultRefused means that a COMMIT was not done.
	faultRefused
)

// A refusal is an answer about the data, not a failure: the transaction is
// taken back and the answer returned as it is.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

func refuse(err error) error { return refusal{err} }

// errAgain is for a transaction that met a state that is already over.
var errAgain = errors.New("the rows changed meanwhile")

// errDuplicate is returned by exec where the key is taken.
var errDuplicate = errors.New("a row of this key exists")

// change runs f in a transaction and commits it. f may run several times; its
// statements must use the context and transaction that it is given.
//
// The result is nil only after a successful COMMIT. An error wraps
// user.ErrUnknownOutcome where the COMMIT may or may not have been done, is
// the refusal that f returned, or wraps user.ErrUnavailable; in the latter two
// cases nothing was changed.
func (s *Store) change(ctx context.Context, f func(context.Context, *sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	for try := 0; ; try++ {
		again, err := s.attempt(ctx, f)
		if !again || try == maxRetries || !pause(ctx, try) {
			return err
		}
	}
}

// pause waits before the next try: longer each time, and differently for
// those who got into each other's way. It returns false where ctx ends first.
func pause(ctx context.Context, try int) bool {
	longest := 10 * time.Millisecond << try
	timer := time.NewTimer(longest/2 + rand.N(longest/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt runs f in one transaction. again is true where nothing was changed
// and another try is worth it.
func (s *Store) attempt(ctx context.Context, f func(context.Context, *sql.Tx) error) (again bool, err error) {
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return s.dialect.fault(err) == faultTransient, unavailable(err)
	}
	defer conn.Close()

	// The statements end when the caller goes away. The transaction is on a
	// context of its own: the one of BeginTx governs the COMMIT too, and a
	// caller who leaves must not turn a change that succeeds into one of
	// unknown outcome.
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), txTimeout)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, txTimeout)
	defer cancel()

	tx, err := conn.BeginTx(own, nil)
	if err != nil {
		// The connection may have died in the pool; another may not have.
		discard(conn)
		return true, unavailable(err)
	}
	if err = s.guard(ctx, tx); err == nil {
		err = f(ctx, tx)
	}
	if err == nil {
		err = errors.Join(ctx.Err(), own.Err())
	}
	if err != nil {
		return s.rollback(conn, tx, err)
	}
	if err := tx.Commit(); err != nil {
		return s.commitFailed(conn, err)
	}
	return false, nil
}

// rollback takes back a transaction that err stopped.
func (s *Store) rollback(conn *sql.Conn, tx *sql.Tx, err error) (again bool, _ error) {
	if tx.Rollback() != nil {
		// It may still be open on a connection that lives, and the next BEGIN
		// there would commit it.
		discard(conn)
	}
	var r refusal
	if errors.As(err, &r) {
		return false, r.error
	}
	return errors.Is(err, errAgain) || s.dialect.fault(err) == faultTransient, unavailable(err)
}

func (s *Store) commitFailed(conn *sql.Conn, err error) (again bool, _ error) {
	discard(conn) // For the reason that rollback has.
	switch s.dialect.fault(err) {
	case faultTransient:
		return true, unavailable(err)
	case faultRefused:
		return false, unavailable(err)
	}
	return false, fmt.Errorf("%w: %w", user.ErrUnknownOutcome, err)
}

// discard keeps a connection from being used again.
func discard(conn *sql.Conn) {
	// Raw passes the error on to the pool, which closes the connection.
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
}

// exec runs a statement and returns how many rows it met. It returns
// errDuplicate where a key of an INSERT is taken.
func (s *Store) exec(ctx context.Context, tx *sql.Tx, query string, args ...any) (int64, error) {
	result, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		if s.dialect.fault(err) == faultDuplicate {
			return 0, errDuplicate
		}
		return 0, err
	}
	return result.RowsAffected()
}

// insert runs an INSERT of one row.
func (s *Store) insert(ctx context.Context, tx *sql.Tx, query string, args ...any) error {
	n, err := s.exec(ctx, tx, query, args...)
	if err == nil && n != 1 {
		return fmt.Errorf("an insert of one row made %d", n)
	}
	return err
}
