package command

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gatehouse/backend/password"
	"gatehouse/stresstest/matrix"
)

type stresstestMatrix struct {
	commonFlags
	Pool           []int         `help:"Sizes of the webserver's pool, --pool-size." default:"50,400" placeholder:"N" group:"Matrix"`
	Workers        []int         `help:"Requests under way at once, at most." default:"50,1000" placeholder:"N" group:"Matrix"`
	Rate           []float64     `help:"Requests a second." default:"1000,4000" placeholder:"N" group:"Matrix"`
	Cache          []string      `help:"With and without a cache: on, off or both. Where it is says --cache-url." default:"on,off" placeholder:"on|off" secret:"" group:"Matrix"`
	Replicas       int           `help:"How often each combination is measured." default:"3" placeholder:"N" group:"Matrix"`
	Exclusive      bool          `help:"One call in flight on a connection, as the original system had it, instead of 64." group:"Matrix"`
	Database       string        `help:"A database with generated accounts, as a backend takes it. By default one is made in a private folder." placeholder:"URL" secret:"" group:"Storage"`
	CacheURL       string        `name:"cache-url" help:"What the cache is where it is on, redis:// or memory:SIZE. memory:64MiB by default, none beside MySQL." placeholder:"URL" secret:"" group:"Storage"`
	HashParams     string        `help:"How the passwords of the generated accounts are hashed." default:"argon2id:m=19456,t=2,p=1" placeholder:"PARAMS" group:"Storage"`
	Users          int           `help:"How many accounts there are, or are made where there is no --database." required:"" placeholder:"N" group:"Load"`
	SessionKeyFile string        `help:"The file with which the accounts were generated. Needed with --database." placeholder:"FILE" group:"Load"`
	Duration       time.Duration `help:"How long each measurement takes." default:"10s" group:"Load"`
	Warmup         time.Duration `help:"How long before that, not counted." default:"2s" group:"Load"`
	LoginRate      float64       `help:"Logins a second, which are measured apart for each pool size; 0 measures none." default:"5" placeholder:"N" group:"Load"`
	Out            string        `help:"Keep the report of each measurement in this folder, and go on after those that are there with the same settings." placeholder:"DIR" group:"Report"`
	Markdown       string        `help:"Put the tables between the matrix marks of this file, or into a new one." placeholder:"FILE" group:"Report"`
	JSON           string        `name:"json" help:"Write the numbers of the tables as JSON." placeholder:"FILE" group:"Report"`
}

const (
	matrixMix      = "profile=95,update=5"
	matrixLoginMix = "login=1"
	// maxMatrixPool leaves a backend, which takes 1024 connections, room for
	// other visitors.
	maxMatrixPool = 1000
)

// Run measures what is not kept and makes the tables.
func (c stresstestMatrix) Run(p *process) error {
	grid, err := c.grid()
	if err != nil {
		return err
	}
	if err := errors.Join(c.check(), checkSection(c.Markdown)); err != nil {
		return err
	}
	ctx, cancel := untilSignal(p.ctx)
	defer cancel()
	b := &bench{flags: c, command: "gatehouse " + strings.Join(withoutSecrets(p.parsed.Args), " ")}
	for _, cell := range grid.Cells() {
		if err := b.config(matrix.Step{Cell: cell}, "http://localhost").Check(); err != nil {
			return usage("--%w", err)
		}
	}
	if err := b.open(ctx, p); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir) // what cannot be removed is in the temporary folder
	settings := b.settings()
	result, err := matrix.Run(ctx, matrix.Config{Grid: grid, Settings: settings, Dir: c.Out, Told: tellMatrix(p.stderr)}, b)
	if errors.Is(err, matrix.ErrInterrupted) && c.Out != "" {
		return fmt.Errorf("%w; the same command with --out %s goes on from there", err, c.Out)
	}
	if err != nil {
		return err
	}
	return c.write(p, result, b.heading(), settings)
}

