package contract_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"jeton/internal/auth/ldap/ldaptest"
)

// directory enables and configures ldap, with a policy for the members of engineers.
func (h *house) directory(s *ldaptest.Server, more m) {
	h.t.Helper()
	h.policy("build", `path "secret/data/build" { capabilities = ["read"] }`)
	h.do("POST", "sys/auth/ldap", h.root, m{"type": "ldap"}).empty()
	h.do("POST", "auth/ldap/config", h.root, maps(m{"url": s.URL(), "binddn": ldaptest.Reader, "bindpass": ldaptest.ReaderPassword,
		"userdn": ldaptest.People, "userattr": "uid", "groupdn": ldaptest.Groups, "request_timeout": 10, "connection_timeout": 5}, more)).empty()
	h.do("POST", "auth/ldap/groups/engineers", h.root, m{"policies": "build"}).empty()
}

func (h *house) ldapLogin(uid string) *answer {
	h.t.Helper()
	return h.do("POST", "auth/ldap/login/"+uid, "", m{"password": ldaptest.Password(uid)})
}

// Contract: auth-methods §1.1 and §4.3 over HTTP: the auth block, wrapping, batch tokens.
func TestLDAPLogin(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	h := open(t)
	h.directory(s, m{"token_ttl": "1h"})
	a := h.ldapLogin("alice").is(200).has([]string{"build", "default"}, "auth", "policies").has(m{"username": "alice"}, "auth", "metadata").
		has(3600.0, "auth", "lease_duration").has(true, "auth", "renewable").has(true, "auth", "orphan").has("service", "auth", "token_type")
	token := a.text("auth", "client_token")
	h.lookup(token).is(200).has("ldap-alice", "data", "display_name").has("auth/ldap/login/alice", "data", "path")
	again := h.do("POST", "auth/ldap/login/ALICE", "", m{"password": ldaptest.Password("alice")}).is(200).text("auth", "entity_id")
	if again != a.text("auth", "entity_id") {
		t.Error("another spelling is another entity")
	}
	h.do("POST", "auth/ldap/login/alice", "", m{"password": "wrong"}).fails(400, "ldap operation failed: failed to bind as user")
	h.do("POST", "auth/ldap/login/alice", "", m{}).fails(400, "password cannot be of zero length when passwordless binds are being denied")
	h.do("POST", "auth/ldap/login/alice", "", m{"password": ldaptest.Password("alice")}, wrapped("60s")).is(200).has(nil, "auth")
	h.do("POST", "auth/ldap/config", h.root, m{"token_type": "batch"}).empty()
	batch := h.ldapLogin("alice").is(200).has("batch", "auth", "token_type").has(false, "auth", "renewable").text("auth", "client_token")
	h.lookup(batch).is(200).has("ldap-alice", "data", "display_name")
	h.do("POST", "auth/ldap/config", h.root, m{"token_type": "service"}).empty()

	t.Run("the directory is down: 400, at once, and no token", func(t *testing.T) {
		s.Stop()
		defer s.Resume()
		h.ldapLogin("alice").failsLike(400, "error connecting to host")
		h.do("POST", "auth/token/renew-self", token, m{}).failsLike(400, "error connecting to host")
		h.lookup(token).is(200)
	})
	h.do("POST", "auth/token/renew-self", token, m{}).is(200).has(3600.0, "auth", "lease_duration")
	t.Run("the user is gone: 400, and the token stays as it was", func(t *testing.T) {
		carol := h.ldapLogin("carol").is(200).text("auth", "client_token")
		s.Remove("carol")
		h.do("POST", "auth/token/renew-self", carol, m{}).fails(400, "ldap operation failed: failed to bind as user")
		h.lookup(carol).is(200)
		h.wall.advance(time.Hour + time.Second)
		h.lookup(carol).is(403)
	})
}

