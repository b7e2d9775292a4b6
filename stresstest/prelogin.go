package stresstest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// loginPatience bounds the time to log in all accounts that a run needs.
	loginPatience = 120 * time.Second
	// loginWorkers is how many are logged in at once. A backend hashes few
	// passwords at a time and refuses what it has no room for.
	loginWorkers = 8
	// loginRate bounds how many logins begin in a second, so that getting
	// ready never is a storm of its own.
	loginRate = 200
)

// preparation logs accounts in before the clock starts.
type preparation struct {
	limiter *rate.Limiter
	stop    context.CancelCauseFunc

	mu     sync.Mutex // guards the fields below
	tokens []string   // of account i+1; empty until it is logged in
	done   int
	until  time.Time // before which no login begins, because the target said so
	last   error     // the last refusal
}

// logIn logs in accounts 1 to len(kept) and returns their tokens, which are
// empty for those that loginPatience was not enough for. A token in kept is
// used again if its session still lives. An error, such as that of an account
// which is refused for good, comes with the tokens that were reached before it.
func logIn(ctx context.Context, s *scenario, kept []string, tell func(LiveLine)) ([]string, error) {
	start, whole := time.Now(), ctx
	ctx, cancel := context.WithTimeout(ctx, loginPatience)
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	p := &preparation{stop: stop, tokens: make([]string, len(kept)),
		limiter: rate.NewLimiter(loginRate, loginWorkers)}
	accounts := make(chan int)
	var workers sync.WaitGroup
	for number := range min(loginWorkers, len(kept)) {
		workers.Go(func() {
			worker := s.worker(number)
			for account := range accounts {
				p.prepare(ctx, worker, account, kept[account-1])
			}
		})
	}
	reported := p.report(ctx, start, tell)
	for account := 1; account <= len(kept) && ctx.Err() == nil; account++ {
		select {
		case accounts <- account:
		case <-ctx.Done():
		}
	}
	close(accounts)
	workers.Wait()
	err := context.Cause(ctx)
	cancel()
	<-reported
	if whole.Err() != nil {
		return p.tokens, fmt.Errorf("log in: %w", whole.Err())
	}
	return p.result(err)
}

// result returns what was reached when the preparation ended with err, which
// is DeadlineExceeded after loginPatience.
func (p *preparation) result(err error) ([]string, error) {
	switch {
	case err != nil && !errors.Is(err, context.DeadlineExceeded):
		return p.tokens, fmt.Errorf("log in: %w", err)
	case p.done == 0:
		return nil, fmt.Errorf("log in: no account of %d within %v: %w", len(p.tokens), loginPatience, p.last)
	}
	return p.tokens, nil
}

// report tells once a second how far the preparation is, until ctx ends; the
// channel is closed then.
func (p *preparation) report(ctx context.Context, start time.Time, tell func(LiveLine)) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			p.mu.Lock()
			done := p.done
			p.mu.Unlock()
			tell(LiveLine{Phase: PhaseLogin, Elapsed: time.Since(start), Done: done, Of: len(p.tokens)})
		}
	}()
	return ended
}

// prepare gives one account a session, trying again as long as the target
// says that this helps and ctx lasts.
func (p *preparation) prepare(ctx context.Context, worker *actor, account int, kept string) {
	for p.wait(ctx) == nil {
		token, err := session(ctx, worker, account, kept)
		if err == nil {
			p.mu.Lock()
			p.tokens[account-1] = token
			p.done++
			p.mu.Unlock()
			return
		}
		if ctx.Err() != nil {
			return
		}
		f := asFailure(err)
		if !f.again {
			p.stop(fmt.Errorf("%s, of the accounts that \"gatehouse users generate\" makes: %w", Username(account), f))
			return
		}
		p.mu.Lock()
		p.last = fmt.Errorf("%s: %w", Username(account), f)
		if until := time.Now().Add(f.retryAfter); until.After(p.until) {
			p.until = until
		}
		p.mu.Unlock()
	}
}

// wait waits until a login may begin.
func (p *preparation) wait(ctx context.Context) error {
	for {
		p.mu.Lock()
		pause := time.Until(p.until)
		p.mu.Unlock()
		if pause <= 0 {
			return p.limiter.Wait(ctx)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// session returns the kept token if its session lives, or that of a new one.
func session(ctx context.Context, worker *actor, account int, kept string) (string, error) {
	if kept != "" {
		shown, err := worker.client.profile(ctx, kept)
		if err == nil {
			return kept, worker.checkPerson(account, kept, shown)
		}
		if asFailure(err).code != codeSignedOut {
			return "", err
		}
	}
	return worker.login(ctx, account)
}
