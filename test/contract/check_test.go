package contract_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"jeton/internal/node"
	"jeton/internal/record"
	"jeton/internal/store"
)

// furnished has something of every kind in the store.
func (h *house) furnished() {
	h.t.Helper()
	h.devices()
	h.mount("kv1")
	h.do("POST", "kv1/a", h.root, m{"x": "1"}).empty()
	for range 3 {
		h.do("POST", "secret/data/a/b", h.root, m{"data": m{"x": "1"}}).is(200)
	}
	h.do("POST", "secret/config", h.root, m{"max_versions": 5}).empty()
	h.do("PUT", "secret/destroy/a/b", h.root, m{"versions": []int{1}}).empty()
	h.do("POST", "sys/auth/approle", h.root, m{"type": "approle"}).empty()
	h.do("POST", "auth/approle/role/r", h.root, m{"token_ttl": "1h"}).empty()
	id := h.do("GET", "auth/approle/role/r/role-id", h.root, nil).text("data", "role_id")
	secret := h.do("POST", "auth/approle/role/r/secret-id", h.root, m{"ttl": "1h"}).text("data", "secret_id")
	h.do("POST", "auth/approle/login", "", m{"role_id": id, "secret_id": secret}).is(200)
	h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
	h.do("POST", "auth/userpass/users/ann", h.root, m{"password": "horse"}).empty()
	h.do("POST", "auth/userpass/users/eve", h.root, m{"password": "horse"}).empty()
	h.do("POST", "auth/userpass/login/ann", "", m{"password": "horse"}).is(200)
	for range 5 {
		h.do("POST", "auth/userpass/login/eve", "", m{"password": "guess"})
	}
	h.policy("p", `path "secret/*" { capabilities = ["read"] }`)
	token := h.create(h.root, m{"policies": "p", "ttl": "1h", "num_uses": 9})
	h.create(h.root, m{"policies": "default", "ttl": "1h"})
	h.do("POST", "cubbyhole/c", h.create(h.root, m{"policies": "default"}), m{"x": "1"}).empty()
	h.do("GET", "auth/token/lookup-self", token, nil).is(200)
	h.role("tr", m{"allowed_policies": "p"})
	h.do("GET", "secret/data/a/b", h.root, nil, wrapped("5m")).is(200)
	h.do("POST", "identity/group", h.root, m{"name": "g"}).is(200)
	h.do("POST", "identity/oidc/key/k", h.root, m{"allowed_client_ids": "*"}).empty()
	h.do("POST", "identity/oidc/role/r", h.root, m{"key": "k"}).empty()
	h.limit("l", m{"rate": 100000})
	h.do("POST", "sys/quotas/config", h.root, m{"rate_limit_exempt_paths": "sys/health"}).empty()
	h.bound("b", "auth/userpass", 1000)
	h.do("PUT", "sys/config/cors", h.root, m{"allowed_origins": "https://a.example"}).empty()
	h.do("PUT", "sys/config/ui/headers/X-Mine", h.root, m{"values": "v"}).empty()
	h.do("POST", "sys/policies/password/pp", h.root, m{"policy": "length = 20\nrule \"charset\" { charset = \"abcdefgh\" }"}).empty()
}

// pair is one key and its value.
type pair struct{ key, value []byte }

