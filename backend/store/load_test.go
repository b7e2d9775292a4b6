package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/backend/session"
	"gatehouse/backend/store"
	"gatehouse/backend/user"
	"gatehouse/internal/testenv"
)

func loader(t *testing.T, s *store.Store) *store.Loader {
	t.Helper()
	l, err := s.Loader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// every holds each value of a byte but the last, in an order that puts those
// next to each other which a reader of lines could take for one.
func every() []byte {
	b := []byte("\\N\\0\\t\\n\r\n\x1a'\"\\")
	for c := 255; len(b) < 255; c-- {
		b = append(b, byte(c))
	}
	return b
}

// nasty are accounts whose fields hold what LOAD DATA, SQL and character sets
// read as their own.
func nasty() []store.Account {
	nicknames := []string{"\\N", "\\", "tab\there", "line\nfeed", "\r\n", "null\x00byte", `'"` + "`", "\\t\\n\\0", "🦊 \U0010ffff",
		"e\u0301", "NULL", " ", "\\.", "\x1a", strings.Repeat("🦊", 64), "%s ? :name"}
	var accounts []store.Account
	for i, nickname := range nicknames {
		u := newUser(fmt.Sprintf("nasty%d", i))
		u.Nickname, u.Disabled = nickname, i%2 == 0
		stored := every()
		switch i {
		case 1:
			stored = stored[:len(stored)-1]
		case 2:
			stored = []byte("\\")
		case 3: // the values that every leaves out, at the low end
			for c := range 32 {
				stored[c] = byte(c)
			}
		}
		a := store.Account{User: u, Credential: stored}
		if i%3 != 0 {
			a.Session = &session.Session{UserID: u.ID, Digest: [32]byte(digestOf(stored)), AuthEpoch: 1, CreatedAt: noon, LastSeenAt: noon,
				ExpiresAt: noon.Add(time.Hour), IP: "2001:db8::1", UserAgent: "\\N\t\n\x00\xff\xfe'\""}
		}
		accounts = append(accounts, a)
	}
	return accounts
}

// digestOf is a digest with bytes that are no text.
func digestOf(credential []byte) []byte {
	b := make([]byte, 32)
	copy(b, credential)
	return b
}

func checkLoaded(t *testing.T, s *store.Store, accounts []store.Account) {
	t.Helper()
	for _, want := range accounts {
		u, credential, err := s.CredentialByID(t.Context(), want.User.ID)
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, u, want.User)
		wantEqual(t, credential, want.Credential)
		if want.Session == nil {
			all, err := s.Sessions(t.Context(), want.User.ID, 10)
			if err != nil || len(all) != 0 {
				t.Fatalf("sessions of one without: %v, %v", all, err)
			}
			continue
		}
		_, got, err := s.Session(t.Context(), want.User.ID, want.Session.Digest)
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, got, *want.Session)
	}
}

func TestLoadKeepsEveryByte(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		accounts := nasty()
		if err := loader(t, s).Load(t.Context(), accounts); err != nil {
			t.Fatal(err)
		}
		checkLoaded(t, s, accounts)
	})
}

func TestLoadIsAllOrNothing(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		l := loader(t, s)
		there := create(t, s, "there")
		for what, change := range map[string]func(*user.User){
			"name": func(u *user.User) { u.Username = there.Username },
			"id":   func(u *user.User) { u.ID = there.ID },
		} {
			var accounts []store.Account
			for i := range 1200 { // more than one INSERT
				accounts = append(accounts, store.Account{User: newUser(fmt.Sprintf("%s%d", what, i)), Credential: credential})
			}
			change(&accounts[1100].User)
			wantError(t, l.Load(t.Context(), accounts), user.ErrTaken)
			for _, i := range []int{0, 600, 1099, 1101, 1199} {
				if _, there := stored(t, s, accounts[i].User.ID); there {
					t.Errorf("taken %s: account %d was loaded nevertheless", what, i)
				}
			}
		}
		u, c, err := s.CredentialByID(t.Context(), there.ID)
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, u, there)
		wantEqual(t, c, credential)
	})
}

// A session whose key is taken must not be left out in silence, which is what
// a server does with LOAD DATA LOCAL.
func TestLoadRefusesASessionThatIsThere(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		l := loader(t, s)
		first := nasty()[1]
		second := nasty()[1]
		first.User.Username = "somebody"
		second.Session = first.Session
		if err := l.Load(t.Context(), []store.Account{first}); err != nil {
			t.Fatal(err)
		}
		wantError(t, l.Load(t.Context(), []store.Account{second}), user.ErrTaken)
		if _, there := stored(t, s, second.User.ID); there {
			t.Error("the account was loaded without its session")
		}
	})
}

func TestLoadRefusesWhatHasNoRoom(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		l := loader(t, s)
		for name, change := range map[string]func(*store.Account){
			"credential":      func(a *store.Account) { a.Credential = make([]byte, 256) },
			"username":        func(a *store.Account) { a.User.Username = strings.Repeat("a", 33) },
			"nickname":        func(a *store.Account) { a.User.Nickname = strings.Repeat("a", 65) },
			"nickname in ISO": func(a *store.Account) { a.User.Nickname = "\xe9" },
			"picture":         func(a *store.Account) { a.User.Picture = key("a") },
			"ip":              func(a *store.Account) { a.Session.IP = strings.Repeat("1", 46) },
			"user agent":      func(a *store.Account) { a.Session.UserAgent = strings.Repeat("a", 256) },
		} {
			a := nasty()[1]
			change(&a)
			if err := l.Load(t.Context(), []store.Account{a}); err == nil {
				t.Errorf("%s: was loaded", name)
			}
		}
		if err := l.Load(t.Context(), make([]store.Account, store.MaxLoad+1)); err == nil {
			t.Error("more than MaxLoad were loaded")
		}
	})
}

