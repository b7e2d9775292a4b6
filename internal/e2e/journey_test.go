package e2e_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"gatehouse/internal/testenv"
	"gatehouse/internal/testenv/browser"
)

func TestJourneyOfAPerson(t *testing.T) {
	for about, scripts := range map[string]bool{"with scripts": true, "without scripts": false} {
		t.Run(about, func(t *testing.T) {
			t.Parallel()
			s := service(t)
			journey(t, s.url, s.url, scripts, func() {})
		})
	}
}

func TestJourneyThroughTwoOfEachTierOnMariaDB(t *testing.T) {
	t.Parallel()
	s := startTiers(t, 2, testenv.MariaDB(t).URL())
	journey(t, s.webservers[0].url, s.webservers[1].url, true, func() { s.restart(t) })
}

// better is the password after it was changed.
const better = "nine violet harbours before noon"

// journey is what a person does with an account over its life, in two
// browsers. In the middle of it something happens to the service, of which
// the person must notice nothing.
func journey(t *testing.T, first, second string, scripts bool, meanwhile func()) {
	t.Helper()
	chromium := browser.Open(t)
	one, two := openTab(t, chromium, first, scripts), openTab(t, chromium, second, scripts)
	name, nickname := newName(), "Zoë 👩🏽‍🚀 日本"
	one.registers(name)
	one.changesNickname(nickname)
	one.uploads(leaningJPEG(t))
	meanwhile()

	two.visit("/login", 200)
	two.logsIn(name, password, "/profile")
	two.shows(".name", nickname)
	two.showsUpright("img.avatar")
	one.endsOtherSessions()
	if at := two.visit("/security", 200); at != "/login?next=%2Fsecurity" {
		t.Errorf("the session that was ended from elsewhere comes to %s", at)
	}

	two.logsIn(name, password, "/security")
	one.changesPassword(password, better)
	if at := two.visit("/profile", 200); at != "/login?next=%2Fprofile" {
		t.Errorf("the session from before the password was changed comes to %s", at)
	}
	two.isRefused(name, password)
	two.logsIn(name, better, "/profile")
	two.submit(`form[action="/logout"] button`, 200, "/login")
	two.shows(`[role="status"]`, "You are logged out.")

	one.deletesAccount(better)
	two.visit("/u/"+name, 404)
	two.visit("/login", 200)
	two.isRefused(name, better)
}

func (b *tab) registers(name string) {
	b.t.Helper()
	if at := b.visit("/", 200); at != "/login" {
		b.t.Errorf("a stranger comes to %s, want /login", at)
	}
	b.submit(`nav a[href="/register"]`, 200, "/register")
	b.fill("#username", name)
	b.fill("#password", password)
	b.submit("main form button.primary", 200, "/profile")
	b.shows(`[role="status"]`, "Welcome")
	b.shows(".person", "@"+name)
}

func (b *tab) changesNickname(nickname string) {
	b.t.Helper()
	b.fill("#nickname", nickname)
	b.submit(`form[action="/profile"] button`, 200, "/profile")
	b.shows(`[role="status"]`, "saved")
	b.shows(".name", nickname)
}

// uploads chooses a file as the picture, which must be leaningJPEG.
func (b *tab) uploads(picture []byte) {
	b.t.Helper()
	file := filepath.Join(testenv.TempDir(b.t), "picture.jpg")
	if err := os.WriteFile(file, picture, 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.do(chromedp.SetUploadFiles(chromedp.CSS("#picture"), []string{file}))
	b.submit(`form[action="/profile/picture"] button`, 200, "/profile")
	b.shows(`[role="status"]`, "Your picture is saved.")
	b.showsUpright("img.avatar")
}

// showsUpright checks that an image is leaningJPEG after it was turned: its
// natural size, and the blue sky over the red ground.
func (b *tab) showsUpright(selector string) {
	b.t.Helper()
	got := ask[struct{ Width, Height, Sky, Ground int }](b, `(() => {
		const image = document.querySelector("`+selector+`"), canvas = document.createElement("canvas");
		canvas.width = image.naturalWidth;
		canvas.height = image.naturalHeight;
		const context = canvas.getContext("2d");
		context.drawImage(image, 0, 0);
		const column = context.getImageData(canvas.width / 2, 0, 1, canvas.height).data;
		const blueness = (y) => column[4 * y + 2] - column[4 * y];
		return {Width: canvas.width, Height: canvas.height, Sky: blueness(10), Ground: blueness(canvas.height - 10)};
	})()`)
	if got.Width != leaning.Dy() || got.Height != leaning.Dx() {
		b.t.Errorf("the picture is %d x %d, want %d x %d", got.Width, got.Height, leaning.Dy(), leaning.Dx())
	}
	if got.Sky < 150 || got.Ground > -150 {
		b.t.Errorf("the sky has blueness %d and the ground %d: the picture is not upright", got.Sky, got.Ground)
	}
}

// logsIn fills in the login page that is shown, which leads to a path.
func (b *tab) logsIn(name, password, path string) {
	b.t.Helper()
	b.fill("#username", name)
	b.fill("#password", password)
	b.submit("main form button.primary", 200, path)
}

// isRefused fills in the login page that is shown, in vain.
func (b *tab) isRefused(name, password string) {
	b.t.Helper()
	at := ask[string](b, "location.pathname + location.search")
	b.fill("#username", name)
	b.fill("#password", password)
	b.submit("main form button.primary", 401, at)
	b.shows(`[role="alert"]`, "Username or password is not right.")
	if typed := ask[string](b, `document.querySelector("#username").value + "/" + document.querySelector("#password").value`); typed != name+"/" {
		b.t.Errorf("after a refusal the form holds %q, want the username alone", typed)
	}
}

func (b *tab) endsOtherSessions() {
	b.t.Helper()
	b.submit(`nav a[href="/security"]`, 200, "/security")
	if n := b.count(".sessions li"); n != 2 {
		b.t.Errorf("there are %d sessions in the list, want 2", n)
	}
	b.submit(`form[action="/security/sessions/end-others"] button`, 200, "/security")
	b.shows(`[role="status"]`, "All your other sessions have ended.")
	if n := b.count(".sessions li"); n != 1 {
		b.t.Errorf("there are %d sessions left, want 1", n)
	}
	b.shows(".sessions li", "This device")
}

func (b *tab) changesPassword(from, to string) {
	b.t.Helper()
	b.visit("/security", 200)
	b.fill("#current_password", "not "+from)
	b.fill("#new_password", to)
	b.submit(`form[action="/security/password"] button.primary`, 403, "/security/password")
	b.shows("#current_password-error", "This is not your password.")
	b.fill("#current_password", from)
	b.fill("#new_password", to)
	b.submit(`form[action="/security/password"] button.primary`, 200, "/security")
	b.shows(`[role="status"]`, "Your password is changed")
}

func (b *tab) deletesAccount(password string) {
	b.t.Helper()
	b.visit("/security", 200)
	b.do(chromedp.Click(chromedp.CSS("summary")))
	b.fill(`form[action="/security/delete"] input[type="password"]`, password)
	b.submit("button.danger", 200, "/login")
	b.shows(`[role="status"]`, "Your account is deleted.")
}
