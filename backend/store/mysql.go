package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"gatehouse/schema"
)

const (
	dialTimeout = 2 * time.Second
	// ioTimeout bounds each wait for the server, that for the reply to a
	// COMMIT above all, which takes no context.
	ioTimeout = 3 * time.Second
	// connLifetime is below what proxies and clouds close idle connections after.
	connLifetime   = 4 * time.Minute
	defaultMaxOpen = 32
	// spareConns of the server's are left for its operator and for migrating.
	spareConns = 3
)

func openMySQL(ctx context.Context, server *mysql.Config, cfg Config) (*Store, error) {
	s := &Store{dialect: dialect{
		name: schema.MySQL, forUpdate: " FOR UPDATE", forShare: " LOCK IN SHARE MODE",
		micros: "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)", fault: mysqlFault, durability: mysqlDurability,
		readName: "mysql", writeName: "mysql",
	}}
	var err error
	// The time a statement waits for a lock is below that of a transaction, so
	// that the server gives up before we do: cutting the connection would
	// leave the statement waiting there.
	if s.read, err = openServer(server, ioTimeout, map[string]string{"innodb_lock_wait_timeout": "1", "lock_wait_timeout": "1"}); err != nil {
		return nil, err
	}
	s.write = s.read
	if s.migrate, err = openServer(server, 0, map[string]string{"lock_wait_timeout": "5"}); err != nil {
		return nil, err
	}
	if s.watch, err = openServer(server, ioTimeout, nil); err != nil {
		return nil, err
	}
	s.watch.SetMaxOpenConns(1)
	s.watch.SetConnMaxLifetime(connLifetime)
	s.migrate.SetMaxOpenConns(spareConns - 1)
	s.migrate.SetConnMaxIdleTime(10 * time.Second)

	s.read.SetMaxOpenConns(1)
	limit, version, err := serverLimit(ctx, s.read)
	if err != nil {
		return nil, errors.Join(openFailed(server, err), s.Close())
	}
	if strings.Contains(version, "TiDB") {
		s.dialect.forShare = s.dialect.forUpdate // it has no other lock
	}
	maxOpen := cfg.MaxOpen
	if maxOpen < 1 {
		maxOpen = defaultMaxOpen
	}
	if most := max(1, limit-spareConns); limit > 0 && maxOpen > most {
		s.warnings = append(s.warnings, fmt.Sprintf(
			"--database: the server takes %d connections at once, so this backend opens %d and not %d; raise max_connections there", limit, most, maxOpen))
		maxOpen = most
	}
	s.read.SetMaxOpenConns(maxOpen)
	s.read.SetMaxIdleConns(maxOpen)
	s.read.SetConnMaxLifetime(connLifetime)
	return s, nil
}

// openServer makes a pool of connections, none of which is opened yet.
func openServer(server *mysql.Config, timeout time.Duration, variables map[string]string) (*sql.DB, error) {
	c := server.Clone()
	c.ParseTime, c.Loc = true, time.UTC
	c.InterpolateParams = true // One round trip instead of two; safe in utf8mb4.
	c.ClientFoundRows = true   // A row that matched counts, whether it changed or not.
	c.RejectReadOnly = true    // After a failover, look for the new primary.
	c.CheckConnLiveness = true
	c.Timeout, c.ReadTimeout, c.WriteTimeout = dialTimeout, timeout, timeout
	c.Logger = &mysql.NopLogger{}
	// Without a strict mode a server cuts what is too long and says nothing.
	c.Params = map[string]string{"sql_mode": "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'", "time_zone": "'+00:00'"}
	for name, value := range variables {
		c.Params[name] = value
	}
	if err := c.Apply(mysql.Charset("utf8mb4", "utf8mb4_bin")); err != nil {
		return nil, fmt.Errorf("--database: %w", err)
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, fmt.Errorf("--database: %w", err)
	}
	return sql.OpenDB(readCommitted{connector}), nil
}

// readCommitted gives each new connection the isolation that all transactions
// here are written for. Done per transaction it would be a round trip more,
// and the variable of it has two names.
type readCommitted struct{ driver.Connector }

func (r readCommitted) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := r.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	execer, ok := conn.(driver.ExecerContext)
	if !ok {
		conn.Close()
		return nil, errors.New("the driver cannot set the isolation level")
	}
	if _, err := execer.ExecContext(ctx, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", nil); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// serverLimit returns how many connections the server lets us have, 0 where it
// does not say, and what it calls itself.
func serverLimit(ctx context.Context, db *sql.DB) (limit int, version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	var all, own int
	err = db.QueryRowContext(ctx, "SELECT @@max_connections, @@max_user_connections, VERSION()").Scan(&all, &own, &version)
	if own > 0 && (all == 0 || own < all) {
		return own, version, err
	}
	return all, version, err
}

// openFailed says what to do about a server that did not let us in.
func openFailed(server *mysql.Config, err error) error {
	var refusal *mysql.MySQLError
	if errors.As(err, &refusal) {
		switch refusal.Number {
		case 1045:
			return fmt.Errorf("--database: the server at %s does not accept the user and password given: %w", server.Addr, err)
		case 1044, 1049:
			return fmt.Errorf("--database: the server at %s does not let the user into database %s; if there is none, run there: CREATE DATABASE %s: %w",
				server.Addr, server.DBName, server.DBName, err)
		}
	}
	return fmt.Errorf("--database: the server at %s does not answer; see that it runs and that host, port and tls are right: %w",
		server.Addr, unavailable(err))
}

// mysqlFault knows the numbers of MySQL, MariaDB, Galera and TiDB.
func mysqlFault(err error) fault {
	var e *mysql.MySQLError
	if !errors.As(err, &e) {
		return faultOther
	}
	switch e.Number {
	case 1062: // A duplicate key.
		return faultDuplicate
	case 1020, // The row changed since it was read (MariaDB).
		1047,             // The node is not part of its cluster (Galera).
		1205,             // Waited too long for a lock; only the statement was taken back.
		1213,             // Deadlock, or lost at certification (Galera).
		8022, 8028, 9007: // Lost against another, or a change of the schema (TiDB).
		return faultTransient
	}
	return faultOther
}

func mysqlDurability(ctx context.Context, db *sql.DB) ([]string, error) {
	var flush, binlog, sync int
	err := db.QueryRowContext(ctx, "SELECT @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog").Scan(&flush, &binlog, &sync)
	if err != nil {
		return nil, err
	}
	var problems []string
	if flush != 1 {
		problems = append(problems, fmt.Sprintf(
			"innodb_flush_log_at_trx_commit is %d: a crash of the server or its machine can lose the last second of acknowledged changes; set it to 1", flush))
	}
	if binlog != 0 && sync != 1 {
		problems = append(problems, fmt.Sprintf(
			"sync_binlog is %d: after a crash the binary log, and what is replicated or restored from it, can lack acknowledged changes; set it to 1", sync))
	}
	return problems, nil
}
