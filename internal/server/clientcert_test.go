package server

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"jeton/internal/auth/cert/certtest"
	"jeton/internal/config"
)

const certificateHeader = "X-Ssl-Client-Cert"

// believing are the rules of a listener that believes peers at these addresses about certificates.
func believing(addresses string, decoders ...string) config.Forwarded {
	return config.Forwarded{Authorized: []netip.Prefix{netip.MustParsePrefix(addresses)},
		Certificate: config.ForwardedCertificate{Header: certificateHeader, Decoders: decoders}}
}

// Ways in which proxies write a certificate.
func escapedPEM(c *x509.Certificate) string { return url.PathEscape(certtest.PEM(c)) }          // nginx
func base64DER(c *x509.Certificate) string  { return base64.StdEncoding.EncodeToString(c.Raw) } // HAProxy, Traefik

// forwardedWorld is a server with an entry for certificates of an authority, and a client of it.
type forwardedWorld struct {
	t        *testing.T
	at, root string
	ca       *certtest.Authority
}

func newForwardedWorld(t *testing.T, rules config.Forwarded) *forwardedWorld {
	t.Helper()
	_, at, root := serving(t, config.Listener{Forwarded: rules}, nil, About{})
	w := &forwardedWorld{t, at, root, certtest.New(t, "clients", time.Now())}
	w.write("sys/auth/cert", map[string]any{"type": "cert"})
	w.write("auth/cert/certs/e", map[string]any{"certificate": w.ca.PEM(), "token_ttl": 600})
	return w
}

func (w *forwardedWorld) write(path string, body any) {
	w.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	if status, _, answer := send(w.t, "POST", w.at+"/v1/"+path, bytes.NewReader(text), "X-Vault-Token", w.root); status >= 300 {
		w.t.Fatalf("%s: %d %s", path, status, answer)
	}
}

// login logs in with these headers, given as names and values, at a server or a proxy before it.
func login(t *testing.T, client *http.Client, at string, headers ...string) (status int, token, body string) {
	t.Helper()
	return ask2(t, client, at+"/v1/auth/cert/login", headers...)
}

// ask2 posts nothing with these headers; several of one name are several lines.
func ask2(t *testing.T, client *http.Client, address string, headers ...string) (status int, token, body string) {
	t.Helper()
	req, err := http.NewRequest("POST", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		// As written: a client may choose any spelling.
		req.Header[headers[i]] = append(req.Header[headers[i]], headers[i+1])
	}
	r, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	var parsed struct {
		Auth struct {
			ClientToken string `json:"client_token"`
		} `json:"auth"`
	}
	if err := json.Unmarshal(text, &parsed); err != nil {
		t.Fatalf("%d %s", r.StatusCode, text)
	}
	return r.StatusCode, parsed.Auth.ClientToken, string(text)
}

const noCertificate = "no client certificate found"

