package contract_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestRequestLines sends request lines that no client library would: what Go's server makes of
// them is not what the ACL must be asked about.
func TestRequestLines(t *testing.T) {
	h := open(t)
	h.mount("kv1")
	h.do("PUT", "kv1/top/secret", h.root, m{"k": "v"}).empty()
	token := h.holder("some", `path "kv1/open/*" { capabilities = ["create","read","update","list","delete"] }`)
	served := httptest.NewServer(h.handler)
	defer served.Close()
	send := func(line string) (status int, body string) {
		t.Helper()
		conn, err := net.Dial("tcp", served.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\nX-Vault-Token: %s\r\nConnection: close\r\n\r\n", line, token); err != nil {
			t.Fatal(err)
		}
		r, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		defer r.Body.Close()
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(raw)
	}
	for _, line := range []string{
		"GET /v1/kv1/open/../top/secret", "GET /v1/kv1/open/%2e%2e/top/secret", "GET /v1/./kv1/top/secret", "GET //v1/kv1/top/secret", "GET /v1//kv1/top/secret",
		"GET /v1/kv1/open//../top/secret", `GET /v1/kv1/open\..\top\secret`, "GET http://y/v1/kv1/open/../top/secret", "GET http://y/v1/kv1/top/secret",
		"GET /V1/kv1/top/secret", "GET /v1/kv1/top/secret?x=/kv1/open/a", "GET /v1/kv1/top/secret;/open", "GET /v1/kv1/open/%00/../../top/secret",
		"GET /v1/kv1/top%2fsecret", "GET /v1/kv1/%74op/secret", "GET /x/../v1/kv1/top/secret", "LIST /v1/kv1/open/../top", "DELETE /v1/kv1/open/../top/secret",
	} {
		if status, body := send(line); status < 400 || status >= 500 || strings.Contains(body, `"k":"v"`) {
			t.Errorf("%s: %d %s", line, status, body)
		}
	}
	for _, line := range []string{"GET /v1/kv1/open/a", "GET http://y/v1/kv1/open/a", "GET /v1/kv1/open%2Fa"} {
		if status, body := send(line); status != 404 {
			t.Errorf("%s: %d %s", line, status, body)
		}
	}
	h.do("GET", "kv1/top/secret", h.root, nil).is(200).has("v", "data", "k")
}
