package command

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gatehouse/backend/store"
	"gatehouse/stresstest"
	"gatehouse/stresstest/matrix"
)

// bench puts up both tiers for each step of a matrix and measures them. It
// is a matrix.Runner.
type bench struct {
	flags         stresstestMatrix
	command       string // how it was called, for the report
	program       string // this one
	programDigest string
	environment   []string // of the tiers
	dir           string   // private, with the keys and what tiers write
	keyFile       string
	sessionKey    []byte
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// open makes the private folder with all that a tier needs to be put up, the
// accounts where there is no database included.
func (b *bench) open(ctx context.Context, p *process) (err error) {
	if b.program, err = os.Executable(); err != nil {
		return fmt.Errorf("find the own program: %w", err)
	}
	if b.programDigest, err = digestOf(b.program); err != nil {
		return err
	}
	b.environment = b.flags.childEnvironment(p.environ)
	if b.dir, err = os.MkdirTemp("", "gatehouse-matrix-"); err != nil {
		return fmt.Errorf("make a private folder: %w", err)
	}
	err = errors.Join(writeKey(b.path("link.key")), b.readSessionKey())
	if err == nil && b.flags.Database == "" {
		err = b.makeAccounts(ctx, p)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(b.dir))
	}
	return nil
}

// readSessionKey reads the key of the accounts, or makes one for those that
// are made.
func (b *bench) readSessionKey() (err error) {
	path := b.flags.SessionKeyFile
	if path == "" {
		path = b.path("session.key")
		if err := writeKey(path); err != nil {
			return err
		}
	}
	b.keyFile = path
	if b.sessionKey, err = os.ReadFile(path); err != nil {
		return fmt.Errorf("--session-key-file: %w", err)
	}
	return nil
}

// writeKey makes a file with a random key.
func writeKey(path string) error {
	var key [32]byte
	rand.Read(key[:]) // never fails
	if err := os.WriteFile(path, []byte(hex.EncodeToString(key[:])+"\n"), 0o600); err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	return nil
}

// makeAccounts makes the embedded database and the accounts in it.
func (b *bench) makeAccounts(ctx context.Context, p *process) error {
	st, err := store.Open(ctx, store.Config{URL: databaseFlag{}.url(b.dir)})
	if err != nil {
		return err
	}
	if err := errors.Join(st.Migrate(ctx), st.Close()); err != nil {
		return err
	}
	quiet := *p
	quiet.ctx, quiet.stdout = ctx, p.stderr // standard output is for the tables
	return usersGenerate{dataFlag: dataFlag{b.dir}, Count: b.flags.Users, Start: 1,
		SessionKeyFile: b.keyFile, HashParams: b.flags.HashParams}.Run(&quiet)
}

// Run implements matrix.Runner.
func (b *bench) Run(ctx context.Context, step matrix.Step) (_ *stresstest.Report, err error) {
	back, err := startChild(ctx, b.program, b.dir, b.environment, b.backendArgs(step)...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, back.stop()) }()
	ctx, enough := back.whileThere(ctx)
	defer enough()
	web, err := startChild(ctx, b.program, b.dir, b.environment, b.webserverArgs(step, back)...)
	if err != nil {
		return nil, cmp.Or(back.ended(), err)
	}
	defer func() { err = errors.Join(err, web.stop()) }()
	ctx, enough = web.whileThere(ctx)
	defer enough()
	cfg := b.config(step, web.address)
	cfg.MetricsURLs = []string{web.admin + "/metrics", back.admin + "/metrics"}
	report, err := stresstest.Run(ctx, cfg)
	// A tier that died is why requests failed, and no measurement.
	if died := errors.Join(web.ended(), back.ended()); died != nil {
		return nil, died
	}
	return report, err
}

// inFlight is how many calls a connection carries at once.
func (b *bench) inFlight() int {
	if b.flags.Exclusive {
		return 1
	}
	return 64
}

// backendArgs start tier 2 on free ports. A database is named in the
// environment, because it may hold a password.
func (b *bench) backendArgs(step matrix.Step) []string {
	cache := "none"
	if step.Cache {
		cache = cacheFlag{Cache: b.flags.CacheURL}.cacheURL(databaseFlag{b.flags.Database}.url(b.dir))
	}
	args := []string{"backend", "--data", b.dir, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--link-key-file", b.path("link.key"),
		"--migrate", "check", "--hash-params", b.flags.HashParams, "--log-level", "warn", "--log-format", "text"}
	if cache == b.flags.CacheURL { // which may hold a password too
		return args
	}
	return append(args, "--cache", cache)
}

func (b *bench) webserverArgs(step matrix.Step, back *child) []string {
	return []string{"webserver", "--data", b.path("web"), "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--backend", back.address,
		"--link-key-file", b.path("link.key"), "--pool-size", strconv.Itoa(step.Pool), "--pool-in-flight", strconv.Itoa(b.inFlight()),
		"--log-level", "warn", "--log-format", "text"}
}

