package command

import (
	"context"
	"fmt"
	"time"

	"gatehouse/backend/store"
)

type migrateCommand struct {
	Up     migrateUp     `cmd:"" help:"Apply all migrations that are missing. Safe beside running backends and other instances of this command."`
	Status migrateStatus `cmd:"" help:"List the migrations and which are applied."`
	Check  migrateCheck  `cmd:"" help:"Exit 0 if the schema is the one that this version wants."`
	Down   migrateDown   `cmd:"" help:"Take back the last migration, and the data in what it made."`
}

// migrateFlags are those of every migrate command.
type migrateFlags struct {
	commonFlags
	dataFlag
	databaseFlag
}

// open opens the database without touching its schema.
func (f migrateFlags) open(ctx context.Context, shared bool) (*store.Store, error) {
	return store.Open(ctx, store.Config{URL: f.url(f.Data), Shared: shared})
}

type migrateUp struct{ migrateFlags }

// Run applies what is missing.
func (c migrateUp) Run(p *process) error {
	st, err := c.open(p.ctx, false)
	if err != nil {
		return err
	}
	defer st.Close()
	if err := st.Migrate(p.ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, "the schema is up to date")
	return err
}

type migrateStatus struct{ migrateFlags }

// Run lists the migrations.
func (c migrateStatus) Run(p *process) error {
	st, err := c.open(p.ctx, true)
	if err != nil {
		return err
	}
	defer st.Close()
	list, err := st.Migrations(p.ctx)
	if err != nil {
		return err
	}
	for _, m := range list {
		applied := "not applied"
		if !m.AppliedAt.IsZero() {
			applied = "applied " + m.AppliedAt.Format(time.RFC3339)
		}
		if _, err := fmt.Fprintf(p.stdout, "%04d  %-30s %s\n", m.Version, m.Name, applied); err != nil {
			return err
		}
	}
	return nil
}

type migrateCheck struct{ migrateFlags }

// Run checks the schema.
func (c migrateCheck) Run(p *process) error {
	st, err := c.open(p.ctx, true)
	if err != nil {
		return err
	}
	defer st.Close()
	if err := st.Check(p.ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, "the schema is the one that this version wants")
	return err
}

type migrateDown struct {
	migrateFlags
	Yes bool `help:"Do it. What the migration made is dropped, with what is in it."`
}

// Run takes the last migration back.
func (c migrateDown) Run(p *process) error {
	if !c.Yes {
		return usage("migrate down drops what the last migration made, with its data; add --yes to do it")
	}
	st, err := c.open(p.ctx, false)
	if err != nil {
		return err
	}
	defer st.Close()
	if err := st.MigrateDown(p.ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, "the last migration is taken back")
	return err
}
