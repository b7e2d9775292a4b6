package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Room for a secret and its name, in bytes.
const (
	maxSecretName = 64
	maxSecret     = 255
)

// Secret implements user.Store.
func (s *Store) Secret(ctx context.Context, name string, fresh []byte) ([]byte, error) {
	err := errors.Join(fits("name", len(name), maxSecretName), fits("secret", len(fresh), maxSecret))
	if err == nil && len(fresh) == 0 {
		err = errors.New("the fresh secret is empty")
	}
	var secret []byte
	if err == nil {
		err = s.change(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
			secret, err = s.secret(ctx, tx, name, fresh)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read secret %q: %w", name, err)
	}
	return secret, nil
}

func (s *Store) secret(ctx context.Context, tx *sql.Tx, name string, fresh []byte) ([]byte, error) {
	const query = "SELECT value FROM secrets WHERE name = ?"
	var secret []byte
	err := tx.QueryRowContext(ctx, query, []byte(name)).Scan(&secret)
	if !errors.Is(err, sql.ErrNoRows) {
		return secret, err
	}
	err = s.insert(ctx, tx, "INSERT INTO secrets (name, value) VALUES (?, ?)", []byte(name), fresh)
	if !errors.Is(err, errDuplicate) {
		return fresh, err
	}
	// Another instance was faster.
	err = tx.QueryRowContext(ctx, query, []byte(name)).Scan(&secret)
	return secret, err
}
