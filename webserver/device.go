package webserver

import (
	"strings"

	"gatehouse/webserver/catalogue"
)

// mark is a word in a User-Agent header with the name that people know.
type mark struct{ word, name string }

// browsers are looked for in this order, because most browsers also claim to
// be those further down.
var browsers = []mark{
	{"Edg", "Edge"}, {"OPR/", "Opera"}, {"Vivaldi/", "Vivaldi"}, {"SamsungBrowser/", "Samsung Internet"},
	{"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chromium/", "Chromium"}, {"Chrome/", "Chrome"},
	{"Safari/", "Safari"}, {"curl/", "curl"}, {"Wget/", "Wget"}, {"python-requests/", "Python"}, {"Go-http-client/", "Go"},
}

// systems are looked for in this order, for the same reason.
var systems = []mark{
	{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"CrOS", "ChromeOS"},
	{"Windows", "Windows"}, {"Macintosh", "macOS"}, {"Linux", "Linux"}, {"FreeBSD", "FreeBSD"},
}

// describeDevice names the device behind a User-Agent header, so that people
// recognise their own. It is a guess: the header says what its sender likes.
func describeDevice(l catalogue.Language, userAgent string) string {
	browser, system := findMark(browsers, userAgent), findMark(systems, userAgent)
	switch {
	case browser != "" && system != "":
		return l.Text("device.both", "browser", browser, "system", system)
	case browser != "" || system != "":
		return browser + system
	default:
		return l.Text("device.unknown")
	}
}

func findMark(marks []mark, userAgent string) string {
	for _, m := range marks {
		if strings.Contains(userAgent, m.word) {
			return m.name
		}
	}
	return ""
}
