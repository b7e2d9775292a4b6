package webserver_test

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"gatehouse/protocol"
	"gatehouse/webserver"
)

// node is an element of a page.
type node struct {
	name     string
	attr     map[string]string
	parent   *node
	children []*node
	words    []string // the text directly in it
}

// parse parses a page. The templates are kept well-formed as XML, so that a
// strict parser finds what a browser would silently repair.
func parse(t *testing.T, a answer) *node {
	t.Helper()
	if got := a.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Fatalf("content type %q; body %s", got, a.body)
	}
	d := xml.NewDecoder(strings.NewReader(a.body))
	root := &node{}
	at := root
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return root
		}
		if err != nil {
			t.Fatalf("parse page: %v in %s", err, a.body)
		}
		switch token := token.(type) {
		case xml.StartElement:
			n := &node{name: token.Name.Local, attr: make(map[string]string), parent: at}
			for _, attr := range token.Attr {
				n.attr[attr.Name.Local] = attr.Value
			}
			at.children = append(at.children, n)
			at = n
		case xml.EndElement:
			at = at.parent
		case xml.CharData:
			at.words = append(at.words, string(token))
		}
	}
}

// all returns the elements of some names, in their order.
func (n *node) all(names ...string) []*node {
	var found []*node
	for _, child := range n.children {
		if slices.Contains(names, child.name) {
			found = append(found, child)
		}
		found = append(found, child.all(names...)...)
	}
	return found
}

// everything returns all elements.
func (n *node) everything() []*node {
	var found []*node
	for _, child := range n.children {
		found = append(append(found, child), child.everything()...)
	}
	return found
}

// text returns all text in n.
func (n *node) text() string {
	text := strings.Join(n.words, " ")
	for _, child := range n.children {
		text += " " + child.text()
	}
	return text
}

// everyPage returns one answer of every kind of page, by name.
func everyPage(t *testing.T) map[string]answer {
	t.Helper()
	s := newSite(t, withPictures(newMemory()), func(c *webserver.Config) {
		c.Registration, c.PasswordMin = webserver.RegistrationInvite, 8
	})
	plain := s.get("/profile")
	s.upload(png(t, 4, 4)).to(t, "/profile")
	s.fake.mu.Lock()
	s.fake.open(s.fake.byName("ada"), protocol.Meta{})
	s.fake.mu.Unlock()
	pages := map[string]answer{
		"login":            s.do("GET", "/login", ""),
		"login refused":    s.visit("/login", "username", "ada", "password", "no"),
		"register":         s.do("GET", "/register", ""),
		"register refused": s.visit("/register", "username", "x", "password", "y"),
		"profile":          plain,
		"profile picture":  s.get("/profile"),
		"profile saved":    s.get("/profile", "Cookie", "gatehouse-flash=saved"),
		"profile refused":  s.post("/profile", "nickname", ""),
		"picture refused":  s.upload([]byte("no picture")),
		"security":         s.get("/security"),
		"password refused": s.post("/security/password", "current_password", "x", "new_password", "y"),
		"delete refused":   s.post("/security/delete", "password", "x"),
		"user":             s.do("GET", "/u/ada", ""),
		"not found":        s.get("/nothing"),
		"not allowed":      s.do("POST", "/u/ada", ""),
		"cross origin":     s.do("POST", "/login", "", "Sec-Fetch-Site", "cross-site"),
	}
	s.fake.gone(&protocol.Error{Code: protocol.Unavailable})
	pages["gone"] = s.get("/profile")
	s.fake.gone(errors.New("a defect"))
	pages["defect"] = s.post("/profile", "nickname", "x")
	return pages
}

func TestEveryPageIsWellFormedAndAccessible(t *testing.T) {
	t.Parallel()
	for name, a := range everyPage(t) {
		t.Run(name, func(t *testing.T) {
			root := parse(t, a)
			if html := root.all("html"); len(html) != 1 || html[0].attr["lang"] != "en" {
				t.Error("no html element with a language")
			}
			for element, count := range map[string]int{"h1": 1, "title": 1, "main": 1, "nav": 1, "header": 1} {
				if got := len(root.all(element)); got != count {
					t.Errorf("%d %s elements", got, element)
				}
			}
			checkIDs(t, root)
			checkForms(t, root)
			checkInline(t, root)
			if strings.Contains(a.body, "ZgotmplZ") {
				t.Error("a value was refused by the template")
			}
		})
	}
}

// checkIDs checks that ids are unique and that what refers to one finds it.
func checkIDs(t *testing.T, root *node) {
	ids := make(map[string]bool)
	for _, n := range root.everything() {
		if id := n.attr["id"]; id != "" {
			if ids[id] {
				t.Errorf("id %q twice", id)
			}
			ids[id] = true
		}
	}
	for _, n := range root.everything() {
		refs := strings.Fields(n.attr["aria-describedby"] + " " + n.attr["aria-labelledby"] + " " + n.attr["for"])
		if href, ok := strings.CutPrefix(n.attr["href"], "#"); ok {
			refs = append(refs, href)
		}
		for _, ref := range refs {
			if !ids[ref] {
				t.Errorf("%s refers to %q, which is not there", n.name, ref)
			}
		}
	}
	first := root.all("a")[0]
	if first.attr["class"] != "skip" || !ids[strings.TrimPrefix(first.attr["href"], "#")] {
		t.Error("the first link does not skip to the content")
	}
}

