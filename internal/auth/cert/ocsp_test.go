package cert_test

import (
	"crypto/x509"
	"net/http"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"jeton/internal/auth/authtest"
	"jeton/internal/auth/cert/certtest"
	"jeton/internal/backend"
)

const unasked = noMatch + ": no OCSP responder could be asked whether it is revoked"

func responderSigner(c *x509.Certificate) {
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
}

// CVE-2024-2660: an answer of a responder counts only if it is about the certificate, signed by who may,
// and of now; everything else fails closed, and passes only where the entry says so.
func TestOCSPAnswersCVE20242660(t *testing.T) {
	root := ca(t, "root")
	other := ca(t, "other")
	client := root.Issue("another client")
	raw := func(status int, body string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	rows := []struct {
		name string
		lie  func(*certtest.Responder)
		good bool
	}{
		{"good", func(*certtest.Responder) {}, true},
		{"good, signed by a responder of the issuer", func(r *certtest.Responder) { r.SignBy(root.Issue("responder", responderSigner)) }, true},
		{"unknown", func(r *certtest.Responder) { r.Change(func(a *ocsp.Response) { a.Status = ocsp.Unknown }) }, false},
		{"expired", func(r *certtest.Responder) {
			r.Change(func(a *ocsp.Response) {
				a.ThisUpdate, a.NextUpdate = a.ThisUpdate.Add(-time.Hour), a.ThisUpdate.Add(-time.Minute)
			})
		}, false},
		{"of the future", func(r *certtest.Responder) {
			r.Change(func(a *ocsp.Response) {
				a.ThisUpdate, a.NextUpdate = a.ThisUpdate.Add(time.Hour), a.ThisUpdate.Add(2*time.Hour)
			})
		}, false},
		{"without an end, and no bound of age", func(r *certtest.Responder) { r.Change(func(a *ocsp.Response) { a.NextUpdate = time.Time{} }) }, true},
		{"about another serial", func(r *certtest.Responder) {
			r.Change(func(a *ocsp.Response) { a.SerialNumber = client.Cert.SerialNumber })
		}, false},
		{"signed by a client of the issuer", func(r *certtest.Responder) { r.SignBy(client) }, false},
		{"signed by an expired responder of the issuer", func(r *certtest.Responder) {
			r.SignBy(root.Issue("responder", responderSigner, func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(time.Minute) }))
		}, false},
		{"signed by a responder of another authority", func(r *certtest.Responder) { r.SignBy(other.Issue("responder", responderSigner)) }, false},
		{"signed by itself", func(r *certtest.Responder) {
			r.SignBy(certtest.SelfSigned(t, "root", authtest.Start, responderSigner))
		}, false},
		{"an error of OCSP", func(r *certtest.Responder) {
			r.Raw(func(w http.ResponseWriter) { _, _ = w.Write(ocsp.TryLaterErrorResponse) })
		}, false},
		{"nonsense", func(r *certtest.Responder) { r.Raw(raw(200, "nonsense")) }, false},
		{"nothing", func(r *certtest.Responder) { r.Raw(raw(200, "")) }, false},
		{"status 500", func(r *certtest.Responder) { r.Raw(raw(500, "")) }, false},
		{"no end", func(r *certtest.Responder) { r.Raw(func(w http.ResponseWriter) { flood(w, 1<<20) }) }, false},
		{"hung up", func(r *certtest.Responder) { r.Raw(func(http.ResponseWriter) { panic(http.ErrAbortHandler) }) }, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := bench(t)
			r := root.Respond()
			row.lie(r)
			leaf := root.Issue("alice", func(c *x509.Certificate) { c.OCSPServer = []string{r.URL} })
			entry(t, b, "e", object{"certificate": root.PEM(), "ocsp_enabled": true, "ocsp_max_retries": 1})
			if row.good {
				mustLogin(t, b, leaf, nil)
			} else {
				refused(t, b, leaf, unasked)
			}
			entry(t, b, "e", object{"ocsp_fail_open": true})
			mustLogin(t, b, leaf, nil)
		})
	}
}

