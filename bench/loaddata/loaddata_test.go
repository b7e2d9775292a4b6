package loaddata_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/command"
	"gatehouse/internal/testenv"
)

// rows is how many accounts are loaded, LOAD_ROWS or this many.
func rows(b *testing.B) int {
	text := os.Getenv("LOAD_ROWS")
	if text == "" {
		return 500_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		b.Fatalf("LOAD_ROWS is %q, want a number", text)
	}
	return n
}

// BenchmarkGenerateBesideLoadData loads the same rows by users generate and by
// the server's LOAD DATA INFILE, in turn, each into empty tables, and reports
// the rows a second of both and their ratio. -benchtime=3x makes three rounds
// after the one that writes the file.
func BenchmarkGenerateBesideLoadData(b *testing.B) {
	for _, sessions := range []bool{false, true} {
		b.Run(fmt.Sprintf("sessions=%t", sessions), func(b *testing.B) { compare(b, sessions) })
	}
}

func compare(b *testing.B, sessions bool) {
	// Small enough for every machine that tests run on, large enough not to
	// stop for checkpoints.
	server := testenv.PrivateMariaDB(b, "--innodb-log-file-size=256M", "--innodb-buffer-pool-size=512M")
	n := rows(b)
	tables := []string{"users"}
	var key string
	if sessions {
		tables = append(tables, "sessions")
		key = filepath.Join(b.TempDir(), "key")
		if err := os.WriteFile(key, []byte("a key of generated sessions"), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	c := comparison{n: n, key: key, tables: tables, server: server, folder: filepath.Dir(server.Socket())}
	c.generate(b, true)
	var ours, native float64
	for b.Loop() {
		ours += c.generate(b, false).Seconds()
		native += c.load(b).Seconds()
	}
	all := float64(n * b.N)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(all/ours, "generate-rows/s")
	b.ReportMetric(all/native, "load-data-rows/s")
	b.ReportMetric(native/ours, "ratio")
}

type comparison struct {
	n      int
	key    string
	tables []string
	server *testenv.Server
	folder string
}

var took = regexp.MustCompile(`made [0-9,]+ accounts in ([0-9a-zµ.]+),`)

// generate runs users generate on a new database and returns the time that it
// says, which leaves out the hashing and the looking back. With keep the rows
// are written to files.
func (c comparison) generate(b *testing.B, keep bool) time.Duration {
	database := c.server.NewDatabase(b)
	args := []string{"users", "generate", "--count", strconv.Itoa(c.n), "--hash-params", "argon2id:m=7168,t=1,p=1"}
	if c.key != "" {
		args = append(args, "--session-key-file", c.key)
	}
	var stdout, stderr bytes.Buffer
	status := command.Run(b.Context(), args, []string{"GATEHOUSE_DATABASE=" + database.URL()}, strings.NewReader(""), &stdout, &stderr)
	line := took.FindStringSubmatch(stdout.String())
	if status != 0 || line == nil || strings.Contains(stderr.String(), "INSERT") {
		b.Fatalf("users generate exited %d: %s%s", status, stdout.String(), stderr.String())
	}
	d, err := time.ParseDuration(line[1])
	if err != nil {
		b.Fatal(err)
	}
	if keep {
		b.Log(stdout.String())
		for _, table := range c.tables {
			database.Exec(b, fmt.Sprintf("SELECT * FROM %s.%s ORDER BY 1 INTO OUTFILE '%s' CHARACTER SET binary", database.Name(), table, c.file(table)))
		}
	}
	database.Exec(b, "DROP DATABASE "+database.Name())
	return d
}

func (c comparison) file(table string) string { return filepath.Join(c.folder, table+".rows") }

// load makes the tables and has the server load the files into them.
func (c comparison) load(b *testing.B) time.Duration {
	database := c.server.NewDatabase(b)
	var stderr bytes.Buffer
	if command.Run(b.Context(), []string{"migrate", "up"}, []string{"GATEHOUSE_DATABASE=" + database.URL()}, strings.NewReader(""), &stderr, &stderr) != 0 {
		b.Fatal(stderr.String())
	}
	start := time.Now()
	for _, table := range c.tables {
		if _, err := database.Root().ExecContext(b.Context(), fmt.Sprintf("LOAD DATA INFILE '%s' INTO TABLE %s.%s CHARACTER SET binary",
			c.file(table), database.Name(), table)); err != nil {
			b.Fatal(err)
		}
	}
	d := time.Since(start)
	var loaded int
	if err := database.Root().QueryRowContext(b.Context(), "SELECT COUNT(*) FROM "+database.Name()+".users").Scan(&loaded); err != nil || loaded != c.n {
		b.Fatalf("LOAD DATA loaded %d of %d: %v", loaded, c.n, err)
	}
	database.Exec(b, "DROP DATABASE "+database.Name())
	return d
}
