package command

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCommand struct {
	Shell string `arg:"" help:"bash, zsh or fish." enum:"bash,zsh,fish"`
}

// Run prints the script. Load it with: source <(gatehouse completion bash)
func (c completionCommand) Run(p *process) error {
	words := completions(p.model.Model.Node, "")
	switch c.Shell {
	case "fish":
		return fishCompletion(p.stdout, words)
	case "zsh":
		if _, err := fmt.Fprintln(p.stdout, "#compdef gatehouse\nautoload -U +X bashcompinit && bashcompinit"); err != nil {
			return err
		}
	}
	return bashCompletion(p.stdout, words)
}

// completions returns what may follow each sequence of commands: further
// commands and flags.
func completions(node *kong.Node, path string) map[string][]string {
	words := map[string][]string{}
	var next []string
	for _, f := range node.Flags {
		next = append(next, "--"+f.Name)
	}
	if def := node.DefaultCmd; def != nil {
		for _, f := range def.Flags {
			next = append(next, "--"+f.Name)
		}
	}
	for _, child := range node.Children {
		if child.Type == kong.CommandNode {
			next = append(next, child.Name)
			maps.Copy(words, completions(child, strings.TrimSpace(path+" "+child.Name)))
		}
	}
	for _, arg := range node.Positional {
		if arg.Enum != "" {
			next = append(next, strings.Split(arg.Enum, ",")...)
		}
	}
	slices.Sort(next)
	words[path] = slices.Compact(next)
	return words
}

// bashCompletion prints a script for bash, which zsh understands too.
func bashCompletion(w io.Writer, words map[string][]string) error {
	var b strings.Builder
	b.WriteString("_gatehouse() {\n  local path=\"\" word\n  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n    case \"$path $word\" in\n")
	for _, path := range slices.Sorted(maps.Keys(words)) {
		if path != "" {
			parent := path[:max(0, strings.LastIndexByte(path, ' '))]
			fmt.Fprintf(&b, "      %q) path=%q ;;\n", parent+" "+path[strings.LastIndexByte(path, ' ')+1:], path)
		}
	}
	b.WriteString("    esac\n  done\n  case \"$path\" in\n")
	for _, path := range slices.Sorted(maps.Keys(words)) {
		fmt.Fprintf(&b, "    %q) COMPREPLY=($(compgen -W %q -- \"${COMP_WORDS[COMP_CWORD]}\")) ;;\n", path, strings.Join(words[path], " "))
	}
	b.WriteString("  esac\n}\ncomplete -o default -F _gatehouse gatehouse\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func fishCompletion(w io.Writer, words map[string][]string) error {
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(words)) {
		condition := "__fish_use_subcommand"
		if path != "" {
			condition = "__fish_seen_subcommand_from " + path[strings.LastIndexByte(path, ' ')+1:]
		}
		for _, word := range words[path] {
			if flag, ok := strings.CutPrefix(word, "--"); ok {
				fmt.Fprintf(&b, "complete -c gatehouse -n %q -l %s\n", condition, flag)
			} else {
				fmt.Fprintf(&b, "complete -c gatehouse -n %q -f -a %s\n", condition, word)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
