package e2e_test

import (
	_ "embed"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"gatehouse/internal/testenv/browser"
)

// The widths of the screens that pages must fit: the narrowest telephone, and
// a window on a desk.
var widths = []int64{320, 1000}

// examine is a function that returns what is wrong with the page as it looks
// now.
//
//go:embed examine.js
var examine string

func TestPagesFitEveryScreenAndReader(t *testing.T) {
	t.Parallel()
	s := service(t)
	b := openTab(t, browser.Open(t), s.url, true)
	name := newName()

	b.visit("/login", 200)
	b.examine("login")
	b.fill("#username", strings.Repeat("nobody", 5))
	b.fill("#password", "wrong")
	b.submit("main form button.primary", 401, "/login")
	b.examine("login refused")
	b.visit("/register", 200)
	b.examine("register")
	b.fill("#username", "a b")
	b.fill("#nickname", strings.Repeat("n", 70))
	b.fill("#password", "12345678")
	b.submit("main form button.primary", 422, "/register")
	b.examine("register refused")
	b.visit("/no/such/page", 404)
	b.examine("not found")

	b.registers(name)
	b.examine("profile")
	b.changesNickname(strings.Repeat("Ŵ", 64)) // nowhere to break a line
	b.uploads(leaningJPEG(t))
	b.examine("profile with picture")
	b.fill("#nickname", "\u202e")
	b.submit(`form[action="/profile"] button`, 422, "/profile")
	b.examine("profile refused")
	b.visit("/u/"+name, 200)
	b.showsUpright("img.avatar")
	b.examine("public profile")
	login(t, s.url, name, password)
	b.visit("/security", 200)
	b.do(chromedp.Click(chromedp.CSS("summary")))
	b.examine("security")
	b.fill(`form[action="/security/delete"] input[type="password"]`, "wrong")
	b.submit("button.danger", 403, "/security/delete")
	b.examine("security refused")
}

// examine looks at the page that is shown on every width and by day and by
// night, and fails the test for everything that is wrong with it.
func (b *tab) examine(page string) {
	b.t.Helper()
	for _, width := range widths {
		b.do(chromedp.EmulateViewport(width, 800))
		for _, scheme := range []string{"light", "dark"} {
			b.prefers(scheme)
			for _, wrong := range ask[[]string](b, "("+examine+")()") {
				b.t.Errorf("%s, %d pixels wide, %s: %s", page, width, scheme, wrong)
			}
		}
	}
}

// prefers makes the browser tell pages of a colour scheme, and that nothing
// should move, so that colours change at once.
func (b *tab) prefers(scheme string) {
	b.t.Helper()
	params := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, params); err != nil {
		b.t.Fatalf("emulate %s: %v", scheme, err)
	}
}