// Contract: config §3 x_forwarded_for_client_cert_header_decoders: they are applied in order, and
// what proxies send by their own documentation gets in.
func TestForwardedCertificateDecoders(t *testing.T) {
	ca := certtest.New(t, "clients", time.Now())
	alice, bob := ca.Issue("alice"), ca.Issue("bob")
	der, text := alice.Cert.Raw, certtest.PEM(alice.Cert)
	key := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
	const (
		u, b, d = config.DecoderURL, config.DecoderBase64, config.DecoderDER
		notPEM  = "it is not one certificate in PEM"
		not64   = "it is not one value in base64"
		notURL  = "it is not URL-encoded"
		notX509 = "it is not one X.509 certificate"
	)
	for name, row := range map[string]struct {
		value    string
		decoders []string
		err      string
	}{
		"nginx, $ssl_client_escaped_cert":                 {escapedPEM(alice.Cert), []string{u, d}, ""},
		"AWS, whose plus signs are not escaped":           {strings.NewReplacer("%2B", "+", "%2F", "/", "%3D", "=").Replace(escapedPEM(alice.Cert)), []string{u, d}, ""},
		"every byte escaped":                              {everyByte(text), []string{u, d}, ""},
		"HAProxy, ssl_c_der,base64":                       {base64DER(alice.Cert), []string{b}, ""},
		"Traefik that escapes":                            {url.QueryEscape(base64DER(alice.Cert)), []string{u, b}, ""},
		"PEM in base64":                                   {base64.StdEncoding.EncodeToString([]byte(text)), []string{b, d}, ""},
		"the other order":                                 {escapedPEM(alice.Cert), []string{d, u}, notPEM},
		"a decoder too few":                               {base64DER(alice.Cert), []string{u}, notX509},
		"a decoder too many":                              {base64DER(alice.Cert), []string{b, d}, notPEM},
		"escapes that are none":                           {"%zz", []string{u, d}, notURL},
		"cut short":                                       {base64DER(alice.Cert)[:400], []string{b}, notX509},
		"half an escape":                                  {escapedPEM(alice.Cert) + "%4", []string{u, d}, notURL},
		"something after it":                              {base64.StdEncoding.EncodeToString(append(bytes.Clone(der), 0)), []string{b}, notX509},
		"two in a row":                                    {base64.StdEncoding.EncodeToString(append(bytes.Clone(der), bob.Cert.Raw...)), []string{b}, notX509},
		"two, as Traefik and joined lines have them":      {base64DER(alice.Cert) + "," + base64DER(bob.Cert), []string{b}, not64},
		"two in PEM":                                      {escapedPEM(alice.Cert) + escapedPEM(bob.Cert), []string{u, d}, notPEM},
		"something before the PEM":                        {url.PathEscape("x\n" + text), []string{u, d}, notPEM},
		"something after the PEM":                         {url.PathEscape(text + "x"), []string{u, d}, notPEM},
		"PEM of a key":                                    {url.PathEscape(key), []string{u, d}, notPEM},
		"PEM with headers":                                {url.PathEscape(strings.Replace(text, "CERTIFICATE-----\n", "CERTIFICATE-----\nA: b\n\n", 1)), []string{u, d}, notPEM},
		"base64 with another alphabet":                    {strings.NewReplacer("+", "-", "/", "_").Replace(base64DER(alice.Cert)) + "_", []string{b}, not64},
		"no decoder that anybody knows, which config has": {"x", []string{"ROT13"}, "no such decoder"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decodeCertificate(row.value, row.decoders)
			if row.err != "" {
				if err == nil || err.Error() != row.err {
					t.Fatalf("%v, want %s", err, row.err)
				}
				return
			}
			if err != nil || !got.Equal(alice.Cert) {
				t.Fatalf("%v, %v", got, err)
			}
		})
	}
}

func everyByte(text string) string {
	var all strings.Builder
	for _, c := range []byte(text) {
		fmt.Fprintf(&all, "%%%02x", c)
	}
	return all.String()
}

// What a header may hold must neither panic nor repeat itself in an error.
func FuzzForwardedCertificate(f *testing.F) {
	f.Add("%2D%2D", uint8(0))
	f.Add("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", uint8(2))
	f.Add("MIIB", uint8(1))
	orders := [][]string{{config.DecoderURL, config.DecoderDER}, {config.DecoderBase64}, {config.DecoderDER}, {config.DecoderURL, config.DecoderBase64, config.DecoderDER}}
	f.Fuzz(func(t *testing.T, value string, order uint8) {
		got, err := decodeCertificate(value, orders[int(order)%len(orders)])
		if (got == nil) == (err == nil) {
			t.Fatalf("%v, %v", got, err)
		}
		if err != nil && len(value) > 40 && strings.Contains(err.Error(), value) {
			t.Fatalf("the error repeats what was sent: %v", err)
		}
	})
}

