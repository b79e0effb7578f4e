package cli

import (
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

func answering(body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) })
}

const oneField = `{"data":{"a":"1"}}`

// contract: cli §2, certificates
func TestTLS(t *testing.T) {
	srv := httptest.NewTLSServer(answering(oneField))
	defer srv.Close()
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // refused handshakes
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	caFile := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(caFile, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		vars map[string]string
		args []string
		code int
		errs string
	}{
		{"unknown authority", nil, nil, 2, "Give the authority that signed the server's certificate with -ca-cert"},
		{"-ca-cert", nil, []string{"-ca-cert=" + caFile}, 0, ""},
		{"JETON_CACERT beats VAULT_CACERT", map[string]string{"JETON_CACERT": caFile, "VAULT_CACERT": "/missing"}, nil, 0, ""},
		{"VAULT_CACERT_BYTES", map[string]string{"VAULT_CACERT_BYTES": string(ca)}, nil, 0, ""},
		{"VAULT_CAPATH", map[string]string{"VAULT_CAPATH": dir}, nil, 0, ""},
		{"-tls-skip-verify", nil, []string{"-tls-skip-verify"}, 0, ""},
		{"VAULT_SKIP_VERIFY", map[string]string{"VAULT_SKIP_VERIFY": "1"}, nil, 0, ""},
		{"a flag beats the environment", map[string]string{"VAULT_SKIP_VERIFY": "1"}, []string{"-tls-skip-verify=false"}, 2, "certificate"},
		{"name in the certificate", nil, []string{"-ca-cert=" + caFile, "-tls-server-name=example.com"}, 0, ""},
		{"another name", nil, []string{"-ca-cert=" + caFile, "-tls-server-name=other.test"}, 2, "other.test"},
		{"missing file", nil, []string{"-ca-cert=/missing"}, 2, "failed to set up TLS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sh := newShell(t, nil)
			sh.vars["VAULT_ADDR"] = srv.URL
			for k, v := range c.vars {
				sh.vars[k] = v
			}
			sh.run(append([]string{"read", "-field=a"}, append(c.args, "x")...)...).wantErr(t, c.code, c.errs)
		})
	}
	t.Run("plain http to a TLS port", func(t *testing.T) {
		sh := newShell(t, nil)
		sh.vars["VAULT_ADDR"] = "http" + srv.URL[len("https"):]
		sh.run("read", "x").wantErr(t, 2, "use an address that begins with https://")
	})
}

// contract: cli §2, "-address"
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: answering(oneField)}
	go srv.Serve(l)
	defer srv.Close()
	sh := newShell(t, nil)
	sh.run("read", "-address=unix://"+path, "-field=a", "x").want(t, 0, "1", "")
	t.Run("an agent's address is used instead", func(t *testing.T) {
		sh.vars["VAULT_ADDR"], sh.vars["VAULT_AGENT_ADDR"] = "http://127.0.0.1:1", "unix://"+path
		sh.run("read", "-field=a", "x").want(t, 0, "1", "")
	})
}

// contract: cli §2, "Redirects"
func TestRedirects(t *testing.T) {
	var body, method string
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		body, method = string(b), r.Method
		w.WriteHeader(204)
	}))
	defer target.Close()
	from := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", target.URL+r.URL.Path)
		w.WriteHeader(307)
	})
	plain, secure := httptest.NewServer(from), httptest.NewTLSServer(from)
	defer plain.Close()
	defer secure.Close()
	sh := newShell(t, nil)
	sh.run("write", "-address="+plain.URL, "p", "a=1").wantCode(t, 0)
	if method != "PUT" || body != `{"a":"1"}` {
		t.Errorf("the target saw %s %s", method, body)
	}
	sh.run("write", "-address="+secure.URL, "-tls-skip-verify", "p", "a=1").wantErr(t, 2, "redirect would cause protocol downgrade")
}

// contract: cli §2, the command line does not retry
func TestNoRetriesUnlessAsked(t *testing.T) {
	calls := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls++
		w.WriteHeader(500)
	}))
	defer srv.Close()
	newShell(t, nil).run("read", "-address="+srv.URL, "x").wantCode(t, 2)
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

func TestSettingsWithoutFlags(t *testing.T) {
	f := newFake(t, map[string]answer{"GET x": ok(oneField)})
	for _, c := range []struct {
		name, value string
		code        int
		errs        string
	}{
		{"VAULT_CLIENT_TIMEOUT", "30s", 0, ""},
		{"VAULT_CLIENT_TIMEOUT", "soon", 2, `could not parse "VAULT_CLIENT_TIMEOUT"`},
		{"VAULT_MAX_RETRIES", "-1", 2, `could not parse "VAULT_MAX_RETRIES"`},
		{"VAULT_RATE_LIMIT", "100:10", 0, ""},
		{"VAULT_RATE_LIMIT", "fast", 2, "VAULT_RATE_LIMIT was provided but incorrectly formatted"},
		{"VAULT_SRV_LOOKUP", "x", 2, "could not parse VAULT_SRV_LOOKUP"},
		{"VAULT_PROXY_ADDR", "http://user:secret@%", 2, "could not parse VAULT_PROXY_ADDR"},
		{"VAULT_HEADERS", "x", 2, "VAULT_HEADERS is not a JSON object of strings"},
		{"VAULT_HEADERS", `{"x-vault-token":"y"}`, 2, "are for internal usage only"},
	} {
		t.Run(c.name+"="+c.value, func(t *testing.T) {
			sh := newShell(t, f)
			sh.vars[c.name] = c.value
			sh.run("read", "-field=a", "x").wantErr(t, c.code, c.errs)
		})
	}
}