// An authority's answer about another authority's certificate of the same serial is no answer, even if the
// entry trusts both as signers.
func TestOCSPOfAnotherIssuer(t *testing.T) {
	root, other := ca(t, "root"), ca(t, "other")
	b := bench(t)
	r := other.Respond()
	leaf := root.Issue("alice")
	entry(t, b, "e", object{"certificate": root.PEM(), "ocsp_enabled": true, "ocsp_servers_override": r.URL, "ocsp_ca_certificates": other.PEM()})
	refused(t, b, leaf, unasked)
}

// Contract: auth-methods §7, ocsp_ca_certificates: further signers, by their authority or themselves.
func TestOCSPSigners(t *testing.T) {
	root, signers := ca(t, "root"), ca(t, "signers")
	signer := signers.Issue("responder", responderSigner)
	b := bench(t)
	r := root.Respond()
	r.SignBy(signer)
	leaf := root.Issue("alice")
	e := object{"certificate": root.PEM(), "ocsp_enabled": true, "ocsp_servers_override": r.URL}
	entry(t, b, "e", e)
	refused(t, b, leaf, unasked)
	entry(t, b, "e", object{"ocsp_ca_certificates": signers.PEM()})
	mustLogin(t, b, leaf, nil)
	entry(t, b, "e", object{"ocsp_ca_certificates": signer.PEM()})
	mustLogin(t, b, leaf, nil)
}

// Contract: auth-methods §7: revoked is revoked, with fail_open too; servers override the certificate's; the
// age of an answer; query_all; nobody to ask.
func TestOCSPSettings(t *testing.T) {
	root := ca(t, "root")
	b := bench(t)
	one, two := root.Respond(), root.Respond()
	leaf := root.Issue("alice", func(c *x509.Certificate) { c.OCSPServer = []string{one.URL} })
	entry(t, b, "e", object{"certificate": root.PEM(), "ocsp_enabled": true, "ocsp_fail_open": true, "ocsp_max_retries": 0})
	mustLogin(t, b, leaf, nil)
	root.Revoke(leaf)
	mustLogin(t, b, leaf, nil) // Remembered.
	b.Clock.Add(6 * time.Minute)
	revoked := func() {
		t.Helper()
		one.Change(func(a *ocsp.Response) { a.ThisUpdate, a.NextUpdate = b.Clock.Now(), b.Clock.Now().Add(time.Hour) })
		refused(t, b, leaf, noMatch)
	}
	revoked()
	root.Unrevoke()
	refused(t, b, leaf, noMatch) // Remembered, too.
	b.Clock.Add(11 * time.Minute)
	one.Change(func(a *ocsp.Response) { a.ThisUpdate, a.NextUpdate = b.Clock.Now(), b.Clock.Now().Add(time.Hour) })
	mustLogin(t, b, leaf, nil)

	asked := one.Asked()
	entry(t, b, "e", object{"ocsp_fail_open": false, "ocsp_servers_override": two.URL})
	two.Change(func(a *ocsp.Response) { a.ThisUpdate, a.NextUpdate = b.Clock.Now().Add(-time.Hour), time.Time{} })
	mustLogin(t, b, leaf, nil)
	if one.Asked() != asked || two.Asked() == 0 {
		t.Error("the certificate's own responder was asked")
	}
	entry(t, b, "e", object{"ocsp_this_update_max_age": "59m"})
	refused(t, b, leaf, unasked)
	entry(t, b, "e", object{"ocsp_this_update_max_age": "61m"})
	mustLogin(t, b, leaf, nil)

	// One of two is silent: without query_all the other's word is enough, with it both are needed.
	entry(t, b, "e", object{"ocsp_servers_override": "http://127.0.0.1:1," + two.URL})
	mustLogin(t, b, leaf, nil)
	entry(t, b, "e", object{"ocsp_query_all_servers": true})
	refused(t, b, leaf, unasked)
	entry(t, b, "e", object{"ocsp_fail_open": true})
	mustLogin(t, b, leaf, nil)
	// One of two says revoked.
	entry(t, b, "e", object{"ocsp_servers_override": one.URL + "," + two.URL, "ocsp_fail_open": false})
	mustLogin(t, b, leaf, nil)
	entry(t, b, "e", object{"ocsp_max_retries": 1})
	two.Change(func(a *ocsp.Response) {
		a.Status, a.RevokedAt, a.ThisUpdate, a.NextUpdate = ocsp.Revoked, b.Clock.Now(), b.Clock.Now(), b.Clock.Now().Add(time.Hour)
	})
	refused(t, b, leaf, noMatch)

	entry(t, b, "e", object{"ocsp_servers_override": ""})
	refused(t, b, root.Issue("no responder named"), unasked)
}