func statements(t *testing.T, d *testenv.Database, name string) (n int) {
	t.Helper()
	var variable string
	if err := d.Root().QueryRowContext(t.Context(), "SHOW GLOBAL STATUS LIKE '"+name+"'").Scan(&variable, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestLoadStreamsToAServerThatTakesIt(t *testing.T) {
	t.Parallel()
	d := testenv.PrivateMariaDB(t).NewDatabase(t)
	s := open(t, d.URL())
	l := loader(t, s)
	before := statements(t, d, "Com_insert")
	accounts := nasty()
	if err := l.Load(t.Context(), accounts); err != nil {
		t.Fatal(err)
	}
	if got := statements(t, d, "Com_load"); got != 2 || l.Note() != "" {
		t.Errorf("%d LOAD DATA statements, want one a table (%s)", got, l.Note())
	}
	if got := statements(t, d, "Com_insert"); got != before {
		t.Errorf("%d INSERT statements", got-before)
	}
}

// The server may say so when it is asked, or only refuse the statement.
func TestLoadInsertsWhereTheServerForbidsStreams(t *testing.T) {
	t.Parallel()
	for name, lateToo := range map[string]bool{"from the beginning": false, "later": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := testenv.PrivateMariaDB(t).NewDatabase(t)
			s := open(t, d.URL())
			if !lateToo {
				d.Exec(t, "SET GLOBAL local_infile = 0")
			}
			l := loader(t, s)
			if lateToo {
				if l.Note() != "" {
					t.Fatal(l.Note())
				}
				d.Exec(t, "SET GLOBAL local_infile = 0")
			} else if !strings.Contains(l.Note(), "local_infile") {
				t.Errorf("note %q", l.Note())
			}
			accounts := nasty()
			if err := l.Load(t.Context(), accounts); err != nil {
				t.Fatal(err)
			}
			checkLoaded(t, s, accounts)
			if !strings.Contains(l.Note(), "local_infile") || statements(t, d, "Com_insert") < 2 {
				t.Errorf("note %q and %d INSERT statements", l.Note(), statements(t, d, "Com_insert"))
			}
		})
	}
}

func TestLoadEndsWithItsContext(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		l := loader(t, s)
		over, cancel := context.WithCancel(t.Context())
		cancel()
		a := nasty()
		wantError(t, l.Load(over, a), context.Canceled)
		if _, there := stored(t, s, a[0].User.ID); there {
			t.Error("was loaded")
		}
	})
}

func TestPagesHoldEverybodyOnceInTheOrderOfIDs(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		accounts := nasty()
		if err := loader(t, s).Load(t.Context(), accounts); err != nil {
			t.Fatal(err)
		}
		var got []store.Account
		for after := int64(0); ; {
			page, err := s.Accounts(t.Context(), after, 5)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			if len(page) > 5 {
				t.Fatalf("a page of %d", len(page))
			}
			got = append(got, page...)
			after = page[len(page)-1].User.ID
		}
		for i := range accounts {
			accounts[i].Session = nil
		}
		wantEqual(t, got, accounts)
	})
}

func TestNamedFindsThoseThatExist(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		create(t, s, "ada")
		bob := create(t, s, "bob")
		l := loader(t, s)
		got, err := l.Named(t.Context(), []string{"bob", "nobody-here", "bob", "' OR 1=1 -- ", "BOB"})
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, got, map[string]store.Account{"bob": {User: bob, Credential: credential}})
		if got, err := l.Named(t.Context(), nil); err != nil || len(got) != 0 {
			t.Errorf("of no names: %v, %v", got, err)
		}
		if _, err := l.Named(t.Context(), make([]string, store.MaxPage+1)); err == nil {
			t.Error("more than MaxPage were looked for")
		}
	})
}

func TestCountAndSpaceAndUnload(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		l := loader(t, s)
		var accounts []store.Account
		for n := range 3000 {
			u := newUser(fmt.Sprintf("many%d", n))
			u.ID = int64(5_000_001 + n)
			accounts = append(accounts, store.Account{User: u, Credential: credential})
		}
		if err := l.Load(t.Context(), accounts); err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct{ first, last, want int }{
			{1, 99_999_999, 3000}, {5_000_001, 5_000_001, 1}, {1, 5_000_000, 0}, {5_002_999, 5_999_999, 2}, {2, 1, 0},
		} {
			if n, err := l.Count(t.Context(), int64(test.first), int64(test.last)); err != nil || n != test.want {
				t.Errorf("from %d to %d: %d, %v, want %d", test.first, test.last, n, err, test.want)
			}
		}
		users, size, err := l.Space(t.Context())
		// A row takes at least its credential and its name twice.
		if err != nil || users != 3000 || size < 3000*75 || size > 3000*2000 {
			t.Errorf("space: %d users in %d bytes, %v", users, size, err)
		}
		if n, err := l.Unload(t.Context(), 5_000_001, 5_001_000); err != nil || n != 1000 {
			t.Errorf("unloaded %d, %v", n, err)
		}
		if n, err := l.Count(t.Context(), 1, 99_999_999); err != nil || n != 2000 {
			t.Errorf("left are %d, %v", n, err)
		}
		if _, err := l.Unload(t.Context(), 1, store.MaxLoad+1); err == nil {
			t.Error("more than MaxLoad were unloaded")
		}
	})
}
