package cubbyhole_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"jeton/internal/backend"
	"jeton/internal/engine/cubbyhole"
	"jeton/internal/engine/enginetest"
	"jeton/internal/store"
)

const ok, gone, done, bad = http.StatusOK, http.StatusNotFound, http.StatusNoContent, http.StatusBadRequest

func token(n byte, policies ...string) *backend.Caller {
	return &backend.Caller{ID: backend.TokenID{n}, Policies: policies}
}

func TestCubbyhole(t *testing.T) {
	type step struct {
		op         backend.Operation
		path, body string

		status int
		data   string
		text   string
	}
	for name, steps := range map[string][]step{
		"absent": {
			{backend.Read, "a", "", gone, "", ""},
			{backend.List, "", "", gone, "", ""},
			{backend.Delete, "a", "", done, "", ""},
		},
		"object verbatim": {
			{backend.Update, "a/b", `{"n":12345678901234567890,"path":"p"}`, done, "", ""},
			{backend.Read, "a/b", "", ok, `{"n":12345678901234567890,"path":"p"}`, ""},
			{backend.Update, "a", `{"x":1}`, done, "", ""},
			{backend.List, "", "", ok, `{"keys":["a","a/"]}`, ""},
			{backend.List, "a/", "", ok, `{"keys":["b"]}`, ""},
			{backend.Delete, "a/b", "", done, "", ""},
			{backend.List, "a", "", gone, "", ""},
			{backend.Read, "a", "", ok, `{"x":1}`, ""},
		},
		"missing data fields": {
			{backend.Update, "a", "", bad, "", "missing data fields"},
			{backend.Update, "a", "{}", bad, "", "missing data fields"},
		},
		"root path": {
			{backend.Read, "", "", gone, "", ""},
			{backend.Update, "", `{"a":1}`, bad, "", "missing path"},
			{backend.Delete, "", "", bad, "", "missing path"},
			{backend.Update, "a/", `{"a":1}`, bad, "", "cannot write to a path ending in '/'"},
		},
		"PATCH is not served": {
			{backend.Patch, "a", `{"a":1}`, http.StatusMethodNotAllowed, "", "unsupported operation"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := enginetest.Open(t, cubbyhole.New(holders{}), nil)
			for i, s := range steps {
				got := m.Do(s.op, s.path, s.body)
				if got.Status != s.status || got.Error != s.text || (s.data != "" && got.Data != s.data) {
					t.Errorf("step %d, %s %s: %d %q %s, want %d %q %s", i, s.op, s.path, got.Status, got.Error, got.Data, s.status, s.text, s.data)
				}
				if len(got.Warnings) > 0 || got.Lease != 0 {
					t.Errorf("step %d: warnings %q, lease %s", i, got.Warnings, got.Lease)
				}
			}
		})
	}
}

func TestCreateIsToldFromUpdate(t *testing.T) {
	m := enginetest.Open(t, cubbyhole.New(holders{}), nil)
	for _, want := range []backend.Operation{backend.Create, backend.Update} {
		if got := m.Do(backend.Update, "a", `{"x":1}`); got.Operation != want {
			t.Errorf("operation %s, want %s", got.Operation, want)
		}
	}
}

// Contract: leases §6.4 and secrets §3.
func TestBatchTokensHaveNone(t *testing.T) {
	m := enginetest.Open(t, cubbyhole.New(holders{}), nil)
	m.Caller = &backend.Caller{Batch: true}
	for _, op := range []backend.Operation{backend.Read, backend.Update, backend.Delete, backend.List} {
		got := m.Do(op, "a", `{"x":1}`)
		if got.Status != bad || got.Error != "cubbyhole operations are only supported by 'service' type tokens" {
			t.Errorf("%s: %d %q", op, got.Status, got.Error)
		}
	}
}

