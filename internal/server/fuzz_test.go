package server

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/config"
	"jeton/internal/mount"
	"jeton/internal/node"
	"jeton/internal/store/embedded"
)

// patterns is a backend with every kind of pattern.
type patterns struct{}

func (patterns) Routes() []backend.Route {
	nothing := backend.Handle(func(context.Context, *backend.Call, *backend.None) (*backend.None, error) { return nil, nil })
	var routes []backend.Route
	for _, p := range []string{"config", "users", "users/{name|lower}", "users/{name|lower}/password", "acl/{name|lower...}", "role/{role}/id/{id|lower}", "data/{path...}", ""} {
		routes = append(routes, backend.Route{Pattern: p, Read: nothing, Write: nothing, Delete: nothing, List: nothing})
	}
	return routes
}

type nobodyIssued struct{}

func (nobodyIssued) RevokeMount(context.Context, string) error { return nil }

func (nobodyIssued) EndMount(context.Context, string) (left bool, err error) { return false, nil }

// table is a mount table with patterns at a/ and b/c/.
func table(t testing.TB) *mount.Table {
	t.Helper()
	raw, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := raw.Close(); err != nil {
			t.Error(err)
		}
	})
	mounts, err := mount.Load(context.Background(), mount.Config{
		Store: raw, Clock: clock.NewManual(time.Unix(1_700_000_000, 0)), Log: slog.New(slog.DiscardHandler), Revoker: nobodyIssued{},
		System: mount.Limits{DefaultTTL: time.Hour, MaxTTL: time.Hour},
		Kinds: []mount.Kind{{Name: "patterns", Class: mount.SecretClass,
			New: func(context.Context, backend.Env) (backend.Backend, error) { return patterns{}, nil }}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"a/", "b/c/"} {
		if err := mounts.Add(context.Background(), mount.Entry{Path: path, Type: "patterns"}); err != nil {
			t.Fatal(err)
		}
	}
	return mounts
}

// FuzzPath holds that a path which is accepted has one reading: decoding and cleaning it again
// change nothing, and what the ACL is asked about is what the handler gets.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{
		"a/config", "a/users/Bob", "a/users/BOB/password", "a/data/x//y", "a/data/../config", "a/data/%2e%2e/config", "a/data/%252e%252e", "b/c/config/",
		"a", "a/", "", "/", "//", "a%2Fconfig", "a/role/R/id/ID", "a/users/b%00b", "a/users/%FF", "a/users/b%E2%80%8Bb", "A/users/bob", "a/users/%C4%B0", "a/acl/%C4%B0/%E2%84%AA", "a/data/.",
		"a/data/x?list=true", "a/data/%5c..%5c", "a/users/.bob", "a/users/bob/", "b/config", "b/c", "a/data/" + strings.Repeat("x/", 100),
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	house := &node.House{Mounts: table(f)}
	f.Fuzz(func(t *testing.T, text string, list bool) {
		u, err := url.ParseRequestURI(apiPrefix + text)
		if err != nil {
			return
		}
		q := &request{operation: backend.Read}
		if list {
			q.operation = backend.List
		}
		if err := q.setPath(u); err != nil {
			if kind := backend.KindOf(err); kind != backend.Invalid {
				t.Fatalf("refused with kind %d", kind)
			}
			return
		}
		oneReading(t, q.path)
		if list && q.path != "" && !strings.HasSuffix(q.path, "/") {
			t.Fatalf("the path of a list is %q", q.path)
		}
		x := &exchange{house: house, request: q, path: q.path}
		x.find()
		defer x.leave()
		if x.match.Route == nil {
			if x.path != q.path {
				t.Fatalf("%q leads nowhere, and the ACL is asked about %q", q.path, x.path)
			}
			return
		}
		if subject := x.mounted.Entry.Path + x.call.Path; x.path != subject {
			t.Fatalf("the ACL is asked about %q, the handler gets %q", x.path, subject)
		}
		if got := rebuilt(x.match.Route.Pattern, x.call.Captures); got != strings.TrimSuffix(x.call.Path, "/") && got != x.call.Path {
			t.Fatalf("path %q, and its captures make %q", x.call.Path, got)
		}
		// Not EqualFold: some letters have a small form of more than one rune.
		if want := strings.ToLower(q.path); strings.ToLower(x.path) != want && x.path != q.path+"/" {
			t.Fatalf("%q became %q", q.path, x.path)
		}
		oneReading(t, x.path)
	})
}

