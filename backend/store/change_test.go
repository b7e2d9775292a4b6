package store_test

import (
	"slices"
	"testing"
	"time"

	"gatehouse/backend/session"
	"gatehouse/backend/store"
	"gatehouse/backend/user"
)

func TestUpdateChangesWhatItIsTold(t *testing.T) {
	changes := map[string]struct {
		change user.Change
		apply  func(*user.User)
	}{
		"nothing":         {user.Change{}, func(*user.User) {}},
		"nickname":        {user.Change{Nickname: ptr("Ada 🌟")}, func(u *user.User) { u.Nickname = "Ada 🌟" }},
		"picture":         {user.Change{Picture: ptr(key("new"))}, func(u *user.User) { u.Picture = key("new") }},
		"picture removed": {user.Change{Picture: ptr("")}, func(u *user.User) { u.Picture = "" }},
		"disabled":        {user.Change{Disabled: ptr(true)}, func(u *user.User) { u.Disabled = true }},
		"sessions ended":  {user.Change{EndSessions: true}, func(u *user.User) { u.AuthEpoch++ }},
		"all at once": {
			user.Change{Nickname: ptr("A"), Picture: ptr(key("new")), Credential: []byte("new"), Disabled: ptr(true), EndSessions: true},
			func(u *user.User) {
				u.Nickname, u.Picture, u.Disabled, u.AuthEpoch = "A", key("new"), true, u.AuthEpoch+1
			},
		},
	}
	each(t, func(t *testing.T, s *store.Store) {
		for name, c := range changes {
			t.Run(name, func(t *testing.T) {
				u := newUser("u" + name)
				u.Picture = key("old")
				if err := s.Create(t.Context(), u, credential, nil); err != nil {
					t.Fatal(err)
				}
				change := c.change
				change.ID, change.Version = u.ID, u.Version
				if err := s.Update(t.Context(), change); err != nil {
					t.Fatal(err)
				}
				c.apply(&u)
				u.Version++
				got, secret, err := s.CredentialByID(t.Context(), u.ID)
				if err != nil {
					t.Fatal(err)
				}
				wantEqual(t, got, u)
				if want := change.Credential; want != nil {
					wantEqual(t, secret, want)
				} else {
					wantEqual(t, secret, credential)
				}
			})
		}
	})
}

func TestUpdateIsRefusedAtAnotherVersion(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := create(t, s, "ada")
		for _, version := range []int64{0, 2} {
			// With a picture another statement meets the version first.
			for _, c := range []user.Change{{Nickname: ptr("B")}, {Picture: ptr(key("p"))}} {
				c.ID, c.Version, c.Idempotency = u.ID, version, idempotency("k")
				wantError(t, s.Update(t.Context(), c), user.ErrConflict)
				c.ID = 1 << 40
				wantError(t, s.Update(t.Context(), c), user.ErrNotFound)
				if recorded(t, s, c.Idempotency) {
					t.Error("the idempotency record of a refused change was kept")
				}
			}
		}
		got, _ := stored(t, s, u.ID)
		wantEqual(t, got, u)
	})
}

func TestRepeatedUpdateIsAReplay(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := create(t, s, "ada")
		c := user.Change{ID: u.ID, Version: 1, Nickname: ptr("B"), Idempotency: idempotency("k")}
		if err := s.Update(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		// Whether the version is the old one or the new one.
		wantError(t, s.Update(t.Context(), c), user.ErrReplayed)
		c.Version, c.Nickname = 2, ptr("C")
		wantError(t, s.Update(t.Context(), c), user.ErrReplayed)
		if got, _ := stored(t, s, u.ID); got.Nickname != "B" || got.Version != 2 {
			t.Errorf("got %+v, want the change once", got)
		}
	})
}

func TestReplayReturnsWhatWasRecorded(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u, idem := create(t, s, "ada"), idempotency("k")
		empty := idempotency("empty")
		empty.Reply, empty.Session = nil, [32]byte{}
		for i, one := range []*user.Idempotency{idem, empty} {
			if err := s.Update(t.Context(), user.Change{ID: u.ID, Version: int64(1 + i), Idempotency: one}); err != nil {
				t.Fatal(err)
			}
			got, err := s.Replay(t.Context(), one.Key)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Reply) == 0 {
				got.Reply = nil
			}
			wantEqual(t, got, *one)
		}
		_, err := s.Replay(t.Context(), idempotency("other").Key)
		wantError(t, err, user.ErrNotFound)
	})
}

func TestEndingSessionsKeepsTheOneAsked(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ada, grace := create(t, s, "ada"), create(t, s, "grace")
		for _, one := range []session.Session{newSession(ada.ID, "kept"), newSession(ada.ID, "other"), newSession(grace.ID, "hers")} {
			put(t, s, one)
		}
		dead := newSession(ada.ID, "dead")
		dead.AuthEpoch = 0
		put(t, s, dead)

		err := s.Update(t.Context(), user.Change{ID: ada.ID, Version: 1, EndSessions: true, KeepSession: digest("kept")})
		if err != nil {
			t.Fatal(err)
		}
		kept := newSession(ada.ID, "kept")
		kept.AuthEpoch = 2
		wantEqual(t, sessions(t, s, ada.ID), []session.Session{kept})
		wantEqual(t, sessions(t, s, grace.ID), []session.Session{newSession(grace.ID, "hers")})

		// Nobody is kept: not the one of before, and not a dead one that is named.
		put(t, s, dead)
		err = s.Update(t.Context(), user.Change{ID: ada.ID, Version: 2, EndSessions: true, KeepSession: digest("dead")})
		if err != nil {
			t.Fatal(err)
		}
		if left := sessions(t, s, ada.ID); len(left) > 0 {
			t.Errorf("left over: %+v", left)
		}
	})
}