// Contract: auth-methods §7, "only if the listener trusts the proxy". Each row is an attack by name; none
// is a login.
func TestForwardedCertificateAttacks(t *testing.T) {
	const here, elsewhere = "127.0.0.0/8", "192.0.2.0/24"
	off := config.Forwarded{Authorized: []netip.Prefix{netip.MustParsePrefix(here)}}
	strict := believing(elsewhere, config.DecoderBase64)
	strict.RejectNotAuthorized, strict.RejectNotPresent = true, true
	for name, row := range map[string]struct {
		rules   config.Forwarded
		headers func(alice, bob string) []string
		status  int
		text    string
	}{
		"the listener does not configure it": {off, func(a, _ string) []string { return []string{certificateHeader, a} }, 400, noCertificate},
		"from an address that is no proxy's": {believing(elsewhere, config.DecoderBase64), func(a, _ string) []string { return []string{certificateHeader, a} }, 400, noCertificate},
		"from there, where others are refused": {strict, func(a, _ string) []string {
			return []string{certificateHeader, a, "X-Forwarded-For", "192.0.2.1"}
		}, 400, "client address not authorized"},
		"naming a proxy's address in X-Forwarded-For": {believing(elsewhere, config.DecoderBase64), func(a, _ string) []string {
			return []string{certificateHeader, a, "X-Forwarded-For", "192.0.2.1", "X-Real-Ip", "192.0.2.1", "Forwarded", "for=192.0.2.1"}
		}, 400, noCertificate},
		"two lines":                      {believing(here, config.DecoderBase64), func(a, b string) []string { return []string{certificateHeader, a, certificateHeader, b} }, 400, "more than one client certificate header"},
		"two lines, one empty":           {believing(here, config.DecoderBase64), func(a, _ string) []string { return []string{certificateHeader, a, certificateHeader, ""} }, 400, "more than one client certificate header"},
		"two lines that differ by case":  {believing(here, config.DecoderBase64), func(a, b string) []string { return []string{certificateHeader, a, "x-SSL-client-CERT", b} }, 400, "more than one client certificate header"},
		"another spelling by underscore": {believing(here, config.DecoderBase64), func(a, _ string) []string { return []string{"X_SSL_Client_Cert", a} }, 400, "more than one client certificate header"},
		"by one underscore, beside it":   {believing(here, config.DecoderBase64), func(a, b string) []string { return []string{certificateHeader, a, "X-SSL-Client_Cert", b} }, 400, "more than one client certificate header"},
		"two lines that somebody joined": {believing(here, config.DecoderBase64), func(a, b string) []string { return []string{certificateHeader, a + ", " + b} }, 400, "malformed client certificate header"},
		"a huge value": {believing(here, config.DecoderBase64), func(a, _ string) []string {
			return []string{certificateHeader, strings.Repeat("A", maxCertificateHeader+1)}
		}, 431, "too large"},
		"the largest value": {believing(here, config.DecoderBase64), func(a, _ string) []string {
			return []string{certificateHeader, strings.Repeat("A", maxCertificateHeader)}
		}, 400, "malformed client certificate header"},
		"an empty value": {believing(here, config.DecoderBase64), func(string, string) []string { return []string{certificateHeader, ""} }, 400, noCertificate},
		"none":           {believing(here, config.DecoderBase64), func(string, string) []string { return nil }, 400, noCertificate},
		"nonsense":       {believing(here, config.DecoderBase64), func(string, string) []string { return []string{certificateHeader, "(null)"} }, 400, "malformed client certificate header: it is not one value in base64"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &forwardedWorld{ca: certtest.New(t, "clients", time.Now())}
			if row.rules.RejectNotAuthorized {
				_, w.at, _ = serving(t, config.Listener{Forwarded: row.rules}, nil, About{}) // lets nobody set it up
			} else {
				w = newForwardedWorld(t, row.rules)
			}
			alice, bob := base64DER(w.ca.Issue("alice").Cert), base64DER(w.ca.Issue("bob").Cert)
			status, token, body := login(t, http.DefaultClient, w.at, row.headers(alice, bob)...)
			if status != row.status || token != "" || !strings.Contains(body, row.text) {
				t.Errorf("%d %s, want %d with %q", status, body, row.status, row.text)
			}
		})
	}
}

// A trailer is no header.
func TestForwardedCertificateSmuggled(t *testing.T) {
	w := newForwardedWorld(t, believing("127.0.0.0/8", config.DecoderBase64))
	alice := base64DER(w.ca.Issue("alice").Cert)
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.at, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v1/auth/cert/login HTTP/1.1\r\nHost: x\r\nTrailer: %s\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n%s: %s\r\n\r\n",
		certificateHeader, certificateHeader, alice)
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if body, _ := io.ReadAll(r.Body); r.StatusCode != 400 || !strings.Contains(string(body), noCertificate) {
		t.Errorf("in a trailer: %d %s", r.StatusCode, body)
	}
}