// oneReading checks that nobody could take the path for another.
func oneReading(t *testing.T, path string) {
	t.Helper()
	if !utf8.ValidString(path) || strings.ContainsFunc(path, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Fatalf("%q has what cannot be seen", path)
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if s == "." || s == ".." || (s == "" && i != len(segments)-1) {
			t.Fatalf("%q has the segment %q", path, s)
		}
	}
}

// rebuilt is the path that a pattern makes of its captures.
func rebuilt(pattern string, captures map[string]string) string {
	words := strings.Split(pattern, "/")
	for i, w := range words {
		if strings.HasPrefix(w, "{") {
			name, _, _ := strings.Cut(strings.Trim(w, "{}."), "|")
			words[i] = captures[name]
		}
	}
	return strings.Join(words, "/")
}

// measure is what a reference, which decodes token by token, says of the first value of body:
// its greatest nesting, string, object and list; ok is false when it is no JSON.
type measure struct {
	depth, text, members, items int64
	ok                          bool
}

func measured(body []byte) (m measure) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	type level struct {
		object bool
		n      int64
	}
	var stack []level
	for first := true; first || len(stack) > 0; first = false {
		token, err := d.Token()
		if err != nil {
			return m
		}
		if delim, ok := token.(json.Delim); ok && (delim == '}' || delim == ']') {
			stack = stack[:len(stack)-1]
			continue
		}
		if n := len(stack); n > 0 {
			top := &stack[n-1]
			top.n++
			if top.object {
				m.members = max(m.members, (top.n+1)/2)
			} else {
				m.items = max(m.items, top.n)
			}
		}
		switch v := token.(type) {
		case json.Delim:
			stack = append(stack, level{object: v == '{'})
			m.depth = max(m.depth, int64(len(stack)))
		case string:
			m.text = max(m.text, int64(len(v)))
		}
	}
	m.ok = true
	return m
}

