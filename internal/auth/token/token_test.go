package token

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/store/embedded"
	tokens "jeton/internal/token"
)

// house is the method over a token room in memory.
type house struct {
	t      *testing.T
	tokens *tokens.Store
	clock  *clock.Manual
	routes *backend.Table
	root   *backend.Caller
}

// known are the policies that exist.
type known []string

func (k known) Exists(_ context.Context, name string) (bool, error) {
	return slices.Contains(k, name), nil
}

// noMounts knows no login method.
type noMounts struct{}

func (noMounts) Info(string) (backend.Mount, bool) { return backend.Mount{}, false }

func newHouse(t *testing.T) *house {
	t.Helper()
	s, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, clock: clock.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC))}
	h.tokens, err = tokens.New(tokens.Config{Store: s, Prefix: []byte("token/"), Clock: h.clock, Log: slog.New(slog.DiscardHandler),
		Derive: func(purpose string) [32]byte { return sha256.Sum256([]byte(purpose)) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := h.tokens.Check(context.Background(), func(p tokens.Problem) { t.Errorf("check: %s", p) })
		if err != nil {
			t.Error(err)
		}
		h.tokens.Close()
		_ = s.Close()
	})
	h.routes = backend.NewTable(New(h.tokens, known{"default", "web"}, noMounts{}, h.clock).Routes())
	root, err := h.tokens.IssueRoot(t.Context(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	h.root = &backend.Caller{Token: root.Text, ID: root.Token.ID, Accessor: root.Token.Accessor, Root: true, Sudo: true, Policies: []string{"root"}}
	return h
}

// answer is what a client would see of a Response.
type answer struct {
	status   int
	data     map[string]any
	auth     map[string]any
	warnings []string
}

// body is a request's JSON.
type body map[string]any

// call serves one request as the pipeline would, after authentication.
func (h *house) call(op backend.Operation, path string, caller *backend.Caller, data body) (answer, error) {
	h.t.Helper()
	match, ok := h.routes.Find(op, path)
	if !ok {
		h.t.Fatalf("no route for %s", path)
	}
	c := &backend.Call{Operation: op, Path: match.Path, Captures: match.Captures, Data: data, Caller: caller,
		Mount: backend.Mount{Path: "auth/token/", Type: "token", DefaultTTL: 768 * time.Hour, MaxTTL: 768 * time.Hour}}
	endpoint := match.Route.Endpoint(op)
	if !endpoint.Defined() {
		h.t.Fatalf("%s does not serve that", path)
	}
	response, err := endpoint.Serve(h.t.Context(), c)
	if response == nil || err != nil {
		return answer{status: 204}, err
	}
	a := answer{status: max(response.Status, 200), warnings: response.Warnings}
	h.decode(response.Data, &a.data)
	if response.Auth != nil {
		h.decode(response.Auth, &a.auth)
	}
	if response.Data == nil && response.Auth == nil && response.Status == 0 && len(response.Warnings) == 0 {
		a.status = 204
	}
	return a, nil
}

func (h *house) decode(v any, into *map[string]any) {
	h.t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) write(path string, caller *backend.Caller, data body) answer {
	h.t.Helper()
	a, err := h.call(backend.Update, path, caller, data)
	if err != nil {
		h.t.Fatalf("%s: %v", path, err)
	}
	return a
}

// refused makes sure of an error's kind and text.
func (h *house) refused(path string, caller *backend.Caller, data body, kind backend.Kind, text string) {
	h.t.Helper()
	_, err := h.call(backend.Update, path, caller, data)
	var e *backend.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Text != text {
		h.t.Errorf("%s: error %#v, want kind %d, text %q", path, err, kind, text)
	}
}

// holder is the caller that a created token makes.
func (h *house) holder(a answer) *backend.Caller {
	h.t.Helper()
	text := a.auth["client_token"].(string)
	found, err := h.tokens.Find(h.t.Context(), text)
	if err != nil || found == nil {
		h.t.Fatalf("the created token is %v, %v", found, err)
	}
	return &backend.Caller{Token: text, ID: found.ID, Accessor: found.Accessor, Batch: found.Batch, Root: found.Root, Sudo: found.Root,
		Policies: found.Policies, EntityID: found.EntityID}
}

func (h *house) create(caller *backend.Caller, data body) *backend.Caller {
	h.t.Helper()
	return h.holder(h.write("create", caller, data))
}

// without removes what differs from run to run.
func without(m map[string]any, names ...string) map[string]any {
	m = maps.Clone(m)
	for _, name := range names {
		delete(m, name)
	}
	return m
}

// plan are the members that go beyond the contract; they have tests of their own.
var plan = []string{"renew_after", "renewable_until", "limited_by"}

func same(t *testing.T, got map[string]any, want string) {
	t.Helper()
	var w map[string]any
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, w) {
		text, _ := json.Marshal(got)
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

// Contract: tokens §4.9, §4.2-17, §4.1, §13.38, §13.40.
func TestCreateAnswer(t *testing.T) {
	h := newHouse(t)
	a := h.write("create", h.root, body{"policies": []any{"web", "stage"}, "meta": map[string]any{"user": "armon", "n": json.Number("3")}, "ttl": "1h",
		"display_name": "ci", "foo": true})
	same(t, without(a.auth, append(plan, "client_token", "accessor")...), `{"policies":["default","stage","web"],"token_policies":["default","stage","web"],
		"metadata":{"user":"armon","n":"3"},"lease_duration":3600,"renewable":true,"entity_id":"","token_type":"service","orphan":false,
		"mfa_requirement":null,"num_uses":0}`)
	for _, want := range []string{`Policy "stage" does not exist`, "Endpoint ignored these unrecognized parameters: [foo]"} {
		if !slices.Contains(a.warnings, want) {
			t.Errorf("warnings %q lack %q", a.warnings, want)
		}
	}
	if a.data != nil {
		t.Errorf("data %v", a.data)
	}
	batch := h.write("create", h.root, body{"type": "batch", "policies": "web", "ttl": "1h"})
	if batch.auth["accessor"] != "" || batch.auth["renewable"] != false || batch.auth["token_type"] != "batch" {
		t.Errorf("batch: %v", batch.auth)
	}
	root := h.write("create", h.root, nil)
	if root.auth["lease_duration"] != 0.0 || root.auth["renewable"] != false || len(root.warnings) != 0 {
		t.Errorf("root: %v, %q", root.auth, root.warnings)
	}
	if orphan := h.write("create-orphan", h.create(h.root, body{"policies": "web"}), nil); orphan.auth["orphan"] != true {
		t.Errorf("create-orphan: %v", orphan.auth)
	}
}

// Contract: tokens §6, observed tokens §6.
func TestLookup(t *testing.T) {
	h := newHouse(t)
	child := h.create(h.root, body{"policies": "web", "ttl": "1h", "period": "30m", "explicit_max_ttl": "5h", "meta": map[string]any{"a": "b"}})
	h.clock.Add(90 * time.Second)
	want := `{"accessor":"` + child.Accessor + `","creation_time":1772366400,"creation_ttl":1800,"display_name":"token","entity_id":"",
		"expire_time":"2026-03-01T12:30:00.000000005Z","explicit_max_ttl":18000,"id":"` + child.Token + `","issue_time":"2026-03-01T12:00:00.000000005Z",
		"meta":{"a":"b"},"num_uses":0,"orphan":false,"path":"auth/token/create","period":1800,"policies":["default","web"],"renewable":true,
		"ttl":1710,"type":"service"}`
	same(t, without(h.write("lookup", h.root, body{"token": child.Token}).data, plan...), want)
	self, err := h.call(backend.Read, "lookup-self", child, nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, without(self.data, plan...), want)
	byAccessor := h.write("lookup-accessor", h.root, body{"accessor": child.Accessor}).data
	if byAccessor["id"] != "" || byAccessor["accessor"] != child.Accessor {
		t.Errorf("by accessor: %v", byAccessor)
	}
	if own := h.write("lookup", child, nil).data; own["id"] != child.Token {
		t.Error("an empty token does not look up the caller")
	}

	init := h.write("lookup", h.root, body{"token": h.root.Token}).data
	if _, there := init["issue_time"]; there || init["expire_time"] != nil || init["path"] != "auth/token/root" || init["display_name"] != "root" || init["ttl"] != 0.0 {
		t.Errorf("init root: %v", init)
	}
	if _, there := init["renewable"]; there {
		t.Error("an init root shows renewable")
	}
	made := h.write("lookup", h.create(h.root, nil), nil).data
	if made["renewable"] != false || made["issue_time"] == nil {
		t.Errorf("created root: %v", made)
	}
	h.write("renew", h.root, body{"token": child.Token})
	renewed := h.write("lookup", h.root, body{"token": child.Token}).data
	if renewed["last_renewal_time"] != 1772366490.0 || renewed["last_renewal"] != "2026-03-01T12:01:30.000000005Z" {
		t.Errorf("renewed: %v", renewed)
	}
	batch := h.create(h.root, body{"type": "batch", "policies": "web", "ttl": "1h"})
	shown := h.write("lookup", h.root, body{"token": batch.Token}).data
	if shown["accessor"] != "" || shown["type"] != "batch" || shown["renewable"] != false || shown["issue_time"] == nil || shown["ttl"] != 3600.0 {
		t.Errorf("batch: %v", shown)
	}
	h.refused("lookup", h.root, body{"token": "hvs.nothing"}, backend.Denied, "bad token")
	h.refused("lookup-accessor", h.root, nil, backend.InvalidAggregate, "missing accessor")
	h.refused("lookup-accessor", h.root, body{"accessor": "x"}, backend.InvalidAggregate, "invalid accessor")
}

// Contract: tokens §6, §9.1: the last use shows itself.
func TestLookupSelfOnTheLastUse(t *testing.T) {
	h := newHouse(t)
	limited := h.create(h.root, body{"policies": "web", "num_uses": json.Number("1")})
	found, err := h.tokens.Find(t.Context(), limited.Token)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.tokens.Spend(t.Context(), found); err != nil {
		t.Fatal(err)
	}
	if got := h.write("lookup-self", limited, nil).data; got["num_uses"] != -1.0 {
		t.Errorf("num_uses %v", got["num_uses"])
	}
	if a := h.write("revoke-self", limited, nil); a.status != 204 {
		t.Errorf("revoke-self on the last use: %d", a.status)
	}
}

// Contract: tokens §7, §13.30-33; observed tokens §6, §7.2.
func TestRenew(t *testing.T) {
	h := newHouse(t)
	child := h.create(h.root, body{"policies": "web", "ttl": "1h"})
	fixed := h.create(h.root, body{"policies": "web", "renewable": false})
	batch := h.create(h.root, body{"policies": "web", "type": "batch", "ttl": "1h"})
	for _, tt := range []struct {
		path   string
		caller *backend.Caller
		data   body
		token  string
		ttl    float64
	}{
		{"renew", h.root, body{"token": child.Token, "increment": "5"}, child.Token, 5},
		{"renew", h.root, body{"token": child.Token}, child.Token, 5},
		{"renew-self", child, body{"increment": json.Number("60"), "token": "ignored"}, child.Token, 60},
		{"renew-accessor", h.root, body{"accessor": child.Accessor, "increment": "2m"}, "", 120},
	} {
		if a := h.write(tt.path, tt.caller, tt.data); a.auth["client_token"] != tt.token || a.auth["lease_duration"] != tt.ttl {
			t.Errorf("%s %v: %v", tt.path, tt.data, a.auth)
		}
	}
	h.refused("renew", h.root, nil, backend.Invalid, "missing token ID")
	h.refused("renew", h.root, body{"token": "x"}, backend.Invalid, "token not found")
	h.refused("renew", h.root, body{"token": batch.Token}, backend.Invalid, "batch tokens cannot be renewed")
	h.refused("renew-self", batch, nil, backend.Invalid, "batch tokens cannot be renewed")
	h.refused("renew", h.root, body{"token": fixed.Token}, backend.Invalid, "lease is not renewable")
	h.refused("renew-accessor", h.root, body{"accessor": fixed.Accessor}, backend.Invalid, "lease is not renewable")
	h.refused("renew-self", h.root, nil, backend.Invalid, "invalid lease ID")
	h.refused("renew-accessor", h.root, nil, backend.InvalidAggregate, "missing accessor")
	h.refused("renew-accessor", h.root, body{"accessor": "x"}, backend.InvalidAggregate, "invalid accessor")
	h.refused("renew-self", child, body{"increment": json.Number("-1")}, backend.Invalid,
		`Field validation failed: error converting input for field "increment": cannot provide negative value '-1'`)
}

// Contract: tokens §8, §13.27-29, §13.33, §13.35.
func TestRevoke(t *testing.T) {
	h := newHouse(t)
	living := func(c *backend.Caller) bool {
		found, err := h.tokens.Find(t.Context(), c.Token)
		if err != nil {
			t.Fatal(err)
		}
		return found != nil
	}
	parent := h.create(h.root, body{"policies": "web"})
	child := h.create(parent, nil)
	batch := h.create(h.root, body{"policies": "web", "type": "batch", "ttl": "1h"})

	h.refused("revoke", h.root, nil, backend.Invalid, "missing token ID")
	h.refused("revoke", h.root, body{"token": batch.Token}, backend.Invalid, "batch tokens cannot be revoked")
	h.refused("revoke-self", batch, nil, backend.Invalid, "batch tokens cannot be revoked")
	h.refused("revoke-orphan", h.root, body{"token": "x"}, backend.Invalid, "token to revoke not found")
	h.refused("revoke-orphan", h.root, nil, backend.Invalid, "missing token ID")
	h.refused("revoke-orphan", h.root, body{"token": batch.Token}, backend.Invalid, "batch tokens cannot be revoked")
	h.refused("revoke-orphan", child, body{"token": parent.Token}, backend.Invalid, "root or sudo privileges required to revoke and orphan")
	h.refused("revoke-accessor", h.root, nil, backend.InvalidAggregate, "missing accessor")
	if a := h.write("revoke", h.root, body{"token": "hvs.unknown"}); a.status != 204 {
		t.Errorf("revoke of an unknown token: %d", a.status)
	}
	if a := h.write("revoke-accessor", h.root, body{"accessor": "x"}); a.status != 200 || !slices.Equal(a.warnings, []string{"No token found with this accessor"}) {
		t.Errorf("revoke of an unknown accessor: %d, %q", a.status, a.warnings)
	}

	h.write("revoke-orphan", h.root, body{"token": parent.Token})
	if living(parent) || !living(child) {
		t.Error("revoke-orphan")
	}
	below := h.create(child, nil)
	h.write("revoke-accessor", h.root, body{"accessor": child.Accessor})
	if living(child) || living(below) {
		t.Error("revoke-accessor")
	}
	other := h.create(h.root, body{"policies": "web"})
	below = h.create(other, nil)
	h.write("revoke-self", other, nil)
	if living(other) || living(below) || !living(h.root) {
		t.Error("revoke-self")
	}
	third := h.create(h.root, body{"policies": "web"})
	if a := h.write("revoke", h.root, body{"token": third.Token}); a.status != 204 || living(third) {
		t.Errorf("revoke: %d", a.status)
	}
}

// Contract: tokens §12, §13.35.
func TestAccessorsAndTidy(t *testing.T) {
	h := newHouse(t)
	want := []string{h.root.Accessor}
	for range 5 {
		want = append(want, h.create(h.root, body{"policies": "web"}).Accessor)
	}
	dead := h.create(h.root, body{"policies": "web"})
	below := h.create(dead, nil)
	h.create(h.root, body{"policies": "web", "type": "batch", "ttl": "1h"})
	h.write("revoke-self", dead, nil)
	a, err := h.call(backend.List, "accessors", h.root, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, k := range a.data["keys"].([]any) {
		got = append(got, k.(string))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d accessors, want %d; that of a dead child among them: %t", len(got), len(want), slices.Contains(got, below.Accessor))
	}
	match, _ := h.routes.Find(backend.List, "accessors")
	if !match.Route.Sudo {
		t.Error("listing accessors does not need sudo")
	}
	tidy := h.write("tidy", h.root, nil)
	if tidy.status != 202 || len(tidy.warnings) != 1 || !strings.HasPrefix(tidy.warnings[0], "Tidy operation successfully started.") {
		t.Errorf("tidy: %d, %q", tidy.status, tidy.warnings)
	}
}

// Contract: tokens §2: the old forms with the token in the path are gone.
func TestNoTokenInAPathCVE20251296CVE202655102(t *testing.T) {
	h := newHouse(t)
	for _, path := range []string{"renew/x", "lookup/x", "revoke/x", "revoke-accessor/x", "lookup-accessor/x", "revoke-orphan/x"} {
		if _, ok := h.routes.Find(backend.Update, path); ok {
			t.Errorf("%s is served", path)
		}
	}
}
