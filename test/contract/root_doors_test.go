package contract_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"jeton/internal/auth/cert/certtest"
)

// rootDoor is a place where somebody writes a list of policies, and the way from there to a token.
type rootDoor struct {
	name string
	// write gives the list to the server.
	write func(h *house, list any) *answer
	// token is what comes of it: the answer to a login or a creation. The lists of token
	// creation have their token in write's own answer, and nil here.
	token func(h *house) *answer
	// asks says that the token itself is asked for with root, and the list only allows it.
	asks bool
}

// stranger may make tokens in every way there is, sudo included, and is not root.
const stranger = `path "auth/token/*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }`

// doors are all the places of a server with approle, userpass, cert and kubernetes that take a list of policies.
func doors(h *house) []rootDoor {
	admin := h.holder("stranger", stranger)
	creation := func(path string, body m) rootDoor {
		return rootDoor{"auth/token/" + path, func(h *house, list any) *answer {
			body := maps(body, m{"policies": list, "ttl": "1h"})
			return h.do("POST", "auth/token/"+path, admin, body)
		}, nil, false}
	}
	named := func(path, member string, body m, token func(h *house) *answer) rootDoor {
		return rootDoor{path + " " + member, func(h *house, list any) *answer {
			return h.do("POST", path, h.root, maps(body, m{member: list}))
		}, token, false}
	}
	byRole := func(body m) func(h *house) *answer {
		return func(h *house) *answer { return h.do("POST", "auth/token/create/door", admin, body) }
	}
	asking := func(member string, body m) rootDoor {
		door := named("auth/token/roles/door", member, body, byRole(m{"policies": []string{"root"}}))
		door.name, door.asks = door.name+", root asked for", true
		return door
	}
	login := func(user string) func(h *house) *answer {
		return func(h *house) *answer {
			return h.do("POST", "auth/userpass/login/"+user, "", m{"password": "p"})
		}
	}
	app := func(h *house) *answer {
		id := h.do("GET", "auth/approle/role/door/role-id", h.root, nil).is(200).text("data", "role_id")
		secret := h.do("POST", "auth/approle/role/door/secret-id", h.root, m{}).is(200).text("data", "secret_id")
		return h.do("POST", "auth/approle/login", "", m{"role_id": id, "secret_id": secret})
	}
	signed := withCluster(h)
	pod := func(h *house) *answer {
		return h.do("POST", "auth/kubernetes/login", "", m{"role": "door", "jwt": signed})
	}
	authority := certtest.New(h.t, "clients", h.wall.now())
	leaf := authority.Issue("door")
	h.do("POST", "sys/auth/cert", h.root, m{"type": "cert"}).empty()
	host := func(h *house) *answer {
		return h.do("POST", "auth/cert/login", "", m{"name": "door"}, showing(leaf))
	}
	account := m{"bound_service_account_names": "web", "bound_service_account_namespaces": "shop"}
	trusted := m{"certificate": authority.PEM()}
	return []rootDoor{
		named("auth/kubernetes/role/door", "token_policies", account, pod),
		named("auth/kubernetes/role/door", "policies", account, pod),
		named("auth/cert/certs/door", "token_policies", trusted, host),
		named("auth/cert/certs/door", "policies", trusted, host),
		creation("create", m{}), creation("create", m{"type": "batch"}), creation("create", m{"no_parent": true}),
		creation("create-orphan", m{}), creation("create/any", m{}),
		named("auth/token/roles/door", "allowed_policies", m{}, byRole(m{"ttl": "1h"})),
		asking("allowed_policies", m{}), asking("allowed_policies_glob", m{"allowed_policies": []string{"plain"}}),
		named("auth/approle/role/door", "token_policies", m{}, app),
		named("auth/approle/role/door", "policies", m{}, app),
		named("auth/approle/role/door/policies", "token_policies", m{}, app),
		named("auth/userpass/users/door", "token_policies", m{}, login("door")),
		named("auth/userpass/users/door", "policies", m{}, login("door")),
		named("auth/userpass/users/door/policies", "token_policies", m{}, login("door")),
		named("identity/entity", "policies", m{"name": "member"}, login("member")),
		named("identity/entity/name/member", "policies", m{}, login("member")),
		named("identity/group", "policies", m{"name": "circle"}, login("member")),
		named("identity/group/name/circle", "policies", m{}, login("member")),
	}
}

// maps is a with what b adds.
func maps(a, b m) m {
	out := m{}
	for _, part := range []m{a, b} {
		for name, v := range part {
			out[name] = v
		}
	}
	return out
}

