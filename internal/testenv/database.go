package testenv

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// A Database is an empty MySQL or MariaDB database of one test's own, with a
// user that may do anything in it and nothing elsewhere.
type Database struct {
	addr, name, user, password string
	root                       *sql.DB
}

// NewDatabase makes a database on the server. It is dropped after the test.
func (s *Server) NewDatabase(t testing.TB) *Database {
	t.Helper()
	return newDatabase(t, s.root, s.addr())
}

// ExternalMySQL makes a database on the server that TEST_MYSQL_DSN names, as
// mysql://user:password@host:port/, whose user must be allowed to create
// databases and users. It returns false where the variable is not set.
func ExternalMySQL(t testing.TB) (*Database, bool) {
	t.Helper()
	dsn := os.Getenv("TEST_MYSQL_DSN")
	if dsn == "" {
		return nil, false
	}
	u, err := url.Parse(dsn)
	if err != nil || u.Scheme != "mysql" || u.User == nil || u.Port() == "" {
		t.Fatal("TEST_MYSQL_DSN must look like mysql://user:password@host:3306/")
	}
	password, _ := u.User.Password()
	root, err := openRoot("tcp", u.Host, u.User.Username(), password)
	if err != nil {
		t.Fatalf("TEST_MYSQL_DSN: %v", err)
	}
	t.Cleanup(func() { root.Close() })
	return newDatabase(t, root, u.Host), true
}

func openRoot(network, addr, name, password string) (*sql.DB, error) {
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.Passwd = network, addr, name, password
	cfg.ParseTime, cfg.Timeout = true, 2*time.Second
	// The driver remarks on lost connections, which tests cause on purpose.
	cfg.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	return sql.OpenDB(connector), nil
}

func newDatabase(t testing.TB, root *sql.DB, addr string) *Database {
	t.Helper()
	name := "gh_" + strings.ToLower(rand.Text()[:12])
	d := &Database{addr: addr, name: name, user: name, password: rand.Text(), root: root}
	// Names and the password hold letters and digits only.
	d.Exec(t, "CREATE DATABASE "+name)
	t.Cleanup(d.drop)
	d.Exec(t, fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'", name, d.password))
	d.Exec(t, fmt.Sprintf("GRANT ALL ON %s.* TO '%s'@'%%'", name, name))
	return d
}

// drop does what it can: a test may have stopped the server, and what is left
// goes with the server's folder.
func (d *Database) drop() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	d.root.ExecContext(ctx, "DROP DATABASE "+d.name)
	d.root.ExecContext(ctx, fmt.Sprintf("DROP USER '%s'@'%%'", d.user))
}

// URL is the value of --database that opens it.
func (d *Database) URL() string { return d.URLThrough(d.addr) }

// URLThrough is URL with another address, that of a Proxy for instance.
func (d *Database) URLThrough(addr string) string {
	return fmt.Sprintf("mysql://%s:%s@%s/%s", d.user, d.password, addr, d.name)
}

// DSN is the same in the words of the driver.
func (d *Database) DSN() string {
	return fmt.Sprintf("%s:%s@tcp(%s)/%s", d.user, d.password, d.addr, d.name)
}

// Addr is where the server listens, as host:port.
func (d *Database) Addr() string { return d.addr }

// Name is the name of the database, and of its user.
func (d *Database) Name() string { return d.name }

// Root is a connection of the server's superuser, with no database selected.
func (d *Database) Root() *sql.DB { return d.root }

// Exec runs one statement as the server's superuser.
func (d *Database) Exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := d.root.ExecContext(ctx, statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
