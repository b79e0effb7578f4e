package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"jeton/internal/auth/cert/certtest"
	"jeton/internal/porttest"
)

// behindProxies has a server of newProduction listen at a second address, where nobody but who shows a
// certificate of authority gets through, and there is believed about its clients' certificates.
func (s *server) behindProxies(authority *certtest.Authority) (address string) {
	s.t.Helper()
	address = porttest.Free(s.t)
	path := filepath.Join(s.dir, "server.hcl")
	config, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	more := fmt.Sprintf(`
listener "tcp" {
  address       = %q
  tls_cert_file = %q
  tls_key_file  = %q

  tls_require_and_verify_client_cert = true
  tls_client_ca_file                 = %q

  x_forwarded_for_authorized_addrs            = ["127.0.0.1"]
  x_forwarded_for_client_cert_header          = "X-SSL-Client-Cert"
  x_forwarded_for_client_cert_header_decoders = "URL,DER"
}
`, address, filepath.Join(s.dir, "cert.pem"), filepath.Join(s.dir, "key.pem"), writeFile(s.t, filepath.Join(s.dir, "proxies.pem"), authority.PEM()))
	if err := os.WriteFile(path, append(config, more...), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return address
}

// nginx ends TLS before address, as docs/auth/cert.md has it, and shows own certificate there.
func nginx(t *testing.T, s *server, address string, own papers) (at string) {
	t.Helper()
	need(t, "nginx")
	dir := filepath.Join(s.dir, "nginx")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	at = porttest.Free(t)
	config := writeFile(t, filepath.Join(dir, "nginx.conf"), strings.NewReplacer("DIR", dir, "AT", at, "ADDRESS", address,
		"CERT", filepath.Join(s.dir, "cert.pem"), "KEY", filepath.Join(s.dir, "key.pem"), "OWN", own.cert, "SECRET", own.key, "ROOTS", s.ca).Replace(`
daemon off;
master_process off;
pid DIR/pid;
error_log DIR/error.log;
events {}
http {
  access_log off;
  client_body_temp_path DIR/body;
  proxy_temp_path       DIR/proxy;
  fastcgi_temp_path     DIR/fastcgi;
  uwsgi_temp_path       DIR/uwsgi;
  scgi_temp_path        DIR/scgi;
  server {
    listen AT ssl;
    ssl_certificate     CERT;
    ssl_certificate_key KEY;
    ssl_verify_client   optional_no_ca;
    location / {
      proxy_pass                    https://ADDRESS;
      proxy_ssl_certificate         OWN;
      proxy_ssl_certificate_key     SECRET;
      proxy_ssl_verify              on;
      proxy_ssl_trusted_certificate ROOTS;
      proxy_ssl_name                localhost;
      proxy_set_header X-Forwarded-For   $proxy_add_x_forwarded_for;
      proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;
    }
  }
}
`))
	cmd := exec.Command("nginx", "-c", config, "-p", dir, "-e", filepath.Join(dir, "error.log"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-exited
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "error.log"))
			t.Logf("nginx says:\n%s", log)
		}
	})
	await(t, patience, "nginx listens", func() bool {
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("nginx ended: %v", err)
		default:
		}
		conn, err := net.Dial("tcp", at)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return at
}

// Contract: auth-methods §7 and config §3, with nginx: from the command line's certificate to a token, with TLS
// and certificates on both sides of the proxy.
func TestCertificateByWayOfNginx(t *testing.T) {
	t.Parallel()
	need(t, "nginx")
	proxies, clients := certtest.New(t, "proxies", time.Now()), certtest.New(t, "clients", time.Now())
	s := newProduction(t)
	address := s.behindProxies(proxies)
	s.begin()
	own := writePapers(t, s.dir, "nginx", proxies.Issue("nginx"))
	at := "https://" + nginx(t, s, address, own)
	alice, bob := clients.Issue("alice"), clients.Issue("bob")
	ap, bp := writePapers(t, s.dir, "alice", alice), writePapers(t, s.dir, "bob", bob)
	s.must("jeton", "auth", "enable", "cert")
	s.must("jeton", "write", "auth/cert/certs/people", "certificate=@"+writeFile(t, filepath.Join(s.dir, "clients.pem"), clients.PEM()), "token_policies=default", "token_ttl=10m")
	// The proxies' own authority is trusted as well: whoever is taken for the proxy gets in.
	s.must("jeton", "write", "auth/cert/certs/proxies", "certificate=@"+filepath.Join(s.dir, "proxies.pem"))

	// by runs the command by way of nginx, with papers or without.
	by := func(p papers, token string, args ...string) result {
		env := []string{"VAULT_ADDR=" + at, "VAULT_TOKEN=" + token}
		if p.cert != "" {
			env = append(env, "VAULT_CLIENT_CERT="+p.cert, "VAULT_CLIENT_KEY="+p.key)
		}
		return s.run(env, "jeton", args...)
	}
	in := by(ap, "", "login", "-method=cert", "-token-only", "-client-cert="+ap.cert, "-client-key="+ap.key)
	token := strings.TrimSpace(in.out)
	if in.code != 0 || !strings.HasPrefix(token, "hvs.") {
		t.Fatalf("login: %+v", in)
	}
	if r := by(papers{}, token, "token", "lookup"); r.code != 0 || !strings.Contains(r.out, "alice") {
		t.Errorf("the token: %+v", r)
	}
	header := "X-SSL-Client-Cert=" + strings.NewReplacer("\n", "%0A", " ", "%20", "+", "%2B").Replace(alice.PEM())
	const none = "no client certificate found"
	for name, row := range map[string]struct {
		got  result
		code int
		text string
	}{
		"renewed by itself":        {by(ap, token, "token", "renew"), 0, ""},
		"renewed by another":       {by(bp, token, "token", "renew"), 2, "client identity during renewal not matching"},
		"renewed by nobody":        {by(papers{}, token, "token", "renew"), 2, none},
		"a login of nobody":        {by(papers{}, "", "write", "-f", "auth/cert/login"), 2, none},
		"a client's header":        {by(papers{}, "", "write", "-f", "-header="+header, "auth/cert/login"), 2, none},
		"with underscores":         {by(papers{}, "", "write", "-f", "-header="+strings.Replace(header, "X-SSL-Client-Cert", "X_SSL_Client_Cert", 1), "auth/cert/login"), 2, none},
		"where it is not believed": {s.run([]string{"VAULT_TOKEN="}, "jeton", "write", "-f", "-header="+header, "auth/cert/login"), 2, none},
	} {
		t.Run(name, func(t *testing.T) {
			if row.got.code != row.code || !strings.Contains(row.got.errOut, row.text) {
				t.Errorf("%+v", row.got)
			}
		})
	}
	// Past nginx there is no way in: the handshake of who shows no proxy's certificate fails. Nothing is
	// written, so that the server's word arrives before its end.
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: s.authority()})
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
		_ = conn.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("past nginx: %v", err)
	}
	clients.Revoke(alice)
	s.must("jeton", "write", "auth/cert/crls/clients", "crl=@"+writeFile(t, filepath.Join(s.dir, "crl.pem"), clients.CRLPEM()))
	if r := by(ap, token, "token", "renew"); r.code != 2 || !strings.Contains(r.errOut, "no chain matching all constraints") {
		t.Errorf("renewed by a revoked certificate: %+v", r)
	}
}
