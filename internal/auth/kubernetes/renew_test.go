package kubernetes_test

import (
	"testing"
	"time"

	"jeton/internal/auth/kubernetes/kubetest"
	"jeton/internal/backend"
)

const (
	gone       = "failed to renew entry: the service account or its token is gone"
	unprovable = "failed to renew entry: the JWT of the login has expired, so the service account cannot be proved again: log in with a new one"
	unasked    = "failed to renew entry: the API server could not be asked"
)

func (h *house) renew(t *testing.T, login *backend.Login) error {
	t.Helper()
	_, err := h.Renew(t.Context(), login)
	return err
}

// CVE-2026-115356: a renewal proves the service account again. Contract: auth-methods §1.3.
func TestRenewalCVE2026115356(t *testing.T) {
	h := open(t)
	login := h.in(t, h.token)
	h.write(t, object{"token_ttl": 120, "token_max_ttl": 300, "token_policies": "others"})
	renewed, err := h.Renew(t.Context(), login)
	if err != nil || renewed.Terms.TTL != 2*time.Minute || renewed.Terms.MaxTTL != 5*time.Minute {
		t.Fatalf("the current limits: %+v, %v", renewed, err)
	}
	no := func(t *testing.T, kind backend.Kind, text string) {
		t.Helper()
		told(t, h.renew(t, login), kind, text)
	}
	t.Run("the API server no longer knows the token", func(t *testing.T) {
		h.cluster.Change(func(r *kubetest.Review) { r.Status.Authenticated = false })
		no(t, backend.Denied, gone)
		h.cluster.Change(nil)
	})
	t.Run("it is another's", func(t *testing.T) {
		h.cluster.Change(func(r *kubetest.Review) { r.Status.User.UID = "x" })
		no(t, backend.Denied, unasked)
		h.cluster.Change(nil)
	})
	t.Run("the API server is broken, slow or away", func(t *testing.T) {
		h.cluster.Fault(kubetest.Status(500))
		no(t, backend.Denied, unasked)
		h.cluster.Fault(kubetest.HangUp)
		no(t, backend.Denied, unasked)
		h.cluster.Fault(nil)
		if err := h.renew(t, login); err != nil {
			t.Errorf("once it is back: %v", err)
		}
	})
	t.Run("the role no longer takes the account", func(t *testing.T) {
		h.write(t, object{"bound_service_account_names": "other"})
		no(t, backend.Denied, "failed to renew entry: service account name not authorized")
		h.write(t, object{"bound_service_account_names": "app", "bound_service_account_namespaces": "other"})
		no(t, backend.Denied, "failed to renew entry: namespace not authorized")
		h.cluster.LetRead(h.reviewer, true)
		h.write(t, object{"bound_service_account_namespace_selector": `{"matchLabels":{"env":"prod"}}`})
		no(t, backend.Denied, "failed to renew entry: namespace not authorized")
		h.cluster.Label("default", map[string]string{"env": "prod"})
		if err := h.renew(t, login); err != nil {
			t.Errorf("by label: %v", err)
		}
		h.write(t, object{"bound_service_account_namespaces": "default", "bound_service_account_namespace_selector": ""})
		h.cluster.LetRead(h.reviewer, false)
	})
	t.Run("the pod has ended", func(t *testing.T) {
		token := h.cluster.Token(h.app)
		other := h.in(t, token)
		h.cluster.EndPod(token)
		told(t, h.renew(t, other), backend.Denied, gone)
	})
	t.Run("the account was deleted, and made anew", func(t *testing.T) {
		h.cluster.DeleteAccount(h.app)
		no(t, backend.Denied, gone)
		h.cluster.AddAccount("default", "app")
		no(t, backend.Denied, gone)
	})
	t.Run("the role was deleted, and made anew", func(t *testing.T) {
		const noRole = `failed to renew entry: role "r" does not exist during renewal`
		h.Must(t, backend.Delete, "role/r", nil)
		no(t, backend.Invalid, noRole)
		h.write(t, object{"bound_service_account_names": "*", "bound_service_account_namespaces": "default"})
		no(t, backend.Invalid, noRole)
	})
}

// Decision 0021: once the login's JWT has expired, the account itself is asked for; who may not read it cannot renew.
func TestRenewalAfterTheJWT(t *testing.T) {
	start := func(t *testing.T) (*house, *backend.Login) {
		h := open(t)
		login := h.in(t, h.token)
		h.Clock.Add(2 * time.Hour)
		return h, login
	}
	t.Run("the server may not read accounts", func(t *testing.T) {
		h, login := start(t)
		told(t, h.renew(t, login), backend.Denied, unprovable)
		h.configure(t, object{"allow_unproved_renewal": true})
		if err := h.renew(t, login); err != nil {
			t.Errorf("allowed: %v", err)
		}
		h.cluster.Fault(kubetest.Status(500))
		told(t, h.renew(t, login), backend.Denied, unasked)
	})
	t.Run("there is no reviewer", func(t *testing.T) {
		h, login := start(t)
		h.configure(t, object{"token_reviewer_jwt": ""})
		told(t, h.renew(t, login), backend.Denied, unprovable)
	})
	t.Run("the reviewer's own JWT is no good", func(t *testing.T) {
		h, login := start(t)
		h.configure(t, object{"token_reviewer_jwt": "nonsense", "allow_unproved_renewal": true})
		told(t, h.renew(t, login), backend.Denied, unasked)
	})
	t.Run("the server may read accounts", func(t *testing.T) {
		h, login := start(t)
		h.cluster.LetRead(h.reviewer, true)
		if err := h.renew(t, login); err != nil {
			t.Errorf("it is there: %v", err)
		}
		h.configure(t, object{"allow_unproved_renewal": true})
		h.cluster.DeleteAccount(h.app)
		told(t, h.renew(t, login), backend.Denied, gone)
		h.cluster.AddAccount("default", "app")
		told(t, h.renew(t, login), backend.Denied, gone)
	})
	t.Run("a token without an end is reviewed for ever", func(t *testing.T) {
		h := open(t)
		login := h.in(t, h.cluster.OldToken(h.app))
		h.Clock.Add(300 * 24 * time.Hour)
		if err := h.renew(t, login); err != nil {
			t.Errorf("it is there: %v", err)
		}
		h.cluster.DeleteAccount(h.app)
		told(t, h.renew(t, login), backend.Denied, gone)
	})
}

// A slow API server ends a renewal in the configured time, and leaves the token as it was.
func TestSlowRenewal(t *testing.T) {
	h := open(t)
	login := h.in(t, h.token)
	h.configure(t, object{"api_timeout": 1})
	entered := make(chan struct{}, 1)
	h.cluster.Fault(kubetest.Slow(entered))
	told(t, h.renew(t, login), backend.Denied, unasked)
	h.cluster.Fault(nil)
	h.configure(t, object{"api_timeout": 60})
	if err := h.renew(t, login); err != nil {
		t.Error(err)
	}
}
