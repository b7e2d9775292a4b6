package backend

import (
	"context"
	"time"

	"gatehouse/backend/session"
	"gatehouse/backend/user"
	"gatehouse/protocol"
)

// Hooks tell what happens in tier 2 to whoever keeps the numbers. Each may be
// nil, must not wait, and may be called by many goroutines at once. op is
// the packet type that the work is for, "background" for work of no packet.
type Hooks struct {
	// Stage: a step of the work took so long.
	Stage func(stage, op string, took time.Duration)
	// Lookup: a record was looked up in the cache. record is user, session or
	// name; result is hit, miss, negative, bypass (the cache was not asked,
	// because there is none or it does not answer) or error.
	Lookup func(record, result string)
	// Login: a login was answered, "ok" or with this reason or code.
	Login func(result string)
	// Shed: a call was refused because its lane or what it waits for is full.
	Shed func(lane string)
	// MarkLost: the cache forgot the mark of a change that was being made. It
	// may have shown what was older than the change.
	MarkLost func()
	// Audited: a record of the cache was compared with the database. It is
	// violated where the cache showed something older.
	Audited func(violated bool)
}

// The stages that tier 2 tells.
const (
	stageQueue         = "queue"
	stageHandle        = "handle"
	stageCacheHit      = "cache_hit"
	stageCacheMiss     = "cache_miss"
	stageCacheFill     = "cache_fill"
	stageCacheMark     = "cache_mark"
	stageCacheUnmark   = "cache_unmark"
	stageDBGetUser     = "db_get_user"
	stageDBGetSession  = "db_get_session"
	stageDBPutSession  = "db_put_session"
	stageDBUpdateUser  = "db_update_user"
	operationUnknown   = "unknown"
	operationUnrelated = "background"
)

type opKey struct{}

// Op returns the packet type that the work in ctx is for.
func Op(ctx context.Context) string {
	if op, ok := ctx.Value(opKey{}).(string); ok {
		return op
	}
	return operationUnrelated
}

// observer calls the hooks that are there.
type observer struct{ Hooks }

func (o observer) stage(ctx context.Context, stage string, start time.Time) {
	if o.Stage != nil {
		o.Stage(stage, Op(ctx), time.Since(start))
	}
}

func (o observer) lookup(record, result string) {
	if o.Lookup != nil {
		o.Lookup(record, result)
	}
}

func (o observer) audited(violated bool) {
	if o.Audited != nil {
		o.Audited(violated)
	}
}

func (o observer) markLost() {
	if o.MarkLost != nil {
		o.MarkLost()
	}
}

// answered tells of a call's outcome what is counted of it.
func (o observer) answered(req protocol.Request, lane string, failure *protocol.Error) {
	result := "ok"
	if failure != nil {
		if result = failure.Reason; result == "" {
			result = string(failure.Code)
		}
		if failure.Code == protocol.Overloaded && o.Shed != nil {
			o.Shed(lane)
		}
	}
	if req.Type == "login" && o.Login != nil {
		o.Login(result)
	}
}

// timedUsers tells how long the store of users took.
type timedUsers struct {
	user.Store
	observer observer
}

func (t timedUsers) ByID(ctx context.Context, id int64) (user.User, error) {
	defer t.observer.stage(ctx, stageDBGetUser, time.Now())
	return t.Store.ByID(ctx, id)
}

func (t timedUsers) ByName(ctx context.Context, username string) (user.User, error) {
	defer t.observer.stage(ctx, stageDBGetUser, time.Now())
	return t.Store.ByName(ctx, username)
}

func (t timedUsers) CredentialByID(ctx context.Context, id int64) (user.User, []byte, error) {
	defer t.observer.stage(ctx, stageDBGetUser, time.Now())
	return t.Store.CredentialByID(ctx, id)
}

func (t timedUsers) CredentialByName(ctx context.Context, username string) (user.User, []byte, error) {
	defer t.observer.stage(ctx, stageDBGetUser, time.Now())
	return t.Store.CredentialByName(ctx, username)
}

func (t timedUsers) Create(ctx context.Context, u user.User, credential []byte, idem *user.Idempotency) error {
	defer t.observer.stage(ctx, stageDBUpdateUser, time.Now())
	return t.Store.Create(ctx, u, credential, idem)
}

func (t timedUsers) Update(ctx context.Context, c user.Change) error {
	defer t.observer.stage(ctx, stageDBUpdateUser, time.Now())
	return t.Store.Update(ctx, c)
}

func (t timedUsers) Delete(ctx context.Context, id, version int64, idem *user.Idempotency) error {
	defer t.observer.stage(ctx, stageDBUpdateUser, time.Now())
	return t.Store.Delete(ctx, id, version, idem)
}

// timedSessions tells how long the store of sessions took.
type timedSessions struct {
	session.Store
	observer observer
}

func (t timedSessions) Session(ctx context.Context, userID int64, d session.Digest) (user.User, session.Session, error) {
	defer t.observer.stage(ctx, stageDBGetSession, time.Now())
	return t.Store.Session(ctx, userID, d)
}

func (t timedSessions) Sessions(ctx context.Context, userID int64, limit int) ([]session.Session, error) {
	defer t.observer.stage(ctx, stageDBGetSession, time.Now())
	return t.Store.Sessions(ctx, userID, limit)
}

func (t timedSessions) PutSession(ctx context.Context, s session.Session, perUser int) ([]session.Digest, error) {
	defer t.observer.stage(ctx, stageDBPutSession, time.Now())
	return t.Store.PutSession(ctx, s, perUser)
}

func (t timedSessions) EndSession(ctx context.Context, userID int64, d session.Digest, idem *user.Idempotency) error {
	defer t.observer.stage(ctx, stageDBPutSession, time.Now())
	return t.Store.EndSession(ctx, userID, d, idem)
}
