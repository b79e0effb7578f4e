package contract_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"jeton/internal/store"
	"jeton/internal/store/embedded"
	"jeton/internal/store/storetest"
)

// count is how many tokens live.
func (h *house) count() int {
	h.t.Helper()
	keys, ok := h.do("LIST", "auth/token/accessors", h.root, nil).is(200).at("data", "keys").([]any)
	if !ok {
		h.t.Fatal("accessors: no list")
	}
	return len(keys)
}

// TestUnauditedAnswersLeaveNothing refuses the response entry alone: the request was done, the
// client never hears of it, so nothing of it may live. Contract: audit §2.
func TestUnauditedAnswersLeaveNothing(t *testing.T) {
	for _, c := range []struct {
		name, path, token string
		body              m
		options           []with
	}{
		{"a token", "auth/token/create", "root", m{"policies": "default"}, nil},
		{"an orphan", "auth/token/create-orphan", "root", m{"policies": "default"}, nil},
		{"a token of a chosen id", "auth/token/create", "root", m{"id": "mine"}, nil},
		{"a login", "auth/userpass/login/bob", "", m{"password": "correct horse"}, nil},
		{"a wrapped value", "sys/wrapping/wrap", "root", m{"a": 1}, []with{wrapped("60")}},
		{"a wrapped token", "auth/token/create", "root", m{"policies": "default"}, []with{wrapped("60")}},
		{"a wrapped login", "auth/userpass/login/bob", "", m{"password": "correct horse"}, []with{wrapped("60")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			if c.token == "" {
				h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
				h.do("POST", "auth/userpass/users/bob", h.root, m{"password": "correct horse"}).empty()
			}
			h.devices()
			before := h.count()
			if c.token == "root" {
				c.token = h.root
			}
			h.audit.refuseIf(func(line string) bool { return strings.Contains(line, `"type":"response"`) })
			h.do("POST", c.path, c.token, c.body, c.options...).fails(500, "internal error")
			h.audit.refuseIf(nil)
			if after := h.count(); after != before {
				t.Fatalf("%d tokens before, %d after", before, after)
			}
			h.do("POST", c.path, c.token, c.body, c.options...).is(200)
		})
	}
}

// TestUnauditedRequestsDoNothing refuses the request entry: nothing is done at all.
func TestUnauditedRequestsDoNothing(t *testing.T) {
	h := open(t)
	h.devices()
	h.audit.refuseIf(func(string) bool { return true })
	h.do("POST", "auth/token/create", h.root, m{"id": "mine"}).fails(500, "internal error")
	h.do("PUT", "cubbyhole/a", h.root, m{"k": "v"}).fails(500, "internal error")
	h.do("PUT", "sys/seal", h.root, nil).fails(500, wrap1("failed to audit request, cannot continue"))
	h.lookup("junk").fails(500, "internal error")
	h.audit.refuseIf(nil)
	h.do("GET", "cubbyhole/a", h.root, nil).fails(404)
	h.ask("mine").fails(403, "bad token")
	h.lookup(h.root).is(200)
}

// TestInitOutcomeUnknown loses the store's answer to an initialisation. Contract: sys §1.
func TestInitOutcomeUnknown(t *testing.T) {
	raw, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	faulty := storetest.Faulty(raw)
	h := sealed(t, faulty)
	faulty.Inject(func(int) storetest.Outcome { return storetest.Persisted })
	a := h.do("PUT", "sys/init", "", m{"secret_shares": 1, "secret_threshold": 1}).is(500)
	for _, want := range []string{"sys/init", "not known", "storage", "1 error occurred"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the error does not say %q: %s", want, a.body)
		}
	}
	for _, never := range []string{"keys_base64", "root_token", "hvs."} {
		if strings.Contains(a.body, never) || strings.Contains(h.log.String(), "hvs.") {
			t.Errorf("the error or the log carries %q: %s", never, a.body)
		}
	}
	h.do("GET", "sys/init", "", nil).is(200).has(true, "initialized")
	faulty.Inject(func(int) storetest.Outcome { return storetest.Succeeded })
	h.do("PUT", "sys/init", "", m{"secret_shares": 1, "secret_threshold": 1}).fails(400, "Vault is already initialized")
}

