// Package leasetest owns an engine for tests: it hands out leased secrets of a world outside
// the server, and fails, hangs or refuses on demand. It is mounted by tests only.
package leasetest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"jeton/internal/backend"
)

// World is what the secrets are valid in. It outlives the server, as a database would. All
// methods are safe for concurrent use.
type World struct {
	mu sync.Mutex
	// All that follows is guarded by mu; changed is closed and replaced when any of it changes.
	next    int
	revoked map[string]int
	renewed map[string]int
	roles   map[string]Role
	revoke  func(ctx context.Context, name string) error
	renew   func(ctx context.Context, name string) error
	changed chan struct{}
	asked   int
}

// Role is what a role's secrets get: at issue, and at renewal.
type Role struct {
	TTL, MaxTTL   time.Duration
	NotRenewable  bool
	RenewTTL      time.Duration
	RenewedState  []byte
	RenewsNothing bool
}

// NewWorld makes an empty one. Every role exists; one that is not set has no terms of its own.
func NewWorld() *World {
	return &World{revoked: map[string]int{}, renewed: map[string]int{}, roles: map[string]Role{}, changed: make(chan struct{})}
}

// SetRole sets the terms of a role.
func (w *World) SetRole(name string, r Role) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.roles[name] = r
}

// FailRevoke has fn answer every revocation from now on, before anything is taken back; nil
// lets them succeed, unless their context has ended. fn may block.
func (w *World) FailRevoke(fn func(ctx context.Context, name string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.revoke = fn
}

// FailRenew has fn answer every renewal from now on; nil lets them succeed.
func (w *World) FailRenew(fn func(ctx context.Context, name string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.renew = fn
}

// Issued is how many secrets were handed out.
func (w *World) Issued() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next
}

// Revoked is how often the secret of name was taken back.
func (w *World) Revoked(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.revoked[name]
}

// Renewed is how often it was renewed.
func (w *World) Renewed(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.renewed[name]
}

// Asked is how often the engine was asked to take anything back, in vain or not.
func (w *World) Asked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

// Valid is how many secrets are still good for something.
func (w *World) Valid() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next - len(w.revoked)
}

// Await returns when ok holds; its error is that of ctx.
func (w *World) Await(ctx context.Context, ok func(w *World) bool) error {
	for {
		w.mu.Lock()
		changed := w.changed
		w.mu.Unlock()
		if ok(w) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tell wakes who awaits something. The caller holds mu.
func (w *World) tell() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// New is a backend.Factory of engines that hand out secrets of the world.
func (w *World) New(context.Context, backend.Env) (backend.Backend, error) {
	return &Engine{world: w}, nil
}

// Engine is one mounted engine.
type Engine struct{ world *World }

// Routes hand out secrets: to the holder of a token, to anybody, and further down.
func (e *Engine) Routes() []backend.Route {
	return []backend.Route{
		{Pattern: "creds/{role}", Summary: "Hand out a secret.", Read: backend.Handle(e.creds), Write: backend.Handle(e.creds)},
		{Pattern: "open/{role}", Summary: "Hand out a secret to anybody.", Open: true, Read: backend.Handle(e.creds)},
		{Pattern: "deep/{role}/creds", Summary: "Hand out a secret further down.", Read: backend.Handle(e.creds)},
	}
}

type credsRequest struct {
	Role string `json:"role"`
}

// Creds is what the client gets.
type Creds struct {
	Name string `json:"name"`
}

func (e *Engine) creds(_ context.Context, _ *backend.Call, req *credsRequest) (*backend.Response, error) {
	secret, name := e.world.Issue(req.Role)
	return &backend.Response{Data: &Creds{Name: name}, Secret: secret}, nil
}

// Issue hands out a secret of a role without a server.
func (w *World) Issue(role string) (*backend.Secret, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	w.tell()
	name := fmt.Sprintf("%s-%d", role, w.next)
	r := w.roles[role]
	return &backend.Secret{TTL: r.TTL, MaxTTL: r.MaxTTL, Renewable: !r.NotRenewable, State: []byte(role + " " + name)}, name
}

// RenewLease implements backend.LeaseIssuer.
func (e *Engine) RenewLease(ctx context.Context, l backend.LeaseCall) (*backend.Secret, error) {
	role, name, err := parse(l.State)
	if err != nil {
		return nil, err
	}
	w := e.world
	w.mu.Lock()
	fail, r := w.renew, w.roles[role]
	w.mu.Unlock()
	if fail != nil {
		if err := fail(ctx, name); err != nil {
			return nil, err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.renewed[name]++
	w.tell()
	if r.RenewsNothing {
		return nil, nil
	}
	return &backend.Secret{TTL: r.RenewTTL, MaxTTL: r.MaxTTL, Renewable: !r.NotRenewable, State: r.RenewedState}, nil
}

// RevokeLease implements backend.LeaseIssuer.
func (e *Engine) RevokeLease(ctx context.Context, l backend.LeaseCall) error {
	_, name, err := parse(l.State)
	if err != nil {
		return err
	}
	w := e.world
	w.mu.Lock()
	w.asked++
	fail := w.revoke
	w.tell()
	w.mu.Unlock()
	if fail != nil {
		if err := fail(ctx, name); err != nil {
			return err
		}
	}
	if err := ctx.Err(); fail == nil && err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.revoked[name]++
	w.tell()
	return nil
}

// parse reads what the engine left with a lease.
func parse(state []byte) (role, name string, err error) {
	if _, err := fmt.Sscanf(string(state), "%s %s", &role, &name); err != nil {
		return "", "", backend.Invalidf("the state is not one of this engine's")
	}
	return role, name, nil
}

var _ backend.LeaseIssuer = (*Engine)(nil)
