package store_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/backend/store"
)

func TestOpenRefusesWhatIsNoDatabase(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"":                                                        "nothing given",
		"gatehouse.db":                                            "unknown kind",
		"postgres://ada:s3cret@db/name":                           "unknown kind",
		"ada:s3cret@tcp(db:3306)/name":                            "unknown kind",
		"sqlite:":                                                 "names no file",
		"sqlite://host/file.db":                                   "names a host",
		"sqlite::memory:":                                         "forget everything",
		"sqlite:a.db?mode=ro":                                     "has parameters",
		"mysql:name":                                              "no URL",
		"mysql://db/name":                                         "names no user",
		"mysql://:s3cret@db/name":                                 "names no user",
		"mysql://ada:s3cret@db":                                   "names no database",
		"mysql://ada:s3cret@db/":                                  "names no database",
		"mysql://ada:s3cret@/name":                                "names no host",
		"mysql://ada:s3cret@db:port/name":                         "no URL",
		"mysql://ada:s3cret@db/name#x":                            "no URL",
		"mysql://ada:s3cret@db/name/more":                         "no URL",
		"mysql://ada:s3cret@db/name?ssl=1":                        `unknown parameter "ssl"`,
		"mysql://ada:s3cret@db/name?tls=on":                       "tls=on is unknown",
		"mysql://ada:s3cret@db/name?tls=true&tls=false":           `"tls" is given 2 times`,
		"mysql://ada:s3cret@db/name?socket=/run/s":                "both a host and a socket",
		"mysql://ada:s3cret@db/name?tls-ca=/none.pem":             "read tls-ca",
		"mysql://ada:s3cret@db/name?tls-ca=url_test.go":           "holds no certificate",
		"mysql://ada:s3cret@db/name?tls=preferred&tls-ca=/ca.pem": "verifies nothing",
		// Passwords that were not encoded: s/cret, s#cret, s?cret, s@cret, 12/cret, 12?cret.
		"mysql://ada:s/cret@db/name":  "no URL",
		"mysql://ada:s#cret@db/name":  "no URL",
		"mysql://ada:s?cret@db/name":  "no URL",
		"mysql://ada:12/cret@db/name": "no URL",
		"mysql://ada:12?cret@db/name": "no user",
		"mysql://ada:12#cret@db/name": "no URL",
		"mysql://ada:s%cret@db/name":  "no URL",
	} {
		_, err := store.Open(t.Context(), store.Config{URL: raw})
		switch {
		case err == nil:
			t.Errorf("%s was opened", raw)
		case !strings.HasPrefix(err.Error(), "--database: ") || !strings.Contains(err.Error(), want):
			t.Errorf("%s: got %q, want words on %q", raw, err, want)
		case strings.Contains(err.Error(), "cret"):
			t.Errorf("%s: the error %q holds a piece of the password", raw, err)
		}
	}
}

func TestRedactedHidesThePassword(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"sqlite:/var/lib/gatehouse.db":                              "sqlite:/var/lib/gatehouse.db",
		"mysql://ada@db/name":                                       "mysql://ada@db/name",
		"mysql://ada:s3cret@db:3307/name?tls=true":                  "mysql://ada:REDACTED@db:3307/name?tls=true",
		"mysql://ada:s3cret@/name?socket=/run/s":                    "mysql://ada:REDACTED@/name?socket=/run/s",
		"mysql://ada:" + url.QueryEscape("s3cret/#?@") + "@db/name": "mysql://ada:REDACTED@db/name",
		"mysql://ada:s/cret@db/name":                                "mysql://REDACTED",
		"mysql://ada:12/cret@db/name":                               "mysql://REDACTED",
		"mysql://ada:s3cret@db/name?password=s3cret":                "mysql://REDACTED",
		"postgres://ada:s3cret@db/name":                             "postgres://REDACTED",
		"ada:s3cret@tcp(db:3306)/name":                              "REDACTED",
		"":                                                          "REDACTED",
	} {
		if got := store.Redacted(raw); got != want {
			t.Errorf("%s: got %s, want %s", raw, got, want)
		}
	}
}

func TestPlaceIsTheSameForAllNamesOfADatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, link := filepath.Join(dir, "gatehouse.db"), filepath.Join(dir, "link.db")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ url, want string }{
		{"sqlite:" + file, "sqlite:" + file},
		{"sqlite://" + file, "sqlite:" + file},
		{"sqlite:" + link, "sqlite:" + file},
		{"sqlite:" + dir + "/./none.db", "sqlite:" + dir + "/none.db"},
		{"mysql://gate:hunter2@db:3306/name", "mysql:name"},
		{"mysql://other@localhost/name?tls=false", "mysql:name"},
		{"postgres://gate:hunter2@db/name", ""},
		{"", ""},
	} {
		if got := store.Place(test.url); got != test.want {
			t.Errorf("%q is at %q, want %q", test.url, got, test.want)
		}
	}
}
