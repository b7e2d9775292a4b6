package stresstest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// maxSessionsFile bounds a file of kept sessions, in bytes. One of all
// accounts that a run can log in has about a tenth of it.
const maxSessionsFile = 8 << 20

// keptSession is one line of a file of kept sessions.
type keptSession struct {
	Target  string `json:"target"`
	Account int    `json:"account"`
	Token   string `json:"token"`
}

// readSessions returns the tokens that a file keeps of accounts 1 to count
// at a target; those it does not have are empty. A file that is not there
// keeps nothing.
func readSessions(path, target string, count int) ([]string, error) {
	tokens := make([]string, count)
	lines, err := readKept(path)
	if err != nil {
		return nil, err
	}
	for _, line := range lines {
		if line.Target == target && line.Account >= 1 && line.Account <= count {
			tokens[line.Account-1] = line.Token
		}
	}
	return tokens, nil
}

func readKept(path string) (lines []keptSession, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read sessions: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read sessions: %w", err)
	}
	if info.Size() > maxSessionsFile {
		return nil, fmt.Errorf("read sessions: %s has %d bytes, more than the %d that it can have grown to", path, info.Size(), maxSessionsFile)
	}
	scanner := bufio.NewScanner(f)
	for n := 1; scanner.Scan(); n++ {
		var line keptSession
		// The line itself must not be quoted: it holds a token.
		// What is no token must not get into a request either.
		if json.Unmarshal(scanner.Bytes(), &line) != nil || subject(line.Token) == "" {
			return nil, fmt.Errorf("read sessions: %s line %d is not a session that was kept", path, n)
		}
		lines = append(lines, line)
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("read sessions: %w", err)
	}
	return lines, nil
}

// writeSessions keeps the tokens of accounts 1 to len(tokens) at a target in
// a file that only its owner can read. What the file holds of other accounts
// and targets stays in it.
func writeSessions(path, target string, tokens []string) error {
	lines, err := readKept(path)
	if err != nil {
		return err
	}
	var own []keptSession
	for i, token := range tokens {
		if token != "" {
			own = append(own, keptSession{target, i + 1, token})
		}
	}
	for _, line := range lines {
		if line.Target != target || line.Account > len(tokens) {
			own = append(own, line)
		}
	}
	if err := replaceFile(path, own); err != nil {
		return fmt.Errorf("keep sessions: %w", err)
	}
	return nil
}

// replaceFile writes a new file and puts it in the place of the old one, so
// that one of the two is always whole. os.CreateTemp makes it with mode 0600.
func replaceFile(path string, lines []keptSession) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriter(f)
	e := json.NewEncoder(w)
	for _, line := range lines {
		err = errors.Join(err, e.Encode(line))
	}
	if err = errors.Join(err, w.Flush(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