// house of doors: whoever logs in as member is the member of the entity and of the group.
func openDoors(t *testing.T) *house {
	h := open(t)
	h.policy("plain", `path "secret/data/plain" { capabilities = ["read"] }`)
	h.do("POST", "sys/auth/approle", h.root, m{"type": "approle"}).empty()
	h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
	h.do("POST", "auth/userpass/users/member", h.root, m{"password": "p"}).empty()
	h.do("POST", "auth/userpass/users/door", h.root, m{"password": "p"}).empty()
	h.do("POST", "auth/approle/role/door", h.root, m{}).empty()
	h.do("POST", "auth/token/roles/any", h.root, m{"allowed_policies_glob": "*"}).empty()
	accessor := h.do("GET", "sys/auth", h.root, nil).is(200).text("data", "userpass/", "accessor")
	id := h.do("POST", "identity/entity", h.root, m{"name": "member"}).is(200).text("data", "id")
	h.do("POST", "identity/entity-alias", h.root, m{"name": "member", "canonical_id": id, "mount_accessor": accessor}).is(200)
	h.do("POST", "identity/group", h.root, m{"name": "circle", "member_entity_ids": []string{id}}).is(200)
	return h
}

// CVE-2025-5999, CVE-2025-64761, CVE-2024-9180; contract: policies §10, identity §7.16, tokens §2:
// root enters no list in any case or spacing, and what is like it to a person's eye opens nothing.
// Each door is first gone through with a policy that does exist, so that it is known to be one.
func TestRootEntersByNoDoorCVE20255999CVE202564761CVE20249180(t *testing.T) {
	h := openDoors(t)
	spellings := []string{"root", "ROOT", "Root", " root", "root ", "root\t", "\nroot", "rOOt\r\n", "\u00a0root", "ｒｏｏｔ", "rооt", "root\u200b", "root\x00", "./root", "x/../root", "%72oot"}
	for n, door := range doors(h) {
		t.Run(fmt.Sprintf("%d %s", n, door.name), func(t *testing.T) {
			h := *h
			h.t = t
			got := door.token
			if got == nil {
				got = func(h *house) *answer { return door.write(h, []string{"plain"}) }
			}
			if a := door.write(&h, []string{"plain"}); a.status >= 400 {
				t.Fatalf("the door is shut to everybody: %d %s", a.status, a.body)
			}
			if a := got(&h); !door.asks {
				if a.is(200); !slices.Contains(policiesOf(a), "plain") {
					t.Fatalf("the door leads nowhere: %s", a.body)
				}
			}
			for i, name := range spellings {
				forms := []any{[]string{name}, []string{"plain", name}, name, "plain," + name, []string{"plain," + name}, m{"root": name}}
				if door.token != nil && !strings.HasPrefix(door.name, "auth/token/") {
					forms = forms[i%len(forms):][:1] // a login takes its time: each spelling in one form
				}
				for _, list := range forms {
					a := door.write(&h, list)
					if a.status >= 500 {
						t.Errorf("%q: %d %s", list, a.status, a.body)
					}
					if a.status < 400 && door.token != nil {
						a = door.token(&h)
					}
					notRoot(t, &h, fmt.Sprintf("%q", list), a)
				}
			}
		})
	}
}

// policiesOf are all the policies that an answer says its token has.
func policiesOf(a *answer) []string {
	var all []string
	for _, member := range []string{"policies", "token_policies", "identity_policies"} {
		names, _ := a.at("auth", member).([]any)
		for _, name := range names {
			all = append(all, fmt.Sprint(name))
		}
	}
	return all
}

// notRoot checks that no token came of it, or one that is root neither by name nor by might.
func notRoot(t *testing.T, h *house, list string, a *answer) {
	t.Helper()
	if a.status >= 500 {
		t.Errorf("%s: %d %s", list, a.status, a.body)
	}
	if a.status != 200 {
		return
	}
	for _, name := range policiesOf(a) {
		if strings.EqualFold(strings.TrimSpace(name), "root") {
			t.Errorf("%s: a token with the policies %q", list, policiesOf(a))
		}
	}
	token := a.text("auth", "client_token")
	if got := h.do("GET", "sys/mounts", token, nil); got.status != 403 {
		t.Errorf("%s: the token may read sys/mounts: %d", list, got.status)
	}
	if got := h.do("POST", "auth/token/create", token, m{"policies": []string{"root"}}); got.status < 400 {
		t.Errorf("%s: the token makes root tokens: %d", list, got.status)
	}
}
