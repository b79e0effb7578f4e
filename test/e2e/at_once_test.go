package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// What fifty clients do at once happens exactly as often as it may.
func TestAtOnce(t *testing.T) {
	eachMode(t, func(t *testing.T, s *server) {
		t.Run("unwrap", func(t *testing.T) {
			// Contract: wrapping, and cves §6: a wrapped value is taken once.
			a := s.raw("POST", "sys/wrapping/wrap", s.root, object{"k": "v"}, "X-Vault-Wrap-TTL", "60")
			_, rest, _ := strings.Cut(a.text, `"token":"`)
			wrapped, _, _ := strings.Cut(rest, `"`)
			s.fifty(t, "sys/wrapping/unwrap", wrapped, nil, map[int]int{200: 1, 400: 49})
		})
		t.Run("AppRole login", func(t *testing.T) {
			// Contract: observed, auth-methods §2: a secret id of ten uses serves ten logins, and none is left over.
			roleID, _ := s.appRole("ten", `path "a" { capabilities = ["read"] }`, map[string]any{"secret_id_num_uses": 10})
			a := s.raw("POST", "auth/approle/role/ten/secret-id", s.root, nil)
			body := object{"role_id": roleID, "secret_id": a.Data["secret_id"]}
			s.fifty(t, "auth/approle/login", "", body, map[int]int{200: 10, 400: 40})
			s.fifty(t, "auth/approle/login", "", body, map[int]int{400: 50})
		})
		t.Run("check-and-set", func(t *testing.T) {
			body := object{"options": object{"cas": 0}, "data": object{"k": "v"}}
			s.fifty(t, "secret/data/contended", s.root, body, map[int]int{200: 1, 400: 49})
		})
		t.Run("custom id", func(t *testing.T) {
			body := object{"id": "only-one", "policies": []string{"default"}}
			s.fifty(t, "auth/token/create", s.root, body, map[int]int{200: 1, 400: 49})
		})
		t.Run("revocation", func(t *testing.T) {
			// Contract: tokens §8.3: revoking what is revoked is no error.
			made := token(t, s, map[string]any{"policies": []string{"default"}})
			s.fifty(t, "auth/token/revoke", s.root, object{"token": made}, map[int]int{204: 50})
			if alive(t, s, made) {
				t.Error("revoked fifty times, and alive")
			}
		})
		t.Run("mount", func(t *testing.T) {
			s.fifty(t, "sys/mounts/contended", s.root, object{"type": "kv"}, map[int]int{204: 1, 400: 49})
		})
	})
}

// fifty posts the same thing fifty times at once and counts the answers.
func (s *server) fifty(t *testing.T, path, token string, body any, want map[int]int) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex // guards got
	got := map[int]int{}
	var done sync.WaitGroup
	for range 50 {
		done.Go(func() {
			status := 0
			if req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.addr+"/v1/"+path, strings.NewReader(string(text))); err == nil {
				if token != "" {
					req.Header.Set("X-Vault-Token", token)
				}
				if resp, err := s.web().Do(req); err == nil {
					resp.Body.Close()
					status = resp.StatusCode
				}
			}
			mu.Lock()
			defer mu.Unlock()
			got[status]++
		})
	}
	done.Wait()
	for status, n := range got {
		if want[status] != n {
			t.Errorf("%s: want %v, got %v", path, want, got)
			return
		}
	}
}
