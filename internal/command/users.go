package command

import (
	"context"
	"errors"
	"fmt"

	"gatehouse/backend/store"
)

type usersCommand struct {
	Add         usersAdd         `cmd:"" help:"Make an account, also where registration is closed."`
	List        usersList        `cmd:"" help:"List accounts, a page at a time."`
	Show        usersShow        `cmd:"" help:"Show an account with its sessions."`
	Disable     usersDisable     `cmd:"" help:"Keep a user from logging in and end their sessions."`
	Enable      usersEnable      `cmd:"" help:"Let a disabled user log in again."`
	SetPassword usersSetPassword `cmd:"" help:"Set a password and end all sessions of the user."`
	EndSessions usersEndSessions `cmd:"" help:"End all sessions of a user."`
	Delete      usersDelete      `cmd:"" help:"Delete an account with all that is kept about it."`

	Generate usersGenerate `cmd:"" help:"Make accounts user00000001, user00000002, … for load tests, or remove them."`
	Import   usersImport   `cmd:"" help:"Take over accounts from NDJSON, one a line, with their password hashes."`
	Export   usersExport   `cmd:"" help:"Write all accounts as NDJSON, with their password hashes."`
}

// openToFill opens a database that accounts are to be inserted into, and
// brings its schema up to date as --migrate up would, the file itself
// included. beside allows a backend to have the file.
func openToFill(ctx context.Context, url string, beside bool) (*store.Store, error) {
	st, err := store.Open(ctx, store.Config{URL: url})
	if errors.Is(err, store.ErrClaimed) && beside {
		if st, err = store.Open(ctx, store.Config{URL: url, Shared: true}); err != nil {
			return nil, err
		}
		// Whoever has the file has migrated it, or was told not to.
		return checked(ctx, st)
	}
	if err != nil {
		return nil, err
	}
	if err := st.Migrate(ctx); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return st, nil
}

// checked returns a store whose schema is the one that this version wants.
func checked(ctx context.Context, st *store.Store) (*store.Store, error) {
	if err := st.Check(ctx); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return st, nil
}

// openLoader opens a Loader and says once if it is a slow one.
func openLoader(ctx context.Context, p *process, st *store.Store) (*store.Loader, error) {
	loader, err := st.Loader(ctx)
	if err != nil {
		return nil, err
	}
	sayNote(p, loader, "")
	return loader, nil
}

// sayNote says what a Loader has to note, unless that was said before.
func sayNote(p *process, loader *store.Loader, before string) {
	if note := loader.Note(); note != before {
		fmt.Fprintln(p.stderr, "gatehouse:", note)
	}
}
