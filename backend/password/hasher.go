package password

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"runtime"
	"time"
)

// Config configures a Hasher. The zero value works.
type Config struct {
	Params  Params        // of new credentials and of the work for nobody; zero means DefaultParams
	Workers int           // computations at the same time; zero means half of GOMAXPROCS, at least 1
	MaxWait time.Duration // longest wait for a worker; zero means 2 s
	Rand    io.Reader     // of salts, safe for concurrent use; nil means crypto/rand
	Trace   Trace
}

// Trace tells the stages of a call to whoever measures them. The functions are called by a worker with the context of
// the call, before that call returns unless its context ends first; they must be quick and safe for concurrent use.
// Either may be nil.
type Trace struct {
	Waited func(ctx context.Context, d time.Duration) // for a worker, just before the computation
	Worked func(ctx context.Context, d time.Duration) // the computation
}

// Hasher hashes and verifies passwords. It is safe for concurrent use. It owns its workers: Close ends and awaits them.
type Hasher struct {
	params Params
	rand   io.Reader
	derive deriveFunc
	nobody Credential // verified when there is none: no password matches it
	queue  *queue
}

// New makes a Hasher. It computes one hash, both to make the credential of nobody and to learn how long one takes.
func New(cfg Config) (*Hasher, error) { return newHasher(cfg, argon2id) }

func newHasher(cfg Config, derive deriveFunc) (*Hasher, error) {
	h := &Hasher{params: cfg.Params, rand: cfg.Rand, derive: derive}
	if h.params == (Params{}) {
		h.params = DefaultParams()
	}
	if err := h.params.check(); err != nil {
		return nil, fmt.Errorf("hash parameters: %w", err)
	}
	if h.rand == nil {
		h.rand = rand.Reader
	}
	start := time.Now()
	if err := h.makeNobody(); err != nil {
		return nil, err
	}
	service := time.Since(start)
	workers := cmp.Or(cfg.Workers, max(1, runtime.GOMAXPROCS(0)/2))
	h.queue = newQueue(workers, cmp.Or(cfg.MaxWait, 2*time.Second), service, cfg.Trace)
	return h, nil
}

// makeNobody makes the credential that stands in for a missing one, from the hash of a random password.
func (h *Hasher) makeNobody() error {
	h.nobody.Params = h.params
	var secret [TagSize]byte
	for _, b := range [][]byte{h.nobody.Salt[:], secret[:]} {
		if _, err := io.ReadFull(h.rand, b); err != nil {
			return fmt.Errorf("read random bytes: %w", err)
		}
	}
	h.nobody.Tag = h.derive(string(secret[:]), h.params, h.nobody.Salt)
	return nil
}

// Hash returns a new credential for the password, in its stored form. It checks nothing but ErrInvalidPassword: see
// Policy. Errors are those of Verify, and that of the source of randomness.
func (h *Hasher) Hash(ctx context.Context, password string) ([]byte, error) {
	plain, ok := prepare(password)
	if !ok || plain == "" {
		return nil, ErrInvalidPassword
	}
	c := Credential{Params: h.params}
	if _, err := io.ReadFull(h.rand, c.Salt[:]); err != nil {
		return nil, fmt.Errorf("read random bytes for a salt: %w", err)
	}
	if err := h.queue.do(ctx, func() { c.Tag = h.derive(plain, c.Params, c.Salt) }); err != nil {
		return nil, fmt.Errorf("hash password: %w", err)
	}
	return c.Encode(), nil
}

// Verify reports whether the password is the credential's. An empty credential stands for nobody: it costs what a real
// one with the current parameters costs, and no password is right. So does a password that cannot be one
// (ErrInvalidPassword of Hash). rehash is true when the password is right and the credential was made with other
// parameters than the current ones, or by another program: then store what Hash returns.
//
// Errors: OverloadedError (ErrOverloaded) when there is no worker in time, told before any hashing; the context's error
// when it ends first; ErrClosed; ErrCredential, after the work, for stored bytes that are not a credential.
func (h *Hasher) Verify(ctx context.Context, credential []byte, password string) (ok, rehash bool, err error) {
	plain, usable := prepare(password)
	if !usable {
		password = "" // nothing is computed of what is too long
	}
	c, known, broken := h.verifiable(credential)
	var right bool
	err = h.queue.do(ctx, func() { right = c.matches(password, plain) })
	if err == nil {
		err = broken
	}
	if err != nil {
		return false, false, fmt.Errorf("verify password: %w", err)
	}
	ok = right && known && plain != ""
	return ok, ok && c.stale, nil
}

// verifiable is a credential as Verify needs it.
type verifiable struct {
	// matches compares with the password as typed and with its NFC form.
	matches func(typed, nfc string) bool
	// stale credentials are to be replaced by new ones.
	stale bool
}

// verifiable returns what to verify: the stored credential, or nobody's (known is false) when it is empty or broken.
func (h *Hasher) verifiable(stored []byte) (v verifiable, known bool, err error) {
	if len(stored) == 0 {
		return h.own(h.nobody), false, nil
	}
	if stored[0] != schemeArgon2id {
		f, err := decodeForeign(stored)
		if err != nil {
			return h.own(h.nobody), false, err
		}
		return verifiable{matches: f.matches, stale: true}, true, nil
	}
	c, err := Decode(stored)
	if err != nil {
		return h.own(h.nobody), false, err
	}
	return h.own(c), true, nil
}

func (h *Hasher) own(c Credential) verifiable {
	return verifiable{
		matches: func(_, nfc string) bool { return c.matches(h.derive(nfc, c.Params, c.Salt)) },
		stale:   c.Params != h.params,
	}
}

// Workers returns how many computations can run at the same time.
func (h *Hasher) Workers() int { return h.queue.workers }

// Close refuses what is waiting and what comes later with ErrClosed, and waits until the workers have ended. It may be
// called more than once.
func (h *Hasher) Close() { h.queue.close() }