// contents are all of s.
func contents(t *testing.T, s store.Store) (all []pair) {
	t.Helper()
	err := s.View(context.Background(), func(r store.Reader) error {
		return r.Scan(store.Range{}, func(k, v []byte) (bool, error) {
			all = append(all, pair{bytes.Clone(k), bytes.Clone(v)})
			return true, nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (h *house) put(s store.Store, p pair) {
	h.t.Helper()
	if err := s.Update(context.Background(), func(tx store.Tx) error { return tx.Put(p.key, p.value) }); err != nil {
		h.t.Fatal(err)
	}
}

// problems are what a check finds.
func (h *house) problems() string {
	h.t.Helper()
	var found []string
	if _, err := h.node.Check(context.Background(), func(p node.Problem) { found = append(found, p.String()) }); err != nil {
		h.t.Fatal(err)
	}
	return strings.Join(found, "\n")
}

// holds says whether p is still what is stored.
func (h *house) holds(p pair) (same bool) {
	h.t.Helper()
	err := h.store.View(context.Background(), func(r store.Reader) error {
		value, err := r.Get(p.key)
		same = bytes.Equal(value, p.value)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return same
}

// restore seals the server and makes whole all that there is.
func (h *house) restore(whole []pair) {
	h.t.Helper()
	if err := h.node.Seal(context.Background()); err != nil {
		h.t.Fatal(err)
	}
	err := h.store.Update(context.Background(), func(tx store.Tx) error {
		if err := tx.DeleteRange(nil, nil); err != nil {
			return err
		}
		for _, p := range whole {
			if err := tx.Put(p.key, p.value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// reseal seals and unseals, and says whether the server is open again.
func (h *house) reseal() bool {
	h.t.Helper()
	if err := h.node.Seal(context.Background()); err != nil {
		h.t.Fatal(err)
	}
	return h.do("PUT", "sys/unseal", "", m{"key": hex.EncodeToString(h.unseal)}).status == 200
}

// TestOneUnreadableRecord: whichever single record of a server is damaged on disk, the server
// opens, serves everything else, and its check says which record it is (pain 3). A record of
// the seal's own is the keys themselves: those are the seal's tests.
func TestOneUnreadableRecord(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.furnished()
	h.mount("other")
	h.do("POST", "other/x", h.root, m{"y": "z"}).empty()
	whole := contents(t, h.store)
	own := h.own("other/", "px")
	kinds := map[string]bool{}
	for _, p := range whole {
		if bytes.HasPrefix(p.key, []byte("seal/")) || len(p.value) == 0 {
			continue
		}
		kinds[string(p.key[:min(len(p.key), 8)])] = true
		bad := pair{p.key, bytes.Clone(p.value)}
		bad.value[len(bad.value)-1] ^= 1
		h.put(h.store, bad)
		if !h.reseal() {
			t.Errorf("%q keeps the server from opening: %s", p.key, lastLine(h.log.String()))
			h.restore(whole)
			continue
		}
		if found := h.problems(); h.holds(bad) && !strings.Contains(found, fmt.Sprintf("does not decrypt: %q", p.key)) {
			t.Errorf("the check does not name %q: %s", p.key, found)
		}
		// The root token's own record, or the mount that is asked, may be the one.
		if a := h.do("GET", "other/x", h.root, nil); (a.status == 200) == own(p.key) {
			t.Errorf("%q: another mount answers %d: %s", p.key, a.status, a.body)
		}
		// Tokens, the heart, come and go whatever else is broken.
		if !own(p.key) {
			for _, ttl := range []string{"1h", "2h"} {
				a := h.do("POST", "auth/token/create", h.root, m{"policies": "other", "no_default_policy": true, "ttl": ttl})
				if a.status != 200 {
					t.Errorf("%q: making a token answers %d: %s %s", p.key, a.status, a.body, lastLine(h.log.String()))
				} else if a = h.do("POST", "auth/token/revoke", h.root, m{"token": a.text("auth", "client_token")}); a.status != 204 {
					t.Errorf("%q: revoking a token answers %d: %s %s", p.key, a.status, a.body, lastLine(h.log.String()))
				}
			}
		}
		h.do("GET", "sys/health", "", nil).is(200)
		h.restore(whole)
	}
	h.reseal()
	if len(kinds) < 10 {
		t.Errorf("only %d kinds of record", len(kinds))
	}
}

// own says which records root's request for an object itself needs, so that it must fail without
// them: the mount and the object, the only audit device, the root token.
func (h *house) own(mount, object string) func(key []byte) bool {
	h.t.Helper()
	house := h.node.Enter()
	defer house.Leave()
	root, err := house.Tokens.Find(context.Background(), h.root)
	if err != nil || root == nil {
		h.t.Fatal("no root token", err)
	}
	data := string(house.Mounts.DataPrefix(mount))
	uuid := strings.TrimSuffix(strings.TrimPrefix(data, "mount/d/"), "/")
	needed := []string{"audit/d/rec/", data + object, "mount/e/" + uuid, "token/r" + string(root.ID[:])}
	return func(key []byte) bool { return slices.Contains(needed, string(key)) }
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// TestCheckOfMounts: what the engines' own checks are for is found: records and indexes that do
// not fit together though each can be read.
func TestCheckOfMounts(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.furnished()
	h.do("POST", "auth/approle/role/gone", h.root, m{}).empty()
	h.do("POST", "auth/approle/role/gone/secret-id", h.root, m{}).is(200)
	if found := h.problems(); found != "" {
		t.Fatalf("a sound server: %s", found)
	}
	house := h.node.Enter()
	defer house.Leave()
	kv1, kv2, approle, userpass := prefix(house, "kv1/"), prefix(house, "secret/"), prefix(house, "auth/approle/"), prefix(house, "auth/userpass/")
	whole := contents(t, house.Store)
	for _, row := range []struct {
		name string
		// hit selects keys; put replaces their values, and nil removes them.
		hit  func(key string) bool
		put  func(value []byte) []byte
		want string
	}{
		{"an object of kv 1 that is none", at(kv1 + "pa"), damaged(encoded(t, map[int]any{1: []byte("junk")})), "kv1/: an object that cannot be read"},
		{"a version that is gone", at(kv2 + "v\x03a/b\x00\x00\x00\x00\x00\x00\x00\x02"), nil, "secret/: a version without its data"},
		{"a version that is no object", at(kv2 + "v\x03a/b\x00\x00\x00\x00\x00\x00\x00\x02"), damaged(encoded(t, map[int]any{1: []byte("[]")})), "secret/: a version that cannot be read"},
		{"a key that is gone", at(kv2 + "ma/b"), nil, "secret/: data of a version that no key has"},
		{"a role id that is gone", below(approle + "id/"), nil, "auth/approle/: a role whose role id does not lead to it"},
		{"a role that is gone", at(approle + "role/gone"), nil, "auth/approle/: something of a role that is gone"},
		{"its role id", at(approle + "role/gone"), nil, "auth/approle/: a role id of no role"},
		{"accessors that are gone", within(approle+"of/", "/accessor/"), nil, "auth/approle/: a secret id without one of its entries"},
		{"secret ids that are gone", within(approle+"of/", "/secret/"), nil, "auth/approle/: an accessor of no secret id"},
		{"their ends", within(approle+"of/", "/secret/"), nil, "auth/approle/: a place in the order of expiry that is no secret id's"},
		{"their last uses", within(approle+"of/", "/secret/"), nil, "auth/approle/: a last use of no secret id"},
		{"a user without a password", at(userpass + "user/ann"), damaged(encoded(t, map[int]any{20: []byte("u")})), "auth/userpass/: a user that cannot log in"},
		{"a lock that is none", at(userpass + "lock/eve"), damaged([]byte{9}), "auth/userpass/: a record that cannot be read"},
		{"a policy that is none", at("policy/p/p"), damaged(encoded(t, map[int]any{1: "path {"})), "policy: a policy that cannot be parsed: p"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var before []pair
			err := house.Store.Update(context.Background(), func(tx store.Tx) error {
				before = nil
				for _, p := range whole {
					if !row.hit(string(p.key)) {
						continue
					}
					before = append(before, p)
					err := tx.Delete(p.key)
					if row.put != nil {
						err = tx.Put(p.key, row.put(p.value))
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil || len(before) == 0 {
				t.Fatal("nothing was damaged", err)
			}
			if found := h.problems(); !strings.Contains(found, row.want) {
				t.Errorf("found %s, want %s", found, row.want)
			}
			for _, p := range before {
				h.put(house.Store, p)
			}
		})
	}
}

// prefix is where a mount keeps its data.
func prefix(house *node.House, mount string) string { return string(house.Mounts.DataPrefix(mount)) }

func at(key string) func(string) bool { return func(k string) bool { return k == key } }

func below(prefix string) func(string) bool {
	return func(k string) bool { return strings.HasPrefix(k, prefix) }
}

func within(prefix, part string) func(string) bool {
	return func(k string) bool { return strings.HasPrefix(k, prefix) && strings.Contains(k, part) }
}

// damaged is a value in place of the stored one.
func damaged(value []byte) func([]byte) []byte { return func([]byte) []byte { return value } }

// encoded is a record whose fields have numbers, in the stored form.
func encoded(t *testing.T, fields map[int]any) []byte {
	t.Helper()
	data, err := record.Encode(fields)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
