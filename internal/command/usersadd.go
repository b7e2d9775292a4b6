package command

import (
	"fmt"

	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

type usersAdd struct {
	operatorFlags
	rulesFlags
	Username string `arg:"" help:"The username: 3 to 32 of a-z, 0-9, dot, underscore and hyphen."`
	Nickname string `help:"The nickname; the username where none is given." placeholder:"TEXT"`
}

// Help says where the password comes from.
func (usersAdd) Help() string { return passwordHelp }

const passwordHelp = "The password is asked for twice on a terminal, and otherwise read from standard input: one line."

// Run makes an account, also where registration is closed.
func (c usersAdd) Run(p *process) error {
	r, err := c.rules()
	if err != nil {
		return err
	}
	ctx, cancel := untilSignal(p.ctx)
	defer cancel()
	// First, so that the database is not held while a person types.
	secret, err := p.readPassword(ctx, c.Username)
	if err != nil {
		return err
	}
	return c.with(ctx, p, r, func(o *operator) error {
		reply, err := packet.OpAddUser.Call(ctx, o, protocol.Meta{}, packet.OpAddUserRequest{
			Named: packet.Named{Username: c.Username}, Nickname: c.Nickname, Password: secret})
		if err != nil {
			return fmt.Errorf("add %s: %w", c.Username, explain(err, c.Username))
		}
		_, err = fmt.Fprintf(p.stdout, "added %s, id %d\n", reply.User.Username, reply.User.ID)
		return err
	})
}

type usersSetPassword struct {
	operatorFlags
	rulesFlags
	Username string `arg:"" help:"Whose password."`
}

// Help says where the password comes from.
func (usersSetPassword) Help() string { return passwordHelp }

// Run sets a password and ends all sessions of the user.
func (c usersSetPassword) Run(p *process) error {
	r, err := c.rules()
	if err != nil {
		return err
	}
	ctx, cancel := untilSignal(p.ctx)
	defer cancel()
	// First, so that the database is not held while a person types.
	secret, err := p.readPassword(ctx, c.Username)
	if err != nil {
		return err
	}
	return c.with(ctx, p, r, func(o *operator) error {
		reply, err := packet.OpSetPassword.Call(ctx, o, protocol.Meta{}, packet.OpSetPasswordRequest{
			Named: packet.Named{Username: c.Username}, Password: secret})
		if err != nil {
			return fmt.Errorf("set password of %s: %w", c.Username, explain(err, c.Username))
		}
		_, err = fmt.Fprintf(p.stdout, "password of %s set, all sessions ended\n", reply.User.Username)
		return err
	})
}
