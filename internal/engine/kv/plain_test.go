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
	const (
		ok, gone, done, bad = http.StatusOK, http.StatusNotFound, http.StatusNoContent, http.StatusBadRequest

		none = time.Duration(0)
	)
	for name, steps := range map[string][]step{
		"absent": {
			{backend.Read, "a", "", gone, "", "", "", none},
			{backend.List, "", "", gone, "", "", "", none},
			{backend.List, "a/", "", gone, "", "", "", none},
			{backend.Delete, "a", "", done, "", "", "", none},
		},
		"object verbatim, default lease 2764800": {
			{backend.Update, "a", `{"b":"<x>","a":[1,{"c":null}]}`, done, "", "", "", none},
			{backend.Read, "a", "", ok, `{"a":[1,{"c":null}],"b":"<x>"}`, "", "", 2764800 * time.Second},
		},
		"a write replaces the whole object": {
			{backend.Update, "a", `{"a":1}`, done, "", "", "", none},
			{backend.Update, "a", `{"b":2}`, done, "", "", "", none},
			{backend.Read, "a", "", ok, `{"b":2}`, "", "", none},
		},
		"a 20-digit integer round-trips": {
			{backend.Update, "a", `{"n":12345678901234567890,"f":1.10}`, done, "", "", "", none},
			{backend.Read, "a", "", ok, `{"f":1.10,"n":12345678901234567890}`, "", "", none},
		},
		"ttl 30m gives lease_duration 1800": {
			{backend.Update, "a", `{"ttl":"30m"}`, done, "", "", "", none},
			{backend.Read, "a", "", ok, `{"ttl":"30m"}`, "", "", 1800 * time.Second},
		},
		"ttl as a number": {
			{backend.Update, "a", `{"ttl":90}`, done, "", "", "", none},
			{backend.Read, "a", "", ok, `{"ttl":90}`, "", "", 90 * time.Second},
		},
		"lease is the older name": {
			{backend.Update, "a", `{"lease":"1h"}`, done, "", "", "", none},
			{backend.Read, "a", "", ok, `{"lease":"1h"}`, "", "", time.Hour},
		},
		"ttl before lease": {
			{backend.Update, "a", `{"lease":"1h","ttl":"2h"}`, done, "", "", "", none},
			{backend.Read, "a", "", ok, "", "", "", 2 * time.Hour},
		},
		"a ttl that is no duration": {
			{backend.Update, "a", `{"ttl":"soon","lease":"1h"}`, done, "", "", "", none},
			{backend.Read, "a", "", ok, "", "", "", enginetest.DefaultTTL},
			{backend.Update, "a", `{"ttl":{"x":1}}`, done, "", "", "", none},
			{backend.Read, "a", "", ok, "", "", "", enginetest.DefaultTTL},
			{backend.Update, "a", `{"ttl":"-5m"}`, done, "", "", "", none},
			{backend.Read, "a", "", ok, "", "", "", enginetest.DefaultTTL},
		},
		"missing data fields": {
			{backend.Update, "a", "", bad, "", "missing data fields", "", none},
			{backend.Update, "a", "{}", bad, "", "missing data fields", "", none},
			{backend.Read, "a", "", gone, "", "", "", none},
		},
		"missing path": {
			{backend.Update, "", `{"a":1}`, bad, "", "missing path", "", none},
			{backend.Delete, "", "", bad, "", "missing path", "", none},
		},
		"write to a folder": {
			{backend.Update, "a/", `{"a":1}`, bad, "", "cannot write to a path ending in '/'", "", none},
		},
		"list: a name can be a and a/": {
			{backend.Update, "a", `{"x":1}`, done, "", "", "", none},
			{backend.Update, "a/b", `{"x":2}`, done, "", "", "", none},
			{backend.Update, "a/c/d", `{"x":3}`, done, "", "", "", none},
			{backend.Update, "a-b", `{"x":4}`, done, "", "", "", none},
			{backend.Update, "A", `{"x":5}`, done, "", "", "", none},
			{backend.List, "", "", ok, `{"keys":["A","a","a-b","a/"]}`, "", "", none},
			{backend.List, "a", "", ok, `{"keys":["b","c/"]}`, "", "", none},
			{backend.List, "a/", "", ok, `{"keys":["b","c/"]}`, "", "", none},
			{backend.List, "a/b", "", gone, "", "", "", none},
			{backend.Delete, "a", "", done, "", "", "", none},
			{backend.List, "", "", ok, `{"keys":["A","a-b","a/"]}`, "", "", none},
			{backend.Read, "a/b", "", ok, `{"x":2}`, "", "", none},
		},
		"members named path, cas and options are data": {
			{backend.Update, "a", `{"path":"p","cas":1,"options":{"cas":7},"data":2}`, done, "", "", "", none},
			{backend.Read, "a", "", ok, `{"cas":1,"data":2,"options":{"cas":7},"path":"p"}`, "", "", none},
		},
		"PATCH is not served": {
			{backend.Patch, "a", `{"a":1}`, http.StatusMethodNotAllowed, "", "unsupported operation", "", none},
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
