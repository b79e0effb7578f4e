package contract_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// crowd are tokens of which each filter selects some: their display names are the answer.
func crowd(h *house) (parent, entity string) {
	h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
	h.do("POST", "auth/userpass/users/ann", h.root, m{"password": "p", "token_policies": "people"}).empty()
	h.do("POST", "auth/token/roles/ci", h.root, m{"allowed_policies": "web"}).empty()
	h.policy("web", `path "auth/token/create" { capabilities = ["update"] }`)
	// An hour passes before the second half is made.
	top := h.create(h.root, m{"policies": []string{"web"}, "ttl": "20h", "display_name": "top"})
	h.create(top, m{"ttl": "3h", "display_name": "below", "meta": m{"team": "a"}})
	h.wall.advance(time.Hour)
	h.create(h.root, m{"policies": []string{"db"}, "ttl": "30m", "display_name": "soon", "no_parent": true})
	h.do("POST", "auth/token/create/ci", h.root, m{"ttl": "40h", "display_name": "made-by-role"}).is(200)
	login := h.do("POST", "auth/userpass/login/ann", "", m{"password": "p"}).is(200)
	return h.accessor(top), login.text("auth", "entity_id")
}

// Finding tokens, every filter: search, the dry run of revoke-matching and the parameters of a
// GET select the same.
func TestSearchFilters(t *testing.T) {
	h := open(t)
	parent, entity := crowd(h)
	all := "token-below token-made-by-role token-soon token-top userpass-ann"
	cutoff := h.wall.now().Add(-30 * time.Minute).Format(time.RFC3339)
	for _, row := range []struct {
		filter, value, found string
	}{
		{"policy", "web", "token-below token-made-by-role token-top"},
		{"policy", "WEB", "token-below token-made-by-role token-top"},
		{"policy", "nobody", ""},
		{"role", "ci", "token-made-by-role"},
		{"role", "c", ""},
		{"entity", entity, "userpass-ann"},
		{"path", "auth/userpass/login/ann", "userpass-ann"},
		{"path", "auth/userpass/", "userpass-ann"},
		{"path", "auth/token/create", "token-below token-soon token-top"},
		{"display_name", "token-s", "token-soon"},
		{"display_name", "userpass", "userpass-ann"},
		{"meta", "team=a", "token-below"},
		{"meta", "team=b", ""},
		{"orphan", "true", "token-soon userpass-ann"},
		{"orphan", "false", "token-below token-made-by-role token-top"},
		{"parent", parent, "token-below"},
		{"type", "service", all},
		{"type", "batch", ""},
		{"created_before", "30m", "token-below token-top"},
		{"created_before", cutoff, "token-below token-top"},
		{"created_after", "30m", "token-made-by-role token-soon userpass-ann"},
		{"expiring_before", "1h", "token-soon"},
		{"expiring_before", "10h", "token-below token-soon"},
		{"expiring_after", "30h", "token-made-by-role userpass-ann"},
		{"unused_since", "30m", "token-below"},
	} {
		t.Run(row.filter+"="+row.value, func(t *testing.T) {
			h := *h
			h.t = t
			names := func(a *answer) string {
				var own []string
				for _, name := range a.listed("tokens", "display_name") {
					if name != "root" && name != "token" {
						own = append(own, name)
					}
				}
				return strings.Join(own, " ")
			}
			posted := h.do("POST", "auth/token/search", h.root, m{row.filter: row.value}).is(200)
			got := h.do("GET", "auth/token/search?"+row.filter+"="+strings.ReplaceAll(row.value, "+", "%2B"), h.root, nil).is(200)
			if names(posted) != row.found || names(got) != row.found {
				t.Errorf("POST finds %q, GET %q, want %q", names(posted), names(got), row.found)
			}
			if row.filter == "type" {
				return // on its own it selects too much to revoke
			}
			dry := h.do("POST", "auth/token/revoke-matching", h.root, m{row.filter: row.value, "dry_run": true}).is(200)
			if names(dry) != row.found {
				t.Errorf("a dry run shows %q, want %q", names(dry), row.found)
			}
		})
	}
	both := h.do("POST", "auth/token/search", h.root, m{"policy": "web", "created_before": "30m", "orphan": false, "meta": "team=a"}).is(200)
	if got := fmt.Sprint(both.listed("tokens", "display_name")); got != "[token-below]" {
		t.Errorf("all filters together find %s", got)
	}
}

