package store_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"gatehouse/backend/store"
	"gatehouse/backend/user"
)

func TestCreatedUserIsReadBackWhole(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		plain := newUser("ada")
		full := newUser("grace")
		full.Nickname, full.Picture, full.Version, full.AuthEpoch, full.Disabled = "Grace 👩🏽‍💻", key("p"), 12, 1<<40, true
		for _, u := range []user.User{plain, full} {
			if err := s.Create(t.Context(), u, credential, nil); err != nil {
				t.Fatal(err)
			}
			byID, err := s.ByID(t.Context(), u.ID)
			if err != nil {
				t.Fatal(err)
			}
			byName, err := s.ByName(t.Context(), u.Username)
			if err != nil {
				t.Fatal(err)
			}
			withID, first, err := s.CredentialByID(t.Context(), u.ID)
			if err != nil {
				t.Fatal(err)
			}
			withName, second, err := s.CredentialByName(t.Context(), u.Username)
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, []user.User{byID, byName, withID, withName}, []user.User{u, u, u, u})
			if !bytes.Equal(first, credential) || !bytes.Equal(second, credential) {
				t.Errorf("got credentials %x and %x, want %x", first, second, credential)
			}
		}
		used, err := s.PicturesInUse(t.Context(), []string{full.Picture})
		if err != nil || !slices.Equal(used, []string{full.Picture}) {
			t.Errorf("the picture of a new user: got %q in use, error %v", used, err)
		}
	})
}

func TestUnknownUserIsNotFound(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		create(t, s, "ada")
		_, err := s.ByID(t.Context(), 1<<40)
		wantError(t, err, user.ErrNotFound)
		_, err = s.ByName(t.Context(), "nobody")
		wantError(t, err, user.ErrNotFound)
		_, _, err = s.CredentialByID(t.Context(), 1<<40)
		wantError(t, err, user.ErrNotFound)
		_, _, err = s.CredentialByName(t.Context(), "nobody")
		wantError(t, err, user.ErrNotFound)
	})
}

// No collation is to take part: these are all names of different people as
// far as a store is concerned.
func TestUsernamesAreComparedAsBytes(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		names := []string{"ada", "ADA", "Ada", "ada ", " ada", "adá", "ada\x00", "\xff\xfe", "ä", "a\u0308", "ß", "ss", "\u212aelvin", "kelvin",
			"1", "01", "1abc", "%", "_", "'", `\`, `"; DROP TABLE users; --`, strings.Repeat("x", 32)}
		ids := map[string]int64{}
		for _, name := range names {
			u := newUser(name)
			u.Nickname = "N"
			if err := s.Create(t.Context(), u, credential, nil); err != nil {
				t.Fatal(err)
			}
			ids[name] = u.ID
		}
		for _, name := range names {
			u, err := s.ByName(t.Context(), name)
			if err != nil || u.ID != ids[name] || u.Username != name {
				t.Errorf("%q: got user %d called %q, error %v, want %d", name, u.ID, u.Username, err, ids[name])
			}
			again := newUser(name)
			again.Nickname = "N"
			err = s.Create(t.Context(), again, credential, nil)
			if !errors.Is(err, user.ErrTaken) {
				t.Errorf("%q again: got %v, want ErrTaken", name, err)
			}
		}
	})
}

func TestNicknamesKeepEveryCharacter(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := create(t, s, "ada")
		for i, nickname := range []string{"Ada", "ada ", "👩‍👩‍👧‍👦", "עדה", "아다", "a\u0308", "'\\\"%_", strings.Repeat("🦊", 64), "日本語"} {
			if err := s.Update(t.Context(), user.Change{ID: u.ID, Version: int64(1 + i), Nickname: &nickname}); err != nil {
				t.Fatalf("%q: %v", nickname, err)
			}
			if got, _ := stored(t, s, u.ID); got.Nickname != nickname {
				t.Errorf("got %q, want %q", got.Nickname, nickname)
			}
		}
	})
}

func TestCreateTellsWhichKeyIsTaken(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ada := create(t, s, "ada")
		name := newUser("ada")
		wantError(t, s.Create(t.Context(), name, credential, nil), user.ErrTaken)
		id := newUser("grace")
		id.ID = ada.ID
		wantError(t, s.Create(t.Context(), id, credential, nil), user.ErrConflict)
		both := newUser("ada")
		both.ID = ada.ID
		wantError(t, s.Create(t.Context(), both, credential, nil), user.ErrTaken)

		got, _ := stored(t, s, ada.ID)
		wantEqual(t, got, ada)
		if _, found := stored(t, s, name.ID); found {
			t.Error("the refused user was stored")
		}
	})
}

func TestRefusedCreateLeavesNoTrace(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		create(t, s, "ada")
		u, idem := newUser("ada"), idempotency("k")
		u.Picture = key("p")
		wantError(t, s.Create(t.Context(), u, credential, idem), user.ErrTaken)
		if recorded(t, s, idem) {
			t.Error("the idempotency record of a refused registration was kept")
		}
		if used, err := s.PicturesInUse(t.Context(), []string{u.Picture}); err != nil || len(used) > 0 {
			t.Errorf("the picture of a refused registration is in use: %q, %v", used, err)
		}
	})
}

