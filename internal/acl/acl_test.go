package acl

import (
	"testing"

	"jeton/internal/policy"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

// open returns policies over an empty store.
func open(t *testing.T) (*Store, store.Store) {
	t.Helper()
	whole, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	area := store.NewArea(whole, []byte("policy/"))
	s, err := New(area)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		if err := whole.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, area
}

func put(t *testing.T, s *Store, name, text string) {
	t.Helper()
	if _, _, err := s.Put(t.Context(), name, text); err != nil {
		t.Fatalf("put %s: %v", name, err)
	}
}

// may says whether a token with these policies may read path.
func may(t *testing.T, s *Store, path string, names ...string) bool {
	t.Helper()
	acl, err := s.For(t.Context(), names, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	return acl.Check(policy.Request{Capability: policy.Read, Path: path}).Allowed
}

// contract: policies §10, §13.20: an edit holds on the next request, a deletion too, and
// writing the policy again grants again.
func TestEditIsEffectiveAtOnce(t *testing.T) {
	s, _ := open(t)
	if may(t, s, "secret/a", "dev") {
		t.Fatal("a name without a policy grants")
	}
	steps := []struct {
		text string
		want bool
	}{
		{`path "secret/*" { capabilities = ["read"] }`, true},
		{`path "secret/*" { capabilities = ["list"] }`, false},
		{`path "secret/a" { capabilities = ["read"] }`, true},
		{"", false},
		{`path "secret/+" { capabilities = ["read"] }`, true},
	}
	for _, step := range steps {
		if step.text == "" {
			if err := s.Delete(t.Context(), "dev"); err != nil {
				t.Fatal(err)
			}
		} else {
			put(t, s, "dev", step.text)
		}
		if got := may(t, s, "secret/a", "dev"); got != step.want {
			t.Errorf("after %q: read allowed = %v", step.text, got)
		}
	}
}