// grid makes of the flags what is combined.
func (c stresstestMatrix) grid() (matrix.Grid, error) {
	g := matrix.Grid{Pools: c.Pool, Workers: c.Workers, Rates: c.Rate, Replicas: c.Replicas, LoginRate: c.LoginRate}
	for _, text := range c.Cache {
		if text != "on" && text != "off" {
			return g, usage("--cache %q: want on, off or both; where the cache is says --cache-url", strings.Join(withoutSecrets([]string{text}), ""))
		}
		g.Caches = append(g.Caches, text == "on")
	}
	for _, pool := range c.Pool {
		if pool < 1 || pool > maxMatrixPool {
			return g, usage("--pool %d: want from 1 to %d connections", pool, maxMatrixPool)
		}
	}
	if c.LoginRate < 0 || c.LoginRate > 0 && len(c.Workers) == 0 {
		return g, usage("--login-rate %v: want 0 or more", c.LoginRate)
	}
	if err := g.Check(); err != nil {
		return g, usage("%w", err)
	}
	return g, nil
}

// check tells what is wrong with the other flags.
func (c stresstestMatrix) check() error {
	if c.Users < 1 || c.Users > maxGenerated {
		return usage("--users %d: want from 1 to %d", c.Users, maxGenerated)
	}
	if c.Duration <= 0 {
		return usage("--duration %v: want more than 0", c.Duration)
	}
	if c.Database != "" && c.SessionKeyFile == "" {
		return usage("--database wants --session-key-file, the file with which its accounts were generated")
	}
	if _, err := password.ParseParams(c.HashParams); err != nil {
		return usage("--hash-params: %w", err)
	}
	database := databaseFlag{c.Database}.url("")
	if target := (cacheFlag{Cache: c.CacheURL}).cacheURL(database); target == "none" && slices.Contains(c.Cache, "on") {
		return usage("--cache on wants a --cache-url beside MySQL, such as redis://127.0.0.1:6379")
	}
	if err := (cacheFlag{Cache: c.CacheURL}).check(database); err != nil {
		return fmt.Errorf("--cache-url: %w", err)
	}
	return nil
}

// tellMatrix shows each step that is finished on a line.
func tellMatrix(w io.Writer) func(matrix.Progress) {
	return func(t matrix.Progress) {
		how, left := "", ""
		if t.Kept {
			how = " (kept)"
		}
		if t.Left > 0 {
			left = fmt.Sprintf(", %v left", t.Left.Round(time.Second))
		}
		r := t.Report
		fmt.Fprintf(w, "%d of %d: %s%s: %.0f/s, p99 %.2f ms, %d failed, %d wrong, %d not sent%s\n", t.Number, t.Of, t.Step, how,
			r.RateAchieved, r.Total.Latency.P99, r.Total.Count-r.Total.Succeeded, r.Wrong, r.NotSent, left)
	}
}

// checkSection tells before anything is measured whether a document has a
// place for the tables.
func checkSection(path string) error {
	if path == "" {
		return nil
	}
	if _, err := withSection(path, nil); err != nil {
		return usage("--markdown %s: %w", path, err)
	}
	return nil
}

// withSection returns a document with tables in it.
func withSection(path string, tables []byte) ([]byte, error) {
	document, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return matrix.ReplaceSection(document, tables)
}

// write writes the tables in every form that is asked for.
func (c stresstestMatrix) write(p *process, r *matrix.Result, h matrix.Heading, settings map[string]string) error {
	var tables bytes.Buffer
	if err := r.Markdown(&tables, h); err != nil {
		return err
	}
	if _, err := p.stdout.Write(tables.Bytes()); err != nil {
		return fmt.Errorf("write tables: %w", err)
	}
	if c.Markdown != "" {
		document, err := withSection(c.Markdown, tables.Bytes())
		if err != nil {
			return fmt.Errorf("--markdown %s: %w", c.Markdown, err)
		}
		if err := writeFile(filepath.Clean(c.Markdown), func(w io.Writer) error { _, err := w.Write(document); return err }); err != nil {
			return err
		}
	}
	if c.JSON != "" {
		if err := writeFile(c.JSON, func(w io.Writer) error { return r.JSON(w, h, settings) }); err != nil {
			return err
		}
	}
	if n := r.Wrong(); n > 0 {
		return fmt.Errorf("%d answers were wrong", n)
	}
	return nil
}
