package command

import (
	"fmt"
	"io"
	"log/slog"
	"os"
)

// newLog returns the log that the flags ask for, on w.
func (f commonFlags) newLog(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.LogLevel)); err != nil {
		return nil, usage("--log-level: %w", err)
	}
	options := &slog.HandlerOptions{Level: level}
	if f.LogFormat == "json" || f.LogFormat == "auto" && !terminal(w) {
		options.ReplaceAttr = seconds
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	options.ReplaceAttr = shortTime
	return slog.New(slog.NewTextHandler(w, options)), nil
}

// seconds writes durations in the unit that programs expect.
func seconds(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		return slog.Float64(a.Key, a.Value.Duration().Seconds())
	}
	return a
}

// shortTime leaves the date out for people who watch a terminal.
func shortTime(groups []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey && len(groups) == 0 {
		return slog.String(slog.TimeKey, a.Value.Time().Format("15:04:05.000"))
	}
	return a
}

// terminal tells whether a person reads what is written to w.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// warn tells the operator of something that works and should not stay so.
func warn(log *slog.Logger, format string, args ...any) { log.Warn(fmt.Sprintf(format, args...)) }
