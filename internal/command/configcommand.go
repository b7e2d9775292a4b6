package command

import (
	"fmt"
	"net/url"
	"strings"
)

type configCommand struct {
	Print configPrint `cmd:"" help:"Print the settings in effect, in the form of a --config file, with secrets left out."`
	Check configCheck `cmd:"" help:"Check the settings without starting anything."`
}

// allSettings are the settings of both tiers.
type allSettings struct {
	serveFlags
	backendAddress
}

type configPrint struct{ allSettings }

// Run prints every setting, what follows from others among them.
func (c configPrint) Run(p *process) error {
	derived := map[string]string{"database": c.url(c.Data), "pictures": c.picturesURL(c.Data), "cache": c.cacheURL(c.url(c.Data))}
	for _, flag := range p.parsed.Flags() {
		if flag.Name == "help" || flag.Name == "config" {
			continue
		}
		value := fmt.Sprint(p.parsed.FlagValue(flag))
		if list, ok := p.parsed.FlagValue(flag).([]string); ok {
			value = strings.Join(list, ",")
		}
		if effective, ok := derived[flag.Name]; ok {
			value = effective
		}
		if secret(flag) {
			value = redact(value)
		}
		if _, err := fmt.Fprintf(p.stdout, "%s = %s\n", flag.Name, value); err != nil {
			return err
		}
	}
	return nil
}

// redact takes the password out of a URL. What is no URL may be anything, so
// that all of it goes.
func redact(value string) string {
	if value == "" || value == "none" || strings.HasPrefix(value, "sqlite:") || strings.HasPrefix(value, "memory:") {
		return value
	}
	u, err := url.Parse(value)
	if err != nil || u.Host == "" && u.User == nil {
		return "REDACTED"
	}
	return strings.ReplaceAll(u.Redacted(), "xxxxx", "REDACTED")
}

type configCheck struct{ allSettings }

// Run checks what a start would refuse because of a setting alone.
func (c configCheck) Run(p *process) error {
	if err := c.check(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(p.stdout, "the settings are sound")
	return err
}
