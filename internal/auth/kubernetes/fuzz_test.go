package kubernetes

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"jeton/internal/auth/kubernetes/kubetest"
)

// FuzzJWT: what is read of a JWT is a service account whose names can go into an address; and no text
// but one that the key signed passes with a key.
func FuzzJWT(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	good := kubetest.Sign(f, jose.ES256, key, map[string]any{"sub": "system:serviceaccount:n:a", "kubernetes.io": map[string]any{
		"namespace": "n", "serviceaccount": map[string]any{"name": "a", "uid": "u"},
	}})
	parts := strings.Split(good, ".")
	for _, seed := range []string{good, "", "a.b.c", parts[0] + "." + parts[1] + ".", "eyJhbGciOiJub25lIn0." + parts[1] + ".", `{"payload":"","signatures":[]}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := readJWT(text, []crypto.PublicKey{key.Public()}); err == nil && (c.account != account{"n", "a", "u"}) {
			t.Errorf("%+v, and nobody signed it", c)
		}
		c, err := readJWT(text, nil)
		if err != nil {
			return
		}
		if strings.ContainsAny(c.namespace, "/?#%*. \x00") || strings.ContainsAny(c.name, "/?#%* \x00") || strings.Contains(c.name, "..") || c.uid == "" {
			t.Errorf("%+v", c)
		}
		_ = c.wrongTime(time.Unix(0, 0))
		_ = c.ends()
	})
}

// FuzzSelector: what is taken as a selector asks for something, and can be asked.
func FuzzSelector(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "{", `{"matchLabels":{"a":"b"}}`, "matchLabels: {a: b}", "matchExpressions:\n- {key: a, operator: In, values: [b]}",
		`{"matchExpressions":[{"key":"a","operator":"Exists"}]}`, "a: &a [*a]", "x: !!binary x", "null", "[]",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSelector(text)
		if err != nil {
			if s != nil {
				t.Error("a selector and an error")
			}
			return
		}
		if len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
			t.Error("it selects by nothing")
		}
		_ = s.matches(nil)
		_ = s.matches(map[string]string{"a": "b"})
	})
}
