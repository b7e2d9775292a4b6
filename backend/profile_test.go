package backend_test

import (
	"strings"
	"testing"

	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

func TestProfileAndVerifyShowTheOwnersRecord(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada, bob := s.join(t, "ada"), s.join(t, "bob")
	for _, p := range []*person{ada, bob} {
		for _, m := range []protocol.Method[packet.Authenticated, packet.UserReply]{packet.GetProfile, packet.Verify} {
			got := must(t, s, m, p.meta(""), p.auth()).User
			if got.ID != p.id || got.Username != p.name || got.Nickname != p.name || got.Version != 1 || got.PictureURL != nil {
				t.Errorf("%s of %s shows %+v", m.Type, p.name, got)
			}
		}
	}
}

func TestUpdateProfileSetsTheNickname(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada, bob := s.join(t, "ada"), s.join(t, "bob")
	rep := must(t, s, packet.UpdateProfile, ada.meta(""), packet.UpdateProfileRequest{Authenticated: ada.auth(), Nickname: "Ada 👩‍💻"})
	if rep.User.Nickname != "Ada 👩‍💻" || rep.User.Version != 2 {
		t.Errorf("update answered %+v", rep.User)
	}
	if got := s.profile(t, ada); toJSON(t, got) != toJSON(t, rep.User) {
		t.Errorf("kept %s, answered %s", toJSON(t, got), toJSON(t, rep.User))
	}
	if got := s.profile(t, bob); got.Nickname != "bob" || got.Version != 1 {
		t.Errorf("somebody else's record became %+v", got)
	}
}

func TestUpdateProfileChecksTheNickname(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	for nickname, want := range map[string]string{
		"":                       "invalid/nickname_empty [nickname:nickname_empty]",
		" \t":                    "invalid/nickname_characters [nickname:nickname_characters]",
		"\u200b\u200d":           "invalid/nickname_empty [nickname:nickname_empty]",
		strings.Repeat("é", 65):  "invalid/nickname_too_long [nickname:nickname_too_long]",
		strings.Repeat("x", 300): "invalid/nickname_too_long [nickname:nickname_too_long]",
		"del\x7f":                "invalid/nickname_characters [nickname:nickname_characters]",
		"\u2067x":                "invalid/nickname_characters [nickname:nickname_characters]",
		strings.Repeat("é", 64):  "ok",
		"<script>'\"; DROP":      "ok",
	} {
		_, err := ask(t, s, packet.UpdateProfile, ada.meta(""), packet.UpdateProfileRequest{Authenticated: ada.auth(), Nickname: nickname})
		if got := outcome(err); got != want {
			t.Errorf("nickname %q: %s, want %s", nickname, got, want)
		}
	}
}

// TestNoFieldButTheNicknameCanBeSet sends everything that a record has
// beside what may be changed.
func TestNoFieldButTheNicknameCanBeSet(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada, bob := s.join(t, "ada"), s.join(t, "bob")
	before := s.profile(t, bob)
	body := map[string]any{"token": ada.token, "nickname": "Countess", "id": bob.id, "user_id": bob.id, "username": "root", "version": 99,
		"auth_epoch": 7, "disabled": true, "picture": strings.Repeat("a", 64), "created_at": "2001-01-01T00:00:00Z", "credential": "x"}
	if _, err := raw(t, s, packet.UpdateProfile.Type, ada.meta(""), body); err != nil {
		t.Fatal(err)
	}
	got := s.profile(t, ada)
	if got.Nickname != "Countess" || got.ID != ada.id || got.Username != "ada" || got.Version != 2 || got.PictureURL != nil {
		t.Errorf("the record became %+v", got)
	}
	if after := s.profile(t, bob); after != before {
		t.Errorf("somebody else's record became %+v", after)
	}
}

func TestGetUserShowsWhatEverybodyMayKnow(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	must(t, s, packet.UpdateProfile, ada.meta(""), packet.UpdateProfileRequest{Authenticated: ada.auth(), Nickname: "Countess"})
	must(t, s, packet.SetPicture, ada.meta(""), packet.SetPictureRequest{Authenticated: ada.auth(), Picture: keyA})
	reply, err := raw(t, s, packet.GetUser.Type, protocol.Meta{}, packet.Named{Username: "ADA"})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"username":"ada","nickname":"Countess","picture_url":"/pictures/` + keyA + `"}`
	if string(reply.Body) != want {
		t.Errorf("everybody sees %s, want %s", reply.Body, want)
	}
}

func TestGetUserFindsNobodyElse(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	s.disable(t, s.join(t, "off"))
	gone := s.join(t, "gone")
	must(t, s, packet.DeleteAccount, gone.meta(""), packet.DeleteAccountRequest{Authenticated: gone.auth(), Password: gone.password})
	for _, name := range []string{"", "nobody-here", "ada ", " ada", "ada\x00", "a", "off", "gone", "ａｄａ", strings.Repeat("a", 5000), ada.client.IP, "%"} {
		_, err := ask(t, s, packet.GetUser, protocol.Meta{}, packet.Named{Username: name})
		if got := outcome(err); got != "not_found" {
			t.Errorf("get user %.40q: %s, want not_found", name, got)
		}
	}
}