// Contract: identity §3.5: what a login finds in the directory is who is in the external groups, and
// a renewal that finds something else says so.
func TestLDAPExternalGroups(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	h := open(t)
	h.directory(s, nil)
	h.policy("operate", `path "secret/data/operate" { capabilities = ["read"] }`)
	accessor := h.do("GET", "sys/auth", h.root, nil).is(200).text("data", "ldap/", "accessor")
	group := h.do("POST", "identity/group", h.root, m{"name": "operators", "type": "external", "policies": "operate"}).is(200).text("data", "id")
	h.do("POST", "identity/group-alias", h.root, m{"name": "Admins", "mount_accessor": accessor, "canonical_id": group}).is(200)
	may := func(token string) bool {
		return h.do("GET", "secret/data/operate", token, nil).status != 403
	}
	members := func() []any {
		list, _ := h.do("GET", "identity/group/id/"+group, h.root, nil).is(200).at("data", "member_entity_ids").([]any)
		return list
	}
	a := h.ldapLogin("carol").is(200).has([]string{"operate"}, "auth", "identity_policies").has([]string{"default"}, "auth", "token_policies")
	carol := a.text("auth", "client_token")
	if !may(carol) || !slices.Contains(members(), any(a.text("auth", "entity_id"))) {
		t.Error("a login does not put into the group")
	}
	h.ldapLogin("bob").is(200).has(nil, "auth", "identity_policies")

	s.Join("bob", "Admins") // a group has at least one member
	s.Leave("carol", "Admins")
	h.do("POST", "auth/token/renew-self", carol, m{}).is(200)
	if may(carol) || len(members()) != 0 {
		t.Errorf("a renewal leaves in the group: %v", members())
	}
	s.Join("carol", "Admins")
	h.do("POST", "auth/token/renew-self", carol, m{}).is(200)
	if !may(carol) {
		t.Error("a renewal does not put into the group")
	}
	entity := a.text("auth", "entity_id")
	h.do("POST", "identity/entity/id/"+entity, h.root, m{"disabled": true}).is(204)
	h.ldapLogin("carol").is(403)
}

// CVE-2025-5999: root enters by no mapping of the directory's names.
func TestRootEntersByNoDirectoryCVE20255999(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	h := open(t)
	h.directory(s, nil)
	doors := map[string]string{"auth/ldap/groups/engineers": "policies", "auth/ldap/users/alice": "policies", "auth/ldap/config": "token_policies"}
	for path, member := range doors {
		h.do("POST", path, h.root, m{member: "build"})
		if a := h.ldapLogin("alice").is(200); !slices.Contains(policiesOf(a), "build") {
			t.Fatalf("%s leads nowhere", path)
		}
		for _, name := range []string{"root", "ROOT", " root", "root\t", "\nroot", "ｒｏｏｔ", "rооt", "root\u200b", "./root", "x/../root"} {
			for _, list := range []any{[]string{name}, "build," + name} {
				a := h.do("POST", path, h.root, m{member: list})
				if a.status < 400 {
					a = h.ldapLogin("alice")
				}
				notRoot(t, h, fmt.Sprintf("%s %q", path, list), a)
			}
		}
		h.do("POST", path, h.root, m{member: "root"}).empty()
		h.ldapLogin("alice").fails(400, "auth methods cannot create root tokens")
		h.do("POST", path, h.root, m{member: ""}).empty()
	}
}

// CVE-2026-89322: a deny on a name holds for all its spellings, and a name that is not in its one
// spelling is written nowhere.
func TestLDAPNamesBeforeTheACLCVE202689322(t *testing.T) {
	h := open(t)
	h.do("POST", "sys/auth/ldap", h.root, m{"type": "ldap"}).empty()
	some := h.holder("some", `
		path "auth/ldap/groups/*" { capabilities = ["create", "read", "update", "delete"] }
		path "auth/ldap/groups/admins" { capabilities = ["deny"] }`)
	h.do("POST", "auth/ldap/groups/devs", some, m{"policies": "p"}).empty()
	for _, name := range []string{"admins", "Admins", "ADMINS", "aDmIns"} {
		h.do("POST", "auth/ldap/groups/"+name, some, m{"policies": "p"}).is(403)
		h.do("GET", "auth/ldap/groups/"+name, some, nil).is(403)
		h.do("DELETE", "auth/ldap/groups/"+name, some, nil).is(403)
	}
	for _, name := range []string{"ａdmins", "admins ", "admin\u017f"} {
		if a := h.do("POST", "auth/ldap/groups/"+strings.ReplaceAll(name, " ", "%20"), some, m{"policies": "p"}); a.status < 400 {
			t.Errorf("%q: %d", name, a.status)
		}
	}
	if keys, _ := h.do("LIST", "auth/ldap/groups", h.root, nil).is(200).at("data", "keys").([]any); len(keys) != 1 {
		t.Errorf("groups %v", keys)
	}
	t.Run("where case matters, the name is judged as it is written", func(t *testing.T) {
		h.do("POST", "auth/ldap/config", h.root, m{"case_sensitive_names": true}).empty()
		h.do("POST", "auth/ldap/groups/Devs", some, m{"policies": "q"}).empty()
		h.do("GET", "auth/ldap/groups/Devs", some, nil).is(200).has([]string{"q"}, "data", "policies")
		h.do("GET", "auth/ldap/groups/devs", some, nil).is(200).has([]string{"p"}, "data", "policies")
	})
}
