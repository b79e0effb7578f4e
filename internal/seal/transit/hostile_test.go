package transit_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"jeton/internal/outbound/outboundtest"
	"jeton/internal/seal/transit"
)

func keyAt(t *testing.T, address string) *transit.Key {
	t.Helper()
	k, err := transit.New(transit.Settings{Address: address, Token: token, KeyName: "k", MountPath: "transit"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A server that answers without end costs a bounded number of bytes, not the memory.
func TestEndlessAnswersAreBounded(t *testing.T) {
	h := outboundtest.Endless(t)
	_, err := keyAt(t, h.URL).Encrypt(t.Context(), []byte("x"))
	if err == nil || !strings.Contains(err.Error(), "too large") {
		t.Fatal(err)
	}
	// What the network holds comes on top of what was read.
	if sent := h.Sent(); sent > 32<<20 {
		t.Errorf("%d bytes were taken", sent)
	}
}

// The token goes to no other host than the one in the configuration.
func TestRedirectsDoNotGetTheToken(t *testing.T) {
	for _, status := range []int{301, 302, 307, 308} {
		h := outboundtest.Elsewhere(t, status)
		_, err := keyAt(t, h.URL).Encrypt(t.Context(), []byte("x"))
		if err == nil || !strings.Contains(err.Error(), "redirects to another host") {
			t.Errorf("%d: %v", status, err)
		}
		if h.Reached() != 0 {
			t.Errorf("%d: the other host was asked", status)
		}
	}
}

// An answer that never ends is given up with the request.
func TestSilenceEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	reached := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"data":`))
		_ = http.NewResponseController(w).Flush()
		close(reached)
		<-r.Context().Done()
	}))
	defer server.Close()
	go func() { // Ends with the request that it waits for.
		<-reached
		cancel()
	}()
	if _, err := keyAt(t, server.URL).Encrypt(ctx, []byte("x")); err == nil {
		t.Error("an answer without an end is taken")
	}
}

// The environment is judged where the configuration is read. What the client's library would take from it
// by itself (no check of certificates, a proxy, headers) has no say.
func TestTheEnvironmentHasNoSay(t *testing.T) {
	var asked, proxied atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	defer server.Close()
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { proxied.Add(1) }))
	defer proxy.Close()
	t.Setenv("VAULT_SKIP_VERIFY", "true")
	if _, err := keyAt(t, server.URL).Encrypt(t.Context(), []byte("x")); err == nil || asked.Load() != 0 {
		t.Errorf("VAULT_SKIP_VERIFY sent the token to a server that nobody vouches for: %v", err)
	}
	t.Setenv("VAULT_PROXY_ADDR", proxy.URL)
	o := newOther(t)
	if _, err := keyAt(t, o.URL).Encrypt(t.Context(), []byte("x")); err != nil || proxied.Load() != 0 {
		t.Errorf("VAULT_PROXY_ADDR sent the token to a proxy: %v", err)
	}
	t.Setenv("VAULT_HEADERS", `{"X-Canary":"1"}`)
	if _, err := keyAt(t, o.URL).Encrypt(t.Context(), []byte("x")); err != nil {
		t.Fatal(err)
	}
	for _, r := range o.asked {
		if r.Header.Get("X-Canary") != "" {
			t.Error("VAULT_HEADERS goes along")
		}
	}
}