// checkForms checks that every field has a label and tells password managers
// what it is, and that no password is ever sent back.
func checkForms(t *testing.T, root *node) {
	labels := make(map[string]bool)
	for _, l := range root.all("label") {
		labels[l.attr["for"]] = strings.TrimSpace(l.text()) != ""
	}
	for _, f := range root.all("form") {
		if f.attr["method"] != "post" || !strings.HasPrefix(f.attr["action"], "/") {
			t.Errorf("form %v", f.attr)
		}
		if len(f.all("button")) != 1 {
			t.Errorf("form %s has %d buttons", f.attr["action"], len(f.all("button")))
		}
	}
	for _, in := range root.all("input") {
		_, hidden := in.attr["hidden"]
		if in.attr["type"] == "hidden" || hidden {
			continue
		}
		if !labels[in.attr["id"]] {
			t.Errorf("input %s has no label", in.attr["name"])
		}
		if in.attr["autocomplete"] == "" && in.attr["type"] != "file" {
			t.Errorf("input %s does not say what it is", in.attr["name"])
		}
		if in.attr["type"] == "password" && in.attr["value"] != "" {
			t.Errorf("input %s holds a password", in.attr["name"])
		}
		if _, limited := in.attr["maxlength"]; limited {
			t.Errorf("input %s cuts what is pasted", in.attr["name"])
		}
	}
	for _, b := range root.all("button", "a") {
		if strings.TrimSpace(b.text()) == "" && b.attr["aria-label"] == "" {
			t.Errorf("%s without a name: %v", b.name, b.attr)
		}
	}
	for _, img := range root.all("img") {
		if _, ok := img.attr["alt"]; !ok {
			t.Error("picture without alt")
		}
	}
}

// checkInline checks that a page has nothing that its own policy forbids.
func checkInline(t *testing.T, root *node) {
	for _, n := range root.everything() {
		for name := range n.attr {
			if strings.HasPrefix(name, "on") || name == "style" {
				t.Errorf("%s has attribute %s", n.name, name)
			}
		}
		switch n.name {
		case "style":
			t.Error("a style element")
		case "script":
			if strings.TrimSpace(n.text()) != "" || !strings.HasPrefix(n.attr["src"], "/static/") {
				t.Error("an inline script")
			}
		}
	}
}

func TestErrorPagesNameTheRequestOnlyWhereTheFaultIsOurs(t *testing.T) {
	t.Parallel()
	pages := everyPage(t)
	pages["defect"].want(t, 500).has(t, pages["defect"].Header.Get("X-Request-Id"), "What you typed is not lost")
	pages["not found"].want(t, 404).hasNot(t, pages["not found"].Header.Get("X-Request-Id"), "What you typed")
}

func TestFieldsTellPasswordManagersWhatTheyAre(t *testing.T) {
	t.Parallel()
	pages := everyPage(t)
	want := map[string]map[string]string{
		"login":    {"username": "username", "password": "current-password"},
		"register": {"username": "username", "password": "new-password", "nickname": "nickname"},
		"security": {"username": "username", "current_password": "current-password", "new_password": "new-password", "password": "current-password"},
	}
	for name, fields := range want {
		for _, in := range parse(t, pages[name]).all("input") {
			if purpose, ok := fields[in.attr["name"]]; ok && in.attr["autocomplete"] != purpose {
				t.Errorf("%s: %s has autocomplete %q, want %q", name, in.attr["name"], in.attr["autocomplete"], purpose)
			}
			delete(fields, in.attr["name"])
		}
		if len(fields) > 0 {
			t.Errorf("%s lacks %v", name, fields)
		}
	}
}

func TestDevicesAreNamed(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                 "Firefox on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36":        "Chrome on Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0":              "Edge on Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.0 Safari/605.1.15":                      "Safari on macOS",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 CriOS/140.0 Mobile/15E148 Safari/604.1":     "Chrome on iPhone",
		"Mozilla/5.0 (Linux; Android 15; SM-S931B) AppleWebKit/537.36 SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36": "Samsung Internet on Android",
		"curl/8.14.1":               "curl",
		"":                          "Unknown device",
		"<script>alert(1)</script>": "Unknown device",
	}
	for agent, want := range tests {
		s := newSite(t)
		s.fake.mu.Lock()
		clear(s.fake.sessions)
		s.token = s.fake.open(s.fake.byName("ada"), protocol.Meta{Client: protocol.Client{UserAgent: agent}})
		s.fake.mu.Unlock()
		if got := parse(t, s.get("/security").want(t, 200)).all("strong")[0].text(); got != want {
			t.Errorf("%q is called %q, want %q", agent, got, want)
		}
	}
}