// childEnvironment is the environment without settings of gatehouse: what the
// tiers do must follow from the flags of the matrix alone.
func (c stresstestMatrix) childEnvironment(from environ) (list []string) {
	for name, value := range from {
		if !strings.HasPrefix(name, prefix) {
			list = append(list, name+"="+value)
		}
	}
	if c.Database != "" {
		list = append(list, variable("database")+"="+c.Database)
	}
	if c.CacheURL != "" {
		list = append(list, variable("cache")+"="+c.CacheURL)
	}
	return list
}

// config is what the driver does in a step. Replicas draw other requests of
// the same kind.
func (b *bench) config(step matrix.Step, target string) stresstest.Config {
	cfg := stresstest.Config{Target: target, Rate: step.Rate, Duration: b.flags.Duration, Warmup: b.flags.Warmup, Workers: step.Workers,
		Users: b.flags.Users, Seed: uint64(step.Replica), Command: b.command, Version: version, Machine: machine(), SessionKey: b.sessionKey}
	mix := matrixMix
	if step.Logins {
		mix = matrixLoginMix
	}
	var err error
	if cfg.Mix, err = stresstest.ParseMix(mix); err != nil {
		panic(fmt.Sprintf("the mix %q of the matrix: %v", mix, err))
	}
	return cfg
}

// settings are what the numbers depend on beyond the grid.
func (b *bench) settings() map[string]string {
	return map[string]string{
		"duration": b.flags.Duration.String(), "warmup": b.flags.Warmup.String(), "users": strconv.Itoa(b.flags.Users),
		"mix": matrixMix, "login_mix": matrixLoginMix, "pool_in_flight": strconv.Itoa(b.inFlight()), "hash_params": b.flags.HashParams,
		"database": redact(b.flags.Database), "cache_url": redact(b.flags.CacheURL), "program": b.programDigest, "machine": machine(),
	}
}

// heading says under which conditions was measured.
func (b *bench) heading() matrix.Heading {
	database, cache := "SQLite, in a private folder", cacheFlag{Cache: b.flags.CacheURL}.cacheURL(databaseFlag{b.flags.Database}.url(""))
	if b.flags.Database != "" {
		database = redact(b.flags.Database)
	}
	warmth := "It is never emptied: the first measurement with it finds what was there before, and each other one what those before left, as far as that has not expired."
	if strings.HasPrefix(cache, "memory:") {
		warmth = "It begins empty in each measurement, and is filled by the warm-up and then by the measurement itself."
	}
	link := "Each connection of the pool carries one call at a time, as in the original system (`--pool-in-flight 1`)."
	if !b.flags.Exclusive {
		link = fmt.Sprintf("Each connection of the pool carries up to %d calls at once (the default; `--exclusive` measures one call at a time, as in the original system).", b.inFlight())
	}
	return matrix.Heading{Command: b.command, Version: version, Machine: machine(), Notes: []string{
		"Webserver, backend and driver are three processes on this machine, started anew for each measurement, and share its processors.",
		link,
		fmt.Sprintf("Database: %s, with %s generated accounts; requests are spread evenly over them and use sessions made with the accounts.", database, shown(b.flags.Users)),
		fmt.Sprintf("Cache, where it is on: %s. %s", redact(cache), warmth),
		fmt.Sprintf("Each measurement takes %v after %v of warm-up, mix `%s`; %s. Replicas are interleaved: every cell once, then every cell again.",
			b.flags.Duration, b.flags.Warmup, matrixMix, b.logins()),
		"Stages are those of `get_profile`, DB update that of `update_profile`, by the tiers' own histograms, whose p99 is estimated within a bucket (from 50 µs up, about three to a factor of ten). DB get user metadata is the one question that reads session and user. The driver's latency counts from when a request was due.",
	}}
}

// logins says how logins are measured.
func (b *bench) logins() string {
	if b.flags.LoginRate == 0 {
		return "logins are not measured"
	}
	return fmt.Sprintf("logins are measured apart, %.0f in each measurement (the p99 of fewer than 100 is the slowest of them)", b.flags.LoginRate*b.flags.Duration.Seconds())
}

// withoutSecrets is the command line with the passwords in URLs left out.
func withoutSecrets(args []string) []string {
	list := make([]string, len(args))
	for i, arg := range args {
		name, value, joined := strings.Cut(arg, "=")
		switch {
		case !strings.Contains(arg, "://"):
			list[i] = arg
		case joined && strings.HasPrefix(name, "--"):
			list[i] = name + "=" + redact(value)
		default:
			list[i] = redact(arg)
		}
	}
	return list
}

// digestOf tells builds of the program apart.
func digestOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read the own program: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("read the own program: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8]), nil
}
