package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"gatehouse/protocol/packet"
)

// maxPasswordInput is the most that is read of a password: more than any
// that is accepted, so that what is too long is refused and not cut.
const maxPasswordInput = 4096

// readPassword asks a person twice for a new password without showing it, or
// takes it from standard input where nobody is there. It never comes from the
// command line, which everybody on the machine can read.
func (p *process) readPassword(ctx context.Context, username string) (packet.Secret, error) {
	keyboard, ok := p.keyboard()
	if !ok {
		return p.pipedPassword()
	}
	first, err := askHidden(ctx, keyboard, p.stderr, fmt.Sprintf("New password of %s: ", username))
	if err != nil {
		return "", err
	}
	second, err := askHidden(ctx, keyboard, p.stderr, "Once more: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two passwords differ; nothing was changed")
	}
	return packet.Secret(first), nil
}

// keyboard returns standard input where a person types there.
func (p *process) keyboard() (*os.File, bool) {
	f, ok := p.stdin.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// pipedPassword is all of standard input but the end of its one line.
func (p *process) pipedPassword() (packet.Secret, error) {
	text, err := io.ReadAll(io.LimitReader(p.stdin, maxPasswordInput+1))
	if err != nil {
		return "", fmt.Errorf("read the password from standard input: %w", err)
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case line == "":
		return "", usage("the password is read from standard input, which is empty")
	case len(text) > maxPasswordInput:
		return "", usage("the password on standard input is longer than %d bytes", maxPasswordInput)
	case strings.ContainsAny(line, "\r\n"):
		return "", usage("the password is read from standard input, which holds more than one line")
	}
	return packet.Secret(line), nil
}

// askHidden reads a line that is not shown. Where ctx ends first the terminal
// is put right again; the reading ends with the process.
func askHidden(ctx context.Context, keyboard *os.File, out io.Writer, question string) (string, error) {
	fd := int(keyboard.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("read a password from the terminal: %w", err)
	}
	type answer struct {
		text []byte
		err  error
	}
	fmt.Fprint(out, question)
	answers := make(chan answer, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		answers <- answer{text, err}
	}()
	select {
	case a := <-answers:
		fmt.Fprintln(out)
		if a.err != nil {
			return "", fmt.Errorf("read a password from the terminal: %w", a.err)
		}
		return string(a.text), nil
	case <-ctx.Done():
		fmt.Fprintln(out)
		return "", errors.Join(errInterrupted, term.Restore(fd, before))
	}
}

// confirm asks a person to type a word before something is done for good.
// Where nobody is there, --yes must have been given.
func (p *process) confirm(ctx context.Context, yes bool, word, question string) error {
	if yes {
		return nil
	}
	keyboard, ok := p.keyboard()
	if !ok {
		return usage("%s Nobody can be asked on this standard input; add --yes to do it", question)
	}
	fmt.Fprintf(p.stderr, "%s Type %s to do it: ", question, word)
	lines := make(chan string, 1)
	go func() { // ends with the line, or with the process
		line, _ := bufio.NewReader(io.LimitReader(keyboard, maxPasswordInput)).ReadString('\n') // what is missing is no confirmation
		lines <- strings.TrimSpace(line)
	}()
	select {
	case line := <-lines:
		if line != word {
			return errors.New("not confirmed; nothing was changed")
		}
		return nil
	case <-ctx.Done():
		return errInterrupted
	}
}

// errInterrupted means that a signal came while a person was asked.
var errInterrupted = errors.New("interrupted; nothing was changed")
