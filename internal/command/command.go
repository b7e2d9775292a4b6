// Package command is the wiring: the commands of the one binary, their flags,
// and how a process is put together from the parts that know nothing of each
// other. It is the only package that imports everything, and holds no logic
// of its own beyond that.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit statuses.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	exitSLO     = 3
)

// commands are the words after "gatehouse".
type commands struct {
	Serve       serveCommand       `cmd:"" default:"withargs" help:"Run both tiers in one process. This is what gatehouse does without a command."`
	Webserver   webserverCommand   `cmd:"" help:"Run tier 1 alone: the pages and the JSON API."`
	Backend     backendCommand     `cmd:"" help:"Run tier 2 alone: accounts, sessions and passwords."`
	Migrate     migrateCommand     `cmd:"" help:"Change, show or check the database schema."`
	Users       usersCommand       `cmd:"" help:"Accounts, from the operator's side."`
	Backup      backupCommand      `cmd:"" help:"Write the SQLite database into a file, while it is in use."`
	Restore     restoreCommand     `cmd:"" help:"Put a backup in the place of the SQLite database."`
	Stresstest  stresstestCommand  `cmd:"" help:"The load driver."`
	Call        callCommand        `cmd:"" help:"Send one packet to a backend and print the reply."`
	Healthcheck healthcheckCommand `cmd:"" help:"Exit 0 if a process is ready, 1 if not."`
	Config      configCommand      `cmd:"" help:"Print or check the settings that are in effect."`
	Version     versionCommand     `cmd:"" help:"Print the version."`
	Completion  completionCommand  `cmd:"" help:"Print the completion script of a shell."`
}

// process is what a command has of the world around it.
type process struct {
	ctx     context.Context
	environ environ
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	model   *kong.Kong
	parsed  *kong.Context
}

// usageError is a mistake in how the program was called, which exits 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exited carries the status with which the parser wants to leave, after
// printing help.
type exited int

// Run runs the command that args name, with the environment as os.Environ
// returns it, and returns the exit status.
func Run(ctx context.Context, args, environment []string, stdin io.Reader, stdout, stderr io.Writer) (status int) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case exited:
			status = int(v)
		default:
			panic(v)
		}
	}()
	p := &process{ctx: ctx, environ: newEnviron(environment), stdin: stdin, stdout: stdout, stderr: stderr}
	model, err := newModel(p)
	if err != nil {
		fmt.Fprintln(stderr, "gatehouse:", err)
		return exitFailure
	}
	p.model = model
	p.parsed, err = model.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "gatehouse: %v%s\nRun \"gatehouse --help\" for the commands and flags.\n", err, meant(model, args))
		return exitUsage
	}
	p.environ.warnUnknown(model, stderr)
	p.warnPasswords()
	return p.report(p.parsed.Run(p))
}

// warnPasswords warns of passwords on the command line, which everybody on the
// machine can read.
func (p *process) warnPasswords() {
	for _, step := range p.parsed.Path {
		if step.Flag == nil || step.Resolved || !secret(step.Flag) {
			continue
		}
		text, _ := p.parsed.FlagValue(step.Flag).(string)
		u, err := url.Parse(text)
		if err != nil || u.User == nil {
			continue
		}
		if _, given := u.User.Password(); given {
			fmt.Fprintf(p.stderr, "gatehouse: warning: the password in --%s can be seen by everybody on this machine; use %s, or %s_FILE naming a file\n",
				step.Flag.Name, variable(step.Flag.Name), variable(step.Flag.Name))
		}
	}
}

// meant names the command that the first word was likely meant to be. The
// parser itself does not, because a word may be an argument of serve.
func meant(model *kong.Kong, args []string) string {
	var names []string
	for _, command := range model.Model.Children {
		names = append(names, command.Name)
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") || slices.Contains(names, args[0]) {
		return ""
	}
	return suggestion(args[0], names)
}

func newModel(p *process) (*kong.Kong, error) {
	model, err := kong.New(&commands{},
		kong.Name("gatehouse"),
		kong.Description("A login and profile service in two tiers. Every flag may be given as an environment variable "+
			"(--http is GATEHOUSE_HTTP) and in a --config file; flags win over the environment, the environment over the file."),
		kong.Writers(p.stdout, p.stderr),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.ValueFormatter(helpOf),
		kong.Resolvers(&resolver{environ: p.environ}),
	)
	if err != nil {
		return nil, fmt.Errorf("build the command line: %w", err)
	}
	return model, nil
}

// helpOf is the help of a flag with its default, where the flag does not
// show it in place of its value, and its variable.
func helpOf(v *kong.Value) string {
	if v.Flag == nil || v.Flag.Name == "help" {
		return v.Help
	}
	def := ""
	if v.Tag.HasDefault && v.Tag.PlaceHolder != "" {
		def = ", default " + v.Tag.Default
	}
	return strings.TrimSuffix(v.Help, ".") + def + " [" + variable(v.Flag.Name) + "]."
}

// report prints what went wrong and returns the exit status.
func (p *process) report(err error) int {
	var wrong usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &wrong):
		fmt.Fprintln(p.stderr, "gatehouse:", err)
		return exitUsage
	case errors.Is(err, errReported):
		return exitFailure
	case errors.Is(err, errSLO):
		fmt.Fprintln(p.stderr, "gatehouse:", err)
		return exitSLO
	}
	fmt.Fprintln(p.stderr, "gatehouse:", err)
	return exitFailure
}

// errReported fails a command that has said on its own what is wrong.
var errReported = errors.New("reported")

// untilSignal returns a context that ends with the first signal to stop. A
// second one ends the process at once.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
			cancel()
			<-signals
			os.Exit(exitFailure)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel()
	}
}