// The proxy's own certificate, shown on its connection, is not its clients': a client without one
// would be the proxy. From anybody else the connection's certificate counts as ever.
func TestForwardedCertificateIsNotTheProxys(t *testing.T) {
	ca := certtest.New(t, "any", time.Now())
	proxy, alice := ca.Issue("proxy"), ca.Issue("alice")
	for name, row := range map[string]struct {
		peer   string
		header []string
		want   *x509.Certificate
		by     string
	}{
		"a client without":                   {"10.0.0.1:1", nil, nil, ""},
		"a client without, said so":          {"10.0.0.1:1", []string{""}, nil, ""},
		"a client with":                      {"10.0.0.1:1", []string{base64DER(alice.Cert)}, alice.Cert, "10.0.0.1"},
		"the proxy in IPv6 clothing":         {"[::ffff:10.0.0.1]:1", []string{base64DER(alice.Cert)}, alice.Cert, "10.0.0.1"},
		"no proxy":                           {"192.0.2.1:1", []string{base64DER(alice.Cert)}, proxy.Cert, ""},
		"no proxy, and twice":                {"192.0.2.1:1", []string{"a", "b"}, proxy.Cert, ""},
		"no address":                         {"@", []string{base64DER(alice.Cert)}, proxy.Cert, ""},
		"a neighbour of the proxy's network": {"11.0.0.1:1", []string{base64DER(alice.Cert)}, proxy.Cert, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/v1/auth/cert/login", nil)
			shown := proxy.Connection()
			shown.VerifiedChains = [][]*x509.Certificate{{proxy.Cert, ca.Cert}}
			r.RemoteAddr, r.TLS = row.peer, shown
			r.Header.Set("X-Other", "stays")
			if row.header != nil {
				r.Header[certificateHeader] = row.header
			}
			next, err := certify(believing("10.0.0.0/8", config.DecoderBase64), r)
			if err != nil {
				t.Fatal(err)
			}
			if _, there := next.Header[certificateHeader]; there || next.Header.Get("X-Other") != "stays" {
				t.Errorf("headers %v", next.Header)
			}
			switch certs := next.TLS.PeerCertificates; {
			case row.want == nil && len(certs)+len(next.TLS.VerifiedChains) != 0:
				t.Error("the proxy's certificate is taken for the client's")
			case row.want != nil && (len(certs) != 1 || !certs[0].Equal(row.want)):
				t.Errorf("%d certificates", len(certs))
			case row.want == alice.Cert && len(next.TLS.VerifiedChains) != 0:
				t.Error("somebody verified the proxy, not the client")
			}
			if by := certifiedBy(next.Context()); by.IsValid() != (row.by != "") || by.IsValid() && by.String() != row.by {
				t.Errorf("by %v", by)
			}
			if len(shown.PeerCertificates) != 1 || len(row.header) != len(r.Header[certificateHeader]) {
				t.Error("the caller's request was changed")
			}
		})
	}
}

// The audit log says which certificate was believed, and from whom; and that nobody verified it on the
// connection. The header itself is not in it, whatever the configured headers are.
func TestForwardedCertificateIsAudited(t *testing.T) {
	w := newWatched(t)
	w.enable(t)
	if status, answer, _ := w.ask(t, "PUT", "sys/config/auditing/request-headers/"+certificateHeader, w.root, `{"hmac":false}`); status != http.StatusNoContent {
		t.Fatalf("%d %v", status, answer)
	}
	alice := certtest.New(t, "any", time.Now()).Issue("alice").Cert
	// The requests of ask come from 192.0.2.1.
	for addresses, believed := range map[string]bool{"192.0.2.0/24": true, "10.0.0.0/8": false} {
		w.server.listener.Forwarded = believing(addresses, config.DecoderBase64)
		status, answer, lines := w.ask(t, "GET", "sys/mounts", w.root, "", certificateHeader, base64DER(alice))
		if status != http.StatusOK || len(lines) != 2 {
			t.Fatalf("%s: %d %v, %d entries", addresses, status, answer, len(lines))
		}
		for _, line := range lines {
			q := line["request"].(map[string]any)
			serial, by := q["forwarded_client_certificate_serial_number"], q["forwarded_client_certificate_by"]
			if believed && (serial != alice.SerialNumber.String() || by != "192.0.2.1") || !believed && (serial != nil || by != nil) {
				t.Errorf("%s: serial %v by %v", addresses, serial, by)
			}
			if q["client_certificate_serial_number"] != nil || q["headers"] != nil {
				t.Errorf("%s: %v", addresses, q)
			}
		}
	}
}

// reverseProxy ends TLS before a server as a careful nginx does: it asks for certificates, judges none,
// and sets the header for every request, empty where there is none.
func reverseProxy(t *testing.T, at string) (address string, roots *x509.CertPool) {
	t.Helper()
	target, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(target)
		p.SetXForwarded()
		p.Out.Header.Del(certificateHeader)
		if shown := p.In.TLS.PeerCertificates; len(shown) > 0 {
			p.Out.Header.Set(certificateHeader, escapedPEM(shown[0]))
		}
	}})
	front.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	front.StartTLS()
	t.Cleanup(front.Close)
	roots = x509.NewCertPool()
	roots.AddCert(front.Certificate())
	return front.URL, roots
}

