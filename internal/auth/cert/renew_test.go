package cert_test

import (
	"testing"
	"time"

	"jeton/internal/auth/authtest"
	"jeton/internal/backend"
)

const (
	otherIdentity = "failed to renew entry: client identity during renewal not matching client identity used during login"
	noMatchRenew  = "failed to renew entry: " + noMatch
	gone          = `failed to renew entry: certificate "e" does not exist during renewal`
)

// Contract: auth-methods §1.3 and §7, renewal. CVE-2026-39388: with another valid certificate.
func TestRenewalCVE202639388(t *testing.T) {
	root := ca(t, "root")
	b := bench(t)
	entry(t, b, "e", object{"certificate": root.PEM(), "token_policies": "a,b", "token_ttl": 60})
	middle := root.Below("middle")
	alice := middle.Issue("alice")
	login := mustLogin(t, b, alice, nil)
	login.Policies = []string{"a", "b", "default"}
	renew := func() error {
		_, err := b.Renew(t.Context(), login)
		return err
	}
	no := func(text string) {
		t.Helper()
		authtest.Is(t, renew(), backend.Invalid, text)
	}
	entry(t, b, "e", object{"token_ttl": 120, "token_max_ttl": 300})
	renewed, err := b.Renew(t.Context(), login)
	if err != nil || renewed.Terms.TTL != 2*time.Minute || renewed.Terms.MaxTTL != 5*time.Minute {
		t.Fatalf("the current limits: %+v, %v", renewed, err)
	}

	as(b, middle.Issue("alice"))
	no(otherIdentity)
	as(b, middle.IssueFor(alice.Key, "alice"))
	no(otherIdentity)
	as(b, nil)
	no("failed to renew entry: no client certificate found")
	b.TLS = nil
	no("failed to renew entry: no client certificate found")
	as(b, alice)

	entry(t, b, "e", object{"token_policies": "a"})
	no("failed to renew entry: policies have changed, not renewing")
	entry(t, b, "e", object{"token_policies": "B,a,default"})
	if err := renew(); err != nil {
		t.Errorf("the same policies: %v", err)
	}
	entry(t, b, "e", object{"allowed_common_names": "bob"})
	no(noMatchRenew)
	entry(t, b, "e", object{"allowed_common_names": "", "certificate": ca(t, "root").PEM()})
	no(noMatchRenew)
	entry(t, b, "e", object{"certificate": root.PEM()})
	// The login's own intermediates are remembered: the connection need not show them again.
	alice.Chain = nil
	as(b, alice)
	if err := renew(); err != nil {
		t.Errorf("without the intermediates: %v", err)
	}

	root.Unrevoke()
	middle.Revoke(alice)
	b.Must(t, backend.Update, "crls/l", object{"crl": middle.CRLPEM()})
	no(noMatchRenew)
	b.Must(t, backend.Delete, "crls/l", nil)
	if err := renew(); err != nil {
		t.Errorf("no longer revoked: %v", err)
	}
	b.Clock.Add(31 * 24 * time.Hour)
	no(noMatchRenew)
	b.Clock.Add(-31 * 24 * time.Hour)

	b.Must(t, backend.Delete, "certs/e", nil)
	no(gone)
	entry(t, b, "e", object{"certificate": root.PEM(), "token_policies": "a,b"})
	no(gone)
}

// Contract: auth-methods §7, disable_binding: any connection renews, but a revoked certificate does not.
func TestRenewalWithoutBinding(t *testing.T) {
	root := ca(t, "root")
	b := bench(t)
	entry(t, b, "e", object{"certificate": root.PEM()})
	b.Must(t, backend.Update, "config", object{"disable_binding": true})
	alice := root.Issue("alice")
	login := mustLogin(t, b, alice, nil)
	renew := func() error {
		_, err := b.Renew(t.Context(), login)
		return err
	}
	b.TLS = nil
	if err := renew(); err != nil {
		t.Errorf("without a certificate: %v", err)
	}
	b.Clock.Add(31 * 24 * time.Hour)
	if err := renew(); err != nil {
		t.Errorf("after the certificate's end: %v", err)
	}
	root.Revoke(alice)
	b.Must(t, backend.Update, "crls/l", object{"crl": root.CRLPEM()})
	authtest.Is(t, renew(), backend.Invalid, noMatchRenew)
	b.Must(t, backend.Delete, "crls/l", nil)
	entry(t, b, "e", object{"certificate": ca(t, "root").PEM()})
	authtest.Is(t, renew(), backend.Invalid, noMatchRenew)
}
