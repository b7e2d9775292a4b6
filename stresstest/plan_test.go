package stresstest_test

import (
	"encoding/base64"
	"encoding/hex"
	"math"
	"testing"

	"gatehouse/stresstest"
)

const draws = 200_000

func TestRequestIsTheSameWhoeverAsksForIt(t *testing.T) {
	t.Parallel()
	for _, d := range []string{"uniform", "fixed:50", "zipf:1.1"} {
		one := stresstest.Pick(7, mix(t, stresstest.DefaultMix), dist(t, d), 1000)
		other := stresstest.Pick(7, mix(t, stresstest.DefaultMix), dist(t, d), 1000)
		another := stresstest.Pick(8, mix(t, stresstest.DefaultMix), dist(t, d), 1000)
		var ahead [100]struct {
			op string
			n  int
		}
		for i := range ahead { // in the other direction
			back := len(ahead) - 1 - i
			ahead[back].op, ahead[back].n = other(int64(back))
		}
		differ := 0
		for i := range ahead {
			op, n := one(int64(i))
			if op != ahead[i].op || n != ahead[i].n {
				t.Errorf("%s: request %d is %s of %d, and %s of %d for another worker", d, i, op, n, ahead[i].op, ahead[i].n)
			}
			if op2, n2 := another(int64(i)); op != op2 || n != n2 {
				differ++
			}
		}
		if differ < len(ahead)/2 {
			t.Errorf("%s: another seed changes only %d of %d requests", d, differ, len(ahead))
		}
	}
}

// histogram counts how often each account is drawn, by number.
func histogram(t *testing.T, d string, users int) []float64 {
	t.Helper()
	pick := stresstest.Pick(1, mix(t, "profile=1"), dist(t, d), users)
	counts := make([]float64, users+1)
	for i := range int64(draws) {
		_, n := pick(i)
		if n < 1 || n > users {
			t.Fatalf("%s: account %d of %d", d, n, users)
		}
		counts[n]++
	}
	return counts
}

// chiSquare returns Pearson's statistic over its degrees of freedom, which
// is close to 1 for draws of the expected distribution.
func chiSquare(counts, expected []float64) float64 {
	sum := 0.0
	for i, want := range expected {
		sum += (counts[i] - want) * (counts[i] - want) / want
	}
	return sum / float64(len(expected)-1)
}

func TestUniformDrawsEveryAccountEquallyOften(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dist         string
		users, drawn int
	}{{"uniform", 1000, 1000}, {"fixed:200", 1000, 200}} {
		counts := histogram(t, c.dist, c.users)
		expected := make([]float64, c.drawn)
		for i := range expected {
			expected[i] = draws / float64(c.drawn)
		}
		if x := chiSquare(counts[1:c.drawn+1], expected); x < 0.8 || x > 1.2 {
			t.Errorf("%s: chi-square over its degrees of freedom is %.3f, want about 1", c.dist, x)
		}
		for n := c.drawn + 1; n <= c.users; n++ {
			if counts[n] != 0 {
				t.Fatalf("%s: account %d was drawn", c.dist, n)
			}
		}
	}
}

func TestZipfDrawsInProportionToThePowerOfTheRank(t *testing.T) {
	t.Parallel()
	const users = 100
	for _, c := range []struct {
		dist string
		s    float64
	}{{"zipf:1.1", 1.1}, {"zipf:2", 2}} {
		expected, sum := make([]float64, users), 0.0
		for k := range expected {
			expected[k] = math.Pow(float64(k+1), -c.s)
			sum += expected[k]
		}
		for k := range expected {
			expected[k] *= draws / sum
		}
		if x := chiSquare(histogram(t, c.dist, users)[1:], expected); x < 0.6 || x > 1.5 {
			t.Errorf("%s: chi-square over its degrees of freedom is %.3f, want about 1", c.dist, x)
		}
	}
	if counts := histogram(t, "zipf:1.1", 1); counts[1] != draws {
		t.Errorf("of one account it was drawn %v times of %d", counts[1], draws)
	}
}

func TestOperationsAreDrawnByWeight(t *testing.T) {
	t.Parallel()
	pick := stresstest.Pick(1, mix(t, "login=1,profile=94,update=5"), dist(t, "uniform"), 10)
	counts := map[string]float64{}
	for i := range int64(draws) {
		op, _ := pick(i)
		counts[op]++
	}
	got := []float64{counts["login"], counts["profile"], counts["update"]}
	if x := chiSquare(got, []float64{draws * .01, draws * .94, draws * .05}); x > 5 || len(counts) != 3 {
		t.Errorf("operations were drawn %v, chi-square over its degrees of freedom is %.3f", counts, x)
	}
}

func TestGeneratedAccountHasTheNamesOfItsNumber(t *testing.T) {
	t.Parallel()
	if got := stresstest.Username(1) + ", " + stresstest.Nickname(12345678) + ", " + stresstest.Password(255) + ", " + stresstest.Password(256+3); got != "user00000001, User 12345678, gatehouse-load-255, gatehouse-load-3" {
		t.Errorf("names are %s", got)
	}
}

func TestTokenIsTheIDAndAnHMACOfIt(t *testing.T) {
	t.Parallel()
	// The HMAC is from: printf 258 | openssl dgst -sha256 -hmac key
	raw, err := base64.RawURLEncoding.DecodeString(stresstest.Token([]byte("key"), 258))
	if want := "0000000000000102" + hmac258; err != nil || hex.EncodeToString(raw) != want {
		t.Errorf("token is %x (%v), want %s", raw, err, want)
	}
}

const hmac258 = "9c6653f67d4401d916895ed96a22875dc70d2c0afb1539a0c7b61fda4597fb5b"