// TestInitRefusedByTheStore fails before anything is written: it can be done again.
func TestInitRefusedByTheStore(t *testing.T) {
	raw, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	h := sealed(t, raw)
	h.do("PUT", "sys/init", "", m{}).fails(400, "invalid seal configuration: shares must be at least one")
	h.do("PUT", "sys/init", "", m{"secret_shares": 5, "secret_threshold": 1}).fails(400, "invalid seal configuration: threshold must be greater than one for multiple shares")
	h.do("GET", "sys/init", "", nil).is(200).has(false, "initialized")
	h.do("GET", "sys/health", "", nil).is(501).has(false, "initialized")
	a := h.do("PUT", "sys/init", "", m{"secret_shares": 1, "secret_threshold": 1}).is(200)
	if keys, ok := a.at("keys").([]any); !ok || len(keys) != 1 {
		t.Fatalf("keys: %s", a.body)
	}
	h.do("PUT", "sys/unseal", "", m{"key": a.at("keys").([]any)[0]}).is(200).has(false, "sealed")
	h.lookup(a.text("root_token")).is(200)
	h.do("PUT", "sys/init", "", m{}).fails(400, "invalid seal configuration: shares must be at least one")
	h.do("PUT", "sys/init", "", m{"secret_shares": 1, "secret_threshold": 1}).fails(400, "Vault is already initialized")
	h.do("DELETE", "sys/init", "", nil).fails(405)
}

// fragile panics in the transaction that a request's context chooses.
type fragile struct{ store.Store }

// countdown is in the context of a request that is to panic: at which access to the store.
type countdown struct{ left atomic.Int64 }

type countdownKey struct{}

func tick(ctx context.Context) {
	if c, ok := ctx.Value(countdownKey{}).(*countdown); ok && c.left.Add(-1) == 0 {
		panic("hvs.a secret that must not be logged")
	}
}

func (f *fragile) View(ctx context.Context, fn func(store.Reader) error) error {
	tick(ctx)
	return f.Store.View(ctx, func(r store.Reader) error {
		tick(ctx)
		return fn(r)
	})
}

func (f *fragile) Update(ctx context.Context, fn func(store.Tx) error) error {
	tick(ctx)
	return f.Store.Update(ctx, func(tx store.Tx) error {
		err := fn(tx)
		tick(ctx)
		return err
	})
}

// TestPanicsHoldNothing lets every kind of request panic at every access to the store, inside
// transactions too. It is a 500, nothing is left behind, no lock stays held, and the server
// can still be sealed.
func TestPanicsHoldNothing(t *testing.T) {
	raw, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	h := sealed(t, &fragile{raw})
	a := h.do("PUT", "sys/init", "", m{"secret_shares": 1, "secret_threshold": 1}).is(200)
	key := a.at("keys").([]any)[0]
	h.root = a.text("root_token")
	h.do("PUT", "sys/unseal", "", m{"key": key}).is(200).has(false, "sealed")
	h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
	h.do("POST", "auth/userpass/users/bob", h.root, m{"password": "correct horse"}).empty()
	h.mount("kv1")
	h.devices()
	panics, entries := 0, len(h.audit.all(t))
	for _, c := range []struct {
		verb, path string
		body       any
		options    []with
	}{
		{"POST", "auth/token/create", m{"policies": "default"}, nil},
		{"POST", "auth/token/create", m{"policies": "default"}, []with{wrapped("60")}},
		{"POST", "auth/userpass/login/bob", m{"password": "correct horse"}, nil},
		{"PUT", "kv1/a", m{"k": "v"}, nil},
		{"GET", "kv1/a", nil, nil},
		{"PUT", "cubbyhole/a", m{"k": "v"}, nil},
		{"POST", "sys/policies/acl/p", m{"policy": `path "a" { capabilities = ["read"] }`}, nil},
		{"POST", "sys/mounts/other", m{"type": "kv"}, nil},
		{"DELETE", "sys/mounts/other", nil, nil},
		{"LIST", "auth/token/accessors", nil, nil},
		{"POST", "auth/token/roles/r", m{}, nil},
	} {
		for n := int64(1); ; n++ {
			left := &countdown{}
			left.left.Store(n)
			ctx := context.WithValue(context.Background(), countdownKey{}, left)
			before := h.count()
			a := h.do(c.verb, c.path, h.root, c.body, append(c.options, under(ctx))...)
			if left.left.Load() > 0 {
				break
			}
			panics++
			if a.status != 500 {
				t.Fatalf("%s at access %d: %d %s", a.what, n, a.status, a.body)
			}
			if after := h.count(); after != before {
				t.Errorf("%s at access %d: %d tokens before, %d after", a.what, n, before, after)
			}
			if n > 100 {
				t.Fatalf("%s: no end", a.what)
			}
		}
		h.lookup(h.root).is(200)
	}
	if requests, responses := h.counted(entries); requests != responses {
		t.Errorf("%d request entries and %d response entries: a panic lost one", requests, responses)
	}
	if panics < 20 {
		t.Errorf("only %d panics", panics)
	}
	if strings.Contains(h.log.String(), "must not be logged") {
		t.Error("what a panic says is in the log")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.do("PUT", "sys/seal", h.root, nil)
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("a lock is still held: the server cannot be sealed")
	}
	h.do("GET", "sys/seal-status", "", nil).is(200).has(true, "sealed")
}

