package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"gatehouse/backend/store"
	"gatehouse/backend/user"
	"gatehouse/internal/testenv"
)

const patience = 30 * time.Second

// throughProxy opens a fresh database through a proxy, and again around it.
func throughProxy(t *testing.T) (proxied, direct *store.Store, p *testenv.Proxy) {
	d := testenv.MariaDB(t)
	p = testenv.NewProxy(t, d.Addr())
	return open(t, d.URLThrough(p.Addr())), openAsIs(t, d.URL()), p
}

func TestConnectionLostBeforeTheCommitArrives(t *testing.T) {
	t.Parallel()
	s, direct, p := throughProxy(t)
	u, idem := newUser("ada"), idempotency("k")
	p.CutAt(testenv.ToServer, "COMMIT", false)
	err := s.Create(t.Context(), u, credential, idem)
	wantError(t, err, user.ErrUnknownOutcome)
	if errors.Is(err, user.ErrUnavailable) {
		t.Errorf("%v says both", err)
	}
	if p.Cuts() != 1 {
		t.Fatalf("%d cuts, want 1", p.Cuts())
	}
	if _, found := stored(t, direct, u.ID); found || recorded(t, direct, idem) {
		t.Error("the user is there, and nobody committed them")
	}
	// The next one has a connection of its own.
	if err := s.Create(t.Context(), u, credential, idem); err != nil {
		t.Error(err)
	}
}

func TestConnectionLostBeforeTheCommitIsAnswered(t *testing.T) {
	t.Parallel()
	s, direct, p := throughProxy(t)
	u, idem := newUser("ada"), idempotency("k")
	p.CutAt(testenv.ToServer, "COMMIT", true)
	wantError(t, s.Create(t.Context(), u, credential, idem), user.ErrUnknownOutcome)
	if p.Cuts() != 1 {
		t.Fatalf("%d cuts, want 1", p.Cuts())
	}
	testenv.WaitFor(t, patience, "the commit to be done", func() bool {
		_, found := stored(t, direct, u.ID)
		return found
	})
	// This is how the caller finds out.
	wantError(t, s.Create(t.Context(), u, credential, idem), user.ErrReplayed)
}

func TestConnectionLostBeforeTheCommitIsSent(t *testing.T) {
	t.Parallel()
	for _, statement := range []string{"INSERT INTO idempotency", "INSERT INTO users", "INSERT INTO pictures"} {
		for _, deliver := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, delivered %v", statement, deliver), func(t *testing.T) {
				t.Parallel()
				s, direct, p := throughProxy(t)
				u, idem := newUser("ada"), idempotency("k")
				u.Picture = key("p")
				p.CutAt(testenv.ToServer, statement, deliver)
				err := s.Create(t.Context(), u, credential, idem)
				wantError(t, err, user.ErrUnavailable)
				if errors.Is(err, user.ErrUnknownOutcome) {
					t.Errorf("%v says both", err)
				}
				if p.Cuts() != 1 {
					t.Fatalf("%d cuts, want 1", p.Cuts())
				}
				if _, found := stored(t, direct, u.ID); found || recorded(t, direct, idem) {
					t.Error("half of the transaction is there")
				}
			})
		}
	}
}

func TestConnectionLostAtTheBeginningIsReplaced(t *testing.T) {
	t.Parallel()
	s, direct, p := throughProxy(t)
	u := newUser("ada")
	p.CutAt(testenv.ToServer, "START TRANSACTION", false)
	if err := s.Create(t.Context(), u, credential, idempotency("k")); err != nil {
		t.Fatal(err)
	}
	if _, found := stored(t, direct, u.ID); !found || p.Cuts() != 1 {
		t.Errorf("found is %v after %d cuts", found, p.Cuts())
	}
}

func TestSilentServerIsUnavailable(t *testing.T) {
	t.Parallel()
	s, direct, p := throughProxy(t)
	u := create(t, s, "ada")
	p.Drop(testenv.ToClient)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := s.ByID(ctx, u.ID)
	wantError(t, err, user.ErrUnavailable)
	wantError(t, s.Update(ctx, user.Change{ID: u.ID, Version: 1}), user.ErrUnavailable)
	// Also where the caller would wait for ever.
	_, err = s.ByID(t.Context(), u.ID)
	wantError(t, err, user.ErrUnavailable)
	wantError(t, s.Update(t.Context(), user.Change{ID: u.ID, Version: 1}), user.ErrUnavailable)
	if got, _ := stored(t, direct, u.ID); got.Version != 1 {
		t.Errorf("got version %d, want 1", got.Version)
	}
	p.Heal()
	p.Cut()
	if err := s.Update(t.Context(), user.Change{ID: u.ID, Version: 1}); err != nil {
		t.Errorf("after healing: %v", err)
	}
}

