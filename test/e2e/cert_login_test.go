package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jeton/internal/auth/cert/certtest"
)

// papers are a client's certificate in files.
type papers struct{ cert, key string }

func writePapers(t *testing.T, dir, name string, l *certtest.Leaf) papers {
	t.Helper()
	p := papers{cert: filepath.Join(dir, name+".pem"), key: filepath.Join(dir, name+"-key.pem")}
	for path, text := range map[string]string{p.cert: l.ChainPEM(), p.key: l.KeyPEM(t)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// as is run with a client certificate.
func (s *server) as(p papers, token string, args ...string) result {
	s.t.Helper()
	return s.run([]string{"VAULT_TOKEN=" + token, "VAULT_CLIENT_CERT=" + p.cert, "VAULT_CLIENT_KEY=" + p.key}, "jeton", args...)
}

// Contract: auth-methods §7, by the command line over mutual TLS, from set-up to revocation. CVE-2026-39388:
// a token renewed with a sibling's certificate. CVE-2022-41316: a revoked certificate at the first request after a start.
func TestCertificateLogin(t *testing.T) {
	t.Parallel()
	s := startProduction(t)
	root := certtest.New(t, "clients", time.Now())
	middle := root.Below("department")
	alice, bob := middle.Issue("alice"), middle.Issue("bob")
	ap, bp := writePapers(t, s.dir, "alice", alice), writePapers(t, s.dir, "bob", bob)
	ca := writeFile(t, filepath.Join(s.dir, "clients.pem"), root.PEM())
	s.must("jeton", "auth", "enable", "cert")
	s.must("jeton", "write", "auth/cert/certs/people", "certificate=@"+ca, "token_policies=default", "token_ttl=10m")

	login := func(p papers) result {
		return s.run([]string{"VAULT_TOKEN="}, "jeton", "login", "-method=cert", "-token-only", "-client-cert="+p.cert, "-client-key="+p.key, "name=people")
	}
	in := login(ap)
	token := strings.TrimSpace(in.out)
	if in.code != 0 || !strings.HasPrefix(token, "hvs.") {
		t.Fatalf("login: %+v", in)
	}
	for name, row := range map[string]struct {
		got  result
		code int
		text string
	}{
		"no certificate":      {s.run([]string{"VAULT_TOKEN="}, "jeton", "login", "-method=cert"), 1, "needs -client-cert and -client-key"},
		"a key that is not":   {login(papers{ap.cert, bp.key}), 2, "private key does not match public key"},
		"an unknown entry":    {s.as(ap, "", "login", "-method=cert", "-client-cert="+ap.cert, "-client-key="+ap.key, "name=nobody"), 2, "invalid certificate or no client certificate supplied"},
		"renewed by itself":   {s.as(ap, token, "token", "renew"), 0, ""},
		"renewed by another":  {s.as(bp, token, "token", "renew"), 2, "client identity during renewal not matching"},
		"renewed by nobody's": {s.run([]string{"VAULT_TOKEN=" + token}, "jeton", "token", "renew"), 2, "no client certificate found"},
		"looked up by nobody": {s.run([]string{"VAULT_TOKEN=" + token}, "jeton", "token", "lookup"), 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if row.got.code != row.code || !strings.Contains(row.got.errOut, row.text) {
				t.Errorf("%+v", row.got)
			}
		})
	}
	t.Run("another's certificate without its key", func(t *testing.T) {
		transport := s.transport().Clone()
		transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{alice.Cert.Raw, middle.Cert.Raw}, PrivateKey: bob.Key}, nil
		}
		t.Cleanup(transport.CloseIdleConnections)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.addr+"/v1/auth/cert/login", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := (&http.Client{Transport: transport}).Do(req); err == nil {
			resp.Body.Close()
			t.Errorf("the handshake went well: %s", resp.Status)
		}
	})

	middle.Revoke(alice)
	crl := writeFile(t, filepath.Join(s.dir, "crl.pem"), middle.CRLPEM())
	s.must("jeton", "write", "auth/cert/crls/department", "crl=@"+crl)
	s.stop()
	s.start("server started!")
	s.unseal()
	const revoked = "no chain matching all constraints"
	if r := login(ap); r.code != 2 || !strings.Contains(r.errOut, revoked) {
		t.Errorf("a revoked certificate at the first request: %+v", r)
	}
	if r := s.as(ap, token, "token", "renew"); r.code != 2 || !strings.Contains(r.errOut, revoked) {
		t.Errorf("renewed by a revoked certificate: %+v", r)
	}
	if r := login(bp); r.code != 0 {
		t.Errorf("the other one: %+v", r)
	}
}