// Contract: auth-methods §7, ocsp_max_retries: a silent responder is asked so many times more.
func TestOCSPRetries(t *testing.T) {
	root := ca(t, "root")
	b := bench(t)
	r := root.Respond()
	r.Raw(func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) })
	entry(t, b, "e", object{"certificate": root.PEM(), "ocsp_enabled": true, "ocsp_servers_override": r.URL, "ocsp_max_retries": 3})
	refused(t, b, root.Issue("alice"), unasked)
	if n := r.Asked(); n != 4 {
		t.Errorf("asked %d times, want 4", n)
	}
}

// Contract: auth-methods §7, ocsp_cache_size bounds what is remembered; another revision of the entry, or
// another entry, does not profit from it.
func TestOCSPCacheIsBounded(t *testing.T) {
	root := ca(t, "root")
	b := bench(t)
	r := root.Respond()
	e := object{"certificate": root.PEM(), "ocsp_enabled": true, "ocsp_servers_override": r.URL}
	entry(t, b, "e", e)
	b.Must(t, backend.Update, "config", object{"ocsp_cache_size": 2})
	leaves := []*certtest.Leaf{root.Issue("a"), root.Issue("b"), root.Issue("c")}
	for range 2 {
		mustLogin(t, b, leaves[0], nil)
	}
	if n := r.Asked(); n != 1 {
		t.Errorf("asked %d times for one certificate", n)
	}
	entry(t, b, "e", object{"token_ttl": 60})
	mustLogin(t, b, leaves[0], nil)
	if n := r.Asked(); n != 2 {
		t.Errorf("asked %d times after a change of the entry", n)
	}
	for range 3 {
		for _, l := range leaves {
			mustLogin(t, b, l, nil)
		}
	}
	if n := r.Asked(); n < 5 {
		t.Errorf("asked %d times: more than two answers are remembered", n)
	}
}

// Contract: auth-methods §7, renewal asks again: revoked meanwhile, and nobody to ask.
func TestOCSPAtRenewal(t *testing.T) {
	root := ca(t, "root")
	b := bench(t)
	r := root.Respond()
	fresh := func(a *ocsp.Response) { a.ThisUpdate, a.NextUpdate = b.Clock.Now(), b.Clock.Now().Add(time.Minute) }
	r.Change(fresh)
	entry(t, b, "e", object{"certificate": root.PEM(), "ocsp_enabled": true, "ocsp_servers_override": r.URL, "ocsp_max_retries": 0})
	alice := root.Issue("alice")
	login := mustLogin(t, b, alice, nil)
	if _, err := b.Renew(t.Context(), login); err != nil {
		t.Fatal(err)
	}
	b.Clock.Add(2 * time.Minute)
	r.Raw(func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) })
	_, err := b.Renew(t.Context(), login)
	authtest.Is(t, err, backend.Invalid, "failed to renew entry: no OCSP responder could be asked whether the certificate is revoked")
	r.Raw(nil)
	root.Revoke(alice)
	_, err = b.Renew(t.Context(), login)
	authtest.Is(t, err, backend.Invalid, noMatchRenew)
}