// Counting by everything that can be counted by.
func TestCounts(t *testing.T) {
	h := open(t)
	_, entity := crowd(h)
	for by, wanted := range map[string]m{
		"policy": {"default": 5, "web": 3, "db": 1, "people": 1, "root": 1},
		"role":   {"ci": 1},
		"entity": {entity: 1},
		"type":   {"service": 6},
		"path":   {"auth/token/root": 1, "auth/token/create": 3, "auth/token/create/ci": 1, "auth/userpass/login/ann": 1},
	} {
		h.do("GET", "auth/token/count?by="+by, h.root, nil).is(200).has(wanted, "data", "counts").has(6, "data", "total")
	}
}

// Until when a token can be renewed, and by what that is limited; what cannot be honoured is
// said when it is made.
func TestWhatLimitsATokenIsSaid(t *testing.T) {
	h := open(t)
	h.policy("web", `path "auth/token/create" { capabilities = ["update"] }`)
	h.do("POST", "auth/token/roles/short", h.root, m{"allowed_policies": "web", "token_explicit_max_ttl": "2h"}).empty()
	h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
	h.do("POST", "sys/auth/userpass/tune", h.root, m{"max_lease_ttl": "4h"}).empty()
	h.do("POST", "auth/userpass/users/ann", h.root, m{"password": "p"}).empty()
	made := func(path string, body m) *answer { return h.do("POST", path, h.root, body).is(200) }
	plan := func(a *answer, by any, until any) {
		a.has(by, "auth", "limited_by").has(until, "auth", "renewable_until")
	}

	plan(made("auth/token/create", m{"policies": "web", "ttl": "1h"}), "system", "2026-04-02T12:00:00Z")
	plan(made("auth/token/create", m{"policies": "web", "ttl": "1h", "explicit_max_ttl": "3h"}), "token", "2026-03-01T15:00:00Z")
	plan(made("auth/token/create/short", m{"ttl": "1h"}), "role", "2026-03-01T14:00:00Z")
	plan(made("auth/userpass/login/ann", m{"password": "p"}), "mount", "2026-03-01T16:00:00Z")
	plan(made("auth/token/create", m{"policies": "web", "period": "1h"}), nil, nil)

	parent := h.create(h.root, m{"policies": "web", "ttl": "30m"})
	child := h.do("POST", "auth/token/create", parent, m{"ttl": "5h"}).is(200)
	plan(child, "parent", "2026-03-01T12:30:00Z")
	if !strings.Contains(asJSON(t, child.at("warnings")), "The parent token ends at 2026-03-01T12:30:00Z") {
		t.Errorf("no warning that the parent will cut the token short: %s", child.body)
	}
	for _, body := range []m{{"policies": "web", "ttl": "1000h"}, {"policies": "web", "period": "1000h"}} {
		if a := made("auth/token/create", body); !strings.Contains(asJSON(t, a.at("warnings")), "768h") {
			t.Errorf("no warning that %v cannot be honoured: %s", body, a.body)
		}
	}
}

// What the server ends by itself is told with its cause, uses that are spent among it.
func TestSpentUsesAreTold(t *testing.T) {
	h := open(t)
	h.plainDevice()
	token := h.create(h.root, m{"policies": []string{"default"}, "ttl": "1h", "num_uses": 2})
	accessor := h.accessor(token) // the first use
	h.lookup(token).is(200)
	h.lookup(token).fails(403, badToken)
	key := asJSON(t, accessor)
	await(t, "the event", func() bool { return len(h.ended()[key]) > 0 })
	if told := h.ended()[key]; len(told) != 1 {
		t.Fatalf("told %d times: %v", len(told), told)
	}
	want(t, h.ended()[key][0], "uses-spent", "event", "cause")
	want(t, h.ended()[key][0], "token.ended", "event", "name")
}

// Last use is written down within a minute, and when the server is sealed.
func TestLastUseIsWrittenDown(t *testing.T) {
	h := open(t)
	early := h.create(h.root, m{"policies": []string{"web"}, "display_name": "early"})
	h.wall.advance(time.Second)
	h.create(h.root, m{"policies": []string{"web"}, "display_name": "late"})
	latest := func() m {
		rows := h.do("POST", "auth/token/search", h.root, m{"policy": "web", "sort": "-last_used"}).is(200).at("data", "tokens").([]any)
		return rows[0].(m)
	}
	want(t, latest(), "token-late", "display_name") // unused tokens stand at their creation
	h.wall.advance(time.Second)
	h.do("GET", "auth/token/lookup-self", early, nil, from("198.51.100.7:99")).is(200)
	h.wall.advance(time.Minute)
	await(t, "the order by last use", func() bool { return latest()["display_name"] == "token-early" })
	h.do("GET", "auth/token/lookup-self", early, nil, from("198.51.100.8:99")).is(200)
	h.do("PUT", "sys/seal", h.root, nil).empty()
	h.reopen()
	row := latest()
	want(t, row, "token-early", "display_name")
	want(t, row, 2, "use_count")
	want(t, row, "198.51.100.8", "last_used_from")
}
