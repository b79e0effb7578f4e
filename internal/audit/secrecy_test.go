package audit_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"jeton/internal/audit"
	"jeton/internal/backend"
	"jeton/internal/store"
	"jeton/internal/store/storetest"
)

// planted is an entry with a canary in every place that may hold a secret.
func planted() *audit.Entry {
	e := answered()
	e.Request.URI = "/v1/secret/x?token=canary-query"
	e.Request.Headers = map[string][]string{"X-Vault-Token": {"canary-header"}, "Authorization": {"Bearer canary"}, "X-Plain": {"canary-unlisted"}}
	e.Request.Data = json.RawMessage(`{"password":"canary","nested":{"list":["canary",{"deep":"c\u0061nary"}]},"bytes":"Y2FuYXJ5","escaped":"\"canary\\"}`)
	e.Response.Auth = &audit.Auth{ClientToken: "hvs.canary", Accessor: "canary", Lineage: &audit.Lineage{Parent: "canary", Root: "canary"}}
	e.Response.WrapInfo = wrapped().Response.WrapInfo
	return e
}

// CVE-2024-8365: no planted secret reaches a log, unless the device is raw.
func TestCVE20248365CanariesStayOut(t *testing.T) {
	for name, change := range map[string]func(e *audit.Entry){
		"data": func(*audit.Entry) {},
		"raw body": func(e *audit.Entry) {
			e.Response.Raw = &audit.RawBody{Status: 200, ContentType: "text/plain", Body: []byte("canary")}
		},
		"raw body of bytes": func(e *audit.Entry) {
			e.Response.Raw = &audit.RawBody{Status: 200, Body: []byte("\x00\xffcanary")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			for _, h := range []string{"X-Vault-Token", "authorization"} { // Asked for in clear, by mistake.
				if err := r.PutHeader(t.Context(), h, audit.Header{HMAC: false}); err != nil {
					t.Fatal(err)
				}
			}
			path, raw := r.enableFile(t, "hashed"), r.enableFile(t, "raw", "log_raw", "true")
			e := planted()
			change(e)
			r.request(t, e)
			r.response(t, e)
			if err := r.LogEvent(t.Context(), &audit.Event{Name: "token.expired", Accessor: "canary", CausedBy: "canary"}); err != nil {
				t.Fatal(err)
			}
			text, _ := os.ReadFile(path)
			for _, secret := range []string{"canary", "Y2FuYXJ5", "hvs."} {
				if i := bytes.Index(text, []byte(secret)); i >= 0 {
					t.Errorf("%q is in the log: …%s", secret, text[max(0, i-80):min(len(text), i+40)])
				}
			}
			if logs := r.logs.String(); strings.Contains(logs, "canary") {
				t.Errorf("in the server log: %s", logs)
			}
			if text, _ := os.ReadFile(raw); !bytes.Contains(text, []byte(`"client_token":"hvs.canary`)) || bytes.Contains(text, []byte("hmac-sha256")) {
				t.Error("the raw device hashes")
			}
			lines(t, raw)
		})
	}
}

// CVE-2024-0831: log_raw of one device must not reach another, whatever their order.
func TestCVE20240831RawStaysWithItsDevice(t *testing.T) {
	for _, names := range [][2]string{{"a-raw", "b-hashed"}, {"b-raw", "a-hashed"}} {
		t.Run(names[0], func(t *testing.T) {
			r := newRig(t, nil)
			raw, hashed := r.enableFile(t, names[0], "log_raw", "true"), r.enableFile(t, names[1])
			for range 3 {
				r.request(t, lookup())
				r.response(t, answered())
			}
			if text, _ := os.ReadFile(hashed); bytes.Contains(text, []byte("canary")) {
				t.Error("the hashed device shows a secret")
			}
			if text, _ := os.ReadFile(raw); !bytes.Contains(text, []byte("canary")) {
				t.Error("the raw device shows none")
			}
		})
	}
}

