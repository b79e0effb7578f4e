package transit_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"jeton/internal/seal/transit"
)

// other is another server: what it answers by path, and what it was asked.
type other struct {
	*httptest.Server
	mu      sync.Mutex // guards what is below
	answers map[string]func(body map[string]string) (status int, answer string)
	asked   []*http.Request
}

const token = "hvs.canary-token"

func newOther(t *testing.T) *other {
	o := &other{answers: map[string]func(map[string]string) (int, string){}}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body map[string]string
		_ = json.NewDecoder(r.Body).Decode(&body)
		o.mu.Lock()
		answer := o.answers[strings.TrimPrefix(r.URL.Path, "/v1/")]
		o.asked = append(o.asked, r)
		o.mu.Unlock()
		status, text := 404, `{"errors":[]}`
		if answer != nil {
			status, text = answer(body)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, text)
	}))
	t.Cleanup(o.Close)
	// The key is the version, before the plaintext.
	o.says("transit/encrypt/k", func(body map[string]string) (int, string) {
		return 200, `{"data":{"ciphertext":"vault:v1:` + body["plaintext"] + `"}}`
	})
	o.says("transit/decrypt/k", func(body map[string]string) (int, string) {
		return 200, `{"data":{"plaintext":"` + body["ciphertext"][len("vault:v1:"):] + `"}}`
	})
	return o
}

func (o *other) says(path string, answer func(map[string]string) (int, string)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answers[path] = answer
}

func (o *other) always(path string, status int, answer string) {
	o.says(path, func(map[string]string) (int, string) { return status, answer })
}

// count is how often a path was asked for.
func (o *other) count(path string) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.asked {
		if r.URL.Path == "/v1/"+path {
			n++
		}
	}
	return n
}

func (o *other) key(t *testing.T, change func(*transit.Settings)) *transit.Key {
	t.Helper()
	s := transit.Settings{Address: o.URL, Token: token, KeyName: "k", MountPath: "/transit/"}
	if change != nil {
		change(&s)
	}
	k, err := transit.New(s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestEncryptDecrypt(t *testing.T) {
	o := newOther(t)
	k := o.key(t, func(s *transit.Settings) { s.Namespace = "team" })
	secret := []byte("32 bytes, or as many as there are")
	sealed, err := k.Encrypt(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	got, stale, err := k.Decrypt(t.Context(), sealed)
	if err != nil || stale || !bytes.Equal(got, secret) {
		t.Fatalf("%q %t %v", got, stale, err)
	}
	o.says("transit/encrypt/k", func(body map[string]string) (int, string) {
		return 200, `{"data":{"ciphertext":"vault:v12:` + body["plaintext"] + `"}}`
	})
	if _, stale, err := k.Decrypt(t.Context(), sealed); err != nil || !stale {
		t.Fatalf("stale %t, %v, though there is a version 12", stale, err)
	}
	// Without the right to encrypt it is not known, and the key is opened all the same.
	o.always("transit/encrypt/k", 403, `{"errors":["permission denied"]}`)
	if got, stale, err := k.Decrypt(t.Context(), sealed); err != nil || stale || !bytes.Equal(got, secret) {
		t.Fatalf("%q %t %v", got, stale, err)
	}
	for _, r := range o.asked {
		if r.Header.Get("X-Vault-Token") != token || strings.Trim(r.Header.Get("X-Vault-Namespace"), "/") != "team" {
			t.Errorf("asked with %v", r.Header)
		}
	}
}

func TestWhatTheOtherServerSays(t *testing.T) {
	secret := base64.StdEncoding.EncodeToString([]byte("canary"))
	for name, c := range map[string]struct {
		status       int
		answer, want string
	}{
		"forbidden":       {403, `{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}`, "refuses the token of the seal stanza to decrypt with key \"k\" (403: 2 errors occurred: * permission denied * invalid token)"},
		"sealed":          {503, `{"errors":["Vault is sealed"]}`, "is sealed itself (503: Vault is sealed)"},
		"no key":          {400, `{"errors":["encryption key not found"]}`, "does not decrypt with key \"k\" of transit/ (400: encryption key not found)"},
		"empty":           {204, ``, "answered decrypt with something else than a transit engine does"},
		"no plaintext":    {200, `{"data":{}}`, "answered decrypt with something else"},
		"not base64":      {200, `{"data":{"plaintext":"?"}}`, "answered decrypt with something else"},
		"not JSON at all": {200, `<html>`, "cannot be reached to decrypt"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOther(t)
			o.always("transit/decrypt/k", c.status, c.answer)
			got, _, err := o.key(t, nil).Decrypt(t.Context(), []byte("vault:v1:"+secret))
			if err == nil || got != nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%q, %v, want %q", got, err, c.want)
			}
			for _, hidden := range []string{token, "canary", secret} {
				if strings.Contains(err.Error(), hidden) {
					t.Errorf("the error shows %q: %v", hidden, err)
				}
			}
		})
	}
	o := newOther(t)
	o.always("transit/encrypt/k", 200, `{"data":{"ciphertext":"`+secret+`"}}`)
	if _, err := o.key(t, nil).Encrypt(t.Context(), []byte("canary")); err == nil || !strings.Contains(err.Error(), "something else") {
		t.Fatalf("a ciphertext that is none: %v", err)
	}
	o.Close()
	if _, err := o.key(t, nil).Encrypt(t.Context(), []byte("canary")); err == nil || !strings.Contains(err.Error(), "cannot be reached to encrypt") || strings.Contains(err.Error(), "canary") {
		t.Fatalf("%v", err)
	}
}

func TestRenewal(t *testing.T) {
	const self, renew = "auth/token/lookup-self", "auth/token/renew-self"
	for name, c := range map[string]struct {
		self string
		ttl  int
		next time.Duration
	}{
		"half its life":             {`{"data":{"renewable":true}}`, 3600, 30 * time.Minute},
		"not all the time":          {`{"data":{"renewable":true}}`, 2, 5 * time.Second},
		"a long life":               {`{"data":{"renewable":true}}`, 30 * 86400, 6 * time.Hour},
		"a token that never ends":   {`{"data":{"renewable":false,"ttl":0}}`, 0, 0},
		"one that is not renewable": {`{"data":{"renewable":false,"ttl":60}}`, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOther(t)
			o.always(self, 200, c.self)
			o.always(renew, 200, fmt.Sprintf(`{"auth":{"client_token":"x","lease_duration":%d,"renewable":true}}`, c.ttl))
			next, err := o.key(t, nil).Renew(t.Context())
			if err != nil || next != c.next || o.count(renew) != min(c.ttl, 1) {
				t.Fatalf("next in %s, want %s; %d renewals; %v", next, c.next, o.count(renew), err)
			}
		})
	}
	o := newOther(t)
	o.always(self, 403, `{"errors":["permission denied"]}`)
	if _, err := o.key(t, nil).Renew(t.Context()); err == nil || !strings.Contains(err.Error(), "refuses the token of the seal stanza to renew its token") || strings.Contains(err.Error(), token) {
		t.Fatalf("%v", err)
	}
}

