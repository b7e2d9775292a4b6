package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"gatehouse/backend"
	"gatehouse/protocol"
	"gatehouse/webserver"
)

type callCommand struct {
	commonFlags
	dataFlag
	backendAddress
	linkFlags
	Type           string        `arg:"" optional:"" help:"The packet type."`
	Body           string        `arg:"" optional:"" help:"The body, a JSON object, or - to read it from standard input."`
	List           bool          `help:"List the packet types."`
	Timeout        time.Duration `help:"How long to wait." default:"5s"`
	IdempotencyKey string        `help:"The idempotency key to send." placeholder:"KEY"`
}

// Run sends one packet and prints the reply: its body on standard output,
// its subject or its error on standard error.
func (c callCommand) Run(p *process) error {
	if c.List {
		for _, typ := range append([]string{"ping"}, backend.Types()...) {
			fmt.Fprintln(p.stdout, typ)
		}
		return nil
	}
	if c.Type == "" {
		return usage("call: which packet type? --list lists them")
	}
	body, err := c.body(p.stdin)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(p.ctx, c.Timeout)
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	reply, err := conn.Call(ctx, protocol.Request{Type: c.Type, Body: body,
		Meta: protocol.Meta{IdempotencyKey: c.IdempotencyKey}, AnySubject: true})
	if err != nil {
		return c.refused(p.stderr, err)
	}
	if reply.Subject != "" {
		fmt.Fprintln(p.stderr, "subject:", reply.Subject)
	}
	_, err = fmt.Fprintf(p.stdout, "%s\n", reply.Body)
	return err
}

// body returns the body to send, which must be such that any backend reads
// it as it is meant.
func (c callCommand) body(stdin io.Reader) ([]byte, error) {
	text := []byte(c.Body)
	if c.Body == "-" {
		var err error
		if text, err = io.ReadAll(io.LimitReader(stdin, protocol.MaxRequestFrame+1)); err != nil {
			return nil, fmt.Errorf("read the body from standard input: %w", err)
		}
	}
	if len(text) == 0 {
		text = []byte("{}")
	}
	if err := protocol.CheckJSON(text); err != nil {
		return nil, usage("the body is not JSON that a backend takes: %w", err)
	}
	return text, nil
}

// dial connects to the first backend, with the key of --link-key-file or the
// one that serve made, if the backend asks for it.
func (c callCommand) dial(ctx context.Context) (*protocol.Conn, error) {
	log := slog.New(slog.DiscardHandler)
	cfg := protocol.Config{Name: "call/" + version, KeyIfAsked: true}
	var err error
	if cfg.TLS, err = c.tls(); err != nil {
		return nil, err
	}
	own := filepath.Join(c.Data, "link.key")
	if c.LinkKeyFile == "" {
		if _, err := os.Stat(own); err == nil {
			c.LinkKeyFile = own
		}
	}
	if cfg.Key, err = c.key(log); err != nil {
		return nil, err
	}
	if len(c.Backend) == 0 {
		return nil, usage("--backend: no address is given")
	}
	if err := webserver.CheckTarget(c.Backend[0]); err != nil {
		return nil, usage("--backend: %w", err)
	}
	network, address := webserver.SplitTarget(c.Backend[0])
	return protocol.Dial(ctx, network, address, cfg)
}

// refused prints the error of a reply as it came.
func (c callCommand) refused(w io.Writer, err error) error {
	var e *protocol.Error
	if !errors.As(err, &e) {
		return err
	}
	text, encodeErr := json.MarshalIndent(map[string]any{"code": e.Code, "reason": e.Reason, "fields": e.Fields,
		"retry_after_ms": e.RetryAfter.Milliseconds()}, "", "  ")
	if encodeErr != nil || e.Cause != nil {
		return err
	}
	fmt.Fprintf(w, "gatehouse: %s was refused\n%s\n", c.Type, text)
	return errReported
}
