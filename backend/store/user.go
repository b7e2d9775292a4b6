package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"gatehouse/backend/user"
)

// Room of the columns that the rules for users say nothing about, in bytes.
const (
	maxCredential = 255
	pictureBytes  = 32
)

const userColumns = "id, username, nickname, picture, version, auth_epoch, disabled, created_at"

// Create implements user.Store. Where the id is taken and the username is not
// it returns user.ErrConflict, and the caller may try again with another id.
func (s *Store) Create(ctx context.Context, u user.User, credential []byte, idem *user.Idempotency) error {
	picture, err := pictureKey(u.Picture)
	err = errors.Join(err, checkUser(u.Username, u.Nickname), fits("credential", len(credential), maxCredential), checkIdempotency(idem))
	if err == nil {
		err = s.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
			if err := s.record(ctx, tx, idem); err != nil {
				return err
			}
			if err := s.insertUser(ctx, tx, u, picture, credential); err != nil {
				return err
			}
			return s.movePicture(ctx, tx, u.ID, nil, picture)
		})
	}
	if err != nil {
		return fmt.Errorf("create user %q: %w", u.Username, err)
	}
	return nil
}

func (s *Store) insertUser(ctx context.Context, tx *sql.Tx, u user.User, picture, credential []byte) error {
	err := s.insert(ctx, tx, "INSERT INTO users ("+userColumns+", credential) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		u.ID, []byte(u.Username), u.Nickname, picture, u.Version, u.AuthEpoch, u.Disabled, micros(u.CreatedAt), credential)
	if errors.Is(err, errDuplicate) {
		return s.whoseKey(ctx, tx, u)
	}
	return err
}

// whoseKey tells which key of a user that could not be inserted is taken. An
// insert says that one is, and each database says in its own words which.
func (s *Store) whoseKey(ctx context.Context, tx *sql.Tx, u user.User) error {
	var id int64
	err := tx.QueryRowContext(ctx, "SELECT id FROM users WHERE username = ?", []byte(u.Username)).Scan(&id)
	if err == nil {
		return refuse(user.ErrTaken)
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	err = tx.QueryRowContext(ctx, "SELECT id FROM users WHERE id = ?", u.ID).Scan(&id)
	if err == nil {
		return refuse(fmt.Errorf("id %d is taken: %w", u.ID, user.ErrConflict))
	}
	if errors.Is(err, sql.ErrNoRows) {
		return errAgain // Its owner was deleted in between.
	}
	return err
}

// ByID implements user.Store.
func (s *Store) ByID(ctx context.Context, id int64) (user.User, error) {
	u, err := s.readUser(ctx, userColumns, "id", id)
	if err != nil {
		return user.User{}, fmt.Errorf("read user %d: %w", id, err)
	}
	return u, nil
}

// ByName implements user.Store.
func (s *Store) ByName(ctx context.Context, username string) (user.User, error) {
	u, err := s.readUser(ctx, userColumns, "username", []byte(username))
	if err != nil {
		return user.User{}, fmt.Errorf("read user %q: %w", username, err)
	}
	return u, nil
}

// CredentialByID implements user.Store.
func (s *Store) CredentialByID(ctx context.Context, id int64) (user.User, []byte, error) {
	var credential []byte
	u, err := s.readUser(ctx, userColumns+", credential", "id", id, &credential)
	if err != nil {
		return user.User{}, nil, fmt.Errorf("read credential of user %d: %w", id, err)
	}
	return u, credential, nil
}

// CredentialByName implements user.Store.
func (s *Store) CredentialByName(ctx context.Context, username string) (user.User, []byte, error) {
	var credential []byte
	u, err := s.readUser(ctx, userColumns+", credential", "username", []byte(username), &credential)
	if err != nil {
		return user.User{}, nil, fmt.Errorf("read credential of user %q: %w", username, err)
	}
	return u, credential, nil
}

// Page implements user.Store.
func (s *Store) Page(ctx context.Context, after string, limit int) ([]user.User, error) {
	found, err := s.readPage(ctx, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read %d users after %q: %w", limit, after, unavailable(err))
	}
	return found, nil
}

func (s *Store) readPage(ctx context.Context, after string, limit int) (found []user.User, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	rows, err := s.read.QueryContext(ctx,
		"SELECT "+userColumns+" FROM users WHERE username > ? ORDER BY username LIMIT ?", []byte(after), max(limit, 0))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var one userRow
		if err := rows.Scan(one.fields()...); err != nil {
			return nil, err
		}
		found = append(found, one.user())
	}
	return found, rows.Err()
}

// readUser reads the one user whose key column holds key. Columns beyond
// those of a user go to further.
func (s *Store) readUser(ctx context.Context, columns, keyColumn string, key any, further ...any) (user.User, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var u userRow
	row := s.read.QueryRowContext(ctx, "SELECT "+columns+" FROM users WHERE "+keyColumn+" = ?", key)
	switch err := row.Scan(append(u.fields(), further...)...); {
	case errors.Is(err, sql.ErrNoRows):
		return user.User{}, user.ErrNotFound
	case err != nil:
		return user.User{}, unavailable(err)
	}
	return u.user(), nil
}

// userRow is userColumns as they are read.
type userRow struct {
	u                 user.User
	username, picture []byte
	createdAt         int64
}

func (r *userRow) fields() []any {
	return []any{&r.u.ID, &r.username, &r.u.Nickname, &r.picture, &r.u.Version, &r.u.AuthEpoch, &r.u.Disabled, &r.createdAt}
}

func (r *userRow) user() user.User {
	r.u.Username, r.u.Picture, r.u.CreatedAt = string(r.username), hex.EncodeToString(r.picture), fromMicros(r.createdAt)
	return r.u
}

// checkUser refuses names that one database would take and another not.
func checkUser(username, nickname string) error {
	if !utf8.ValidString(nickname) || utf8.RuneCountInString(nickname) > user.MaxNickname {
		return fmt.Errorf("nickname is not UTF-8 of at most %d code points", user.MaxNickname)
	}
	return fits("username", len(username), user.MaxUsername)
}

// pictureKey returns the bytes of a key, nil for the empty one.
func pictureKey(key string) ([]byte, error) {
	if key == "" {
		return nil, nil
	}
	b, err := hex.DecodeString(key)
	if err != nil || len(b) != pictureBytes || hex.EncodeToString(b) != key {
		return nil, fmt.Errorf("picture key %q is not 64 small hexadecimal digits", key)
	}
	return b, nil
}

// PicturesInUse implements user.Store. Keys that are none are in nobody's use.
func (s *Store) PicturesInUse(ctx context.Context, keys []string) ([]string, error) {
	const most = 500
	if len(keys) > most {
		return nil, fmt.Errorf("look for pictures in use: %d keys, at most %d are allowed", len(keys), most)
	}
	var args []any
	for _, key := range keys {
		if b, err := pictureKey(key); err == nil && b != nil {
			args = append(args, b)
		}
	}
	if len(args) == 0 {
		return nil, nil
	}
	used, err := s.readPictures(ctx, args)
	if err != nil {
		return nil, fmt.Errorf("look for %d pictures in use: %w", len(args), unavailable(err))
	}
	return used, nil
}

func (s *Store) readPictures(ctx context.Context, keys []any) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	rows, err := s.read.QueryContext(ctx,
		"SELECT DISTINCT picture FROM pictures WHERE picture IN (?"+strings.Repeat(", ?", len(keys)-1)+")", keys...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var used []string
	for rows.Next() {
		var key []byte
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		used = append(used, hex.EncodeToString(key))
	}
	return used, rows.Err()
}
