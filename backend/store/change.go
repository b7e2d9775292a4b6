package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"gatehouse/backend/user"
)

// Update implements user.Store.
func (s *Store) Update(ctx context.Context, c user.Change) error {
	err := checkChange(c)
	if err == nil {
		err = s.change(ctx, func(ctx context.Context, tx *sql.Tx) error { return s.update(ctx, tx, c) })
	}
	if err != nil {
		return fmt.Errorf("update user %d: %w", c.ID, err)
	}
	return nil
}

func checkChange(c user.Change) error {
	err := errors.Join(fits("credential", len(c.Credential), maxCredential), checkIdempotency(c.Idempotency))
	if c.Nickname != nil {
		err = errors.Join(err, checkUser("", *c.Nickname))
	}
	if c.Picture != nil {
		_, wrong := pictureKey(*c.Picture)
		err = errors.Join(err, wrong)
	}
	return err
}

func (s *Store) update(ctx context.Context, tx *sql.Tx, c user.Change) error {
	if err := s.record(ctx, tx, c.Idempotency); err != nil {
		return err
	}
	var before, after []byte
	if c.Picture != nil {
		var err error
		if before, err = pictureAt(ctx, tx, c.ID, c.Version); err != nil {
			return err
		}
		if after, err = pictureKey(*c.Picture); err != nil {
			return err
		}
	}
	set, args := assignments(c, after)
	n, err := s.exec(ctx, tx, "UPDATE users SET "+set+" WHERE id = ? AND version = ?", append(args, c.ID, c.Version)...)
	if err != nil {
		return err
	}
	if n != 1 {
		return whyNot(ctx, tx, c.ID)
	}
	if c.Picture != nil {
		if err := s.movePicture(ctx, tx, c.ID, before, after); err != nil {
			return err
		}
	}
	if c.EndSessions {
		return s.endSessions(ctx, tx, c.ID, c.KeepSession)
	}
	return nil
}

// assignments returns the list of an UPDATE and its arguments.
func assignments(c user.Change, picture []byte) (string, []any) {
	set, args := []string{"version = version + 1"}, []any{}
	add := func(column string, value any) {
		set, args = append(set, column+" = ?"), append(args, value)
	}
	if c.Nickname != nil {
		add("nickname", *c.Nickname)
	}
	if c.Picture != nil {
		add("picture", picture)
	}
	if c.Credential != nil {
		add("credential", c.Credential)
	}
	if c.Disabled != nil {
		add("disabled", *c.Disabled)
	}
	if c.EndSessions {
		set = append(set, "auth_epoch = auth_epoch + 1")
	}
	return strings.Join(set, ", "), args
}

// whyNot tells why no row of this id was at the version asked for.
func whyNot(ctx context.Context, tx *sql.Tx, id int64) error {
	err := tx.QueryRowContext(ctx, "SELECT id FROM users WHERE id = ?", id).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return refuse(user.ErrNotFound)
	}
	if err != nil {
		return err
	}
	return refuse(user.ErrConflict)
}

// pictureAt returns the picture that a user has at a version. It holds until
// the version is compared and set: no change leaves a version as it was.
func pictureAt(ctx context.Context, tx *sql.Tx, id, version int64) (picture []byte, err error) {
	var at int64
	err = tx.QueryRowContext(ctx, "SELECT picture, version FROM users WHERE id = ?", id).Scan(&picture, &at)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, refuse(user.ErrNotFound)
	case err != nil:
		return nil, err
	case at != version:
		return nil, refuse(user.ErrConflict)
	}
	return picture, nil
}

// movePicture keeps the look-up by picture in step with a user's picture. A
// reference that is there, or gone, already is as it should be.
func (s *Store) movePicture(ctx context.Context, tx *sql.Tx, id int64, before, after []byte) error {
	if bytes.Equal(before, after) {
		return nil
	}
	if before != nil {
		if _, err := s.exec(ctx, tx, "DELETE FROM pictures WHERE picture = ? AND user_id = ?", before, id); err != nil {
			return err
		}
	}
	if after != nil {
		err := s.insert(ctx, tx, "INSERT INTO pictures (picture, user_id) VALUES (?, ?)", after, id)
		if err != nil && !errors.Is(err, errDuplicate) {
			return err
		}
	}
	return nil
}

// endSessions removes the sessions of all epochs before the user's, which was
// just raised, and carries the one to keep over. One that was dead before
// stays so.
func (s *Store) endSessions(ctx context.Context, tx *sql.Tx, id int64, keep [32]byte) error {
	var epoch int64
	if err := tx.QueryRowContext(ctx, "SELECT auth_epoch FROM users WHERE id = ?", id).Scan(&epoch); err != nil {
		return err
	}
	if keep != [32]byte{} {
		_, err := s.exec(ctx, tx, "UPDATE sessions SET auth_epoch = ? WHERE user_id = ? AND digest = ? AND auth_epoch = ?",
			epoch, id, keep[:], epoch-1)
		if err != nil {
			return err
		}
	}
	_, err := s.exec(ctx, tx, "DELETE FROM sessions WHERE user_id = ? AND auth_epoch < ?", id, epoch)
	return err
}

// Fence implements user.Store.
func (s *Store) Fence(ctx context.Context, id int64) error {
	err := s.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		n, err := s.exec(ctx, tx, "UPDATE users SET version = version + 1 WHERE id = ?", id)
		if err == nil && n != 1 {
			return refuse(user.ErrNotFound)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("fence user %d: %w", id, err)
	}
	return nil
}

// Delete implements user.Store.
func (s *Store) Delete(ctx context.Context, id, version int64, idem *user.Idempotency) error {
	err := checkIdempotency(idem)
	if err == nil {
		err = s.change(ctx, func(ctx context.Context, tx *sql.Tx) error { return s.delete(ctx, tx, id, version, idem) })
	}
	if err != nil {
		return fmt.Errorf("delete user %d: %w", id, err)
	}
	return nil
}

func (s *Store) delete(ctx context.Context, tx *sql.Tx, id, version int64, idem *user.Idempotency) error {
	if err := s.record(ctx, tx, idem); err != nil {
		return err
	}
	picture, err := pictureAt(ctx, tx, id, version)
	if err != nil {
		return err
	}
	n, err := s.exec(ctx, tx, "DELETE FROM users WHERE id = ? AND version = ?", id, version)
	if err != nil {
		return err
	}
	if n != 1 {
		return whyNot(ctx, tx, id)
	}
	if err := s.movePicture(ctx, tx, id, picture, nil); err != nil {
		return err
	}
	if _, err := s.exec(ctx, tx, "DELETE FROM sessions WHERE user_id = ?", id); err != nil {
		return err
	}
	return s.forgetIdempotency(ctx, tx, id, idem)
}
