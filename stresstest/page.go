package stresstest

import (
	"context"
	"html"
	"regexp"
)

// What a page is searched for: whatever looks like the username or nickname
// of a generated account, wherever the page has it.
var (
	usernames = regexp.MustCompile(`\buser[0-9]{8}\b`)
	nicknames = regexp.MustCompile(`\bUser [0-9]{8}\b(?: [0-9]{1,19}\b)?`)
)

// page reads the page of the holder at a place. It must name them, nobody
// else, and no nickname that is older than it may be.
func (s *actor) page(ctx context.Context, place int) error {
	account, token := s.holders.account(place), s.holders.token(place)
	floor := s.written.find(account).acknowledged()
	text, err := s.client.(pageReader).page(ctx, token)
	if err != nil {
		return err
	}
	text = html.UnescapeString(text)
	names := usernames.FindAllString(text, -1)
	if len(names) == 0 {
		return wrongAnswer("the page of %s names nobody", Username(account))
	}
	for _, name := range names {
		if name != Username(account) {
			return wrongAnswer("the page of %s names %s", Username(account), name)
		}
	}
	shown := nicknames.FindAllString(text, -1)
	if len(shown) == 0 {
		shown = []string{""} // one that was not generated
	}
	for _, nickname := range shown {
		if err := s.checkNickname(account, nickname, floor); err != nil {
			return err
		}
	}
	return nil
}
