package backend

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"gatehouse/backend/cache"
	"gatehouse/backend/user"
	"gatehouse/protocol"
)

// answers are packet types with what answers each.
type answers struct {
	mux   *protocol.Mux
	known map[string]bool // packet types
}

func newAnswers(handlers ...protocol.Handler) answers {
	a := answers{protocol.NewMux(handlers...), map[string]bool{}}
	for _, typ := range a.mux.Types() {
		a.known[typ] = true
	}
	return a
}

// Call answers one packet: within a lane, with a deadline, its failure
// translated and one event in the log.
func (b *Backend) Call(ctx context.Context, req protocol.Request) (protocol.Reply, error) {
	return b.answer(ctx, b.people, req)
}

func (b *Backend) answer(ctx context.Context, a answers, req protocol.Request) (protocol.Reply, error) {
	start := time.Now()
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, protocol.DefaultDeadline)
		defer cancel()
	}
	op, lane := req.Type, b.lanes.of(req.Type)
	if !a.known[op] {
		op = operationUnknown // what a peer makes up must not make up numbers
	}
	ctx = context.WithValue(ctx, opKey{}, op)
	reply, err := b.admitted(ctx, lane, a.mux, req)
	var failure *protocol.Error
	if err != nil {
		failure = toCode(err)
	}
	b.observe.answered(req, lane.name, failure)
	b.logCall(ctx, req, reply, failure, time.Since(start))
	if failure != nil {
		return protocol.Reply{}, failure
	}
	return reply, nil
}

func (b *Backend) admitted(ctx context.Context, lane *lane, to protocol.Caller, req protocol.Request) (protocol.Reply, error) {
	arrived := protocol.Received(ctx)
	if arrived.IsZero() {
		arrived = time.Now()
	}
	if b.cfg.Cache.View().Mode == cache.Lost {
		return protocol.Reply{}, fmt.Errorf("%w: the database did not answer lately", user.ErrUnavailable)
	}
	err := lane.enter(ctx)
	b.observe.stage(ctx, stageQueue, arrived)
	if err != nil {
		return protocol.Reply{}, err
	}
	defer lane.leave()
	defer b.observe.stage(ctx, stageHandle, time.Now())
	return to.Call(ctx, req)
}

// logCall writes one event a call. Reads that went well are of interest only
// to who debugs; defects and outages to who is on call.
func (b *Backend) logCall(ctx context.Context, req protocol.Request, reply protocol.Reply, failure *protocol.Error, took time.Duration) {
	level, code := slog.LevelInfo, "ok"
	if b.lanes.of(req.Type) == b.lanes.read {
		level = slog.LevelDebug
	}
	if failure != nil {
		code = string(failure.Code)
		switch failure.Code {
		case protocol.Internal:
			level = slog.LevelError
		case protocol.Unavailable, protocol.UnknownOutcome, protocol.Timeout, protocol.Overloaded:
			level = slog.LevelWarn
		}
	}
	if !b.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("trace", protocol.Trace(ctx)), slog.String("op", req.Type),
		slog.String("code", code), slog.Duration("duration", took)}
	if client := address(req.Client); client.IsValid() {
		attrs = append(attrs, slog.String("client_ip", client.String()))
	}
	if failure == nil && reply.Subject != "" {
		attrs = append(attrs, slog.String("subject", reply.Subject))
	}
	if failure != nil {
		attrs = append(attrs, slog.String("reason", failure.Reason))
		if failure.Cause != nil {
			attrs = append(attrs, slog.String("error", failure.Cause.Error()))
		}
	}
	b.log.LogAttrs(ctx, level, "call", attrs...)
}
