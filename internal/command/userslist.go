package command

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"gatehouse/backend/session"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

type usersList struct {
	operatorFlags
	After string `help:"Begin after this username, which need not exist." placeholder:"NAME"`
	Limit int    `help:"At most so many accounts; 0 is all." default:"100" placeholder:"N"`
	JSON  bool   `name:"json" help:"One JSON object a line, for programs."`
}

// Run prints accounts in the order of their usernames. It holds one page of
// them in memory, however many there are.
func (c usersList) Run(p *process) error {
	if c.Limit < 0 {
		return usage("--limit: %d is negative; 0 lists all", c.Limit)
	}
	ctx, cancel := untilSignal(p.ctx)
	defer cancel()
	return c.with(ctx, p, rules{reading: true}, func(o *operator) error {
		out := bufio.NewWriter(p.stdout)
		last, more, err := c.print(ctx, o, out)
		if flushed := out.Flush(); err == nil {
			err = flushed
		}
		if err == nil && more {
			fmt.Fprintf(p.stderr, "there are more: --after %s\n", last)
		}
		return err
	})
}

// print prints pages until there are no more accounts or enough of them. It
// returns the last username and whether there are more after it.
func (c usersList) print(ctx context.Context, o *operator, out io.Writer) (last string, more bool, err error) {
	last = c.After
	row := printAccount
	if c.JSON {
		row = printJSON[packet.Account]
	} else if err := printHeading(out); err != nil {
		return last, false, err
	}
	for printed := 0; ; {
		limit := packet.MaxListed
		if c.Limit > 0 {
			limit = min(limit, c.Limit-printed)
		}
		page, err := packet.OpListUsers.Call(ctx, o, protocol.Meta{}, packet.OpListUsersRequest{After: last, Limit: limit})
		if err != nil {
			return last, false, fmt.Errorf("list users after %q: %w", last, explain(err, last))
		}
		for _, u := range page.Users {
			if err := row(out, u); err != nil {
				return last, false, err
			}
			last = u.Username
		}
		printed += len(page.Users)
		if !page.More || len(page.Users) == 0 || c.Limit > 0 && printed >= c.Limit {
			return last, page.More, nil
		}
	}
}

// accountRow has columns of fixed width, so that a table of any length is
// printed as it is read.
const accountRow = "%-32s  %-19v  %-8s  %-20s  %s\n"

func printHeading(out io.Writer) error {
	_, err := fmt.Fprintf(out, accountRow, "USERNAME", "ID", "STATE", "CREATED", "NICKNAME")
	return err
}

func printAccount(out io.Writer, u packet.Account) error {
	_, err := fmt.Fprintf(out, accountRow, u.Username, u.ID, state(u), u.CreatedAt.Format(time.RFC3339), printable(u.Nickname))
	return err
}

func printJSON[T any](out io.Writer, v T) error { return json.NewEncoder(out).Encode(v) }

func state(u packet.Account) string {
	if u.Disabled {
		return "disabled"
	}
	return "enabled"
}

// printable keeps what people wrote from steering the operator's terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

type usersShow struct {
	oneUser
	SessionIdle time.Duration `help:"How long a session lives unused, where no backend is running." default:"168h" group:"Operator"`
	JSON        bool          `name:"json" help:"One JSON object, for programs."`
}

// Run prints an account with its live sessions.
func (c usersShow) Run(p *process) error {
	if c.SessionIdle < time.Second {
		return usage("--session-idle: %v is too short, want at least 1s", c.SessionIdle)
	}
	ctx, cancel := untilSignal(p.ctx)
	defer cancel()
	return c.with(ctx, p, rules{reading: true, limits: session.Limits{Idle: c.SessionIdle}}, func(o *operator) error {
		reply, err := packet.OpShowUser.Call(ctx, o, protocol.Meta{}, packet.Named{Username: c.Username})
		if err != nil {
			return fmt.Errorf("show %s: %w", c.Username, explain(err, c.Username))
		}
		if c.JSON {
			return printJSON(p.stdout, reply)
		}
		_, err = io.WriteString(p.stdout, describe(reply))
		return err
	})
}

// describe is an account with its sessions for a person to read.
func describe(reply packet.OpShowUserReply) string {
	var b strings.Builder
	u, picture := reply.User, "none"
	if u.PictureURL != nil {
		picture = *u.PictureURL
	}
	for _, line := range [][2]string{{"username", u.Username}, {"id", fmt.Sprint(u.ID)}, {"nickname", printable(u.Nickname)},
		{"state", state(u)}, {"picture", picture}, {"created", u.CreatedAt.Format(time.RFC3339)}, {"version", fmt.Sprint(u.Version)}} {
		fmt.Fprintf(&b, "%-9s %s\n", line[0], line[1])
	}
	count := fmt.Sprint(len(reply.Sessions))
	if reply.More {
		count = "more than " + count
	}
	fmt.Fprintf(&b, "sessions  %s\n", count)
	for _, s := range reply.Sessions {
		fmt.Fprintf(&b, "  %-19s  seen %s  until %s  %s  %s\n", s.ID, s.LastSeenAt.Format(time.RFC3339), s.ExpiresAt.Format(time.RFC3339),
			s.IP, printable(s.UserAgent))
	}
	return b.String()
}