// counted are the request and response entries since the first n.
func (h *house) counted(n int) (requests, responses int) {
	for _, e := range h.audit.all(h.t)[n:] {
		switch e["type"] {
		case "request":
			requests++
		case "response":
			responses++
		}
	}
	return requests, responses
}

// TestLoginMountRemoved holds that a token goes with its login method, and its children with it.
func TestLoginMountRemoved(t *testing.T) {
	h := open(t)
	h.policy("creator", creator)
	h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
	h.do("POST", "auth/userpass/users/bob", h.root, m{"password": "correct horse", "token_policies": "creator"}).empty()
	login := func() string {
		return h.do("POST", "auth/userpass/login/bob", "", m{"password": "correct horse"}).is(200).text("auth", "client_token")
	}
	parent := login()
	child := h.create(parent, m{})
	grandchild := h.create(child, m{})
	batch := h.create(parent, m{"type": "batch"})
	orphan := h.do("POST", "auth/token/create-orphan", parent, m{}).is(200).text("auth", "client_token")
	h.do("DELETE", "sys/auth/userpass", h.root, nil).empty()
	for _, token := range []string{parent, child, grandchild, batch} {
		h.dead(token)
	}
	h.lives(orphan)
	h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
	h.dead(parent)
	h.do("POST", "auth/userpass/login/bob", "", m{"password": "correct horse"}).is(400)
}

// TestBatchLoginsOfAMountRemoved holds the same of tokens that are stored nowhere.
func TestBatchLoginsOfAMountRemoved(t *testing.T) {
	h := open(t)
	h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass", "config": m{"token_type": "batch"}}).empty()
	h.do("POST", "auth/userpass/users/bob", h.root, m{"password": "correct horse"}).empty()
	token := h.do("POST", "auth/userpass/login/bob", "", m{"password": "correct horse"}).is(200).has("batch", "auth", "token_type").text("auth", "client_token")
	h.lookup(token).is(200)
	h.do("DELETE", "sys/auth/userpass", h.root, nil).empty()
	h.lookup(token).fails(403, badToken)
}

// TestLoginMountRemovalFails loses the revocation of what a login method issued: its tokens are
// refused all the same, and so are their children once the removal was asked for again.
func TestLoginMountRemovalFails(t *testing.T) {
	raw, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	faulty := storetest.Faulty(raw)
	h := sealed(t, faulty)
	a := h.do("PUT", "sys/init", "", m{"secret_shares": 1, "secret_threshold": 1}).is(200)
	h.root = a.text("root_token")
	h.do("PUT", "sys/unseal", "", m{"key": a.at("keys").([]any)[0]}).is(200)
	h.policy("creator", creator)
	h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
	h.do("POST", "auth/userpass/users/bob", h.root, m{"password": "correct horse", "token_policies": "creator"}).empty()
	parent := h.do("POST", "auth/userpass/login/bob", "", m{"password": "correct horse"}).is(200).text("auth", "client_token")
	child := h.create(parent, m{})
	// The entry is marked as on its way out; what comes after that fails.
	faulty.Inject(func(n int) storetest.Outcome {
		if n == 1 {
			return storetest.Succeeded
		}
		return storetest.Failed
	})
	a = h.do("DELETE", "sys/auth/userpass", h.root, nil)
	faulty.Inject(func(int) storetest.Outcome { return storetest.Succeeded })
	if a.status != 500 {
		t.Fatalf("removal: %d %s", a.status, a.body)
	}
	h.lookup(parent).fails(403, badToken)
	h.do("DELETE", "sys/auth/userpass", h.root, nil).empty()
	h.dead(parent)
	h.dead(child)
}