// Contract: auth-methods §7 [!]: the same common name from two authorities makes two entities.
func TestCertificateEntities(t *testing.T) {
	t.Parallel()
	s := startProduction(t)
	s.must("jeton", "auth", "enable", "cert")
	entity := map[string]string{}
	for _, name := range []string{"one", "two", "three"} {
		authority := certtest.New(t, name, time.Now())
		if name == "three" {
			s.must("jeton", "write", "auth/cert/config", "shared_common_names=true")
		}
		ca := writeFile(t, filepath.Join(s.dir, name+"-ca.pem"), authority.PEM())
		s.must("jeton", "write", "auth/cert/certs/"+name, "certificate=@"+ca)
		p := writePapers(t, s.dir, name, authority.Issue("alice"))
		r := s.run([]string{"VAULT_TOKEN="}, "jeton", "login", "-method=cert", "-token-only", "-client-cert="+p.cert, "-client-key="+p.key, "name="+name)
		if r.code != 0 {
			t.Fatalf("%s: %+v", name, r)
		}
		var self struct {
			Data struct {
				EntityID string `json:"entity_id"`
			} `json:"data"`
		}
		if err := json.Unmarshal([]byte(s.raw("GET", "auth/token/lookup-self", strings.TrimSpace(r.out), nil).text), &self); err != nil {
			t.Fatal(err)
		}
		entity[name] = self.Data.EntityID
	}
	if entity["one"] == entity["two"] || entity["one"] != entity["three"] || entity["one"] == "" {
		t.Errorf("entities %v", entity)
	}
}

func TestHvacCertificates(t *testing.T) {
	t.Parallel()
	interpreter := python(t)
	script, err := filepath.Abs("python/certificates.py")
	if err != nil {
		t.Fatal(err)
	}
	s := startProduction(t)
	root := certtest.New(t, "clients", time.Now())
	web, other := writePapers(t, s.dir, "web", root.Issue("web-1")), writePapers(t, s.dir, "other", root.Issue("other"))
	ca := writeFile(t, filepath.Join(s.dir, "clients.pem"), root.PEM())
	r := s.run([]string{"PYTHONDONTWRITEBYTECODE=1", "WEB=" + web.cert, "WEB_KEY=" + web.key, "OTHER=" + other.cert, "OTHER_KEY=" + other.key,
		"AUTHORITY=" + ca}, interpreter, script)
	if r.code != 0 || r.out != "as promised\n" {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.errOut)
	}
}

// The official Go client's watcher keeps a token of a certificate alive.
func TestCertificateLifetimeWatcher(t *testing.T) {
	t.Parallel()
	s := startProduction(t)
	s.must("jeton", "auth", "enable", "cert")
	root := certtest.New(t, "clients", time.Now())
	ca := writeFile(t, filepath.Join(s.dir, "clients.pem"), root.PEM())
	s.must("jeton", "write", "auth/cert/certs/e", "certificate=@"+ca, "token_ttl=600")
	leaf := root.Issue("alice")
	client := s.client("")
	transport := client.CloneConfig().HttpClient.Transport.(*http.Transport)
	transport.TLSClientConfig.Certificates = []tls.Certificate{{Certificate: [][]byte{leaf.Cert.Raw}, PrivateKey: leaf.Key}}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	secret, err := client.Logical().WriteWithContext(ctx, "auth/cert/login", nil)
	if err != nil {
		t.Fatal(err)
	}
	client.SetToken(secret.Auth.ClientToken)
	if renewed, err := client.Auth().Token().RenewSelfWithContext(ctx, 0); err != nil || renewed.Auth.LeaseDuration != 600 {
		t.Errorf("%+v, %v", renewed, err)
	}
}