// holding is a client that shows a certificate; nil for none.
func holding(t *testing.T, roots *x509.CertPool, l *certtest.Leaf) *http.Client {
	t.Helper()
	c := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if l != nil {
		c.Certificates = []tls.Certificate{{Certificate: [][]byte{l.Cert.Raw}, PrivateKey: l.Key}}
	}
	transport := &http.Transport{TLSClientConfig: c}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// Contract: auth-methods §7, over real mutual TLS with a reverse proxy: what comes by way of it is judged
// as on a connection of the server's own: chain, dates, constraints, revocation lists, OCSP, and the
// binding at renewal.
func TestForwardedCertificateLogin(t *testing.T) {
	w := newForwardedWorld(t, believing("127.0.0.0/8", config.DecoderURL, config.DecoderDER))
	at, roots := reverseProxy(t, w.at)
	alice, bob := w.ca.Issue("alice"), w.ca.Issue("bob")
	in := func(l *certtest.Leaf, headers ...string) (int, string, string) {
		return login(t, holding(t, roots, l), at, headers...)
	}
	status, token, body := in(alice)
	if status != 200 || token == "" || !strings.Contains(body, `"common_name":"alice"`) {
		t.Fatalf("%d %s", status, body)
	}
	refusals := func(t *testing.T, l *certtest.Leaf, text string, headers ...string) {
		t.Helper()
		if status, token, body := in(l, headers...); status != 400 || token != "" || !strings.Contains(body, text) {
			t.Errorf("%d %s, want %q", status, body, text)
		}
	}
	const untrusted, noMatch = "invalid certificate or no client certificate supplied", "no chain matching all constraints"
	t.Run("a client's own header is not believed", func(t *testing.T) {
		refusals(t, nil, noCertificate, certificateHeader, escapedPEM(alice.Cert))
		refusals(t, nil, noCertificate, certificateHeader, escapedPEM(alice.Cert), "Connection", certificateHeader)
		// net/http takes underscores as they come, and so does this proxy.
		refusals(t, nil, "more than one client certificate header", "X_SSL_Client_Cert", escapedPEM(alice.Cert))
		if _, _, body := in(bob, certificateHeader, escapedPEM(alice.Cert)); !strings.Contains(body, `"common_name":"bob"`) {
			t.Error(body)
		}
	})
	t.Run("what the method refuses", func(t *testing.T) {
		refusals(t, nil, noCertificate)
		refusals(t, certtest.SelfSigned(t, "alice", time.Now()), untrusted)
		refusals(t, certtest.New(t, "clients", time.Now()).Issue("alice"), untrusted)
		refusals(t, w.ca.Issue("late", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }), untrusted)
		refusals(t, w.ca.Issue("server", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), untrusted)
	})
	t.Run("renewal is bound to it", func(t *testing.T) {
		renew := func(client *http.Client, at string, headers ...string) (int, string) {
			status, _, body := ask2(t, client, at+"/v1/auth/token/renew-self", append(headers, "X-Vault-Token", token)...)
			return status, body
		}
		if status, body := renew(holding(t, roots, alice), at); status != 200 {
			t.Errorf("with it: %d %s", status, body)
		}
		for name, got := range map[string]func() (int, string){
			"another's": func() (int, string) { return renew(holding(t, roots, bob), at) },
			"none":      func() (int, string) { return renew(holding(t, roots, nil), at) },
			"none, and a word": func() (int, string) {
				return renew(holding(t, roots, nil), at, certificateHeader, escapedPEM(alice.Cert))
			},
		} {
			if status, body := got(); status != 400 || !strings.Contains(body, "failed to renew entry") {
				t.Errorf("%s: %d %s", name, status, body)
			}
		}
	})
	t.Run("OCSP", func(t *testing.T) {
		responder := w.ca.Respond()
		w.write("auth/cert/certs/e", map[string]any{"certificate": w.ca.PEM(), "ocsp_enabled": true, "ocsp_servers_override": responder.URL, "ocsp_ca_certificates": w.ca.PEM()})
		carol := w.ca.Issue("carol")
		if status, _, body := in(carol); status != 200 {
			t.Errorf("good: %d %s", status, body)
		}
		dave := w.ca.Issue("dave")
		w.ca.Revoke(dave)
		refusals(t, dave, noMatch)
		w.write("auth/cert/certs/e", map[string]any{"certificate": w.ca.PEM(), "ocsp_enabled": false})
	})
	t.Run("a revocation list", func(t *testing.T) {
		w.ca.Revoke(alice)
		w.write("auth/cert/crls/l", map[string]any{"crl": w.ca.CRLPEM()})
		refusals(t, alice, noMatch)
		if status, _, body := in(bob); status != 200 {
			t.Errorf("the other one: %d %s", status, body)
		}
	})
}
