package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/testenv"
)

// How many people ask at the same time, and how often each.
const (
	persons  = 32
	requests = 100
)

// TestNobodyGetsTheAnswerOfAnother lets many people read and change their own
// records through few connections between the tiers, a fifth of the requests
// given up while the answer is on its way, and checks every answer for its
// person.
func TestNobodyGetsTheAnswerOfAnother(t *testing.T) {
	for about, flags := range map[string][]string{
		"many calls at once on a connection": {"--pool-size", "2"},
		"one call at a time on a connection": {"--pool-in-flight", "1", "--pool-size", "8"},
	} {
		t.Run(about, func(t *testing.T) {
			t.Parallel()
			b := start(t, append([]string{"backend"}, cheap...)...)
			// Answers take long enough to be given up.
			slow := testenv.NewProxy(t, b.link)
			w := start(t, append([]string{"webserver", "--backend", slow.Addr()}, flags...)...)
			awaitReady(t, w)
			list := make([]*person, persons)
			for i := range list {
				list[i] = newPerson(t, w.url, uint64(i))
			}
			slow.Delay(testenv.ToClient, 3*time.Millisecond)
			var asking sync.WaitGroup
			for _, p := range list {
				asking.Go(p.ask)
			}
			asking.Wait()
			slow.Heal()
			checkPersons(t, list)
			checkLink(t, w)
		})
	}
}

// checkPersons fails the test for every answer that was not right.
func checkPersons(t *testing.T, list []*person) {
	t.Helper()
	answered, abandoned := 0, 0
	for _, p := range list {
		answered, abandoned = answered+p.answered, abandoned+p.abandoned
		for _, wrong := range p.wrong {
			t.Error(wrong)
		}
	}
	if answered < persons*requests/2 || abandoned < persons*requests/20 {
		t.Errorf("%d requests were answered and %d given up of %d", answered, abandoned, persons*requests)
	}
}

// checkLink checks that the webserver saw replies whose callers had left, gave
// none to anybody else, and has no call left over.
func checkLink(t *testing.T, w *process) {
	t.Helper()
	testenv.WaitFor(t, patience, "the replies to the calls that were given up", func() bool {
		return metrics(t, w)["gatehouse_pool_in_flight_calls"] == 0
	})
	m := metrics(t, w)
	if m["gatehouse_link_crosstalk_total"] != 0 || m["gatehouse_panics_total"] != 0 {
		t.Errorf("cross-talk %v, panics %v, want none", m["gatehouse_link_crosstalk_total"], m["gatehouse_panics_total"])
	}
	if m["gatehouse_link_late_replies_total"] == 0 {
		t.Error("no reply was late, so that nothing was put to the test")
	}
}

// A person is one account in the hands of one goroutine.
type person struct {
	client
	random *rand.Rand
	user   user

	// The nickname is the username, a space and a number, which grows.
	// unknown are the numbers of changes that were given up: each may have
	// happened, and may yet, because nothing waits for it.
	sent, acknowledged  int
	unknown             map[int]bool
	answered, abandoned int
	wrong               []string
}

func newPerson(t *testing.T, base string, seed uint64) *person {
	t.Helper()
	c, o := register(t, base, newName())
	transport := &http.Transport{MaxIdleConnsPerHost: 1}
	t.Cleanup(transport.CloseIdleConnections)
	c.http = &http.Client{Transport: transport, Timeout: patience, CheckRedirect: plain.CheckRedirect}
	p := &person{client: c, random: rand.New(rand.NewPCG(seed, 1)), user: o.User, unknown: map[int]bool{}}
	p.request(t.Context())
	return p
}

// ask makes the person's requests, one after the other.
func (p *person) ask() {
	for range requests {
		ctx, cancel := context.Background(), context.CancelFunc(func() {})
		impatient := p.random.IntN(5) == 0
		if impatient {
			ctx, cancel = context.WithTimeout(ctx, time.Duration(p.random.IntN(8000))*time.Microsecond)
		}
		err := p.request(ctx)
		cancel()
		switch {
		case err == nil:
			p.answered++
		case impatient && gaveUp(err), errors.Is(err, errBusy):
			p.abandoned++
		default:
			p.wrong = append(p.wrong, p.user.Username+": "+err.Error())
		}
	}
}

// errBusy means that the service ran out of time, as it may on a machine that
// has other things to do. That is nobody else's answer.
var errBusy = errors.New("answered 503")

// gaveUp tells whether err is that of a client that did not wait.
func gaveUp(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// request makes one of the person's requests and checks whose answer it is.
func (p *person) request(ctx context.Context) error {
	switch p.random.IntN(4) {
	case 0:
		return p.change(ctx)
	case 1:
		return p.read(ctx, client{base: p.base, http: p.http}, "/api/v1/users/"+p.user.Username)
	default:
		return p.read(ctx, p.client, "/api/v1/profile")
	}
}

func (p *person) change(ctx context.Context) error {
	p.sent++
	body := fmt.Sprintf(`{"nickname":"%s %d"}`, p.user.Username, p.sent)
	a, err := p.send(ctx, "PATCH", "/api/v1/profile", strings.NewReader(body), "Content-Type", "application/json")
	if err == nil && a.status == http.StatusServiceUnavailable {
		err = errBusy
	}
	if err != nil {
		p.unknown[p.sent] = true
		return err
	}
	p.acknowledged = p.sent
	if err := p.check(a); err != nil || a.has(fmt.Sprintf("%s %d\"", p.user.Username, p.sent)) {
		return err
	}
	return fmt.Errorf("change %d was answered with another: %s", p.sent, a.body)
}

func (p *person) read(ctx context.Context, c client, path string) error {
	a, err := c.send(ctx, "GET", path, nil)
	if err != nil {
		return err
	}
	return p.check(a)
}

// check tells what is wrong with an answer that must show this person, with
// the nickname that was acknowledged last or one of unknown outcome.
func (p *person) check(a answer) error {
	if a.status == http.StatusServiceUnavailable {
		return errBusy
	}
	var got user
	if err := json.Unmarshal(a.body, &got); err != nil || a.status != 200 {
		return fmt.Errorf("answered %d: %s", a.status, a.body)
	}
	if got.Username != p.user.Username || got.ID != "" && got.ID != p.user.ID {
		return fmt.Errorf("got the answer of %s: %s", got.Username, a.body)
	}
	number := 0
	if rest, ok := strings.CutPrefix(got.Nickname, p.user.Username+" "); ok {
		if _, err := fmt.Sscan(rest, &number); err != nil {
			return fmt.Errorf("got a nickname that nobody gave: %s", a.body)
		}
	} else if got.Nickname != p.user.Username {
		return fmt.Errorf("got the nickname of another: %s", a.body)
	}
	if number != p.acknowledged && !p.unknown[number] {
		return fmt.Errorf("got nickname %d after %d was acknowledged", number, p.acknowledged)
	}
	return nil
}
