// Package backend is tier 2: it answers packets. It decides who may do what,
// checks every field, and keeps the order of what is read, verified and
// written. It knows its stores only by their interfaces and nothing of HTTP,
// pages or the connections that the packets come from.
package backend

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"sync"
	"time"

	"gatehouse/backend/cache"
	"gatehouse/backend/password"
	"gatehouse/backend/session"
	"gatehouse/backend/throttle"
	"gatehouse/backend/user"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// Config is what a Backend is made of. Users, Sessions, Hasher, Throttle and
// Devices must be set.
type Config struct {
	Users    user.Store
	Sessions session.Store
	Hasher   *password.Hasher
	// Policy is what a password must be when it is set.
	Policy   password.Policy
	Throttle *throttle.Throttle
	Devices  *throttle.Devices
	// Limits is how long sessions live; zero fields take the defaults.
	Limits session.Limits
	// Closed refuses registrations.
	Closed bool
	// NoSweep leaves what has expired in the stores to other backends.
	NoSweep bool
	// About is what operators are told who ask which backend this is.
	About packet.OpAboutReply
	// Cache says when user and session records are remembered, and where;
	// never, where it is nil.
	Cache cache.Views
	// AuditRate is how many records a second of the cache are compared with
	// the database; none where it is zero.
	AuditRate float64
	// Hooks are told what happens, for the numbers.
	Hooks  Hooks
	Log    *slog.Logger
	Now    func() time.Time
	Random io.Reader
}

// The defaults of Config.Limits.
const (
	DefaultIdle     = 7 * 24 * time.Hour
	DefaultLifetime = 30 * 24 * time.Hour
	DefaultPerUser  = 100
)

// Backend answers every packet type. It is a protocol.Caller.
type Backend struct {
	cfg       Config
	log       *slog.Logger
	now       func() time.Time
	random    io.Reader
	limits    session.Limits
	records   *records
	observe   observer
	seen      *seen
	people    answers // to whoever calls on the link
	operators answers
	lanes     lanes
	stop      context.CancelFunc
	owned     sync.WaitGroup
}

// New returns a Backend of cfg. Close ends its background work.
func New(cfg Config) *Backend {
	b := &Backend{cfg: cfg, log: cfg.Log, now: cfg.Now, random: cfg.Random, limits: withDefaults(cfg.Limits),
		lanes: newLanes()}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if b.now == nil {
		b.now = time.Now
	}
	if b.random == nil {
		b.random = rand.Reader
	}
	if b.cfg.Cache == nil {
		b.cfg.Cache = cache.Fixed{}
	}
	b.observe = observer{cfg.Hooks}
	b.cfg.Users, b.cfg.Sessions = timedUsers{cfg.Users, b.observe}, timedSessions{cfg.Sessions, b.observe}
	b.records = &records{users: b.cfg.Users, sessions: b.cfg.Sessions, cache: b.cfg.Cache, observe: b.observe}
	b.records.repairs = repairs{records: b.records, log: b.log}
	b.seen = newSeen(cfg.Sessions, b.limits.Idle, b.log)
	b.people = newAnswers(b.handlers()...)
	b.operators = newAnswers(append(b.handlers(), b.operatorHandlers()...)...)
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	b.owned.Go(func() { b.seen.run(ctx) })
	if !cfg.NoSweep {
		b.owned.Go(func() { b.sweep(ctx) })
	}
	b.owned.Go(func() { b.records.repairs.run(ctx) })
	if cfg.AuditRate > 0 {
		b.owned.Go(func() { b.audit(ctx, cfg.AuditRate) })
	}
	return b
}

func withDefaults(l session.Limits) session.Limits {
	if l.Idle == 0 {
		l.Idle = DefaultIdle
	}
	if l.Lifetime == 0 {
		l.Lifetime = DefaultLifetime
	}
	if l.PerUser == 0 {
		l.PerUser = DefaultPerUser
	}
	return l
}

// handlers are the packet types and what answers each.
func (b *Backend) handlers() []protocol.Handler {
	return []protocol.Handler{
		packet.Register.Handler(b.register),
		packet.Login.Handler(b.login),
		packet.Logout.Handler(b.logout),
		packet.Verify.Handler(b.profile),
		packet.GetProfile.Handler(b.profile),
		packet.UpdateProfile.Handler(b.updateProfile),
		packet.GetUser.Handler(b.getUser),
		packet.SetPicture.Handler(b.setPicture),
		packet.PicturesInUse.Handler(b.picturesInUse),
		packet.ListSessions.Handler(b.listSessions),
		packet.EndSession.Handler(b.endSession),
		packet.EndOtherSessions.Handler(b.endOtherSessions),
		packet.ChangePassword.Handler(b.changePassword),
		packet.DeleteAccount.Handler(b.deleteAccount),
	}
}

// Types returns the packet types that every Backend answers.
func Types() []string { return protocol.NewMux((*Backend)(nil).handlers()...).Types() }

// Close writes what is still to be written and ends the background work.
// Calls must have ended before.
func (b *Backend) Close() error {
	b.stop()
	b.owned.Wait()
	return nil
}
