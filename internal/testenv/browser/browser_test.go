package browser_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/chromedp/chromedp"

	"gatehouse/internal/testenv/browser"
)

func TestBrowserShowsAPageAndRunsItsScript(t *testing.T) {
	page := `<!doctype html><title>Gatehouse</title><p id=a></p><script>document.getElementById("a").textContent=6*7</script>`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte(page))
	}))
	defer server.Close()

	ctx := browser.Open(t)
	if err := chromedp.Do(ctx, chromedp.Navigate(server.URL)); err != nil {
		t.Fatal(err)
	}
	title, err := chromedp.Run(ctx, chromedp.Title())
	if err != nil {
		t.Fatal(err)
	}
	text, err := chromedp.Run(ctx, chromedp.Text("#a"))
	if err != nil {
		t.Fatal(err)
	}
	if title != "Gatehouse" || text != "42" {
		t.Errorf("got title %q and text %q, want Gatehouse and 42", title, text)
	}
}
