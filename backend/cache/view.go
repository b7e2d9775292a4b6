package cache

import "time"

// Mode is what a View allows.
type Mode int

// The modes.
const (
	// Turning: it is not known, for a moment, whether others use the cache.
	// Reads go to the database; changes have to wait.
	Turning Mode = iota
	// On: reads use the cache, and changes mark it.
	On
	// Off: nobody uses the cache. Reads go to the database, and changes need
	// no marks.
	Off
	// Lost: the database does not answer, so that nothing is known.
	Lost
)

// String returns the mode's name.
func (m Mode) String() string {
	return [...]string{"turning", "on", "off", "lost"}[m]
}

// View is what one request may do with the cache.
type View struct {
	Mode Mode
	// Cache is that of the epoch; nil unless the mode is On.
	Cache Cache
	Epoch int64
	// Guarded means that changes are to be committed under the guard of
	// Epoch: others may disable and enable the cache.
	Guarded bool
}

// Views says what may be done with the cache at this moment. A request that
// uses the cache asks when it begins, and once more before it trusts what it
// found.
type Views interface {
	View() View
	// MarkFailed and Marked tell how setting a mark ended.
	MarkFailed()
	Marked()
}

// Fixed is the Views of a cache within the process, or of none where it is
// nil: there is nobody to agree with.
type Fixed struct{ Cache }

// View implements Views.
func (f Fixed) View() View {
	if f.Cache == nil {
		return View{Mode: Off}
	}
	return View{Mode: On, Cache: f.Cache, Epoch: 1}
}

// MarkFailed implements Views.
func (Fixed) MarkFailed() {}

// Marked implements Views.
func (Fixed) Marked() {}

// known is a View with the moment that it was known to be right. The moment
// is taken before the database is asked, on the clock that stops while the
// machine sleeps and on the one on the wall: whoever disables the cache waits
// longer than a View lasts, by the same two clocks.
type known struct {
	view   View
	since  time.Time
	failed bool // the database was asked since, and did not answer
}
