package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// mutant is one bug.
type mutant struct {
	name  string
	edits []edit
	// pkg and test are the package and the pattern, as -run takes it, of the
	// test that must fail.
	pkg, test string
}

// edit replaces a text of a file, which must occur exactly once.
type edit struct{ file, old, new string }

const (
	// testTime bounds one run of a test. A mutant that makes its test hang
	// counts as killed.
	testTime  = time.Minute
	buildTime = 5 * time.Minute
)

// lab tries mutants of one module, in a folder of its own.
type lab struct {
	root, dir string
	sound     map[string]bool   // package and test that pass without a mutant
	binaries  map[string]string // of packages without a mutant
}

func newLab(root string) (*lab, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("find module: %w", err)
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	return &lab{root: root, dir: dir, sound: map[string]bool{}, binaries: map[string]string{}}, nil
}

func (l *lab) close() { os.RemoveAll(l.dir) }

// try runs the test of a mutant, without it and with it. The verdict is empty
// where the mutant survived. The time is that of the run with the mutant.
func (l *lab) try(ctx context.Context, m mutant) (verdict string, took time.Duration, err error) {
	overlay, err := l.overlay(m)
	if err != nil {
		return "", 0, err
	}
	if err := l.passes(ctx, m); err != nil {
		return "", 0, err
	}
	binary := filepath.Join(l.dir, "mutant.test")
	if err := l.build(ctx, m.pkg, binary, "-overlay", overlay); err != nil {
		return "", 0, err
	}
	start := time.Now()
	out, err := l.run(ctx, m, binary)
	took = time.Since(start)
	switch {
	case ctx.Err() != nil:
		return "", took, ctx.Err()
	case err == nil:
		return "", took, nil
	case bytes.Contains(out, []byte("panic: test timed out")):
		return "hung", took, nil
	case bytes.Contains(out, []byte("--- FAIL: ")):
		return "killed", took, nil
	case bytes.Contains(out, []byte("fatal error: ")), bytes.Contains(out, []byte("panic: ")):
		return "crashed", took, nil
	}
	return "", took, fmt.Errorf("the test ended strangely: %w\n%s", err, out)
}

// overlay writes the mutant's files, and the description of them that the
// compiler takes.
func (l *lab) overlay(m mutant) (string, error) {
	replaced := map[string]string{}
	for i, e := range m.edits {
		file := filepath.Join(l.root, filepath.FromSlash(e.file))
		from := file
		if earlier, ok := replaced[file]; ok {
			from = earlier
		}
		text, err := os.ReadFile(from)
		if err != nil {
			return "", fmt.Errorf("read what to change: %w", err)
		}
		changed, err := e.apply(string(text))
		if err != nil {
			return "", err
		}
		copied := filepath.Join(l.dir, fmt.Sprintf("%d_%s", i, filepath.Base(file)))
		if err := os.WriteFile(copied, []byte(changed), 0o600); err != nil {
			return "", fmt.Errorf("write what is changed: %w", err)
		}
		replaced[file] = copied
	}
	text, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", fmt.Errorf("describe what is changed: %w", err)
	}
	overlay := filepath.Join(l.dir, "overlay.json")
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		return "", fmt.Errorf("describe what is changed: %w", err)
	}
	return overlay, nil
}

func (e edit) apply(text string) (string, error) {
	if n := strings.Count(text, e.old); n != 1 {
		return "", fmt.Errorf("%s has the text to change %d times, not once: %q", e.file, n, e.old)
	}
	return strings.Replace(text, e.old, e.new, 1), nil
}

// passes makes sure that the mutant's test passes without it: one that fails
// anyway, or that is not there, kills nothing.
func (l *lab) passes(ctx context.Context, m mutant) error {
	if l.sound[m.pkg+" "+m.test] {
		return nil
	}
	binary, ok := l.binaries[m.pkg]
	if !ok {
		binary = filepath.Join(l.dir, fmt.Sprintf("sound%d.test", len(l.binaries)))
		if err := l.build(ctx, m.pkg, binary); err != nil {
			return err
		}
		l.binaries[m.pkg] = binary
	}
	out, err := l.run(ctx, m, binary)
	if err != nil {
		return fmt.Errorf("the test fails without the mutant: %w\n%s", err, out)
	}
	if bytes.Contains(out, []byte("no tests to run")) {
		return fmt.Errorf("%s has no test %q", m.pkg, m.test)
	}
	l.sound[m.pkg+" "+m.test] = true
	return nil
}

func (l *lab) build(ctx context.Context, pkg, binary string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, buildTime)
	defer cancel()
	c := exec.CommandContext(ctx, "go", append(append([]string{"test", "-c", "-vet=off", "-o", binary}, args...), "./"+pkg)...)
	c.Dir = l.root
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("compile: %w\n%s", err, out)
	}
	return nil
}

// run runs a test in the folder of its package, as go test does.
func (l *lab) run(ctx context.Context, m mutant, binary string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, testTime+10*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, binary, "-test.run", m.test, "-test.timeout", testTime.String(), "-test.failfast")
	c.Dir = filepath.Join(l.root, filepath.FromSlash(m.pkg))
	out, err := c.CombinedOutput()
	if ctx.Err() != nil {
		err = errors.Join(err, ctx.Err())
	}
	return out, err
}
