package webserver_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// jsonRoutes is every route that takes a JSON object, with a sound one. The
// fields marked with ? may be missing.
var jsonRoutes = []struct {
	method, path string
	fields       []string
	body         string
}{
	{"POST", "/users", []string{"username", "password", "nickname?", "invite?"}, `{"username":"grace","password":"nanoseconds of wire","nickname":"G","invite":"i"}`},
	{"POST", "/sessions", []string{"username", "password", "code?"}, `{"username":"grace","password":"nanoseconds of wire","code":"1"}`},
	{"PATCH", "/profile", []string{"nickname"}, `{"nickname":"Countess"}`},
	{"PUT", "/password", []string{"current_password", "new_password"}, `{"current_password":"one of them","new_password":"another one"}`},
	{"DELETE", "/profile", []string{"password"}, `{"password":"one of them"}`},
}

// badRequest is a request that cannot be understood and how it is answered.
type badRequest struct {
	name, kind, body string
	status           int
	code             string
	field            string // named in errors, where not empty
}

// badBodies makes what is wrong with the body of a route.
func badBodies(fields []string, body string) []badRequest {
	malformed := func(name, body string) badRequest { return badRequest{name, jsonType, body, 400, "malformed", "body"} }
	var bad []badRequest
	for i := range len(body) { // every prefix
		bad = append(bad, malformed(fmt.Sprintf("truncated at %d", i), body[:i]))
	}
	for _, text := range []string{
		"null", "true", "17", `"text"`, "[]", "[" + body + "]", "{}{}", body + body, body + "x", body + "\x00", "\xef\xbb\xbf" + body,
		strings.Replace(body, ":", "=", 1), strings.ReplaceAll(body, `"`, `'`), strings.Replace(body, "}", ",}", 1), "// x\n" + body,
		strings.Repeat("[", 10000), strings.Repeat(`{"a":`, 10000), "<xml/>", "username=a&password=b", "\xff\xfe", "NaN", "{\"a\":01}",
	} {
		bad = append(bad, malformed("text "+text[:min(len(text), 20)], text))
	}
	unknown := func(name, body, field string) badRequest {
		return badRequest{name, jsonType, body, 400, "malformed", field}
	}
	open := strings.TrimSuffix(body, "}")
	bad = append(bad,
		unknown("unknown field", open+`,"admin":true}`, "admin"),
		unknown("empty field name", open+`,"":1}`, `""`),
		unknown("prototype", open+`,"__proto__":{}}`, "__proto__"),
		unknown("long field name", open+`,"`+strings.Repeat("x", 1000)+`":1}`, strings.Repeat("x", 64)),
		malformed("deep", open+`,"x":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+"}"),
		badRequest{"large", jsonType, open + `,"x":"` + strings.Repeat("x", 64<<10) + `"}`, 413, "too_large", ""},
		badRequest{"large space", jsonType, body + strings.Repeat(" ", 64<<10), 413, "too_large", ""},
	)
	for _, field := range fields {
		bad = append(bad, badField(open, body, field)...)
	}
	for _, kind := range []string{"", formType, "text/plain", "text/json", "application/problem+json", "application/json; charset=latin1",
		"multipart/form-data; boundary=x", "application/json;;;=", "application/jsonx", "application/xml"} {
		bad = append(bad, badRequest{"type " + kind, kind, body, 415, "unsupported_media_type", ""})
	}
	return bad
}

// badField makes what is wrong with one field.
func badField(open, body, field string) []badRequest {
	field, optional := strings.CutSuffix(field, "?")
	var all map[string]any
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		panic(err)
	}
	with := func(value any) string {
		all[field] = value
		text, err := json.Marshal(all)
		if err != nil {
			panic(err)
		}
		return string(text)
	}
	raw := func(value string) string {
		return strings.Replace(with("MARK"), `"MARK"`, value, 1)
	}
	bad := []badRequest{
		{field + " twice", jsonType, open + `,"` + field + `":"x"}`, 400, "malformed", "body"},
		{field + " twice, escaped", jsonType, open + `,"\u00` + fmt.Sprintf("%x", field[0]) + field[1:] + `":"x"}`, 400, "malformed", "body"},
		{field + " twice in capitals", jsonType, open + `,"` + strings.ToUpper(field) + `":"x"}`, 400, "malformed", "body"},
		{field + " in capitals alone", jsonType, strings.Replace(body, field, strings.ToUpper(field), 1), 400, "malformed", strings.ToUpper(field)},
		{field + " number", jsonType, with(17), 400, "malformed", field},
		{field + " boolean", jsonType, with(true), 400, "malformed", field},
		{field + " list", jsonType, with([]string{"x"}), 400, "malformed", field},
		{field + " object", jsonType, with(map[string]any{"$gt": ""}), 400, "malformed", field},
		{field + " not UTF-8", jsonType, raw("\"\xff\""), 400, "malformed", "body"},
		{field + " half an emoji", jsonType, raw(`"\ud83d"`), 400, "malformed", "body"},
		{field + " with a line end", jsonType, raw("\"a\nb\""), 400, "malformed", "body"},
		{field + " unknown escape", jsonType, raw(`"\x41"`), 400, "malformed", "body"},
	}
	if !optional {
		delete(all, field)
		without, err := json.Marshal(all)
		if err != nil {
			panic(err)
		}
		bad = append(bad,
			badRequest{field + " missing", jsonType, string(without), 422, "invalid", field},
			badRequest{field + " null", jsonType, with(nil), 422, "invalid", field})
	}
	return bad
}

func TestMalformedRequestsAreRefusedAndNeverReachTheBackend(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	count := 0
	for _, route := range jsonRoutes {
		for _, bad := range badBodies(route.fields, route.body) {
			count++
			a := s.do(route.method, "/api/v1"+route.path, bad.body, "Content-Type", bad.kind, "Authorization", s.bearer())
			name := route.method + " " + route.path + ": " + bad.name
			if a.StatusCode != bad.status {
				t.Errorf("%s: status %d, want %d; %.200q answered %s", name, a.StatusCode, bad.status, bad.body, a.body)
				continue
			}
			p := a.problem(t)
			if p.Code != bad.code {
				t.Errorf("%s: code %q, want %q", name, p.Code, bad.code)
			}
			if bad.field != "" && (len(p.Errors) != 1 || p.Errors[0].Field != bad.field || p.Errors[0].Detail == "") {
				t.Errorf("%s: errors %+v, want one of %q", name, p.Errors, bad.field)
			}
		}
	}
	if count < 150 {
		t.Errorf("%d requests tried", count)
	}
	if n := len(s.fake.calls); n != 0 {
		t.Errorf("%d calls were made, the first %s %s", n, s.fake.calls[0].Type, s.fake.calls[0].Body)
	}
	// The sound ones do reach it.
	for _, route := range jsonRoutes {
		s.do(route.method, "/api/v1"+route.path, route.body, "Content-Type", jsonType, "Authorization", s.bearer())
	}
	if n := len(s.fake.calls); n != len(jsonRoutes) {
		t.Errorf("%d sound requests made calls", n)
	}
}

func TestMalformedFormsAreRefusedAndNeverReachTheBackend(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	forms := map[string]string{"/register": "username", "/login": "password", "/profile": "nickname", "/security/password": "new_password",
		"/security/delete": "password", "/security/sessions/end": "id"}
	for path, field := range forms {
		bad := []struct {
			name, kind, body string
			status           int
		}{
			{"twice", formType, field + "=a&" + field + "=b", 400},
			{"escape", formType, field + "=%zz", 400},
			{"semicolon", formType, field + "=a;x=y", 400},
			{"not UTF-8", formType, field + "=%ff", 400},
			{"half a character", formType, field + "=%c3", 400},
			{"large", formType, field + "=" + strings.Repeat("x", 64<<10), 413},
			{"no type", "", field + "=a", 415},
			{"JSON", jsonType, `{"` + field + `":"a"}`, 415},
			{"text", "text/plain", field + "=a", 415},
			{"multipart", "multipart/form-data; boundary=x", "--x\r\n", 415},
		}
		for _, tt := range bad {
			a := s.do("POST", path, tt.body, "Content-Type", tt.kind, "Cookie", s.cookie())
			if a.StatusCode != tt.status {
				t.Errorf("%s %s: status %d, want %d", path, tt.name, a.StatusCode, tt.status)
				continue
			}
			parse(t, a)
		}
		// What stands in the address is no field.
		s.do("POST", path+"?"+field+"=a", "", "Content-Type", formType, "Cookie", s.cookie())
	}
	for _, c := range s.fake.calls {
		if strings.Contains(string(c.Body), `:"a"`) {
			t.Errorf("%s was called with %s", c.Type, c.Body)
		}
	}
}

// FuzzRequests sends what nobody foresaw: nothing may be a defect.
func FuzzRequests(f *testing.F) {
	for _, route := range jsonRoutes {
		f.Add(route.method, "/api/v1"+route.path, jsonType, "", route.body)
	}
	f.Add("POST", "/login?next=//x", formType, "gatehouse=x", "username=a&password=b")
	f.Add("POST", "/profile/picture", "multipart/form-data; boundary=x", "", "--x\r\nContent-Disposition: form-data; name=\"picture\"\r\n\r\nx\r\n--x--")
	f.Add("GET", "/u/%2e%2e/x", "", "gatehouse-flash=saved", "")
	f.Fuzz(func(t *testing.T, method, target, kind, cookie, body string) {
		r := fuzzed(method, target, body)
		if r == nil {
			return
		}
		s := newSite(t, withPictures(newMemory()))
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Cookie", cookie+"; "+s.cookie())
		a := s.serve(r)
		if a.StatusCode >= 500 {
			t.Errorf("status %d: %s", a.StatusCode, s.log)
		}
		if a.StatusCode < 400 && a.StatusCode >= 300 {
			if to := a.Header.Get("Location"); !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.HasPrefix(to, `/\`) {
				t.Errorf("sent to %q", to)
			}
		}
	})
}