// CVE-2025-62513, CVE-2025-62705: every type of Go that an answer may hold is hashed once it is
// JSON, byte slices and values behind any included.
func TestCVE202562513CVE202562705EveryTypeIsHashed(t *testing.T) {
	type named string
	r := newRig(t, nil)
	path := r.enableFile(t, "file")
	for name, v := range map[string]any{
		"string": "canary", "named": named("canary"), "bytes": []byte("canary"), "raw message": json.RawMessage(`"canary"`),
		"any": any("canary"), "slice of any": []any{"canary", []byte("canary")}, "map of bytes": map[string][]byte{"k": []byte("canary")},
		"pointer": &[]string{"canary"}, "struct": struct{ Secret []byte }{[]byte("canary")}, "error": fmt.Errorf("canary").Error(),
	} {
		data, err := json.Marshal(map[string]any{"value": v})
		if err != nil {
			t.Fatal(err)
		}
		e := lookup()
		e.Request.Data, e.Response = data, &audit.ResponsePart{Data: data}
		r.response(t, e)
		text, _ := os.ReadFile(path)
		if bytes.Contains(text, []byte(`canary"`)) || bytes.Contains(text, []byte("Y2FuYXJ5")) {
			t.Fatalf("%s is in the log", name)
		}
	}
}

// CVE-2025-4166: what is not JSON is written nowhere, in no form, and fails the request.
func TestCVE20254166MalformedDataFailsClosed(t *testing.T) {
	for _, data := range []string{`{"canary"`, `canary`, `{"a":"canary}`, `{"a":"canary"}{`, "{\"a\":\"can\nary\"}", `["\ucanary"]`, `{"a":canary}`} {
		for _, raw := range []string{"true", "false"} {
			r := newRig(t, nil)
			path := r.enableFile(t, "file", "log_raw", raw)
			e := &audit.Entry{Request: &audit.RequestPart{Path: "x", Data: json.RawMessage(data)}}
			if err := r.LogRequest(t.Context(), e, nil, nil); err == nil || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s: %v", data, err)
			}
			if text, _ := os.ReadFile(path); bytes.Contains(text, []byte("canary")) || len(lines(t, path)) != 1 {
				t.Errorf("%s is in the log", data)
			}
			if strings.Contains(r.logs.String(), "canary") {
				t.Errorf("%s is in the server log", data)
			}
			r.request(t, lookup())
		}
	}
}

// A log is read line by line: no member in clear may bring a line of its own.
func TestNoValueCanForgeALine(t *testing.T) {
	r := newRig(t, nil)
	path := r.enableFile(t, "file", "log_raw", "true")
	forged := "x\"}\n{\"type\":\"request\",\"error\":\"\\\r\t\x00\x7f\xff\u2028é"
	e := lookup()
	e.Error, e.Auth.DisplayName, e.Request.Path, e.Auth.Metadata = forged, forged, forged, map[string]string{forged: forged}
	e.Request.Data = json.RawMessage(`{"k\n\"":"v\n"}`)
	r.request(t, e)
	got := lines(t, path)
	if len(got) != 2 {
		t.Fatalf("%d lines", len(got))
	}
	want := strings.ToValidUTF8(forged, "\ufffd")
	if got[1]["error"] != want || at(got[1], "auth", "display_name") != want || at(got[1], "auth", "metadata", want) != want {
		t.Errorf("%q", got[1])
	}
}

// An entry is only read: two devices and many requests may share one.
func TestEntriesAreNotChanged(t *testing.T) {
	r := newRig(t, nil)
	r.enableFile(t, "file", "elide_list_responses", "true")
	before, after := planted(), planted()
	before.Request.Operation, after.Request.Operation = "list", "list"
	r.response(t, after)
	if !reflect.DeepEqual(before, after) {
		t.Errorf("%+v", after)
	}
}

