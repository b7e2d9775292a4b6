package protocol

import (
	"context"
	"slices"
)

// Handler answers the calls of one packet type.
type Handler struct {
	Type     string
	ReadOnly bool
	Caller
}

// Mux is a set of handlers by packet type. It is itself a Caller.
type Mux struct {
	handlers map[string]Handler
}

// NewMux returns a Mux of handlers. It panics if two have the same type,
// which is a mistake in the program and not in its input.
func NewMux(handlers ...Handler) *Mux {
	m := &Mux{handlers: make(map[string]Handler, len(handlers))}
	for _, h := range handlers {
		if _, twice := m.handlers[h.Type]; twice {
			panic("protocol: two handlers for packet type " + h.Type)
		}
		m.handlers[h.Type] = h
	}
	return m
}

// Call passes req to the handler of its type. A type without one is answered
// NotFound, so that a newer caller can tell an older server.
func (m *Mux) Call(ctx context.Context, req Request) (Reply, error) {
	h, ok := m.handlers[req.Type]
	if !ok {
		return Reply{}, &Error{Code: NotFound, Reason: "unknown_type"}
	}
	return h.Call(ctx, req)
}

// Types returns the packet types that m answers, sorted.
func (m *Mux) Types() []string {
	types := make([]string, 0, len(m.handlers))
	for t := range m.handlers {
		types = append(types, t)
	}
	slices.Sort(types)
	return types
}
