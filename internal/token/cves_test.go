package token

import (
	"errors"
	"testing"

	"jeton/internal/backend"
	"jeton/internal/store"
)

// Tests named after what went wrong elsewhere. CVE-2021-32923 (a renewal near the end that gave
// a life without one) is in TestRenewals and TestNoLifeBeyondItsBound.

// CVE-2025-5999, CVE-2024-9180, CVE-2025-64761: root by another spelling. Whoever is no root
// token gets no root token, and no policy of that name, by any route.
func TestCVE2025_5999(t *testing.T) {
	w := newWorld(t)
	holder := w.plain()
	w.ok(w.UpdateRole(w.ctx, "all", func(r *Role) error { r.AllowedPoliciesGlob = []string{"*"}; return nil }))
	for _, name := range []string{"root", "ROOT", "Root", " root", "root\t", "root\n", "\u00a0root", "ｒｏｏｔ", "rооt", "root\u200b", "root\x00", "./root", "root/../root", "%72oot"} {
		for route, issue := range map[string]func() (*Issued, error){
			"plain": func() (*Issued, error) { return w.Create(w.ctx, as(holder, false, with(name))) },
			"sudo":  func() (*Issued, error) { return w.Create(w.ctx, as(holder, true, with("web", name))) },
			"role": func() (*Issued, error) {
				return w.Create(w.ctx, as(holder, false, func(a *Ask) { a.Role, a.Policies = "all", []string{name} }))
			},
			"batch": func() (*Issued, error) {
				return w.Create(w.ctx, as(holder, true, func(a *Ask) { a.Type, a.Policies = "batch", []string{name} }))
			},
			"login": func() (*Issued, error) {
				return w.IssueLogin(w.ctx, loginOf("web", name), loginMount, "auth/userpass/login/a", "")
			},
		} {
			if out, err := issue(); err == nil || out != nil {
				t.Errorf("%q by %s: a token with %q", name, route, out.Token.Policies)
			}
		}
	}
}

// CVE-2026-46405: a login that fails in its last step leaves no token, however often it is tried.
func TestCVE2026_46405(t *testing.T) {
	w := newWorld(t)
	refusal := errors.New("the secret id is spent")
	before := len(w.keys())
	for range 1000 {
		for _, kind := range []backend.TokenType{backend.ServiceType, backend.BatchType} {
			out, err := w.IssueLogin(w.ctx, &backend.Login{Policies: []string{"web"}, Type: kind, Consume: func(store.Tx) error { return refusal }},
				loginMount, "auth/userpass/login/a", "")
			if !errors.Is(err, refusal) || out != nil {
				t.Fatalf("a token %v, error %v", out, err)
			}
		}
	}
	if after := len(w.keys()); after != before {
		t.Errorf("%d keys were left behind", after-before)
	}
}

// Vault 0.6.4: a child got default though its parent lacked it.
func TestVault064Default(t *testing.T) {
	w := newWorld(t)
	bare := w.create(w.root, func(a *Ask) { a.Policies, a.NoDefaultPolicy = []string{"web"}, true })
	w.refused(ask(bare, with("web", "default")), "child policies must be subset of parent")
	if got := w.create(bare, with("web")).Token.Policies; len(got) != 1 || got[0] != "web" {
		t.Errorf("policies %q", got)
	}
}
