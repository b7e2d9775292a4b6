package matrix

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"gatehouse/stresstest"
)

// maxKept bounds the file of one report, in bytes. The longest that a run can
// write, with a day's timeline, has about half of it.
const maxKept = 32 << 20

// kept are the reports in a folder, one file each. The name of a file ends in
// a digest of everything that its numbers depend on, so that another setting
// looks for another file.
type kept struct {
	dir      string
	settings map[string]string
}

// keptReport is the content of a file.
type keptReport struct {
	Step     Step               `json:"step"`
	Settings map[string]string  `json:"settings"`
	Report   *stresstest.Report `json:"report"`
}

func openKept(dir string, settings map[string]string) (*kept, error) {
	if dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("keep reports: %w", err)
		}
	}
	return &kept{dir, settings}, nil
}

// digest tells apart everything that the numbers of a step depend on.
func (k *kept) digest(step Step) (string, error) {
	text, err := json.Marshal(keptReport{Step: step, Settings: k.settings})
	if err != nil {
		return "", fmt.Errorf("digest of the settings: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), nil
}

func (k *kept) path(step Step) (string, error) {
	digest, err := k.digest(step)
	return filepath.Join(k.dir, step.fileName()+"-"+digest+".json"), err
}

// has tells whether there is a file for the step.
func (k *kept) has(step Step) bool {
	path, err := k.path(step)
	if k.dir == "" || err != nil {
		return false
	}
	_, err = os.Stat(path)
	return err == nil
}

// load returns the report that is kept of a step, nil for none.
func (k *kept) load(step Step) (*stresstest.Report, error) {
	if k.dir == "" {
		return nil, nil
	}
	path, err := k.path(step)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read a kept report: %w", err)
	}
	defer f.Close()
	var content keptReport
	if err := json.NewDecoder(io.LimitReader(f, maxKept)).Decode(&content); err != nil {
		return nil, fmt.Errorf("read a kept report: %s: %w; remove the file to measure it again", path, err)
	}
	if content.Step != step || content.Report == nil || content.Report.Interrupted {
		return nil, fmt.Errorf("read a kept report: %s is not what its name says; remove the file to measure it again", path)
	}
	return content.Report, nil
}

// save keeps the report of a step, whole or not at all.
func (k *kept) save(step Step, report *stresstest.Report) error {
	if k.dir == "" {
		return nil
	}
	path, err := k.path(step)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(keptReport{step, k.settings, report}, "", "  ")
	if err != nil {
		return fmt.Errorf("keep report: %w", err)
	}
	// The name that is written to first is found by nobody, and a run that is
	// killed meanwhile leaves one that the next replaces.
	if err := os.WriteFile(path+".part", append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("keep report: %w", err)
	}
	if err := os.Rename(path+".part", path); err != nil {
		return fmt.Errorf("keep report: %w", err)
	}
	return nil
}
