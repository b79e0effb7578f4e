package transit_test

import (
	"slices"
	"strings"
	"testing"

	"jeton/internal/backend"
	"jeton/internal/store"
)

// problems is what the engine's own check finds, sorted, each once.
func (m *mount) problems() []string {
	m.t.Helper()
	var found []string
	err := m.Area.View(m.t.Context(), func(r store.Reader) error {
		found = nil
		return m.Backend.(backend.Checker).Check(r, func(what string) { found = append(found, what) })
	})
	if err != nil {
		m.t.Fatal(err)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// A check that finds nothing must be one that could: a version that is lost is data that is lost.
func TestCheck(t *testing.T) {
	furnished := func(wrapping bool) *mount {
		m := open(t)
		m.write("keys/plain", `{}`)
		m.write("keys/plain/rotate", `{}`)
		m.write("keys/plain/rotate", `{}`)
		m.write("keys/plain/config", `{"min_decryption_version":2,"min_encryption_version":2}`)
		m.write("keys/plain/trim", `{"min_available_version":2}`)
		m.write("keys/signing", `{"type":"ecdsa-p256"}`)
		m.write("keys/ed", `{"type":"ed25519"}`)
		m.write("keys/turning", `{"auto_rotate_period":"24h"}`)
		m.write("keys/mac", `{"type":"hmac","key_size":64}`)
		m.write("cache-config", `{"size":100}`)
		if wrapping { // It takes seconds to make.
			m.read("wrapping_key")
		}
		return m
	}
	if found := furnished(true).problems(); len(found) > 0 {
		t.Fatalf("a sound mount: %q", found)
	}
	for _, row := range []struct {
		name, prefix string
		// put replaces the first value below prefix; nil removes it.
		put  func(value []byte) []byte
		want string
	}{
		{"a version that is lost", "v", nil, "a key that lacks a version: what was made with that is lost"},
		{"a version that cannot be read", "v", func(v []byte) []byte { return v[:len(v)-1] }, "a record that cannot be read"},
		{"a key that is lost", "kplain", nil, "a version of no key"},
		{"a key that cannot be read", "kplain", func([]byte) []byte { return []byte("?") }, "a record that cannot be read"},
		{"a rotation that is lost", "r", nil, "a key that is not rotated when it says"},
		{"a rotation of a key that is lost", "kturning", nil, "a rotation of no key"},
		{"settings that cannot be read", "c", func([]byte) []byte { return []byte("?") }, "a record that cannot be read"},
		{"a wrapping key that cannot be read", "w", func([]byte) []byte { return []byte("?") }, "a record that cannot be read"},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := furnished(row.prefix == "w")
			err := m.Area.Update(t.Context(), func(tx store.Tx) error {
				var key, value []byte
				in := store.PrefixRange([]byte(row.prefix))
				in.Limit = 1
				err := tx.Scan(in, func(k, v []byte) (bool, error) {
					key, value = slices.Clone(k), slices.Clone(v)
					return true, nil
				})
				switch {
				case err != nil:
					return err
				case key == nil:
					t.Fatal("there is no such record")
				case row.put == nil:
					return tx.Delete(key)
				}
				return tx.Put(key, row.put(value))
			})
			if err != nil {
				t.Fatal(err)
			}
			if found := m.problems(); !slices.Contains(found, row.want) {
				t.Errorf("found %q", found)
			}
		})
	}
	m := furnished(false)
	if err := m.Area.Update(t.Context(), func(tx store.Tx) error { return tx.Put([]byte("?"), nil) }); err != nil {
		t.Fatal(err)
	}
	if found := strings.Join(m.problems(), ""); found != "a key of no known kind" {
		t.Errorf("found %q", found)
	}
}
