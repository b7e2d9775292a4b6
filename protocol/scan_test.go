package protocol_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"gatehouse/protocol"
)

func TestCheckJSONRefusesWhatTwoReadersCouldReadDifferently(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	var members []string
	for i := range protocol.MaxMembers + 1 {
		members = append(members, fmt.Sprintf(`"k%d":0`, i))
	}
	tests := []struct {
		text string
		ok   bool
	}{
		{`{}`, true}, {` [1, 2.5, -0, 1e9, 1E-2, "a", true, false, null] `, true},
		{`{"a":{"a":1},"b":{"a":2}}`, true},
		{`"\u00e9\ud83d\ude42\n\"\\\/"`, true}, {`"é🙂"`, true},
		{nested(protocol.MaxDepth), true}, {nested(protocol.MaxDepth + 1), false},
		{"{" + strings.Join(members[1:], ",") + "}", true}, {"{" + strings.Join(members, ",") + "}", false},
		{``, false}, {` `, false}, {`{`, false}, {`}`, false}, {`{}{}`, false}, {`{} x`, false}, {`nul`, false}, {`nulll`, false},
		{`{"a":1,"a":1}`, false}, {`{"a":1,"A":1}`, false}, {`{"a":1,"\u0061":1}`, false},
		{`{"k":1,"K":1}`, false}, // the Kelvin sign folds to k in encoding/json too
		{`{"token":"x","ſ":1,"s":2}`, false},
		{`[{"x":{"b":1,"B":2}}]`, false},
		{`{"a":1,}`, false}, {`[1,]`, false}, {`[,]`, false}, {`{"a"}`, false}, {`{"a":}`, false}, {`{a:1}`, false}, {`{'a':1}`, false}, {`{1:1}`, false},
		{`01`, false}, {`+1`, false}, {`.5`, false}, {`1.`, false}, {`1e`, false}, {`-`, false}, {`0x1`, false}, {`NaN`, false},
		{`"`, false}, {"\"\n\"", false}, {"\"\x00\"", false}, {"\x00", false}, {`"\x"`, false}, {`"\u12"`, false}, {`"\u12g4"`, false},
		{`"\ud800"`, false}, {`"\ude42"`, false}, {`"\ud83dx"`, false}, {`"\ud83d\u0041"`, false},
		{"\"\xff\"", false}, {"\"\xc3\"", false}, {"\"\xed\xa0\x80\"", false}, {"\xef\xbb\xbf{}", false},
	}
	for _, test := range tests {
		err := protocol.CheckJSON([]byte(test.text))
		if (err == nil) != test.ok {
			t.Errorf("CheckJSON(%.80q) = %v", test.text, err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "at byte ") {
			t.Errorf("CheckJSON(%.80q) = %q, which says no place", test.text, err)
		}
	}
}

// FuzzCheckJSON holds the scanner against encoding/json: what the scanner
// accepts, the other must accept too.
func FuzzCheckJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,"\ud83d\ude42",{"b":null}]}`, `{"a":1,"A":2}`, `[[[[`, `-0.1e+9`, `"\u0000"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := protocol.CheckJSON(text); err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("accepted %q, which is not JSON", text)
		}
		var v any
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber() // a number may be beyond float64 and still be JSON
		if err := d.Decode(&v); err != nil {
			t.Fatalf("accepted %q, which does not decode: %v", text, err)
		}
	})
}
