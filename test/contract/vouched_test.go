package contract_test

import (
	"testing"
	"time"

	"jeton/internal/auth/cert/certtest"
	"jeton/internal/auth/kubernetes/kubetest"
)

// withCluster mounts kubernetes over a cluster, and returns the JWT of the service account web
// of namespace shop.
func withCluster(h *house) (signed string) {
	h.t.Helper()
	_, _, signed = clusterOf(h)
	return signed
}

func clusterOf(h *house) (*kubetest.Cluster, *kubetest.Account, string) {
	h.t.Helper()
	c := kubetest.Start(h.t, h.wall.now)
	web := c.AddAccount("shop", "web")
	h.do("POST", "sys/auth/kubernetes", h.root, m{"type": "kubernetes"}).empty()
	h.do("POST", "auth/kubernetes/config", h.root, m{"kubernetes_host": c.URL, "kubernetes_ca_cert": c.CA, "token_reviewer_jwt": c.Token(c.AddAccount("jeton", "jeton"))}).empty()
	return c, web, c.Token(web)
}

// showing has a request come over a TLS connection that has proved a certificate.
func showing(l *certtest.Leaf) with {
	return func(r *request) { r.tls = l.Connection() }
}

// Contract: auth-methods §6, over HTTP: what a login becomes, its statuses and texts, and renewal.
func TestKubernetesLogin(t *testing.T) {
	h := open(t)
	const login, renew = "auth/kubernetes/login", "auth/token/renew-self"
	h.do("POST", "sys/auth/empty", h.root, m{"type": "kubernetes"}).empty()
	h.do("POST", "auth/empty/role/r", h.root, m{"bound_service_account_names": "a", "bound_service_account_namespaces": "b"}).empty()
	h.do("POST", "auth/empty/login", "", m{"role": "r", "jwt": "x"}).fails(400, "could not load backend configuration")
	c, web, jwt := clusterOf(h)
	h.do("LIST", "auth/kubernetes/role", h.root, nil).is(404)
	h.do("POST", "auth/kubernetes/role/R", h.root, m{"bound_service_account_names": "w*", "bound_service_account_namespaces": "shop", "token_policies": "p", "token_ttl": "10m"}).empty()
	h.do("LIST", "auth/kubernetes/role", h.root, nil).is(200).has([]string{"r"}, "data", "keys")
	h.do("GET", "auth/kubernetes/config", h.root, nil).is(200).has(true, "data", "token_reviewer_jwt_set").has(nil, "data", "token_reviewer_jwt")

	a := h.do("POST", login, "", m{"role": "r", "jwt": jwt}).is(200).
		has([]string{"default", "p"}, "auth", "policies").has(600, "auth", "lease_duration").has(true, "auth", "orphan").
		has("web", "auth", "metadata", "service_account_name").has("shop", "auth", "metadata", "service_account_namespace").
		has(web.UID, "auth", "metadata", "service_account_uid").has("", "auth", "metadata", "service_account_secret_name").has("r", "auth", "metadata", "role")
	token := a.text("auth", "client_token")
	h.lookup(token).is(200).has("kubernetes-shop-web", "data", "display_name").has(login, "data", "path")
	h.do("GET", "identity/entity/id/"+a.text("auth", "entity_id"), h.root, nil).is(200)
	h.do("POST", login, "", m{"jwt": jwt}).fails(400, "missing role")
	h.do("POST", login, "", m{"role": "r"}).fails(400, "missing jwt")
	h.do("POST", login, "", m{"role": "x", "jwt": jwt}).fails(400, `invalid role name "x"`)
	h.do("POST", login, "", m{"role": "r", "jwt": c.Token(c.AddAccount("shop", "api"))}).fails(403, "service account name not authorized")
	h.do("POST", login, "", m{"role": "r", "jwt": c.Token(c.AddAccount("bakery", "web"))}).fails(403, "namespace not authorized")
	c.Fault(kubetest.Status(500))
	h.do("POST", login, "", m{"role": "r", "jwt": jwt}).fails(403, "permission denied")
	c.Fault(nil)

	h.do("POST", renew, token, m{}).is(200).has(600, "auth", "lease_duration")
	h.do("POST", "auth/kubernetes/role/r", h.root, m{"alias_name_source": "serviceaccount_name"}).empty()
	if again := h.do("POST", login, "", m{"role": "r", "jwt": jwt}).is(200); again.text("auth", "entity_id") == a.text("auth", "entity_id") {
		t.Error("another source of the alias is the same entity")
	}
	c.AddAccount("shop", "web") // Made anew, with another UID.
	h.do("POST", login, "", m{"role": "r", "jwt": jwt}).fails(403, "permission denied")
	h.do("POST", renew, token, m{}).fails(403, "failed to renew entry: the service account or its token is gone")
	h.do("DELETE", "auth/kubernetes/role/r", h.root, nil).empty()
	h.do("POST", renew, token, m{}).fails(400, `failed to renew entry: role "r" does not exist during renewal`)
	h.lookup(token).is(200)
	h.wall.advance(11 * time.Minute)
	h.lookup(token).is(403)
}

