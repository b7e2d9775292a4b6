package matrix_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gatehouse/stresstest"
	"gatehouse/stresstest/matrix"
)

// rig is a Runner without processes. Its reports tell by their number of
// requests which call made them.
type rig struct {
	steps []matrix.Step
	then  func(call int) error // before call, from 1, is answered
	spoil func(*stresstest.Report)
}

func (r *rig) Run(_ context.Context, step matrix.Step) (*stresstest.Report, error) {
	r.steps = append(r.steps, step)
	if r.then != nil {
		if err := r.then(len(r.steps)); err != nil {
			return nil, err
		}
	}
	report := &stresstest.Report{RateAchieved: step.Rate, Total: stresstest.OpReport{Count: int64(100*step.Replica + len(r.steps))}}
	if r.spoil != nil {
		r.spoil(report)
	}
	return report, nil
}

func run(t *testing.T, ctx context.Context, dir string, settings map[string]string, r *rig) (*matrix.Result, []matrix.Progress, error) {
	t.Helper()
	var told []matrix.Progress
	result, err := matrix.Run(ctx, matrix.Config{Grid: small(), Settings: settings, Dir: dir,
		Told: func(p matrix.Progress) { told = append(told, p) }}, r)
	return result, told, err
}

func TestRunMeasuresAllStepsInOrderAndGathersReplicas(t *testing.T) {
	t.Parallel()
	r := &rig{}
	result, told, err := run(t, t.Context(), "", nil, r)
	if err != nil {
		t.Fatal(err)
	}
	if want := small().Steps(); !slices.Equal(r.steps, want) {
		t.Errorf("measured were\n%v, want\n%v", r.steps, want)
	}
	for i, m := range result.Cells {
		if m.Cell != small().Cells()[i] || len(m.Reports) != 2 {
			t.Fatalf("cell %d is %+v with %d reports", i, m.Cell, len(m.Reports))
		}
		if first, second := m.Reports[0].Total.Count, m.Reports[1].Total.Count; first != int64(101+i) || second != int64(204+i) {
			t.Errorf("cell %d has the reports of %d and %d", i, first, second)
		}
	}
	if last := told[len(told)-1]; len(told) != 6 || last.Number != 6 || last.Of != 6 || last.Kept || last.Left != 0 {
		t.Errorf("told %d steps, the last as %+v", len(told), last)
	}
}

func TestAnInterruptedRunGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	dir, settings := t.TempDir(), map[string]string{"duration": "10s"}
	ctx, cancel := context.WithCancel(t.Context())
	first := &rig{then: func(call int) error {
		if call == 4 { // in the middle of a step
			cancel()
			return ctx.Err()
		}
		return nil
	}}
	if _, _, err := run(t, ctx, dir, settings, first); !errors.Is(err, matrix.ErrInterrupted) || !strings.Contains(err.Error(), "after 3 of 6") {
		t.Fatalf("the interrupted run says %v", err)
	}
	second := &rig{}
	result, told, err := run(t, t.Context(), dir, settings, second)
	if err != nil {
		t.Fatal(err)
	}
	if want := small().Steps()[3:]; !slices.Equal(second.steps, want) {
		t.Errorf("measured again were %v, want %v", second.steps, want)
	}
	for i, p := range told {
		if p.Kept != (i < 3) {
			t.Errorf("step %d kept: %v", i+1, p.Kept)
		}
	}
	if got := result.Cells[1].Reports[0].Total.Count; got != 102 {
		t.Errorf("the kept report of the second cell has %d requests, want the 102 of the first run", got)
	}
	third := &rig{}
	if _, _, err := run(t, t.Context(), dir, settings, third); err != nil || len(third.steps) != 0 {
		t.Errorf("a third run measured %v (%v), want nothing", third.steps, err)
	}
}

func TestAChangedSettingReusesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, _, err := run(t, t.Context(), dir, map[string]string{"duration": "10s"}, &rig{}); err != nil {
		t.Fatal(err)
	}
	for name, settings := range map[string]map[string]string{
		"another value": {"duration": "20s"},
		"one more":      {"duration": "10s", "users": "5"},
		"none":          nil,
	} {
		r := &rig{}
		if _, _, err := run(t, t.Context(), dir, settings, r); err != nil || len(r.steps) != 6 {
			t.Errorf("%s: %d steps were measured (%v), want all 6", name, len(r.steps), err)
		}
	}
}

func TestAGridThatGrowsReusesWhatItHad(t *testing.T) {
	t.Parallel()
	dir, grown := t.TempDir(), small()
	if _, _, err := run(t, t.Context(), dir, nil, &rig{}); err != nil {
		t.Fatal(err)
	}
	grown.Pools = append(grown.Pools, 60)
	r := &rig{}
	if _, err := matrix.Run(t.Context(), matrix.Config{Grid: grown, Dir: dir}, r); err != nil {
		t.Fatal(err)
	}
	if len(r.steps) != 6 || slices.ContainsFunc(r.steps, func(s matrix.Step) bool { return s.Pool != 60 }) {
		t.Errorf("measured were %v, want the 6 steps with a pool of 60", r.steps)
	}
}

func TestAStepThatFailsIsNotKept(t *testing.T) {
	t.Parallel()
	broken := errors.New("the backend ended on its own")
	for name, r := range map[string]*rig{
		"an error":           {then: func(int) error { return broken }},
		"cut short":          {spoil: func(r *stresstest.Report) { r.Interrupted = true }},
		"fails after others": {then: func(call int) error { return map[int]error{2: broken}[call] }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			result, told, err := run(t, t.Context(), dir, nil, r)
			if err == nil || result != nil || !strings.Contains(err.Error(), "of 6 (pool 50, 10 workers") {
				t.Fatalf("the result is %v and the error %v, want none and one that names the step", result, err)
			}
			files, err := os.ReadDir(dir)
			if err != nil || len(files) != len(told) {
				t.Errorf("%d files are kept (%v) of %d finished steps", len(files), err, len(told))
			}
		})
	}
}

func TestAFileThatIsNoReportIsRefused(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"garbage": "{", "another step": "{}", "empty": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if _, _, err := run(t, t.Context(), dir, nil, &rig{}); err != nil {
				t.Fatal(err)
			}
			files, err := filepath.Glob(filepath.Join(dir, "login-*replica1-*.json"))
			if err != nil || len(files) != 1 {
				t.Fatalf("the login cell's files are %v (%v)", files, err)
			}
			if err := os.WriteFile(files[0], []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, _, err := run(t, t.Context(), dir, nil, &rig{}); err == nil || !strings.Contains(err.Error(), files[0]) {
				t.Errorf("the error is %v, want one that names the file", err)
			}
		})
	}
}

func TestWrongAnswersAreAddedUp(t *testing.T) {
	t.Parallel()
	result, _, err := run(t, t.Context(), "", nil, &rig{spoil: func(r *stresstest.Report) { r.Wrong = 2 }})
	if err != nil || result.Wrong() != 12 {
		t.Errorf("%d wrong answers (%v), want 12", result.Wrong(), err)
	}
}
