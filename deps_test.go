package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// may says which packages of this module each may import. It is the policy,
// not a description: an import that is missing here is a mistake, in the code
// or in the thinking, and either is worth a look. Tests may import more.
var may = map[string][]string{
	// Leaves. They know neither each other nor any tier, so that each can be
	// read, tested and replaced alone.
	"protocol":          {},
	"pool":              {},
	"schema":            {},
	"backend/user":      {},
	"backend/cache":     {},
	"backend/password":  {},
	"backend/throttle":  {},
	"webserver/picture": {},

	// The contract between the tiers.
	"protocol/packet": {"protocol"},

	// A session belongs to a user.
	"backend/session": {"backend/user"},
	// The store knows what it keeps and under which schema; nobody but the
	// wiring knows the store.
	"backend/store": {"backend/user", "backend/session", "backend/cache", "schema"},

	// Tier 2 sees interfaces of stores, and packets, never HTTP or SQL.
	"backend": {"protocol", "protocol/packet", "backend/user", "backend/session", "backend/cache", "backend/password", "backend/throttle"},

	// Tier 1 sees packets and pictures. That it cannot import the backend
	// keeps database credentials and password hashes out of its process.
	"webserver":           {"protocol", "protocol/packet", "pool", "webserver/picture", "webserver/catalogue"},
	"webserver/catalogue": {},

	// Numbers are joined to the code that does the work by the wiring.
	"monitoring": {"pool"},

	// The load driver is a black box: it sees packets and connections, and no tier.
	"stresstest": {"protocol", "protocol/packet", "pool"},
	// What is made of several of its runs sees their reports alone.
	"stresstest/capacity": {"stresstest"},
	"stresstest/matrix":   {"stresstest"},

	// The wiring imports everything.
	"internal/command": {"backend", "backend/cache", "backend/password", "backend/session", "backend/store", "backend/throttle",
		"backend/user", "monitoring", "protocol", "protocol/packet", "stresstest", "stresstest/capacity", "stresstest/matrix",
		"webserver", "webserver/picture"},
	"": {"internal/command"},

	// Only tests use these.
	"protocol/protocoltest":         {},
	"webserver/picture/picturetest": {"webserver/picture"},
	"backend/cache/cachetest":       {"backend/cache"},
	"backend/cache/model":           {},
	"internal/testenv":              {},
	"internal/testenv/browser":      {"internal/testenv"},
	"internal/e2e":                  {},
	"bench/loaddata":                {},
	"internal/mutants":              {},
}

// only says who alone may import a module from outside, because what it does
// is behind a seam there.
var only = map[string][]string{
	"github.com/prometheus/client_golang": {"monitoring"},
	"github.com/go-sql-driver/mysql":      {"backend/store", "schema", "internal/testenv"},
	"modernc.org/sqlite":                  {"backend/store", "schema"},
	"github.com/pressly/goose":            {"schema"},
	"github.com/alecthomas/kong":          {"internal/command"},
	"golang.org/x/crypto":                 {"backend/password"},
	"golang.org/x/image":                  {"webserver/picture"},
	"golang.org/x/term":                   {"internal/command"},
	"github.com/klauspost/compress":       {"webserver"},
	"github.com/chromedp":                 {"internal/testenv/browser"},
	"github.com/redis/go-redis":           {"backend/cache"},
	"github.com/maypok86/otter":           {"backend/cache"},
	"github.com/HdrHistogram":             {"stresstest"},
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) (list []goPackage) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("list packages: %v", err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

func TestImportsFollowThePolicy(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range packages(t) {
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, "gatehouse"), "/")
		allowed, known := may[name]
		if !known {
			t.Errorf("package %q has no place in the policy", name)
		}
		seen[name] = true
		for _, imported := range p.Imports {
			if own, ok := strings.CutPrefix(imported, "gatehouse/"); ok && !slices.Contains(allowed, own) {
				t.Errorf("%q imports %q", name, own)
			}
			for module, users := range only {
				if strings.HasPrefix(imported, module) && !slices.Contains(users, name) {
					t.Errorf("%q imports %q, which is for %q alone", name, imported, users)
				}
			}
		}
	}
	for name := range may {
		if !seen[name] {
			t.Errorf("the policy speaks of %q, which does not exist", name)
		}
	}
}

// TestSQLiteRunsWithTheLibraryItWasMadeFor holds modernc.org/libc at the one
// version that this modernc.org/sqlite was made with; with others it may
// corrupt memory.
func TestSQLiteRunsWithTheLibraryItWasMadeFor(t *testing.T) {
	for module, want := range map[string]string{"modernc.org/sqlite": "v1.60.1", "modernc.org/libc": "v1.77.1"} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Version}}", module).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(string(out)); got != want {
			t.Errorf("%s is %s, want %s", module, got, want)
		}
	}
}