// Contract: auth-methods §7, over HTTP: what a login becomes, its statuses and texts, and renewal.
func TestCertificateLogin(t *testing.T) {
	h := open(t)
	const login, renew = "auth/cert/login", "auth/token/renew-self"
	root, other := certtest.New(t, "clients", h.wall.now()), certtest.New(t, "others", h.wall.now())
	alice, bob := root.Issue("alice"), root.Issue("bob")
	h.do("POST", "sys/auth/cert", h.root, m{"type": "cert"}).empty()
	h.do("LIST", "auth/cert/certs", h.root, nil).is(404)
	h.do("POST", "auth/cert/certs/E", h.root, m{"display_name": "people"}).fails(400, "failed to parse certificate")
	h.do("POST", "auth/cert/certs/E", h.root, m{"certificate": root.PEM(), "allowed_common_names": "a*,b*", "token_policies": "p", "token_ttl": "10m"}).empty()
	h.do("LIST", "auth/cert/certs", h.root, nil).is(200).has([]string{"e"}, "data", "keys")

	a := h.do("POST", login, "", m{}, showing(alice)).is(200).
		has([]string{"default", "p"}, "auth", "policies").has(600, "auth", "lease_duration").has(true, "auth", "orphan").
		has("e", "auth", "metadata", "cert_name").has("alice", "auth", "metadata", "common_name").has(alice.Cert.SerialNumber.String(), "auth", "metadata", "serial_number")
	token := a.text("auth", "client_token")
	h.lookup(token).is(200).has("cert-e", "data", "display_name").has(login, "data", "path")
	h.do("POST", login, "", m{}).fails(400, "no client certificate found")
	h.do("POST", login, "", m{}, header("X-Forwarded-Client-Cert", root.PEM())).fails(400, "no client certificate found")
	h.do("POST", login, "", m{}, showing(other.Issue("alice"))).fails(400, "invalid certificate or no client certificate supplied")
	h.do("POST", login, "", m{}, showing(root.Issue("carol"))).fails(400, "no chain matching all constraints could be found for this login certificate")

	h.do("POST", renew, token, m{}, showing(alice)).is(200).has(600, "auth", "lease_duration")
	h.do("POST", renew, token, m{}, showing(bob)).fails(400, "failed to renew entry: client identity during renewal not matching client identity used during login")
	h.do("POST", renew, token, m{}).fails(400, "failed to renew entry: no client certificate found")
	h.do("POST", "auth/cert/crls/none", h.root, m{}).fails(400, "one of 'crl' or 'url' must be provided")
	h.do("GET", "auth/cert/crls/none", h.root, nil).fails(400, "no such CRL none")
	root.Revoke(alice)
	h.do("POST", "auth/cert/crls/l", h.root, m{"crl": root.CRLPEM()}).is(204)
	h.do("POST", renew, token, m{}, showing(alice)).fails(400, "failed to renew entry: no chain matching all constraints could be found for this login certificate")
	h.do("DELETE", "auth/cert/crls/l", h.root, nil).empty()
	h.do("POST", "auth/cert/certs/e", h.root, m{"token_policies": "q"}).empty()
	h.do("POST", renew, token, m{}, showing(alice)).fails(400, "failed to renew entry: policies have changed, not renewing")
	h.do("DELETE", "auth/cert/certs/e", h.root, nil).empty()
	h.do("POST", renew, token, m{}, showing(alice)).fails(400, `failed to renew entry: certificate "e" does not exist during renewal`)
	h.lookup(token).is(200)
}
