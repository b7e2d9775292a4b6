package e2e_test

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"gatehouse/internal/testenv/browser"
)

func TestKeyboardAloneIsEnough(t *testing.T) {
	t.Parallel()
	s := service(t)
	name := newName()
	register(t, s.url, name)
	b := openTab(t, browser.Open(t), s.url, true)
	b.visit("/login", 200)
	b.focused("#username") // where one wants to begin
	b.types(name)
	b.press(kb.Tab, "#password")
	b.types(password)
	b.press(kb.Tab, "button.peek")
	b.press(kb.Tab, "main form button.primary")
	b.pressAndGo(kb.Enter, "/profile")

	// Past the navigation at once, then to the next page and out.
	b.press(kb.Tab, "a.skip")
	b.do(chromedp.KeyEvent(kb.Enter))
	b.focused("main")
	b.visit("/profile", 200)
	for _, next := range []string{"a.skip", "a.brand", `nav a[href="/profile"]`, `nav a[href="/security"]`, `form[action="/logout"] button`} {
		b.press(kb.Tab, next)
	}
	b.pressAndGo(kb.Enter, "/login")

	// Enter in a field sends the form.
	b.types(name)
	b.press(kb.Tab, "#password")
	b.types(password)
	b.pressAndGo(kb.Enter, "/profile")
}

// press presses a key, after which an element must have the focus and show
// it.
func (b *tab) press(key, selector string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(key))
	b.focused(selector)
	outline := ask[string](b, `(() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle + " " + parseFloat(s.outlineWidth) })()`)
	if outline != "solid 3" {
		b.t.Errorf("%s has the focus and the outline %q", selector, outline)
	}
}

// pressAndGo presses a key that leads to another page.
func (b *tab) pressAndGo(key, path string) {
	b.t.Helper()
	resp, err := chromedp.RunResponse(b.ctx, chromedp.KeyEvent(key))
	if err != nil {
		b.t.Fatal(err)
	}
	if at := b.arrived("press a key", resp.URL, resp.Status, 200); at != path {
		b.t.Fatalf("came to %s, want %s", at, path)
	}
}

// focused fails the test unless an element has the focus.
func (b *tab) focused(selector string) {
	b.t.Helper()
	if !ask[bool](b, `document.activeElement.matches('`+selector+`')`) {
		b.t.Fatalf("%s has the focus, want %s", ask[string](b, "document.activeElement.outerHTML.slice(0, 120)"), selector)
	}
}
