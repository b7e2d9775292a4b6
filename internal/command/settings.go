package command

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/alecthomas/kong"
)

// Where a flag's value comes from when it does not stand on the command
// line: its variable, for secrets a file that a variable names, or the
// --config file.

const prefix = "GATEHOUSE_"

// variable is the environment twin of a flag.
func variable(flag string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// environ is the environment by name.
type environ map[string]string

func newEnviron(list []string) environ {
	e := make(environ, len(list))
	for _, entry := range list {
		name, value, _ := strings.Cut(entry, "=")
		e[name] = value
	}
	return e
}

// secret tells whether a flag's value must not be shown.
func secret(flag *kong.Flag) bool { return flag.Tag.Has("secret") }

// resolver finds values of flags outside of the command line.
type resolver struct {
	environ environ
	read    sync.Once
	file    map[string]string
	err     error
}

// Validate implements kong.Resolver.
func (*resolver) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver.
func (r *resolver) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if flag.Name == "help" {
		return nil, nil
	}
	value, found, err := r.environ.lookUp(flag)
	if err != nil || found {
		return value, err
	}
	if flag.Name == "config" {
		return nil, nil
	}
	r.read.Do(func() { r.file, r.err = r.readFile(ctx) })
	if value, ok := r.file[flag.Name]; ok {
		return value, nil
	}
	return nil, r.err
}

// lookUp returns what the environment says of a flag.
func (e environ) lookUp(flag *kong.Flag) (value any, found bool, err error) {
	name := variable(flag.Name)
	if value, ok := e[name]; ok {
		return value, true, nil
	}
	path, ok := e[name+"_FILE"]
	if !ok || !secret(flag) {
		return nil, false, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, false, fmt.Errorf("read the file that %s_FILE names: %w", name, err)
	}
	return strings.TrimSpace(string(content)), true, nil
}

// readFile reads the --config file that the command line or the environment
// names, if any.
func (r *resolver) readFile(ctx *kong.Context) (map[string]string, error) {
	path := r.environ[variable("config")]
	for _, flag := range ctx.Flags() {
		if given, ok := ctx.FlagValue(flag).(string); flag.Name == "config" && ok && given != "" {
			path = given
		}
	}
	if path == "" {
		return nil, nil
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("--config %s: there is no such file", path)
	}
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	values, err := parseSettings(string(content), allFlags(ctx.Model.Node))
	if err != nil {
		return nil, fmt.Errorf("--config %s: %w", path, err)
	}
	return values, nil
}

// parseSettings reads lines of the form "flag = value". Blank lines and lines
// that start with # are passed over; a value may stand in double quotes.
// Every key must be a flag of some command, so that one file serves all.
func parseSettings(content string, known map[string]*kong.Flag) (map[string]string, error) {
	values := map[string]string{}
	number := 0
	for line := range strings.Lines(content) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok {
			return nil, fmt.Errorf("line %d: want \"flag = value\"", number)
		}
		if known[key] == nil || key == "config" || key == "help" {
			return nil, fmt.Errorf("line %d: there is no setting %q%s", number, key, suggestion(key, slices.Sorted(maps.Keys(known))))
		}
		if _, twice := values[key]; twice {
			return nil, fmt.Errorf("line %d: %s is set twice", number, key)
		}
		if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
			value = value[1 : len(value)-1]
		}
		values[key] = value
	}
	return values, nil
}

// allFlags returns the flags of a node and everything under it.
func allFlags(node *kong.Node) map[string]*kong.Flag {
	flags := map[string]*kong.Flag{}
	for _, f := range node.Flags {
		flags[f.Name] = f
	}
	for _, child := range node.Children {
		maps.Copy(flags, allFlags(child))
	}
	return flags
}

// warnUnknown warns of variables that look like settings and are none.
func (e environ) warnUnknown(model *kong.Kong, w interface{ Write([]byte) (int, error) }) {
	known := map[string]bool{}
	for name, flag := range allFlags(model.Model.Node) {
		known[variable(name)] = true
		known[variable(name)+"_FILE"] = secret(flag)
	}
	names := slices.Sorted(maps.Keys(known))
	for _, name := range slices.Sorted(maps.Keys(e)) {
		if strings.HasPrefix(name, prefix) && !known[name] {
			fmt.Fprintf(w, "gatehouse: warning: %s is set, and there is no such setting%s\n", name, suggestion(name, names))
		}
	}
}

// suggestion names the known word that is most like an unknown one.
func suggestion(word string, known []string) string {
	best, least := "", 4
	for _, k := range known {
		if d := distance(word, k); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

// distance is the number of letters to insert, remove or replace to make b
// of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
