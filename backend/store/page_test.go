package store_test

import (
	"slices"
	"testing"

	"gatehouse/backend/store"
	"gatehouse/backend/user"
)

func TestPagesAreInTheOrderOfTheNamesBytes(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		// No collation's order: digits, hyphen, dot and underscore have their
		// places by their bytes.
		names := []string{"0ada", "a-a", "a.a", "a00", "a_a", "aa", "ab-c", "abc", "z"}
		for _, name := range []string{"abc", "z", "a_a", "0ada", "a-a", "ab-c", "aa", "a00", "a.a"} {
			create(t, s, name)
		}
		for size := 1; size <= len(names)+1; size++ {
			var got []string
			for after := ""; ; {
				page, err := s.Page(t.Context(), after, size)
				if err != nil {
					t.Fatal(err)
				}
				for _, u := range page {
					got = append(got, u.Username)
					after = u.Username
				}
				if len(page) < size {
					break
				}
			}
			if !slices.Equal(got, names) {
				t.Errorf("by pages of %d: %v, want %v", size, got, names)
			}
		}
	})
}

func TestPageHoldsWholeUsersAndNoMoreThanAsked(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ada := create(t, s, "ada")
		create(t, s, "bob")
		disabled := true
		if err := s.Update(t.Context(), user.Change{ID: ada.ID, Version: ada.Version, Disabled: &disabled, Picture: ptr(key("p"))}); err != nil {
			t.Fatal(err)
		}
		want, _ := stored(t, s, ada.ID)
		page, err := s.Page(t.Context(), "ad", 1)
		if err != nil || len(page) != 1 {
			t.Fatalf("%+v, %v", page, err)
		}
		wantEqual(t, page[0], want)
		for _, limit := range []int{0, -1} {
			if page, err := s.Page(t.Context(), "", limit); err != nil || len(page) != 0 {
				t.Errorf("limit %d: %d users, %v", limit, len(page), err)
			}
		}
	})
}
