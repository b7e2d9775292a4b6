package throttle_test

import (
	"encoding"
	"strings"
	"testing"

	"gatehouse/backend/throttle"
)

var (
	_ encoding.TextMarshaler   = throttle.Limit{}
	_ encoding.TextUnmarshaler = (*throttle.Limit)(nil)
)

func TestLimitIsReadAndWritten(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10/1m":             "10/1m",
		"10/1m,20":          "10/1m,20",
		"10/1m,10":          "10/1m",
		"10/1m,1":           "10/1m,1",
		"20/1h":             "20/1h",
		"20/60m":            "20/1h",
		"1/24h,366":         "1/24h,366",
		"3/10s":             "3/10s",
		"3/90s":             "3/1m30s",
		"3/1h30m":           "3/1h30m",
		"3/10m":             "3/10m",
		"3/1h0m10s":         "3/1h0m10s",
		"1000000/1s":        "1000000/1s",
		"1000000/24h,10000": "1000000/24h,10000",
		"off":               "off",
	} {
		var l throttle.Limit
		if err := l.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		got, err := l.MarshalText()
		if string(got) != want || err != nil || l.String() != want {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
		if again, err := throttle.ParseLimit(want); again != l || err != nil {
			t.Errorf("%q read again: %v, %v, want %v", want, again, err, l)
		}
	}
	if s := (throttle.Limit{}).String(); s != "" {
		t.Errorf("zero Limit is %q, want nothing", s)
	}
}

func TestLimitErrorsNameWhatIsWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                 "want COUNT/PERIOD or COUNT/PERIOD,BURST",
		"10":               "want COUNT/PERIOD or COUNT/PERIOD,BURST",
		"OFF":              "want COUNT/PERIOD or COUNT/PERIOD,BURST",
		"none":             "such as 10/1m or 10/1m,20, or off",
		"10,20":            "want COUNT/PERIOD",
		"/1m":              `the count is "", want a whole number from 1 to 1000000`,
		"0/1m":             `the count is "0"`,
		"-1/1m":            `the count is "-1"`,
		"1000001/1m":       `the count is "1000001"`,
		"1.5/1m":           `the count is "1.5"`,
		"ten/1m":           `the count is "ten"`,
		" 10/1m":           `the count is " 10"`,
		"10/":              `the period is "", want a duration from 1s to 24h, such as 1m`,
		"10/m":             `the period is "m"`,
		"10/60":            `the period is "60"`,
		"10/999ms":         `the period is "999ms"`,
		"10/24h1s":         `the period is "24h1s"`,
		"10/-1m":           `the period is "-1m"`,
		"10/1m/1h":         `the period is "1m/1h"`,
		"10/1m,":           `the burst is "", want a whole number from 1 to 1000000`,
		"10/1m,0":          `the burst is "0"`,
		"10/1m,20,30":      `the burst is "20,30"`,
		"10/1m,1000001":    `the burst is "1000001"`,
		"10/1m,9999999999": `the burst is "9999999999"`,
		"1/24h,367":        "takes more than 366 days to recover",
		"1/24h,1000000":    "takes more than 366 days to recover",
	} {
		l := mustParse(t, "7/7s")
		err := l.UnmarshalText([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want it to contain %q", text, err, want)
		}
		if l != mustParse(t, "7/7s") {
			t.Errorf("%q: changed the limit to %v", text, l)
		}
	}
}

func mustParse(t *testing.T, text string) throttle.Limit {
	t.Helper()
	l, err := throttle.ParseLimit(text)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