// Contract: audit §5, §9: the line of the sample, byte for byte.
func TestSampleLine(t *testing.T) {
	r := newRig(t, nil)
	path := r.enableFile(t, "file")
	h := func(s string) string { return r.hash(t, "file", s) }
	e := &audit.Entry{
		Auth: &audit.Auth{
			ClientToken: "root-token", Accessor: "root-accessor", DisplayName: "root", Policies: []string{"root"}, TokenPolicies: []string{"root"},
			PolicyResults: &audit.PolicyResults{Allowed: true, Granting: []string{"root"}}, TokenType: "service",
			IssueTime: time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC),
		},
		Request: &audit.RequestPart{
			ID: "0b6c", ClientID: "0DHqvq2D77kL2/JTPSZkTMJbkFVmUu0TzMi0jiXcFy8=", Operation: "update",
			Mount:       audit.Mount{Point: "auth/token/", Type: "token", Accessor: "auth_token_1a2b3c4d", Class: "auth"},
			ClientToken: "root-token", ClientTokenAccessor: "root-accessor", Path: "auth/token/create",
			Data: json.RawMessage(`{"policies":["dev"],"ttl":"1h"}`), Remote: netip.MustParseAddrPort("127.0.0.1:54321"),
		},
	}
	r.request(t, e)
	want := `{"time":"2026-01-02T03:04:05.123456789Z","type":"request","auth":{"client_token":"` + h("root-token") + `","accessor":"` + h("root-accessor") +
		`","display_name":"root","policies":["root"],"token_policies":["root"],"policy_results":{"allowed":true,"granting_policies":[{"name":"root","namespace_id":"root","type":"acl"}]},` +
		`"token_type":"service","token_issue_time":"2026-01-02T03:00:00Z"},"request":{"id":"0b6c","client_id":"0DHqvq2D77kL2/JTPSZkTMJbkFVmUu0TzMi0jiXcFy8=","operation":"update",` +
		`"mount_point":"auth/token/","mount_type":"token","mount_accessor":"auth_token_1a2b3c4d","mount_class":"auth","client_token":"` + h("root-token") +
		`","client_token_accessor":"` + h("root-accessor") + `","namespace":{"id":"root"},"path":"auth/token/create","data":{"policies":["` + h("dev") + `"],"ttl":"` + h("1h") +
		`"},"remote_address":"127.0.0.1","remote_port":54321}}` + "\n"
	text, _ := os.ReadFile(path)
	if _, got, _ := strings.Cut(string(text), "\n"); got != want {
		t.Errorf("got\n%s want\n%s", got, want)
	}
}

// Contract: audit §5.1: policy_results.allowed is there when false, and only it.
func TestRefusalShowsAllowedFalse(t *testing.T) {
	r := newRig(t, nil)
	path := r.enableFile(t, "file")
	e := lookup()
	e.Auth.PolicyResults, e.Auth.RemainingUses = &audit.PolicyResults{}, 3
	r.request(t, e)
	if text, _ := os.ReadFile(path); !bytes.Contains(text, []byte(`"policy_results":{"allowed":false},`)) || !bytes.Contains(text, []byte(`"remaining_uses":3,`)) {
		t.Errorf("%s", text)
	}
}

// Pains 18: what the server does of its own accord is on record, with its cause.
func TestEvents(t *testing.T) {
	r := newRig(t, nil)
	path := r.enableFile(t, "file")
	err := r.LogEvent(t.Context(), &audit.Event{Name: "token.revoked", Cause: "cascade", Accessor: "child", CausedBy: "parent", Path: "auth/token/create", Policies: []string{"dev"}, Job: "j1"})
	if err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(path)
	want := `{"time":"2026-01-02T03:04:05.123456789Z","type":"event","event":{"name":"token.revoked","cause":"cascade","accessor":"` + r.hash(t, "file", "child") +
		`","caused_by":"` + r.hash(t, "file", "parent") + `","path":"auth/token/create","policies":["dev"],"job":"j1"}}` + "\n"
	if _, got, _ := strings.Cut(string(text), "\n"); got != want {
		t.Errorf("got\n%s want\n%s", got, want)
	}
}

