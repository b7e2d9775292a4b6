package testenv

import (
	"os"
	"testing"
)

// macChrome is where a Mac keeps its browser, which is in no PATH.
const macChrome = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"

// Chromium returns the path of a Chromium or Chrome.
func Chromium(t testing.TB) string {
	t.Helper()
	path, ok := lookup("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
	if ok {
		return path
	}
	if _, err := os.Stat(macChrome); err == nil {
		return macChrome
	}
	t.Fatal(missing("chromium"))
	return ""
}
