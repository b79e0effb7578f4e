package kv_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/engine/enginetest"
	"jeton/internal/engine/kv"
)

// step is one call of a test table, with what the contract says of its answer. Empty fields
// are not compared, but for a refusal's text.
type step struct {
	op   backend.Operation
	path string
	body string

	status int
	// data is the whole JSON text of the answer's data.
	data string
	// text is a refusal's.
	text    string
	warning string
	lease   time.Duration
}

func runSteps(t *testing.T, m *enginetest.Mount, steps []step) {
	t.Helper()
	for i, s := range steps {
		got := m.Do(s.op, s.path, s.body)
		name := fmt.Sprintf("step %d, %s %s %s", i, s.op, s.path, s.body)
		if got.Status != s.status {
			t.Errorf("%s: status %d (%s), want %d", name, got.Status, got.Error, s.status)
		}
		if s.data != "" && got.Data != s.data {
			t.Errorf("%s: data\n  %s, want\n  %s", name, got.Data, s.data)
		}
		if got.Error != s.text {
			t.Errorf("%s: text %q, want %q", name, got.Error, s.text)
		}
		if s.warning != "" && (len(got.Warnings) != 1 || got.Warnings[0] != s.warning) {
			t.Errorf("%s: warnings %q, want %q", name, got.Warnings, s.warning)
		}
		if s.warning == "" && len(got.Warnings) > 0 {
			t.Errorf("%s: unwanted warnings %q", name, got.Warnings)
		}
		if s.lease != 0 && got.Lease != s.lease {
			t.Errorf("%s: lease %s, want %s", name, got.Lease, s.lease)
		}
	}
}

func TestPlain(t *testing.T) {
	for name, steps := range map[string][]step{
		"absent": {
			{op: backend.Read, path: "a", status: gone},
			{op: backend.List, path: "", status: gone},
			{op: backend.List, path: "a/", status: gone},
			{op: backend.Delete, path: "a", status: done},
		},
		"object verbatim, default lease 2764800": {
			{op: backend.Update, path: "a", body: `{"b":"<x>","a":[1,{"c":null}]}`, status: done},
			{op: backend.Read, path: "a", status: ok, data: `{"a":[1,{"c":null}],"b":"<x>"}`, lease: 2764800 * time.Second},
		},
		"a write replaces the whole object": {
			{op: backend.Update, path: "a", body: `{"a":1}`, status: done},
			{op: backend.Update, path: "a", body: `{"b":2}`, status: done},
			{op: backend.Read, path: "a", status: ok, data: `{"b":2}`},
		},
		"a 20-digit integer round-trips": {
			{op: backend.Update, path: "a", body: `{"n":12345678901234567890,"f":1.10}`, status: done},
			{op: backend.Read, path: "a", status: ok, data: `{"f":1.10,"n":12345678901234567890}`},
		},
		"missing data fields": {
			{op: backend.Update, path: "a", status: bad, text: "missing data fields"},
			{op: backend.Update, path: "a", body: "{}", status: bad, text: "missing data fields"},
			{op: backend.Read, path: "a", status: gone},
		},
		"missing path": {
			{op: backend.Update, path: "", body: `{"a":1}`, status: bad, text: "missing path"},
			{op: backend.Delete, path: "", status: bad, text: "missing path"},
		},
		"write to a folder": {
			{op: backend.Update, path: "a/", body: `{"a":1}`, status: bad, text: "cannot write to a path ending in '/'"},
		},
		"list: a name can be a and a/": {
			{op: backend.Update, path: "a", body: `{"x":1}`, status: done},
			{op: backend.Update, path: "a/b", body: `{"x":2}`, status: done},
			{op: backend.Update, path: "a/c/d", body: `{"x":3}`, status: done},
			{op: backend.Update, path: "a-b", body: `{"x":4}`, status: done},
			{op: backend.Update, path: "A", body: `{"x":5}`, status: done},
			{op: backend.List, path: "", status: ok, data: `{"keys":["A","a","a-b","a/"]}`},
			{op: backend.List, path: "a", status: ok, data: `{"keys":["b","c/"]}`},
			{op: backend.List, path: "a/", status: ok, data: `{"keys":["b","c/"]}`},
			{op: backend.List, path: "a/b", status: gone},
			{op: backend.Delete, path: "a", status: done},
			{op: backend.List, path: "", status: ok, data: `{"keys":["A","a-b","a/"]}`},
			{op: backend.Read, path: "a/b", status: ok, data: `{"x":2}`},
		},
		"members named path, cas and options are data": {
			{op: backend.Update, path: "a", body: `{"path":"p","cas":1,"options":{"cas":7},"data":2}`, status: done},
			{op: backend.Read, path: "a", status: ok, data: `{"cas":1,"data":2,"options":{"cas":7},"path":"p"}`},
		},
		"PATCH is not served": {
			{op: backend.Patch, path: "a", body: `{"a":1}`, status: http.StatusMethodNotAllowed, text: "unsupported operation"},
		},
	} {
		t.Run(name, func(t *testing.T) { runSteps(t, enginetest.Open(t, kv.New, nil), steps) })
	}
}

// Contract: secrets §1: lease_duration is the ttl or lease that the object names.
func TestPlainLease(t *testing.T) {
	for name, steps := range map[string][]step{
		"ttl 30m gives lease_duration 1800": {
			{op: backend.Update, path: "a", body: `{"ttl":"30m"}`, status: done},
			{op: backend.Read, path: "a", status: ok, data: `{"ttl":"30m"}`, lease: 1800 * time.Second},
		},
		"ttl as a number": {
			{op: backend.Update, path: "a", body: `{"ttl":90}`, status: done},
			{op: backend.Read, path: "a", status: ok, data: `{"ttl":90}`, lease: 90 * time.Second},
		},
		"lease is the older name": {
			{op: backend.Update, path: "a", body: `{"lease":"1h"}`, status: done},
			{op: backend.Read, path: "a", status: ok, data: `{"lease":"1h"}`, lease: time.Hour},
		},
		"ttl before lease": {
			{op: backend.Update, path: "a", body: `{"lease":"1h","ttl":"2h"}`, status: done},
			{op: backend.Read, path: "a", status: ok, lease: 2 * time.Hour},
		},
		"a ttl that is no duration": {
			{op: backend.Update, path: "a", body: `{"ttl":"soon","lease":"1h"}`, status: done},
			{op: backend.Read, path: "a", status: ok, lease: enginetest.DefaultTTL},
			{op: backend.Update, path: "a", body: `{"ttl":{"x":1}}`, status: done},
			{op: backend.Read, path: "a", status: ok, lease: enginetest.DefaultTTL},
			{op: backend.Update, path: "a", body: `{"ttl":"-5m"}`, status: done},
			{op: backend.Read, path: "a", status: ok, lease: enginetest.DefaultTTL},
		},
	} {
		t.Run(name, func(t *testing.T) { runSteps(t, enginetest.Open(t, kv.New, nil), steps) })
	}
}

func TestPlainTellsCreateFromUpdate(t *testing.T) {
	m := enginetest.Open(t, kv.New, map[string]string{"version": "1"})
	for _, want := range []backend.Operation{backend.Create, backend.Update} {
		if got := m.Do(backend.Update, "a", `{"x":1}`); got.Operation != want {
			t.Errorf("operation %s, want %s", got.Operation, want)
		}
	}
}