func TestDeleteRemovesAllThatIsKept(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ada, grace := create(t, s, "ada"), create(t, s, "grace")
		theirs := map[int64]*user.Idempotency{}
		for _, u := range []user.User{ada, grace} {
			put(t, s, newSession(u.ID, u.Username))
			theirs[u.ID] = idempotency(u.Username)
			theirs[u.ID].UserID = u.ID
			c := user.Change{ID: u.ID, Version: 1, Picture: ptr(key(u.Username)), Idempotency: theirs[u.ID]}
			if err := s.Update(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		goodbye := idempotency("goodbye")
		goodbye.UserID = ada.ID
		if err := s.Delete(t.Context(), ada.ID, 2, goodbye); err != nil {
			t.Fatal(err)
		}
		if _, found := stored(t, s, ada.ID); found {
			t.Error("the user is still there")
		}
		if left := sessions(t, s, ada.ID); len(left) > 0 {
			t.Errorf("sessions are still there: %+v", left)
		}
		if recorded(t, s, theirs[ada.ID]) || !recorded(t, s, goodbye) {
			t.Error("want the old idempotency record gone and that of the deletion kept")
		}
		used, err := s.PicturesInUse(t.Context(), []string{key("ada"), key("grace")})
		if err != nil || !slices.Equal(used, []string{key("grace")}) {
			t.Errorf("got pictures %q in use, error %v, want grace's only", used, err)
		}
		if _, found := stored(t, s, grace.ID); !found || len(sessions(t, s, grace.ID)) != 1 || !recorded(t, s, theirs[grace.ID]) {
			t.Error("another user lost something")
		}
		wantError(t, s.Delete(t.Context(), ada.ID, 2, goodbye), user.ErrReplayed)
		wantError(t, s.Delete(t.Context(), ada.ID, 2, nil), user.ErrNotFound)
		create(t, s, "ada") // The name is free again.
	})
}

func TestDeleteIsRefusedAtAnotherVersion(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := create(t, s, "ada")
		put(t, s, newSession(u.ID, "a"))
		idem := idempotency("k")
		wantError(t, s.Delete(t.Context(), u.ID, 2, idem), user.ErrConflict)
		wantError(t, s.Delete(t.Context(), u.ID, 0, idem), user.ErrConflict)
		if _, found := stored(t, s, u.ID); !found || len(sessions(t, s, u.ID)) != 1 || recorded(t, s, idem) {
			t.Error("a refused deletion changed something")
		}
	})
}

func TestDeleteCopesWithManyIdempotencyRecords(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := create(t, s, "ada")
		const many = 250 // more than one statement removes
		for i := range int64(many) {
			idem := idempotency(time.Duration(i).String())
			idem.UserID = u.ID
			if err := s.Update(t.Context(), user.Change{ID: u.ID, Version: 1 + i, Idempotency: idem}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Delete(t.Context(), u.ID, 1+many, nil); err != nil {
			t.Fatal(err)
		}
		if n, err := s.SweepIdempotency(t.Context(), noon.Add(time.Hour), 1000); err != nil || n != 0 {
			t.Errorf("%d records are left, error %v", n, err)
		}
	})
}

func TestSweepIdempotencyTakesTheOldestUpToTheLimit(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := create(t, s, "ada")
		var records []*user.Idempotency
		for i := range int64(5) {
			idem := idempotency(time.Duration(i).String())
			idem.CreatedAt = noon.Add(time.Duration(i) * time.Minute)
			records = append(records, idem)
			if err := s.Update(t.Context(), user.Change{ID: u.ID, Version: 1 + i, Idempotency: idem}); err != nil {
				t.Fatal(err)
			}
		}
		sweep := func(before time.Time, limit, want, first int) {
			t.Helper()
			n, err := s.SweepIdempotency(t.Context(), before, limit)
			if err != nil || n != want {
				t.Fatalf("removed %d, error %v, want %d", n, err, want)
			}
			for i, idem := range records {
				if recorded(t, s, idem) != (i >= first) {
					t.Fatalf("record %d: kept is %v", i, i < first)
				}
			}
		}
		sweep(noon, 10, 0, 0)
		sweep(noon.Add(time.Hour), 0, 0, 0)
		sweep(noon.Add(4*time.Minute), 3, 3, 3)
		sweep(noon.Add(4*time.Minute), 3, 1, 4)
	})
}

func TestSecretIsKeptOnce(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		first, err := s.Secret(t.Context(), "device", []byte("one\x00\xff"))
		if err != nil {
			t.Fatal(err)
		}
		second, err := s.Secret(t.Context(), "device", []byte("two"))
		if err != nil {
			t.Fatal(err)
		}
		other, err := s.Secret(t.Context(), "Device", []byte("three"))
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, []string{string(first), string(second), string(other)}, []string{"one\x00\xff", "one\x00\xff", "three"})
		for what, err := range map[string]error{
			"long name":   failure(s.Secret(t.Context(), string(make([]byte, 65)), []byte("x"))),
			"long secret": failure(s.Secret(t.Context(), "x", make([]byte, 256))),
			"no secret":   failure(s.Secret(t.Context(), "x", nil)),
		} {
			if err == nil {
				t.Errorf("%s was taken", what)
			}
		}
	})
}

func failure(_ []byte, err error) error { return err }
