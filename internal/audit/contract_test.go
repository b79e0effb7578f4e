package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"jeton/internal/audit"
	"jeton/internal/audit/socket"
	"jeton/internal/backend"
	"jeton/internal/porttest"
)

// withSockets has socket devices as well, and little patience.
func withSockets(d *audit.Deps) {
	d.Types["socket"] = socket.Factory
	d.Settings.DeviceLimit = 5 * time.Second
}

// at follows names into nested objects; nil when one is missing.
func at(v any, names ...string) any {
	for _, name := range names {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

func last(t *testing.T, path string) map[string]any {
	t.Helper()
	all := lines(t, path)
	return all[len(all)-1]
}

// request and response log e and fail the test on an error.
func (r *rig) request(t *testing.T, e *audit.Entry, clear ...string) {
	t.Helper()
	if err := r.LogRequest(t.Context(), e, clear, nil); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) response(t *testing.T, e *audit.Entry, clear ...string) {
	t.Helper()
	if err := r.LogResponse(t.Context(), e, nil, clear); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) hash(t *testing.T, name, input string) string {
	t.Helper()
	h, err := r.Hash(name, input)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestRow1NoDevicesEverythingWorks(t *testing.T) {
	r := newRig(t, nil)
	r.request(t, lookup())
	r.response(t, answered())
	if err := r.LogEvent(t.Context(), &audit.Event{Name: "token.expired"}); err != nil {
		t.Error(err)
	}
	if l := r.List(); len(l) != 0 {
		t.Errorf("%v", l)
	}
	if err := r.Disable(t.Context(), "absent"); err != nil {
		t.Errorf("disabling an absent device: %v", err)
	}
}

func TestRow2EnableFileByEitherName(t *testing.T) {
	for _, option := range []string{"path", "file_path"} {
		t.Run(option, func(t *testing.T) {
			r := newRig(t, nil)
			path := filepath.Join(t.TempDir(), "dir", "a.log")
			err := r.Enable(t.Context(), "file", audit.Spec{Type: "file", Description: "d", Options: map[string]string{option: path}})
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil || info.Mode() != 0o600 {
				t.Errorf("%v %v", info.Mode(), err)
			}
			first := lines(t, path)[0]
			id, _ := at(first, "request", "id").(string)
			if len(id) != 36 {
				t.Errorf("request id %q", id)
			}
			want := `{"time":"2026-01-02T03:04:05.123456789Z","type":"request","auth":{"token_type":"default"},` +
				`"request":{"id":"` + id + `","operation":"update","namespace":{"id":"root"},"path":"sys/audit/test"}}` + "\n"
			if text, _ := os.ReadFile(path); string(text) != want {
				t.Errorf("test message\n%s want\n%s", text, want)
			}
			listed, _ := json.Marshal(r.List())
			if want := `{"file/":{"path":"file/","type":"file","description":"d","options":{"` + option + `":"` + path + `"},"local":false}}`; string(listed) != want {
				t.Errorf("listed %s", listed)
			}
		})
	}
}

func TestRow3UnwritableIsRefused(t *testing.T) {
	r := newRig(t, nil)
	blocker := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(blocker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := r.Enable(t.Context(), "file", audit.Spec{Type: "file", Options: map[string]string{"path": blocker + "/a.log"}})
	if backend.KindOf(err) != backend.Invalid || !strings.HasPrefix(err.Error(), "sanity check failed; unable to open ") {
		t.Errorf("%v", err)
	}
	if len(r.List()) != 0 {
		t.Error("the device is enabled")
	}
	r.request(t, lookup())
}

func TestRow4OneGoodOneBroken(t *testing.T) {
	r := newRig(t, withSockets)
	path := r.enableFile(t, "good")
	bad := audit.Spec{Type: "socket", Options: map[string]string{"address": porttest.Free(t)}}
	if err := r.Enable(t.Context(), "bad", bad); err == nil || !strings.HasPrefix(err.Error(), "audit backend failed test message: ") {
		t.Errorf("enabling without skip_test: %v", err)
	}
	bad.Options["skip_test"] = "true"
	if err := r.Enable(t.Context(), "bad", bad); err != nil {
		t.Fatal(err)
	}
	r.request(t, lookup())
	if n := len(lines(t, path)); n != 2 {
		t.Errorf("%d lines in the good device", n)
	}
	if err := r.Disable(t.Context(), "good"); err != nil {
		t.Fatal(err)
	}
	if err := r.LogRequest(t.Context(), lookup(), nil, nil); !errors.Is(err, audit.ErrNoDevice) {
		t.Errorf("with only the broken device: %v", err)
	}
	if s := r.Status(); len(s) != 1 || s[0].Lost < 2 || s[0].LastError == nil || s[0].Written != 0 {
		t.Errorf("status %+v", s)
	}
	if !strings.Contains(r.logs.String(), "audit device failed to log an entry") {
		t.Error("the server log says nothing of it")
	}
	// A restart does not cure it: the socket loads without connecting. Contract: audit §2.
	r.reload(t)
	if err := r.LogResponse(t.Context(), answered(), nil, nil); !errors.Is(err, audit.ErrNoDevice) {
		t.Errorf("after a restart: %v", err)
	}
	// The way out: a device of the server's configuration takes entries again.
	out := filepath.Join(t.TempDir(), "rescue.log")
	r.deps.Settings.Configured = map[string]audit.Spec{"rescue": {Type: "file", Options: map[string]string{"path": out}}}
	r.reload(t)
	r.request(t, lookup())
	if err := r.Disable(t.Context(), "bad"); err != nil {
		t.Fatal(err)
	}
	if len(lines(t, out)) != 1 {
		t.Error("the configured device has no line")
	}
}

func TestRow5And6HashesCanBeFound(t *testing.T) {
	r := newRig(t, nil)
	path := r.enableFile(t, "file")
	bad := &audit.Entry{Error: "permission denied", Request: &audit.RequestPart{Operation: "read", Path: "secret/x", ClientToken: "hvs.wrong"}}
	r.request(t, bad)
	bad.Error = "1 error occurred:\n\t* permission denied\n\n"
	r.response(t, bad)
	r.request(t, lookup())
	got := lines(t, path)[1:]
	for i, want := range []string{"permission denied", "1 error occurred:\n\t* permission denied\n\n"} {
		if got[i]["error"] != want || at(got[i], "request", "client_token") != r.hash(t, "file", "hvs.wrong") {
			t.Errorf("%v", got[i])
		}
		if auth, _ := json.Marshal(got[i]["auth"]); string(auth) != `{"token_type":"default"}` {
			t.Errorf("auth %s", auth)
		}
	}
	for name, input := range map[string]string{"client_token": "hvs.canary-token", "accessor": "canary-accessor"} {
		if at(got[2], "auth", name) != r.hash(t, "file/", input) {
			t.Errorf("auth.%s %v", name, at(got[2], "auth", name))
		}
	}
	if at(got[2], "request", "client_token") != r.hash(t, "file", "hvs.canary-token") ||
		at(got[2], "request", "client_token_accessor") != r.hash(t, "file", "canary-accessor") {
		t.Errorf("request block %v", got[2]["request"])
	}
}

// The token of the header and the one that the entry is about may differ (a wrapping token in the
// body, say): each has its own hash.
func TestTwoTokensAreTwoHashes(t *testing.T) {
	r := newRig(t, nil)
	path := r.enableFile(t, "file")
	e := lookup()
	e.Request.ClientToken, e.Request.ClientTokenAccessor = "hvs.other", "other-accessor"
	r.request(t, e)
	got := last(t, path)
	for _, c := range []struct{ block, name, text string }{
		{"auth", "client_token", "hvs.canary-token"}, {"auth", "accessor", "canary-accessor"},
		{"request", "client_token", "hvs.other"}, {"request", "client_token_accessor", "other-accessor"},
	} {
		if at(got, c.block, c.name) != r.hash(t, "file", c.text) {
			t.Errorf("%s.%s is another hash", c.block, c.name)
		}
	}
}

// wrapped is the answer to a wrapped token creation.
func wrapped() *audit.Entry {
	e := lookup()
	e.Request.Path, e.Request.Operation, e.Request.WrapTTL = "auth/token/create", "update", time.Minute
	e.Response = &audit.ResponsePart{WrapInfo: &audit.WrapInfo{
		Token: "hvs.canary-wrap", Accessor: "canary-wrap-accessor", TTL: time.Minute, CreationTime: start,
		CreationPath: "auth/token/create", WrappedAccessor: "canary-inner-accessor",
	}}
	return e
}

func TestRow7AccessorsInClear(t *testing.T) {
	r := newRig(t, nil)
	path := r.enableFile(t, "file", "hmac_accessor", "false")
	e := wrapped()
	e.Auth.Lineage = &audit.Lineage{Parent: "canary-parent", Root: "canary-root", Role: "deploy"}
	r.response(t, e)
	got := last(t, path)
	for _, c := range []struct {
		want  string
		names []string
	}{
		{"canary-accessor", []string{"auth", "accessor"}},
		{"canary-parent", []string{"auth", "lineage", "parent_accessor"}},
		{"canary-root", []string{"auth", "lineage", "root_accessor"}},
		{"canary-accessor", []string{"request", "client_token_accessor"}},
		{"canary-wrap-accessor", []string{"response", "wrap_info", "accessor"}},
		{"canary-inner-accessor", []string{"response", "wrap_info", "wrapped_accessor"}},
		{r.hash(t, "file", "hvs.canary-wrap"), []string{"response", "wrap_info", "token"}},
		{r.hash(t, "file", "hvs.canary-token"), []string{"auth", "client_token"}},
		{r.hash(t, "file", "hvs.canary-token"), []string{"request", "client_token"}},
	} {
		if v := at(got, c.names...); v != c.want {
			t.Errorf("%v is %v", c.names, v)
		}
	}
	if err := r.LogEvent(t.Context(), &audit.Event{Name: "token.revoked", Accessor: "a1", CausedBy: "a2"}); err != nil {
		t.Fatal(err)
	}
	if got := last(t, path); at(got, "event", "accessor") != "a1" || at(got, "event", "caused_by") != "a2" {
		t.Errorf("%v", got)
	}
}

func TestRow8TunedKeysInClear(t *testing.T) {
	r := newRig(t, nil)
	path := r.enableFile(t, "file")
	e := lookup()
	e.Request.Data = json.RawMessage(`{"policies":["dev",["ops"],{"inner":"x","policies":"deep"}],"Policies":"y"}`)
	e.Response = &audit.ResponsePart{Data: e.Request.Data}
	if err := r.LogResponse(t.Context(), e, []string{"policies"}, []string{"inner"}); err != nil {
		t.Fatal(err)
	}
	got := last(t, path)
	h := func(s string) string { return r.hash(t, "file", s) }
	for block, want := range map[string]string{
		"request":  `{"Policies":"` + h("y") + `","policies":["dev",["ops"],{"inner":"` + h("x") + `","policies":"deep"}]}`,
		"response": `{"Policies":"` + h("y") + `","policies":["` + h("dev") + `",["` + h("ops") + `"],{"inner":"x","policies":"` + h("deep") + `"}]}`,
	} {
		if data, _ := json.Marshal(at(got, block, "data")); string(data) != want {
			t.Errorf("%s %s\nwant %s", block, data, want)
		}
	}
}

func TestRow9And14DataIsHashedByType(t *testing.T) {
	for name, c := range map[string]struct{ data, want string }{
		"row 9: nested":                   {`{"a":{"b":["x",1,true,null]}}`, `{"a":{"b":["#x",1,true,null]}}`},
		"row 9: timestamp":                {`{"t":"2024-01-01T00:00:00Z"}`, `{"t":"2024-01-01T00:00:00Z"}`},
		"no timestamp: date alone":        {`{"t":"2024-01-01"}`, `{"t":"#2024-01-01"}`},
		"no timestamp: digits as secret":  {`{"t":"2024-01-01T00:00:00.12345678901234567890Z"}`, `{"t":"#2024-01-01T00:00:00.12345678901234567890Z"}`},
		"row 14: a query parameter":       {`{"version":"2"}`, `{"version":"#2"}`},
		"CVE-2025-62513: bytes as base64": {`{"value":"c2VjcmV0"}`, `{"value":"#c2VjcmV0"}`},
		"a bare string":                   {`"x"`, `"#x"`},
		"large numbers are untouched":     {`{"n":123456789012345678901234567890,"f":1.50}`, `{"n":123456789012345678901234567890,"f":1.50}`},
		"white space goes":                {" { \"a\" :\n[ 1 , 2 ] } ", `{"a":[1,2]}`},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			path := r.enableFile(t, "file")
			e := lookup()
			e.Request.Data = json.RawMessage(c.data)
			r.request(t, e)
			text, _ := os.ReadFile(path)
			want := c.want
			for {
				before, rest, ok := strings.Cut(want, `"#`)
				if !ok {
					break
				}
				value, after, _ := strings.Cut(rest, `"`)
				h := r.hash(t, "file", value)
				want = before + `"` + h + `"` + after
			}
			if !bytes.Contains(text, []byte(`,"data":`+want+`,"remote_address"`)) {
				t.Errorf("want %s in\n%s", want, text)
			}
		})
	}
}

func TestRow10Elision(t *testing.T) {
	list := `{"keys":["a","b","c"],"key_info":{"a":{"x":"1"},"b":{}},"other":["x"]}`
	for name, c := range map[string]struct {
		operation, data string
		options         []string
		want            map[string]any
	}{
		"a list":               {"list", list, []string{"elide_list_responses", "true"}, map[string]any{"keys": 3.0, "key_info": 2.0}},
		"raw as well":          {"list", list, []string{"elide_list_responses", "1", "log_raw", "true"}, map[string]any{"keys": 3.0, "key_info": 2.0}},
		"wrong types stay":     {"list", `{"keys":7,"key_info":true}`, []string{"elide_list_responses", "true"}, map[string]any{"keys": 7.0, "key_info": true}},
		"not on read":          {"read", `{"keys":7.5,"key_info":[1]}`, []string{"elide_list_responses", "true"}, map[string]any{"keys": 7.5}},
		"not a deeper keys":    {"list", `{"x":{"keys":[1]}}`, []string{"elide_list_responses", "true"}, map[string]any{"x": nil}},
		"off unless asked for": {"list", `{"keys":[],"key_info":1}`, nil, map[string]any{"key_info": 1.0}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			path := r.enableFile(t, "file", c.options...)
			e := lookup()
			e.Request.Operation = c.operation
			e.Response = &audit.ResponsePart{Data: json.RawMessage(c.data)}
			r.response(t, e)
			if string(e.Response.Data) != c.data {
				t.Error("the answer itself was changed")
			}
			data := at(last(t, path), "response", "data")
			for key, want := range c.want {
				got := at(data, key)
				if want == nil {
					if list, ok := at(got, "keys").([]any); !ok || len(list) != 1 {
						t.Errorf("%s is %v", key, got)
					}
				} else if got != want {
					t.Errorf("%s is %v", key, got)
				}
			}
		})
	}
}

func TestRow11Reload(t *testing.T) {
	r := newRig(t, nil)
	path := r.enableFile(t, "file")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	r.request(t, lookup())
	if n := len(lines(t, path+".1")); n != 2 {
		t.Errorf("the renamed file has %d lines", n)
	}
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.request(t, lookup())
	if n := len(lines(t, path)); n != 1 {
		t.Errorf("the new file has %d lines", n)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := r.Reload(t.Context()); err == nil || !strings.HasPrefix(err.Error(), `error encountered reloading file audit device at path "file/": `) {
		t.Errorf("%v", err)
	}
	if err := r.LogRequest(t.Context(), lookup(), nil, nil); !errors.Is(err, audit.ErrNoDevice) {
		t.Errorf("%v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	r.request(t, lookup())
}

func TestRow12LargeEntryIsOneLine(t *testing.T) {
	for name, options := range map[string][]string{"hashed": nil, "raw": {"log_raw", "true"}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			path := r.enableFile(t, "file", options...)
			big := strings.Repeat("0123456789abcdef", 2<<20/16)
			e := lookup()
			e.Request.Data = json.RawMessage(`{"data":{"v":"` + big + `","w":"a\n` + big + `"}}`)
			r.request(t, e)
			got := lines(t, path)
			if len(got) != 2 {
				t.Fatalf("%d lines", len(got))
			}
			want := map[bool]string{true: big, false: r.hash(t, "file", big)}[name == "raw"]
			if at(got[1], "request", "data", "data", "v") != want {
				t.Error("another value")
			}
		})
	}
}

func TestRow12FiftyWriters(t *testing.T) {
	r := newRig(t, nil)
	first := r.enableFile(t, "one")
	second := r.enableFile(t, "two", "elide_list_responses", "true")
	shared, answer := lookup(), answered()
	const writers, each = 50, 20
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				if err := errors.Join(r.LogRequest(context.Background(), shared, nil, nil), r.LogResponse(context.Background(), answer, nil, nil)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, path := range []string{first, second} {
		if n := len(lines(t, path)); n < 2*writers*each {
			t.Errorf("%d lines", n)
		}
	}
}

func TestRow13WrappedCreateAndUnwrap(t *testing.T) {
	r := newRig(t, nil)
	path := r.enableFile(t, "file")
	r.response(t, wrapped())
	got := last(t, path)
	if at(got, "response", "wrap_info", "token") != r.hash(t, "file", "hvs.canary-wrap") ||
		at(got, "response", "wrap_info", "accessor") != r.hash(t, "file", "canary-wrap-accessor") ||
		at(got, "response", "wrap_info", "wrapped_accessor") != r.hash(t, "file", "canary-inner-accessor") ||
		at(got, "response", "wrap_info", "ttl") != 60.0 || at(got, "request", "wrap_ttl") != 60.0 ||
		at(got, "response", "wrap_info", "creation_path") != "auth/token/create" {
		t.Errorf("%v", got)
	}
	if at(got, "response", "auth") != nil {
		t.Error("the inner auth is shown")
	}
	e := lookup()
	e.Request.Path = "sys/wrapping/unwrap"
	e.Response = &audit.ResponsePart{Auth: &audit.Auth{ClientToken: "hvs.canary-inner", TokenType: "service"}}
	r.response(t, e)
	if got := at(last(t, path), "response", "auth", "client_token"); got != r.hash(t, "file", "hvs.canary-inner") {
		t.Errorf("%v", got)
	}
}

func TestRow15Login(t *testing.T) {
	r := newRig(t, nil)
	path := r.enableFile(t, "file")
	e := &audit.Entry{
		Request: &audit.RequestPart{Operation: "update", Path: "auth/userpass/login/bob", Data: json.RawMessage(`{"password":"canary"}`)},
		Response: &audit.ResponsePart{Auth: &audit.Auth{
			ClientToken: "hvs.canary", Accessor: "canary", Policies: []string{"default"}, TokenType: "service",
			TokenTTL: 768 * time.Hour, NumUses: 3, Entity: audit.Entity{ID: "e1", Created: true},
		}},
	}
	r.response(t, e)
	got := last(t, path)
	if auth, _ := json.Marshal(got["auth"]); string(auth) != `{"token_type":"default"}` {
		t.Errorf("auth %s", auth)
	}
	for name, want := range map[string]any{"token_type": "service", "token_ttl": 2764800.0, "num_uses": 3.0, "entity_created": true,
		"client_token": r.hash(t, "file", "hvs.canary"), "accessor": r.hash(t, "file", "canary")} {
		if v := at(got, "response", "auth", name); v != want {
			t.Errorf("response.auth.%s is %v", name, v)
		}
	}
}

func TestRow17Salts(t *testing.T) {
	r := newRig(t, nil)
	r.enableFile(t, "one")
	path := r.enableFile(t, "two")
	one, two := r.hash(t, "one", "x"), r.hash(t, "two", "x")
	if one == two {
		t.Error("two devices share a salt")
	}
	r.reload(t)
	if r.hash(t, "one", "x") != one || r.hash(t, "two", "x") != two {
		t.Error("a restart changed a salt")
	}
	if err := r.Disable(t.Context(), "two"); err != nil {
		t.Fatal(err)
	}
	if err := r.Enable(t.Context(), "two", audit.Spec{Type: "file", Options: map[string]string{"path": path}}); err != nil {
		t.Fatal(err)
	}
	if r.hash(t, "two", "x") == two {
		t.Error("the salt outlived the device")
	}
}
