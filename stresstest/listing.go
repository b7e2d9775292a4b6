package stresstest

import "context"

// sessions lists the sessions of the holder at a place. The list must have
// each session once, and exactly that of the holder's token as the current one:
// its id tells that the list is of the right person.
func (s *actor) sessions(ctx context.Context, place int) error {
	account, token := s.holders.account(place), s.holders.token(place)
	list, err := s.client.sessions(ctx, token)
	if err != nil {
		return err
	}
	own, current, seen := sessionID(token), 0, map[string]bool{}
	for _, one := range list {
		if one.ID == "" || seen[one.ID] {
			return wrongAnswer("the sessions of %s have the id %q twice or empty", Username(account), one.ID)
		}
		seen[one.ID] = true
		if one.Current {
			current++
		}
		if one.Current != (one.ID == own) {
			return wrongAnswer("the sessions of %s show %q as current: %v, the token's is %q", Username(account), one.ID, one.Current, own)
		}
	}
	if current != 1 {
		return wrongAnswer("of %d sessions of %s %d are current", len(list), Username(account), current)
	}
	return nil
}