// FuzzJSON holds that nothing a client sends makes the decoder panic or build more than the
// limits say, and that no small valid object is refused.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `[]`, `{"a":1}`, `{"a":{"b":[1,2,3]}}`, `{"a":"` + strings.Repeat("x", 16) + `"}`, `{"a":"` + strings.Repeat("x", 17) + `"}`,
		`{"a":1,"b":2,"c":3,"d":4}`, `{"a":1,"b":2,"c":3,"d":4,"e":5}`, `{"a":[1,2,3,4,5,6]}`, `{"a":[1,2,3,4,5]}`, `[[[[]]]]`, `{"a":{"b":{"c":{"d":1}}}}`,
		`{"a":"\""}`, `{"a":"\\"}`, `{"a":"\u0041"}`, `{]`, `}{`, `{"a`, `{"a":"\`, `1 {{{{{{{`, `{} {{{{{{`, `{"a":1e999}`, `{"a":01}`, "{\"a\":\"\xff\"}", `{"a":1,"a":2}`, `"x"`,
		`{"a":9007199254740993}`, `{,}`, `[}`, `{"` + strings.Repeat("k", 17) + `":1}`,
	} {
		f.Add([]byte(seed))
	}
	l := limits{size: 1 << 16, depth: 3, text: 16, members: 4, items: 5}
	f.Fuzz(func(t *testing.T, body []byte) {
		if int64(len(body)) > l.size {
			return
		}
		body = bytes.TrimLeft(body, " \t\r\n")
		var q request
		err := q.readJSON(body, l)
		m := measured(body)
		if err != nil {
			if backend.KindOf(err) != backend.Invalid {
				t.Fatalf("refused with kind %d: %v", backend.KindOf(err), err)
			}
			object := len(body) > 0 && (body[0] == '{' || bytes.HasPrefix(body, []byte("null")))
			small := m.depth <= l.depth && m.members <= l.members && m.items <= l.items && longest(body) <= l.text
			if m.ok && object && small && decodable(body) {
				t.Fatalf("a small valid object is refused: %v", err)
			}
			return
		}
		if !m.ok {
			t.Fatalf("accepted, though the reference cannot read it: %q", body)
		}
		if m.depth > l.depth || m.members > l.members || m.items > l.items || m.text > l.text*3 {
			t.Fatalf("accepted beyond the limits: %+v", m)
		}
		if q.data != nil {
			again, err := json.Marshal(q.data)
			if err != nil || !json.Valid(again) || !json.Valid(q.raw) {
				t.Fatalf("what was decoded cannot be written: %v", err)
			}
		}
	})
}

// longest is the greatest number of bytes between two quotes that no backslash escapes.
func longest(body []byte) (most int64) {
	start := -1
	for i := 0; i < len(body); i++ {
		switch {
		case body[i] == '\\' && start >= 0:
			i++
		case body[i] == '"' && start >= 0:
			most, start = max(most, int64(i-start-1)), -1
		case body[i] == '"':
			start = i
		}
	}
	return most
}

// decodable says whether the first value decodes whole: the reference reads tokens, and is
// more lenient about what stands between them.
func decodable(body []byte) bool {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	return d.Decode(&v) == nil
}

// FuzzToken presents any text as a token: it is refused, and repeated nowhere.
func FuzzToken(f *testing.F) {
	for _, seed := range []string{
		"", "x", "root", "hvs.", "hvb.", "hvs." + strings.Repeat("A", 24), "hvs." + strings.Repeat("A", 95), "hvb." + strings.Repeat("A", 60),
		"s.abc", "hvs.AAAA=", "hvs." + strings.Repeat("-", 95), "Bearer x", " x ", "ä", "hvr.x", strings.Repeat("a", 4096), "a.b.c",
	} {
		f.Add(seed)
	}
	s, root := running(f)
	f.Fuzz(func(t *testing.T, text string) {
		if text == root {
			return
		}
		for _, name := range []string{"X-Vault-Token", "Authorization"} {
			r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/v1/auth/token/lookup-self", nil)
			value := text
			if name == "Authorization" {
				value = "Bearer " + text
			}
			r.Header[name] = []string{value}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code != http.StatusForbidden && w.Code != http.StatusRequestHeaderFieldsTooLarge && w.Code != http.StatusBadRequest {
				t.Fatalf("%s: status %d", name, w.Code)
			}
			if len(text) > 20 && strings.Contains(w.Body.String(), text) {
				t.Fatal("the answer repeats the token")
			}
		}
	})
}

// running is a development server, and its root token.
func running(t testing.TB) (*Server, string) {
	t.Helper()
	raw, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	n := node.New(raw, nil, clock.NewSteady(func() time.Time { return time.Unix(1_700_000_000, 0) }, time.Time{}), node.Settings{
		Limits: mount.Limits{DefaultTTL: time.Hour, MaxTTL: time.Hour}, StorageType: "inmem", Log: log,
	})
	t.Cleanup(func() {
		if err := n.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	dev, err := n.StartDev(context.Background(), node.DevOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return New(n, config.Listener{}, time.Minute, About{}, log), dev.RootToken
}

// FuzzHeaders puts any text into the headers that steer a request.
func FuzzHeaders(f *testing.F) {
	for _, seed := range []string{"", "60", "-5", "abc", "1h", "9223372036854775807", "1e9", "root", "ns1", "/", "true", "maybe", "\x7f", "99999999999d"} {
		f.Add(seed, seed, seed)
	}
	f.Fuzz(func(t *testing.T, ttl, namespace, override string) {
		q := &request{}
		err := q.readHeaders(http.Header{"X-Vault-Wrap-Ttl": {ttl}, "X-Vault-Namespace": {namespace}, "X-Vault-Policy-Override": {override}})
		switch kind := backend.KindOf(err); {
		case err == nil && q.wrapTTL < 0:
			t.Fatalf("accepted a negative ttl %s", q.wrapTTL)
		case err != nil && kind != backend.Invalid && kind != backend.NotFound:
			t.Fatalf("refused with kind %d: %v", kind, err)
		}
	})
}

// TestRemoteAddress reads the addresses that listeners hand over.
func TestRemoteAddress(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1:80", "[::ffff:192.0.2.1]:80": "192.0.2.1:80", "[2001:db8::1]:80": "[2001:db8::1]:80", "@": "invalid AddrPort", "": "invalid AddrPort",
	} {
		if got := remoteOf(context.Background(), text); got.String() != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
	if remoteOf(context.Background(), "@") != (netip.AddrPort{}) {
		t.Error("a socket has an address")
	}
}