func TestCallerWhoLeavesDoesNotCutTheCommit(t *testing.T) {
	t.Parallel()
	s, direct, p := throughProxy(t)
	u := create(t, s, "ada")
	ctx, cancel := context.WithCancel(t.Context())
	// The reply to the COMMIT is on its way when the caller leaves.
	p.Delay(testenv.ToClient, 100*time.Millisecond)
	result := make(chan error, 1)
	go func() { result <- s.Update(ctx, user.Change{ID: u.ID, Version: 1, Nickname: ptr("new")}) }()
	testenv.WaitFor(t, patience, "the commit to be done", func() bool {
		got, _ := stored(t, direct, u.ID)
		return got.Version == 2
	})
	cancel()
	if err := <-result; err != nil {
		t.Errorf("got %v, want the success that it was", err)
	}
}

func TestKilledConnectionsNeverMakeAWrongSuccess(t *testing.T) {
	t.Parallel()
	d := testenv.MariaDB(t)
	s := open(t, d.URL())
	stop := make(chan struct{})
	var killer, writers sync.WaitGroup
	killer.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				killOne(t, d)
			}
		}
	})
	var (
		mu    sync.Mutex // guards count
		count = map[error]int{}
	)
	for worker := range 3 {
		writers.Go(func() {
			for round := range 100 {
				u := newUser(fmt.Sprintf("u%d-%d", worker, round))
				err := s.Create(t.Context(), u, credential, idempotency(u.Username))
				rows := rowsOf(t, d, u.ID)
				kind := err
				for _, one := range []error{user.ErrUnknownOutcome, user.ErrUnavailable} {
					if errors.Is(err, one) {
						kind = one
					}
				}
				mu.Lock()
				count[kind]++
				mu.Unlock()
				switch {
				case kind == nil && rows == 1, kind == user.ErrUnavailable && rows == 0, kind == user.ErrUnknownOutcome:
				default:
					t.Errorf("got error %v and %d rows", err, rows)
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	killer.Wait()
	if count[nil] == 0 || count[user.ErrUnavailable]+count[user.ErrUnknownOutcome] == 0 {
		t.Errorf("got %v: nothing was tested", count)
	}
}

// rowsOf counts a user's rows around the store.
func rowsOf(t *testing.T, d *testenv.Database, id int64) (n int) {
	if err := d.Root().QueryRow("SELECT COUNT(*) FROM "+d.Name()+".users WHERE id = ?", id).Scan(&n); err != nil {
		t.Error(err)
	}
	return n
}

// killOne ends one connection to the database, in whatever it is doing.
func killOne(t *testing.T, d *testenv.Database) {
	var id int64
	err := d.Root().QueryRow("SELECT id FROM information_schema.processlist WHERE db = ? ORDER BY RAND() LIMIT 1", d.Name()).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return
	}
	if err != nil {
		t.Errorf("look for a connection to kill: %v", err)
		return
	}
	d.Root().Exec(fmt.Sprintf("KILL CONNECTION %d", id)) // It may be gone by now.
}

func TestRestartOfTheServerHeals(t *testing.T) {
	t.Parallel()
	server := testenv.PrivateMariaDB(t)
	s := open(t, server.NewDatabase(t).URL())
	// Several connections, so that several are dead afterwards.
	together(t, 8, func(i int) error {
		return s.Create(t.Context(), newUser(fmt.Sprint("u", i)), credential, nil)
	})
	server.Stop(t)
	wantError(t, s.Ping(t.Context()), user.ErrUnavailable)
	_, err := s.ByName(t.Context(), "u1")
	wantError(t, err, user.ErrUnavailable)
	wantError(t, s.Create(t.Context(), newUser("down"), credential, nil), user.ErrUnavailable)
	server.Start(t)
	together(t, 8, func(i int) error {
		if _, err := s.ByName(t.Context(), fmt.Sprint("u", i)); err != nil {
			return err
		}
		return s.Create(t.Context(), newUser(fmt.Sprint("v", i)), credential, nil)
	})

	// All connections are idle and dead when the first of these comes.
	server.Restart(t)
	if err := s.Create(t.Context(), newUser("w"), credential, nil); err != nil {
		t.Errorf("the first change after a restart: %v", err)
	}
	server.Restart(t)
	if _, err := s.ByName(t.Context(), "w"); err != nil {
		t.Errorf("the first read after a restart: %v", err)
	}
}

func TestKilledServerKeepsWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	server := testenv.PrivateMariaDB(t)
	s := open(t, server.NewDatabase(t).URL())
	for round := range 3 {
		acknowledged := make(chan user.User, 1000)
		var writers sync.WaitGroup
		for worker := range 4 {
			writers.Go(func() {
				for n := range 250 {
					u := newUser(fmt.Sprintf("u%d-%d-%d", round, worker, n))
					if s.Create(t.Context(), u, credential, nil) != nil {
						return
					}
					acknowledged <- u
				}
			})
		}
		testenv.WaitFor(t, patience, "some changes", func() bool { return len(acknowledged) > 50 })
		server.Kill(t)
		writers.Wait()
		close(acknowledged)
		server.Start(t)
		for u := range acknowledged {
			if _, found := stored(t, s, u.ID); !found {
				t.Errorf("round %d: user %s was acknowledged and is lost", round, u.Username)
			}
		}
	}
}

func TestChangeThatWaitedTooLongForALockIsTriedAgain(t *testing.T) {
	t.Parallel()
	// A private server, so that the lock waited for is this one.
	d := testenv.PrivateMariaDB(t).NewDatabase(t)
	s := open(t, d.URL())
	u := create(t, s, "ada")
	tx, err := d.Root().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec("UPDATE "+d.Name()+".users SET version = version WHERE id = ?", u.ID); err != nil {
		t.Fatal(err)
	}
	waits := func() (n int) {
		if err := d.Root().QueryRow("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_waits'").Scan(new(string), &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := waits()
	result := make(chan error, 1)
	go func() { result <- s.Update(t.Context(), user.Change{ID: u.ID, Version: 1}) }()
	testenv.WaitFor(t, patience, "the change to wait for the lock a second time", func() bool { return waits() >= before+2 })
	tx.Rollback()
	if err := <-result; err != nil {
		t.Errorf("the change was not tried again: %v", err)
	}
}

func TestReadOnlyServerIsUnavailableUntilItIsNot(t *testing.T) {
	t.Parallel()
	d := testenv.PrivateMariaDB(t).NewDatabase(t)
	s := open(t, d.URL())
	u := create(t, s, "ada")
	d.Exec(t, "SET GLOBAL read_only = 1")
	wantError(t, s.Update(t.Context(), user.Change{ID: u.ID, Version: 1}), user.ErrUnavailable)
	if got, found := stored(t, s, u.ID); !found || got.Version != 1 {
		t.Errorf("got %+v, want the user as it was", got)
	}
	d.Exec(t, "SET GLOBAL read_only = 0")
	if err := s.Update(t.Context(), user.Change{ID: u.ID, Version: 1}); err != nil {
		t.Error(err)
	}
}

func TestMissingTableIsUnavailable(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"sqlite": sqliteURL(t), "mariadb": testenv.MariaDB(t).URL()} {
		t.Run(name, func(t *testing.T) {
			s := openAsIs(t, url)
			_, err := s.ByName(t.Context(), "ada")
			wantError(t, err, user.ErrUnavailable)
			wantError(t, s.Create(t.Context(), newUser("ada"), credential, nil), user.ErrUnavailable)
		})
	}
}

func TestConnectionsStayBelowTheServersLimit(t *testing.T) {
	t.Parallel()
	server := testenv.PrivateMariaDB(t, "--max-connections=12")
	s := open(t, server.NewDatabase(t).URL())
	if got := s.Stats()["mysql"].MaxOpenConnections; got != 9 {
		t.Errorf("%d connections may be opened of 12, want 9", got)
	}
	if w := s.Warnings(); len(w) != 1 {
		t.Errorf("got warnings %q, want one", w)
	}
	// More callers than connections wait for each other.
	together(t, 40, func(i int) error {
		return s.Create(t.Context(), newUser(fmt.Sprint("u", i)), credential, nil)
	})
}

func TestDurabilityNamesTheSettings(t *testing.T) {
	t.Parallel()
	server := testenv.PrivateMariaDB(t, "--innodb-flush-log-at-trx-commit=2", "--log-bin", "--sync-binlog=0")
	s := openAsIs(t, server.NewDatabase(t).URL())
	problems, err := s.Durability(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, setting := range []string{"innodb_flush_log_at_trx_commit is 2", "sync_binlog is 0"} {
		if len(problems) != 2 || !slices.ContainsFunc(problems[i:i+1], func(p string) bool { return p[:len(setting)] == setting }) {
			t.Fatalf("got %q, want %q among two", problems, setting)
		}
	}
}