// Contract: sys §10, audit §6.
func TestRequestHeadersCVE202646358(t *testing.T) {
	r := newRig(t, nil)
	path := r.enableFile(t, "file")
	if _, err := r.Header("X-Foo"); err == nil || err.Error() != "Could not find header in config" || backend.KindOf(err) != backend.Invalid {
		t.Errorf("%v", err)
	}
	for name, hmac := range map[string]bool{"X-Foo": true, "x-bar": false} {
		if err := r.PutHeader(t.Context(), name, audit.Header{HMAC: hmac}); err != nil {
			t.Fatal(err)
		}
	}
	r.reload(t)
	if h, err := r.Header("x-FOO"); err != nil || !h.HMAC {
		t.Errorf("%v %v", h, err)
	}
	if all, _ := json.Marshal(r.Headers()); string(all) != `{"x-bar":{"hmac":false},"x-foo":{"hmac":true}}` {
		t.Errorf("%s", all)
	}
	e := lookup()
	e.Request.Headers = map[string][]string{"X-Foo": {"one", "two"}, "X-Bar": {"three"}, "X-Other": {"canary"}}
	r.request(t, e)
	want := `{"x-bar":["three"],"x-foo":["` + r.hash(t, "file", "one") + `","` + r.hash(t, "file", "two") + `"]}`
	if got, _ := json.Marshal(at(last(t, path), "request", "headers")); string(got) != want {
		t.Errorf("%s", got)
	}
	if err := r.DeleteHeader(t.Context(), "X-FOO"); err != nil {
		t.Fatal(err)
	}
	r.request(t, e)
	if got, _ := json.Marshal(at(last(t, path), "request", "headers")); string(got) != `{"x-bar":["three"]}` {
		t.Errorf("%s", got)
	}
	for _, name := range []string{"", "a b", "a\nb", "a:b", strings.Repeat("a", 300)} {
		if err := r.PutHeader(t.Context(), name, audit.Header{}); backend.KindOf(err) != backend.Invalid {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// Whatever becomes of the writes, a new process finds a table that is one of the two, before or
// after, and keeps the rule.
func TestFaultsOfTheStore(t *testing.T) {
	storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
		var faulty *storetest.FaultyStore
		var inner store.Store
		r := newRig(t, func(d *audit.Deps) {
			inner = d.Area
			faulty = storetest.Faulty(d.Area)
			d.Area = faulty
		})
		old := r.enableFile(t, "old")
		inject(faulty)
		fresh := filepath.Join(t.TempDir(), "fresh.log")
		enabled := r.Enable(t.Context(), "fresh", audit.Spec{Type: "file", Options: map[string]string{"path": fresh}})
		header := r.PutHeader(t.Context(), "x-a", audit.Header{HMAC: true})
		disabled := r.Disable(t.Context(), "old")
		if _, ok := r.List()["fresh/"]; ok != (enabled == nil) {
			t.Errorf("enabling said %v, in the table %v", enabled, ok)
		}
		if _, ok := r.List()["old/"]; ok != (disabled != nil) {
			t.Errorf("disabling said %v, in the table %v", disabled, ok)
		}
		if err := r.LogRequest(t.Context(), lookup(), nil, nil); err != nil {
			t.Errorf("the devices in use take no entry: %v", err)
		}
		r.deps.Area = inner
		r.reload(t)
		found := r.List()
		if _, ok := found["fresh/"]; enabled == nil && !ok {
			t.Error("an enabled device is gone")
		}
		if _, ok := found["old/"]; disabled == nil && ok {
			t.Error("a disabled device is back")
		}
		if _, err := r.Header("x-a"); header == nil && err != nil {
			t.Error("a header is gone")
		}
		r.request(t, lookup())
		for _, path := range []string{old, fresh} {
			if _, err := os.Stat(path); err == nil {
				lines(t, path)
			}
		}
	})
}

// A damaged record of a device neither keeps the server from opening nor switches auditing off:
// while there is no other device, nothing that has to be audited is done.
func TestUnreadableDeviceTakesNoEntries(t *testing.T) {
	r := newRig(t, nil)
	err := r.area.Update(t.Context(), func(tx store.Tx) error { return tx.Put([]byte("d/x/"), []byte{1, 0xff}) })
	if err != nil {
		t.Fatal(err)
	}
	r.reload(t)
	if _, there := r.List()["x/"]; !there {
		t.Error("the device is not in the table")
	}
	if err := r.LogRequest(t.Context(), lookup(), nil, nil); err == nil {
		t.Error("an entry counts as written")
	}
	if err := r.Enable(t.Context(), "y", audit.Spec{Type: "file", Options: map[string]string{"file_path": filepath.Join(t.TempDir(), "y")}}); err != nil {
		t.Fatal(err)
	}
	if err := r.LogRequest(t.Context(), lookup(), nil, nil); err != nil {
		t.Errorf("with another device: %v", err)
	}
	if err := r.Disable(t.Context(), "x"); err != nil {
		t.Errorf("it cannot be disabled: %v", err)
	}
	r.reload(t)
	if _, there := r.List()["x/"]; there {
		t.Error("a disabled device is back")
	}
}
