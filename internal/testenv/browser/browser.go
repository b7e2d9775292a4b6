// Package browser gives a test a headless browser with a fresh profile. It
// stands apart from testenv because the browser's protocol takes a minute to
// compile under the race detector, which tests of servers need not wait for.
package browser

import (
	"context"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"gatehouse/internal/testenv"
)

// timeout is how long a browser may be used before everything it does fails.
const timeout = 2 * time.Minute

// Open starts a browser and returns a context for chromedp.Do with one tab.
// chromedp.NewContext on it makes another tab of the same browser. It has an
// empty profile and ends with the test. Further options are added to, and
// win over, the usual ones.
func Open(t testing.TB, further ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, append(options(t), further...)...)
	t.Cleanup(cancel)
	ctx, _ = chromedp.NewContext(ctx)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start browser: %v", err)
	}
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("end browser: %v", err)
		}
	})
	return ctx
}

// options are chromedp's own and what a browser needs to run in a container,
// as root where need be, without talking to its maker. The sandbox wants
// rights that containers seldom give; only our own pages are loaded.
func options(t testing.TB) []chromedp.ExecAllocatorOption {
	t.Helper()
	return append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(testenv.Chromium(t)),
		chromedp.UserDataDir(testenv.TempDir(t)),
		chromedp.Flag("headless", "new"),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("mute-audio", true),
		chromedp.NoSandbox,
		chromedp.WSURLReadTimeout(time.Minute),
	)
}
