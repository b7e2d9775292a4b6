package e2e_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"gatehouse/internal/testenv/browser"
)

func TestScriptsAddWhatIsNotNeeded(t *testing.T) {
	t.Parallel()
	s := service(t)
	chromium := browser.Open(t)
	with, without := openTab(t, chromium, s.url, true), openTab(t, chromium, s.url, false)
	for _, b := range []*tab{with, without} {
		b.visit("/register", 200)
	}
	if n := without.count("button.peek"); n != 0 {
		t.Errorf("there are %d buttons that would do nothing without scripts", n)
	}
	with.fill("#password", password)
	kind := func() string { return ask[string](with, `document.querySelector("#password").type`) }
	with.do(chromedp.Click(chromedp.CSS("button.peek")))
	if got := kind(); got != "text" {
		t.Errorf("after Show the field is of type %q", got)
	}
	with.do(chromedp.Click(chromedp.CSS("button.peek")))
	if got := kind(); got != "password" {
		t.Errorf("after Hide the field is of type %q", got)
	}
}

func TestContentPolicyStopsWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	s := service(t)
	b := openTab(t, browser.Open(t), s.url, true)
	b.registers(newName())
	// What somebody calls themselves is text, whatever it looks like.
	const evil = `<script>window.caught=1</script><b onclick=a>`
	b.changesNickname(evil)
	if ask[bool](b, "window.caught === 1 || document.querySelector('.person b') !== null") {
		t.Error("the nickname became a part of the page")
	}
	// Were it otherwise, the policy would stop it, and the browser tells so:
	// that is how the other tests would know.
	ask[bool](b, `document.body.setAttribute("onclick", "window.caught = 1"), document.body.click(),
		document.head.append(Object.assign(document.createElement("script"), {textContent: "window.caught = 1"})), true`)
	if ask[bool](b, "window.caught === 1") {
		t.Error("a script within the page ran")
	}
	if heard := strings.Join(b.heard(), "\n"); strings.Count(heard, "Content Security Policy") < 2 {
		t.Errorf("the browser says %q of two breaches of the policy", heard)
	}
}