func TestRepeatedRegistrationIsAReplayAndNotTaken(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u, idem := newUser("ada"), idempotency("k")
		if err := s.Create(t.Context(), u, credential, idem); err != nil {
			t.Fatal(err)
		}
		again := newUser("ada")
		wantError(t, s.Create(t.Context(), again, credential, idem), user.ErrReplayed)
		other := newUser("grace")
		wantError(t, s.Create(t.Context(), other, credential, idem), user.ErrReplayed)
		if _, found := stored(t, s, other.ID); found {
			t.Error("a replay made a user")
		}
	})
}

func TestWhatDoesNotFitIsRefusedByEveryDatabase(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ada := create(t, s, "ada")
		idem := idempotency("k")
		idem.Reply = make([]byte, 64<<10+1)
		long := strings.Repeat("n", 65)
		u := func(change func(*user.User)) user.User {
			u := newUser("grace")
			change(&u)
			return u
		}
		none := func(*user.User) {}
		errs := map[string]error{
			"username":              s.Create(t.Context(), u(func(u *user.User) { u.Username = strings.Repeat("x", 33) }), credential, nil),
			"nickname":              s.Create(t.Context(), u(func(u *user.User) { u.Nickname = long }), credential, nil),
			"nickname not UTF-8":    s.Create(t.Context(), u(func(u *user.User) { u.Nickname = "a\xff" }), credential, nil),
			"picture":               s.Create(t.Context(), u(func(u *user.User) { u.Picture = "12ab" }), credential, nil),
			"picture in capitals":   s.Create(t.Context(), u(func(u *user.User) { u.Picture = strings.ToUpper(key("p")) }), credential, nil),
			"credential":            s.Create(t.Context(), u(none), make([]byte, 256), nil),
			"reply":                 s.Create(t.Context(), u(none), credential, idem),
			"changed nickname":      s.Update(t.Context(), user.Change{ID: ada.ID, Version: 1, Nickname: &long}),
			"changed credential":    s.Update(t.Context(), user.Change{ID: ada.ID, Version: 1, Credential: make([]byte, 256)}),
			"changed picture":       s.Update(t.Context(), user.Change{ID: ada.ID, Version: 1, Picture: ptr("no key")}),
			"reply of a change":     s.Update(t.Context(), user.Change{ID: ada.ID, Version: 1, Idempotency: idem}),
			"reply of a deletion":   s.Delete(t.Context(), ada.ID, 1, idem),
			"reply of a session":    s.EndSession(t.Context(), ada.ID, digest("a"), idem),
			"address of a session":  onlyError(s.PutSession(t.Context(), sessionWith(ada.ID, "a", strings.Repeat("1", 46), ""), 1)),
			"browser of a session":  onlyError(s.PutSession(t.Context(), sessionWith(ada.ID, "a", "", strings.Repeat("u", 256)), 1)),
			"no room for a session": onlyError(s.PutSession(t.Context(), sessionWith(ada.ID, "a", "", ""), 0)),
		}
		for what, err := range errs {
			if err == nil || errors.Is(err, user.ErrUnavailable) {
				t.Errorf("%s: got error %v, want a refusal that is not the database's", what, err)
			}
		}
		got, _ := stored(t, s, ada.ID)
		wantEqual(t, got, ada)
		idem.Reply = idem.Reply[1:]
		if err := s.Update(t.Context(), user.Change{ID: ada.ID, Version: 1, Idempotency: idem}); err != nil {
			t.Errorf("a reply of just 64 KiB: %v", err)
		}
	})
}

func TestPicturesInUse(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ada, grace := create(t, s, "ada"), create(t, s, "grace")
		inUse := func(want ...string) {
			t.Helper()
			used, err := s.PicturesInUse(t.Context(), []string{key("1"), key("2"), key("3"), "no key", strings.ToUpper(key("1"))})
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(want)
			slices.Sort(used)
			if !slices.Equal(used, want) {
				t.Fatalf("got %q in use, want %q", used, want)
			}
		}
		set := func(id, version int64, picture string) {
			t.Helper()
			if err := s.Update(t.Context(), user.Change{ID: id, Version: version, Picture: &picture}); err != nil {
				t.Fatal(err)
			}
		}
		inUse()
		set(ada.ID, 1, key("1"))
		inUse(key("1"))
		set(ada.ID, 2, key("1"))
		inUse(key("1"))
		set(grace.ID, 1, key("1"))
		inUse(key("1"))
		set(ada.ID, 3, key("2"))
		inUse(key("1"), key("2"))
		set(ada.ID, 4, "")
		inUse(key("1"))
		set(ada.ID, 5, key("3"))
		if err := s.Delete(t.Context(), grace.ID, 2, nil); err != nil {
			t.Fatal(err)
		}
		inUse(key("3"))
	})
}

func TestPicturesInUseTakesFiveHundredKeys(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := newUser("ada")
		u.Picture = key("p")
		if err := s.Create(t.Context(), u, credential, nil); err != nil {
			t.Fatal(err)
		}
		keys := slices.Repeat([]string{key("other")}, 499)
		used, err := s.PicturesInUse(t.Context(), append(keys, u.Picture))
		if err != nil || !slices.Equal(used, []string{u.Picture}) {
			t.Errorf("got %q, error %v", used, err)
		}
		if _, err := s.PicturesInUse(t.Context(), append(keys, u.Picture, u.Picture)); err == nil {
			t.Error("501 keys were taken")
		}
		if used, err := s.PicturesInUse(t.Context(), nil); err != nil || len(used) > 0 {
			t.Errorf("no keys: got %q, error %v", used, err)
		}
	})
}
