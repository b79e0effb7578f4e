package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jeton/internal/auth/kubernetes/kubetest"
)

// cluster is a server that takes the service account web of namespace shop.
func cluster(t *testing.T, s *server) (c *kubetest.Cluster, web *kubetest.Account, reviewerJWT string) {
	t.Helper()
	c = kubetest.Start(t, time.Now)
	web = c.AddAccount("shop", "web")
	reviewerJWT = c.Token(c.AddAccount("kube-system", "reviewer"))
	ca := writeFile(t, filepath.Join(s.dir, "k8s-ca.pem"), c.CA)
	s.must("jeton", "auth", "enable", "kubernetes")
	s.must("jeton", "write", "auth/kubernetes/config", "kubernetes_host="+c.URL, "kubernetes_ca_cert=@"+ca,
		"token_reviewer_jwt="+reviewerJWT, "api_timeout=60s")
	s.must("jeton", "write", "auth/kubernetes/role/web", "bound_service_account_names=web", "bound_service_account_namespaces=shop", "token_ttl=10m")
	return c, web, reviewerJWT
}

func TestHvacKubernetes(t *testing.T) {
	t.Parallel()
	interpreter := python(t)
	script, err := filepath.Abs("python/kubernetes.py")
	if err != nil {
		t.Fatal(err)
	}
	s := startDev(t)
	c := kubetest.Start(t, time.Now)
	web, other, reviewer := c.AddAccount("shop", "web"), c.AddAccount("shop", "other"), c.AddAccount("kube-system", "reviewer")
	ca := writeFile(t, filepath.Join(s.dir, "k8s-ca.pem"), c.CA)
	r := s.run([]string{"PYTHONDONTWRITEBYTECODE=1", "K8S_HOST=" + c.URL, "K8S_CA=" + ca, "K8S_REVIEWER=" + c.Token(reviewer),
		"K8S_JWT=" + c.Token(web), "K8S_STRANGER=" + c.Token(other)}, interpreter, script)
	if r.code != 0 || r.out != "as promised\n" {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.errOut)
	}
}

// CVE-2026-115356: a token does not outlive its service account by renewing. And an API server that is slow, then away: a
// clear refusal, no token, other requests as ever.
func TestKubernetesLogin(t *testing.T) {
	t.Parallel()
	s := startDev(t)
	c, web, reviewer := cluster(t, s)
	jwt := c.Token(web)
	login := func() answer { return s.raw("POST", "auth/kubernetes/login", "", object{"role": "web", "jwt": jwt}) }
	first := login()
	if first.status != 200 {
		t.Fatalf("%d %s", first.status, first.text)
	}
	token := first.Auth.ClientToken
	renew := func() answer { return s.raw("POST", "auth/token/renew-self", token, object{}) }
	if a := renew(); a.status != 200 {
		t.Errorf("%d %s", a.status, a.text)
	}
	accessors := func() int { return strings.Count(s.raw("LIST", "auth/token/accessors", s.root, nil).text, `","`) }
	before := accessors()

	timeout := func(text string) {
		host := s.raw("GET", "auth/kubernetes/config", s.root, nil).Data
		if a := s.raw("POST", "auth/kubernetes/config", s.root, object{"kubernetes_host": host["kubernetes_host"], "kubernetes_ca_cert": host["kubernetes_ca_cert"],
			"token_reviewer_jwt": reviewer, "api_timeout": text}); a.status != 204 {
			t.Fatalf("%d %s", a.status, a.text)
		}
	}
	entered := make(chan struct{}, 8)
	c.Fault(kubetest.Slow(entered))
	timeout("2s")
	slow := make(chan answer, 1)
	go func() { slow <- login() }()
	for waits := false; !waits; {
		select {
		case <-entered:
			waits = true
		case a := <-slow: // On a busy machine the time was over before the question was asked.
			if a.status != 403 {
				t.Fatalf("a slow API server: %d %s", a.status, a.text)
			}
			go func() { slow <- login() }()
		}
	}
	if a := s.raw("GET", "auth/token/lookup-self", token, nil); a.status != 200 {
		t.Errorf("while a login waits: %d %s", a.status, a.text)
	}
	if a := <-slow; a.status != 403 || !strings.Contains(a.text, "permission denied") {
		t.Errorf("a slow API server: %d %s", a.status, a.text)
	}
	timeout("60s")
	c.Fault(kubetest.Status(500))
	if a := login(); a.status != 403 || strings.Contains(a.text, "500") {
		t.Errorf("a broken API server: %d %s", a.status, a.text)
	}
	if a := renew(); a.status != 403 || !strings.Contains(a.text, "the API server could not be asked") {
		t.Errorf("renewal by a broken API server: %d %s", a.status, a.text)
	}
	if got := accessors(); got != before {
		t.Errorf("%d tokens, and %d before", got, before)
	}
	if log := s.proc.output(); !strings.Contains(log, "did not answer in time") || !strings.Contains(log, "status 500") || strings.Contains(log, jwt) {
		t.Errorf("the log has no reasons, or has the JWT:\n%s", tail(log))
	}

	c.Fault(nil)
	if a := renew(); a.status != 200 {
		t.Errorf("once it is back: %d %s", a.status, a.text)
	}
	c.DeleteAccount(web)
	if a := renew(); a.status != 403 || !strings.Contains(a.text, "the service account or its token is gone") {
		t.Errorf("renewal without the account: %d %s", a.status, a.text)
	}
	c.Stop()
	if a := login(); a.status != 403 {
		t.Errorf("no API server: %d %s", a.status, a.text)
	}
	if a := s.raw("GET", "auth/token/lookup-self", token, nil); a.status != 200 {
		t.Errorf("the token lives to its end: %d %s", a.status, a.text)
	}
}
