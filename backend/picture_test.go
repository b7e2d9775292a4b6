package backend_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

var (
	keyA = strings.Repeat("0a", 32)
	keyB = strings.Repeat("f9", 32)
)

func setPicture(t *testing.T, s *service, p *person, key string) packet.SetPictureReply {
	t.Helper()
	return must(t, s, packet.SetPicture, p.meta(""), packet.SetPictureRequest{Authenticated: p.auth(), Picture: key})
}

func TestSetPictureTellsWhichPictureIsLeftOver(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	for i, step := range []struct{ name, set, previous string }{
		{"the first", keyA, ""},
		{"another", keyB, keyA},
		{"the same again, which is still in use", keyB, ""},
		{"none", "", keyB},
		{"none again", "", ""},
		{"one that was there before", keyA, ""},
	} {
		rep := setPicture(t, s, ada, step.set)
		if rep.Previous != step.previous {
			t.Errorf("%s: left over is %q, want %q", step.name, rep.Previous, step.previous)
		}
		switch url := rep.User.PictureURL; {
		case step.set == "" && url != nil, step.set != "" && (url == nil || *url != "/pictures/"+step.set):
			t.Errorf("%s: the picture is at %v", step.name, url)
		}
		if rep.User.Version != int64(i+2) {
			t.Errorf("%s: version %d, want %d", step.name, rep.User.Version, i+2)
		}
		if got := s.profile(t, ada); toJSON(t, got) != toJSON(t, rep.User) {
			t.Errorf("%s: kept %s, answered %s", step.name, toJSON(t, got), toJSON(t, rep.User))
		}
	}
}

func TestSetPictureTakesOnlyKeys(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	for _, key := range []string{"x", keyA[1:], keyA + "0", strings.ToUpper(keyA), keyA[:63] + "g", "../../../../etc/passwd", keyA[:63] + "\n"} {
		_, err := ask(t, s, packet.SetPicture, ada.meta(""), packet.SetPictureRequest{Authenticated: ada.auth(), Picture: key})
		if got := outcome(err); got != "invalid/picture_key [picture:picture_key]" {
			t.Errorf("picture %q: %s", key, got)
		}
	}
	if got := s.profile(t, ada); got.Version != 1 {
		t.Errorf("the record is at version %d after refusals alone", got.Version)
	}
}

func TestPicturesInUseAreThoseThatSomebodyPointsAt(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada, bob := s.join(t, "ada"), s.join(t, "bob")
	setPicture(t, s, ada, keyA)
	setPicture(t, s, bob, keyB)
	setPicture(t, s, bob, "")
	used := func(keys ...string) []string {
		return must(t, s, packet.PicturesInUse, protocol.Meta{}, packet.PictureKeys{Keys: keys}).Keys
	}
	if got := used(keyB, keyA, keyA); !slices.Equal(got, []string{keyA}) {
		t.Errorf("in use are %v, want that of ada alone", got)
	}
	must(t, s, packet.DeleteAccount, ada.meta(""), packet.DeleteAccountRequest{Authenticated: ada.auth(), Password: ada.password})
	if got := used(keyA); len(got) != 0 {
		t.Errorf("in use are %v after the account was deleted", got)
	}
	for _, none := range [][]string{nil, {}, {keyB}} {
		reply, err := raw(t, s, packet.PicturesInUse.Type, protocol.Meta{}, packet.PictureKeys{Keys: none})
		if err != nil || string(reply.Body) != `{"keys":[]}` {
			t.Errorf("of %v in use: %s, %v, want an empty list", none, reply.Body, err)
		}
	}
}

func TestPicturesInUseTakesABoundedListOfKeys(t *testing.T) {
	t.Parallel()
	s := start(t)
	keys := make([]string, 501)
	for i := range keys {
		keys[i] = fmt.Sprintf("%064x", i)
	}
	for name, test := range map[string]struct {
		keys []string
		want string
	}{
		"500":            {keys[:500], "ok"},
		"501":            {keys, "invalid/too_many [keys:too_many]"},
		"one is no key":  {[]string{keyA, "x"}, "invalid/picture_key [keys:picture_key]"},
		"one is nothing": {[]string{""}, "invalid/picture_key [keys:picture_key]"},
	} {
		_, err := ask(t, s, packet.PicturesInUse, protocol.Meta{}, packet.PictureKeys{Keys: test.keys})
		if got := outcome(err); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