// Contract: leases §7.15; root sees its own only (§6.1).
func TestTokensAreIsolatedAndErased(t *testing.T) {
	m := enginetest.Open(t, cubbyhole.New(holders{}), nil)
	root := token(3)
	root.Root = true
	callers := []*backend.Caller{token(1), token(2), root, {ID: backend.TokenID{1, 1}}, {ID: backend.TokenID{15: 0xff}}}
	for i, caller := range callers {
		m.Caller = caller
		if got := m.Do(backend.Read, "a/b", ""); got.Status != gone {
			t.Fatalf("caller %d sees another's data: %s", i, got.Data)
		}
		m.Do(backend.Update, "a/b", fmt.Sprintf(`{"n":%d}`, i))
	}
	err := m.Area.Update(context.Background(), func(tx store.Tx) error { return cubbyhole.Erase(tx, callers[0].ID) })
	if err != nil {
		t.Fatal(err)
	}
	for i, caller := range callers {
		m.Caller = caller
		want := ok
		if i == 0 {
			want = gone
		}
		if got := m.Do(backend.Read, "a/b", ""); got.Status != want {
			t.Errorf("caller %d: %d, want %d", i, got.Status, want)
		}
	}
	m.Caller = callers[0]
	if got := m.Do(backend.List, "", ""); got.Status != gone {
		t.Errorf("erased cubbyhole lists %s", got.Data)
	}
}

// Contract: wrapping §4.5.
func TestWrappedAnswerIsReadWithAWarning(t *testing.T) {
	const deprecated = "Reading from 'cubbyhole/response' is deprecated. Please use sys/wrapping/unwrap to unwrap responses, " +
		"as it provides additional security checks and other benefits."
	m := enginetest.Open(t, cubbyhole.New(holders{}), nil)
	ctx := context.Background()
	text := `{"response":"{\"request_id\":\"x\",\"data\":{\"a\":\"<b>\"}}"}`
	for n := byte(1); n <= 2; n++ {
		err := m.Area.Update(ctx, func(tx store.Tx) error {
			return cubbyhole.Put(tx, backend.TokenID{n}, "response", []byte(text))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	m.Caller = token(1, "response-wrapping")
	got := m.Do(backend.Read, "response", "")
	if got.Status != ok || got.Data != text || len(got.Warnings) != 1 || got.Warnings[0] != deprecated {
		t.Errorf("%d %s %q", got.Status, got.Data, got.Warnings)
	}
	m.Caller = token(2, "default")
	if got := m.Do(backend.Read, "response", ""); got.Data != text || len(got.Warnings) != 0 {
		t.Errorf("another token's own response: %s %q", got.Data, got.Warnings)
	}
}

func TestTakeLeavesNothing(t *testing.T) {
	m := enginetest.Open(t, cubbyhole.New(holders{}), nil)
	id := backend.TokenID{1}
	err := m.Area.Update(context.Background(), func(tx store.Tx) error {
		if object, err := cubbyhole.Take(tx, id, "response"); err != nil || object != nil {
			t.Errorf("absent: %s, %v", object, err)
		}
		if err := cubbyhole.Put(tx, id, "response", []byte(`{"a":1}`)); err != nil {
			return err
		}
		if object, err := cubbyhole.Take(tx, id, "response"); err != nil || string(object) != `{"a":1}` {
			t.Errorf("taken: %s, %v", object, err)
		}
		if object, err := cubbyhole.Get(tx, id, "response"); err != nil || object != nil {
			t.Errorf("after it was taken: %s, %v", object, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// holders has every token but those of the list.
type holders []backend.TokenID

func (h holders) Stored(_ store.Reader, id backend.TokenID) (bool, error) {
	return !slices.Contains(h, id), nil
}

// A request that was let in before its token was revoked, and writes after, leaves nothing:
// the cubbyhole has been erased, and the next holder of the same id must not find it.
func TestWriteAfterTheEnd(t *testing.T) {
	m := enginetest.Open(t, cubbyhole.New(holders{{7}}), nil)
	m.Caller = token(7)
	if a := m.Do(backend.Update, "a", `{"x":1}`); backend.KindOf(a.Err) != backend.BadToken {
		t.Errorf("the write answers %v", a.Err)
	}
	if a := m.Do(backend.Read, "a", ""); a.Status != gone {
		t.Errorf("the object is there: %d", a.Status)
	}
}
