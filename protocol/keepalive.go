package protocol

import (
	"context"
	"fmt"
	"time"
)

// Keepalive of the client, which alone pings.
const (
	pingAfter   = 10 * time.Second // without a byte received
	pingTimeout = 3 * time.Second  // and then dead
	pingSpacing = 5 * time.Second  // at least, between two pings
	// unansweredGrace is how long after its deadline a call may stay
	// unanswered before the server is taken for broken.
	unansweredGrace = 10 * time.Second
)

// keepAlive pings a server that is silent, and gives up one that does not
// answer or that owes an answer long past its deadline.
func (c *Conn) keepAlive() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var pinged time.Time
	for {
		select {
		case <-c.dead:
			return
		case <-tick.C:
		}
		if c.overdue() {
			c.fail(fmt.Errorf("backend left a call unanswered %v past its deadline", unansweredGrace))
			return
		}
		silent := time.Since(time.Unix(0, c.lastReceived.Load()))
		if silent < pingAfter && !c.suspect.Load() || time.Since(pinged) < pingSpacing || c.leaving() {
			continue
		}
		pinged = time.Now()
		c.suspect.Store(false)
		if !c.ping(pinged) {
			return
		}
	}
}

// ping asks for a sign of life and fails the connection if no byte at all
// comes: an answer may be late behind others, a byte may not.
func (c *Conn) ping(at time.Time) bool {
	ctx, cancel := context.WithTimeout(context.Background(), pingTimeout)
	defer cancel()
	_, err := c.Call(ctx, Request{Type: typePing, ReadOnly: true})
	if err != nil && c.lastReceived.Load() < at.UnixNano() {
		c.fail(fmt.Errorf("backend sent nothing for %v after a ping: %w", pingTimeout, err))
		return false
	}
	return true
}

func (c *Conn) overdue() bool {
	limit := time.Now().Add(-unansweredGrace)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pending {
		if p.abandoned && p.deadline.Before(limit) {
			return true
		}
	}
	return false
}
