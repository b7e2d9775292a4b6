package e2e_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// A tab is what one person looks at: a browser with a profile of its own.
type tab struct {
	t    testing.TB
	ctx  context.Context
	base string

	mu         sync.Mutex // guards the fields below
	complaints []complaint
	refused    map[string]bool // addresses of pages with a status of failure
}

// A complaint is what the browser says of the page at an address.
type complaint struct{ text, address string }

// openTab opens a tab with an empty profile, in which pages run scripts or
// not. It fails the test for everything that the browser complains of:
// exceptions, errors in the console, and breaches of the content policy.
func openTab(t testing.TB, browser context.Context, base string, scripts bool) *tab {
	t.Helper()
	b := &tab{t: t, base: base, refused: map[string]bool{}}
	var cancel context.CancelFunc
	b.ctx, cancel = chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.listen))
	t.Cleanup(cancel)
	b.do(chromedp.EmulateViewport(1000, 1200))
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !scripts}); err != nil {
		t.Fatalf("turn scripts on or off: %v", err)
	}
	t.Cleanup(func() {
		for _, c := range b.heard() {
			t.Errorf("the browser complained: %s", c)
		}
	})
	return b
}

// listen notes what the browser complains of.
func (b *tab) listen(event any) {
	var c complaint
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		c.text = "exception: " + e.ExceptionDetails.Text
	case *runtime.EventConsoleAPICalled:
		c.text = fmt.Sprintf("console %s: %v", e.Type, e.Args)
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.EntryLevelInfo {
			return // such as that data was cleared, as it was told to
		}
		c = complaint{fmt.Sprintf("%s %s: %s", e.Entry.Source, e.Entry.Level, e.Entry.Text), e.Entry.URL}
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = append(b.complaints, c)
}

// heard returns the complaints so far, without those of pages that were
// refused on purpose, and forgets them.
func (b *tab) heard() (list []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		if !b.refused[c.address] || !strings.Contains(c.text, "the server responded with a status of") {
			list = append(list, c.text+" "+c.address)
		}
	}
	b.complaints = nil
	return list
}

// do runs actions, which must succeed.
func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// visit opens a page of the service, which must answer with a status, and
// tells where that ended.
func (b *tab) visit(path string, status int64) (at string) {
	b.t.Helper()
	resp, err := chromedp.RunResponse(b.ctx, chromedp.Navigate(b.base+path))
	if err != nil {
		b.t.Fatalf("visit %s: %v", path, err)
	}
	return b.arrived("visit "+path, resp.URL, resp.Status, status)
}

// submit clicks what sends a form. The next page must have a status and
// path.
func (b *tab) submit(button string, status int64, path string) {
	b.t.Helper()
	resp, err := chromedp.RunResponse(b.ctx, chromedp.Click(chromedp.CSS(button)))
	if err != nil {
		b.t.Fatalf("click %s: %v", button, err)
	}
	if at := b.arrived("click "+button, resp.URL, resp.Status, status); at != path {
		b.t.Fatalf("click %s: came to %s, want %s", button, at, path)
	}
}

// arrived checks the status of a page and returns its path.
func (b *tab) arrived(doing, address string, status, want int64) string {
	b.t.Helper()
	if status != want {
		b.t.Fatalf("%s: answered %d, want %d: %s", doing, status, want, b.text("main"))
	}
	if want >= 400 {
		b.mu.Lock()
		b.refused[address] = true
		b.mu.Unlock()
	}
	u, err := url.Parse(address)
	if err != nil {
		b.t.Fatal(err)
	}
	return u.RequestURI()
}

// fill types a text into a field in place of what is there.
func (b *tab) fill(field, text string) {
	b.t.Helper()
	b.do(chromedp.Clear(chromedp.CSS(field)), chromedp.Focus(chromedp.CSS(field)))
	b.types(text)
}

// types puts a text where the cursor is, as keyboards do that have emoji.
func (b *tab) types(text string) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, input.InsertText, input.InsertTextParams{Text: text}); err != nil {
		b.t.Fatalf("type %q: %v", text, err)
	}
}

// text returns what a person reads in an element.
func (b *tab) text(selector string) string {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS(selector)))
	if err != nil {
		b.t.Fatalf("read %s: %v", selector, err)
	}
	return strings.Join(strings.Fields(text), " ")
}

// shows fails the test unless a person reads a text in an element.
func (b *tab) shows(selector, text string) {
	b.t.Helper()
	if got := b.text(selector); !strings.Contains(got, text) {
		b.t.Errorf("%s shows %q, want %q in it", selector, got, text)
	}
}

// ask evaluates an expression in the page, which works whether or not the
// page's own scripts run.
func ask[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("evaluate %s: %v", expression, err)
	}
	return v
}

// count returns how many elements match a selector.
func (b *tab) count(selector string) int {
	b.t.Helper()
	return ask[int](b, fmt.Sprintf("document.querySelectorAll(%q).length", selector))
}