// KeepToken renews at once, ends with its context, and does nothing where it is switched off.
func TestKeepToken(t *testing.T) {
	o := newOther(t)
	ctx, cancel := context.WithCancel(t.Context())
	o.always("auth/token/lookup-self", 200, `{"data":{"renewable":true}}`)
	o.says("auth/token/renew-self", func(map[string]string) (int, string) {
		cancel()
		return 200, `{"auth":{"client_token":"x","lease_duration":60,"renewable":true}}`
	})
	o.key(t, nil).KeepToken(ctx)
	if n := o.count("auth/token/renew-self"); n != 1 {
		t.Errorf("%d renewals", n)
	}
	o.key(t, func(s *transit.Settings) { s.DisableRenewal = true }).KeepToken(t.Context())
	o.always("auth/token/lookup-self", 200, `{"data":{"renewable":false}}`)
	o.key(t, nil).KeepToken(t.Context()) // returns: there is nothing to keep
	if n := o.count("auth/token/renew-self"); n != 1 {
		t.Errorf("%d renewals after those that were not wanted", n)
	}
}

func TestWrongSettings(t *testing.T) {
	good := transit.Settings{Address: "https://vault.example.com", Token: token, KeyName: "k", MountPath: "transit"}
	for want, change := range map[string]func(*transit.Settings){
		"'address' must be set":                   func(s *transit.Settings) { s.Address = "" },
		"'token' must be set":                     func(s *transit.Settings) { s.Token = "" },
		"'key_name' must be set":                  func(s *transit.Settings) { s.KeyName = "" },
		"'mount_path' must be set":                func(s *transit.Settings) { s.MountPath = "/" },
		"'address' must be a URL":                 func(s *transit.Settings) { s.Address = "vault.example.com:8200" },
		"'address' must be a URL such as":         func(s *transit.Settings) { s.Address = "ftp://vault.example.com" },
		"both client cert and client key":         func(s *transit.Settings) { s.TLS.ClientKey = "x" },
		"the TLS settings: open /does/not/exist":  func(s *transit.Settings) { s.TLS.ClientCert, s.TLS.ClientKey = "/does/not/exist", "/does/not/exist" },
		"the TLS settings: Error loading CA File": func(s *transit.Settings) { s.TLS.CACert = "/does/not/exist" },
	} {
		s := good
		change(&s)
		if _, err := transit.New(s, nil); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), token) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := transit.New(good, nil); err != nil {
		t.Error(err)
	}
}
