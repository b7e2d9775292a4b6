package command

import (
	"fmt"

	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// oneUser is a command about one user that sets no password.
type oneUser struct {
	operatorFlags
	Username string `arg:"" help:"The username."`
}

// change makes a call about the user and says what was done. doing completes
// the sentence "… ada: why not".
func (c oneUser) change(p *process, m protocol.Method[packet.Named, packet.OpUserReply], doing, done string) error {
	ctx, cancel := untilSignal(p.ctx)
	defer cancel()
	return c.with(ctx, p, rules{}, func(o *operator) error {
		reply, err := m.Call(ctx, o, protocol.Meta{}, packet.Named{Username: c.Username})
		if err != nil {
			return fmt.Errorf("%s %s: %w", doing, c.Username, explain(err, c.Username))
		}
		_, err = fmt.Fprintf(p.stdout, done+"\n", reply.User.Username)
		return err
	})
}

type usersDisable struct{ oneUser }

// Run keeps a user out.
func (c usersDisable) Run(p *process) error {
	return c.change(p, packet.OpDisableUser, "disable", "disabled %s, all sessions ended")
}

type usersEnable struct{ oneUser }

// Run lets a user in again.
func (c usersEnable) Run(p *process) error {
	return c.change(p, packet.OpEnableUser, "enable", "enabled %s")
}

type usersEndSessions struct{ oneUser }

// Run ends all sessions of a user.
func (c usersEndSessions) Run(p *process) error {
	return c.change(p, packet.OpEndSessions, "end sessions of", "ended all sessions of %s")
}

type usersDelete struct {
	oneUser
	Yes bool `help:"Do it without asking."`
}

// Run deletes an account for good.
func (c usersDelete) Run(p *process) error {
	ctx, cancel := untilSignal(p.ctx)
	defer cancel()
	question := fmt.Sprintf("The account %s and all that is kept about it will be deleted.", c.Username)
	if err := p.confirm(ctx, c.Yes, c.Username, question); err != nil {
		return err
	}
	return c.with(ctx, p, rules{}, func(o *operator) error {
		_, err := packet.OpDeleteUser.Call(ctx, o, protocol.Meta{}, packet.Named{Username: c.Username})
		if err != nil {
			return fmt.Errorf("delete %s: %w", c.Username, explain(err, c.Username))
		}
		_, err = fmt.Fprintf(p.stdout, "deleted %s\n", packet.FoldUsername(c.Username))
		return err
	})
}
