package contract_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// await asks until ok, for what the server does behind its answers.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick, end := time.NewTicker(10*time.Millisecond), time.NewTimer(time.Minute)
	defer tick.Stop()
	defer end.Stop()
	for !ok() {
		select {
		case <-end.C:
			t.Fatalf("%s: not in time", what)
		case <-tick.C:
		}
	}
}

// listed are the values of one member of the rows of a list.
func (a *answer) listed(list, name string) (values []string) {
	a.t.Helper()
	rows, ok := a.at("data", list).([]any)
	if !ok {
		a.t.Fatalf("%s: no %s in %s", a.what, list, a.body)
	}
	for _, r := range rows {
		values = append(values, fmt.Sprint(r.(m)[name]))
	}
	slices.Sort(values)
	return values
}

func (h *house) accessor(token string) string {
	h.t.Helper()
	return h.lookup(token).text("data", "accessor")
}

// plainDevice writes accessors as they are.
func (h *house) plainDevice() {
	h.t.Helper()
	h.do("PUT", "sys/audit/rec", h.root, m{"type": "recorder", "options": m{"hmac_accessor": "false"}}).empty()
}

// ended are the audit events of tokens that ended, by accessor.
func (h *house) ended() map[string][]m {
	h.t.Helper()
	events := map[string][]m{}
	for _, e := range h.audit.all(h.t) {
		if e["type"] == "event" {
			accessor := asJSON(h.t, member(e, "event", "accessor"))
			events[accessor] = append(events[accessor], e)
		}
	}
	return events
}

func TestSearch(t *testing.T) {
	rows(t, []row{
		{"a row is what lookup shows, without the token, and more", func(t *testing.T, h *house) {
			h.policy("web", `path "auth/token/create" { capabilities = ["update"] }`)
			parent := h.create(h.root, m{"policies": []string{"web"}, "ttl": "1h", "display_name": "ci", "meta": m{"team": "a"}})
			h.create(parent, m{"policies": []string{"web"}})
			looked := h.lookup(parent).at("data").(m)
			a := h.do("POST", "auth/token/search", h.root, m{"policy": "web", "orphan": false, "meta": "team=a"}).is(200)
			found := a.at("data", "tokens").([]any)
			if len(found) != 1 {
				t.Fatalf("%d tokens are found in %s", len(found), a.body)
			}
			row := found[0].(m)
			for name, v := range looked {
				switch name {
				case "id":
					v = ""
				case "renew_after", "ttl":
					continue // a little different each time
				}
				want(t, row, v, name)
			}
			want(t, row, h.accessor(h.root), "parent_accessor")
			want(t, row, 1, "children")
			want(t, row, "192.0.2.1", "last_used_from")
			want(t, row, 2, "use_count") // the child's making and the lookup
			want(t, row, 0, "last_used_ago")
			if strings.Contains(a.body, parent) || strings.Contains(a.body, "hvs.") {
				t.Errorf("a token is shown: %s", a.body)
			}
		}},
		{"GET with parameters, sorted and paged", func(t *testing.T, h *house) {
			for i := range 5 {
				h.wall.advance(time.Second)
				h.create(h.root, m{"policies": []string{"web"}, "display_name": fmt.Sprint("n", i)})
			}
			var names []string
			cursor := ""
			for {
				a := h.do("GET", "auth/token/search?policy=web&sort=-created&limit=2&cursor="+cursor, h.root, nil).is(200)
				for _, r := range a.at("data", "tokens").([]any) {
					names = append(names, r.(m)["display_name"].(string))
				}
				if cursor = a.text("data", "cursor"); cursor == "" {
					break
				}
			}
			if got := strings.Join(names, " "); got != "token-n4 token-n3 token-n2 token-n1 token-n0" {
				t.Errorf("found %s", got)
			}
		}},
		{"count and tree", func(t *testing.T, h *house) {
			parent := h.create(h.root, m{"policies": []string{"root"}, "ttl": "1h"})
			child := h.create(parent, m{"policies": []string{"web"}})
			h.do("GET", "auth/token/count?by=policy", h.root, nil).is(200).
				has(m{"default": 1, "web": 1, "root": 2}, "data", "counts").has(3, "data", "total").has("policy", "data", "by")
			h.do("GET", "auth/token/count?by=type", h.root, nil).is(200).has(m{"service": 3}, "data", "counts")
			tree := h.do("POST", "auth/token/tree", h.root, m{"accessor": h.accessor(parent)}).is(200)
			tree.has(h.accessor(parent), "data", "token", "accessor")
			if up, down := tree.listed("ancestors", "accessor"), tree.listed("descendants", "accessor"); len(up) != 1 || up[0] != h.accessor(h.root) || len(down) != 1 || down[0] != h.accessor(child) {
				t.Errorf("ancestors %v, descendants %v", up, down)
			}
			h.do("GET", "auth/token/tree", child, nil).is(403)
		}},
		{"what is wrong is said", func(t *testing.T, h *house) {
			for path, part := range map[string]string{
				"search?sort=name":               "unknown sort",
				"search?limit=0":                 "limit must be from 1 to 1000",
				"search?limit=1001":              "limit must be from 1 to 1000",
				"search?cursor=AAAA":             "the cursor is not one that this server gave out",
				"search?created_before=tomorrow": "a time must be written as",
				"search?type=web":                "unknown type",
				"count?by=colour":                "unknown count",
				"tree?depth=-1":                  "depth not negative",
			} {
				h.do("GET", "auth/token/"+path, h.root, nil).failsLike(400, part)
			}
			for _, path := range []string{"search?parent=nobody", "tree?accessor=nobody"} {
				a := h.do("GET", "auth/token/"+path, h.root, nil)
				b := h.do("POST", "auth/token/lookup-accessor", h.root, m{"accessor": "nobody"})
				if a.status != b.status || a.body != b.body {
					t.Errorf("%s: %d %s; lookup-accessor: %d %s", path, a.status, a.body, b.status, b.body)
				}
			}
			h.do("POST", "auth/token/revoke-matching", h.root, m{}).failsLike(400, "at least one filter is needed")
			h.do("POST", "auth/token/revoke-matching", h.root, m{"type": "service"}).failsLike(400, "at least one filter is needed")
			h.do("POST", "auth/token/revoke-matching", h.root, m{"type": "batch"}).failsLike(400, "batch tokens are not stored")
			h.do("GET", "auth/token/jobs/nobody", h.root, nil).fails(404)
		}},
		{"all of it needs sudo", func(t *testing.T, h *house) {
			paths := map[string]string{"search": "POST", "count": "POST", "tree": "POST", "revoke-matching": "POST", "jobs": "GET", "jobs/x": "GET"}
			able := h.holder("able", `path "auth/token/*" { capabilities = ["create", "read", "update", "list"] }`)
			trusted := h.holder("trusted", `path "auth/token/*" { capabilities = ["create", "read", "update", "list", "sudo"] }`)
			for path, method := range paths {
				h.do(method, "auth/token/"+path, able, m{"policy": "nobody"}).fails(403, denied)
				if a := h.do(method, "auth/token/"+path, trusted, m{"policy": "nobody"}); a.status == 403 {
					t.Errorf("%s with sudo: %s", path, a.body)
				}
			}
		}},
		{"last use is told apart by address and counted", func(t *testing.T, h *house) {
			token := h.create(h.root, m{"policies": []string{"web"}})
			search := func() m {
				return h.do("POST", "auth/token/search", h.root, m{"policy": "web"}).is(200).at("data", "tokens").([]any)[0].(m)
			}
			row := search()
			want(t, row, nil, "last_used")
			want(t, row, nil, "last_used_ago")
			want(t, row, 0, "use_count")
			h.do("GET", "auth/token/lookup-self", token, nil, from("198.51.100.7:99")).is(200)
			h.wall.advance(90 * time.Second)
			row = search()
			want(t, row, "198.51.100.7", "last_used_from")
			want(t, row, 90, "last_used_ago")
			h.do("POST", "auth/token/search", h.root, m{"policy": "web", "unused_since": "60s"}).is(200)
			if n := len(h.do("POST", "auth/token/search", h.root, m{"policy": "web", "unused_since": "120s"}).listed("tokens", "accessor")); n != 0 {
				t.Errorf("%d tokens unused for two minutes", n)
			}
		}},
	})
}

func TestRevokeMatching(t *testing.T) {
	rows(t, []row{
		{"a dry run says how many, shows some, and revokes nothing", func(t *testing.T, h *house) {
			h.plainDevice()
			token := ""
			for range 25 {
				token = h.create(h.root, m{"policies": []string{"web"}})
			}
			a := h.do("POST", "auth/token/revoke-matching", h.root, m{"policy": "web", "dry_run": true}).is(200).
				has(25, "data", "matching").has(true, "data", "dry_run")
			if n := len(a.listed("tokens", "accessor")); n != 20 {
				t.Errorf("%d tokens are shown, want 20", n)
			}
			h.lookup(token).is(200)
			h.do("GET", "auth/token/jobs", h.root, nil).is(200).has([]any{}, "data", "jobs")
		}},
		{"dead when it answers, and a job behind", func(t *testing.T, h *house) {
			h.plainDevice()
			parent := h.create(h.root, m{"policies": []string{"root"}, "ttl": "1h", "meta": m{"leaked": "yes"}})
			child, other := h.create(parent, m{"policies": []string{"web"}}), h.create(h.root, m{"policies": []string{"web"}})
			doomed, below := h.accessor(parent), h.accessor(child)
			h.wall.advance(time.Second)
			a := h.do("POST", "auth/token/revoke-matching", h.root, m{"meta": m{"leaked": "yes"}}).is(200).
				has(m{"meta": m{"leaked": "yes"}}, "data", "filter").has(h.accessor(h.root), "data", "started_by")
			for _, dead := range []string{parent, child} {
				h.lookup(dead).fails(403, badToken)
			}
			h.lookup(other).is(200)
			job := a.text("data", "job_id")
			await(t, "the job", func() bool {
				return h.do("GET", "auth/token/jobs/"+job, h.root, nil).is(200).text("data", "state") == "done"
			})
			h.do("GET", "auth/token/jobs/"+job, h.root, nil).has(1, "data", "revoked")
			h.do("LIST", "auth/token/jobs", h.root, nil).is(200).has([]string{job}, "data", "keys")
			await(t, "the events", func() bool { return len(h.ended()) >= 2 })
			events := h.ended()
			for accessor, wanted := range map[string]m{
				doomed: {"cause": "job", "caused_by": h.accessor(h.root), "job": job},
				below:  {"cause": "cascade", "caused_by": doomed},
			} {
				of := events[asJSON(t, accessor)]
				if len(of) != 1 {
					t.Fatalf("%d events of one token in %v", len(of), events)
				}
				for name, v := range wanted {
					want(t, of[0], v, "event", name)
				}
			}
		}},
		{"expiry is told with its cause", func(t *testing.T, h *house) {
			h.plainDevice()
			short := h.accessor(h.create(h.root, m{"policies": []string{"web"}, "ttl": "1m"}))
			h.wall.advance(2 * time.Minute)
			await(t, "the event", func() bool { return len(h.ended()[asJSON(t, short)]) == 1 })
			want(t, h.ended()[asJSON(t, short)][0], "expired", "event", "cause")
		}},
		{"the caller is spared", func(t *testing.T, h *house) {
			me := h.holder("me", `path "auth/token/*" { capabilities = ["update", "sudo", "read"] }`)
			twin := h.create(h.root, m{"policies": []string{"me"}, "no_parent": true})
			h.do("POST", "auth/token/revoke-matching", me, m{"policy": "me"}).is(200)
			h.lookup(me).is(200)
			h.lookup(twin).is(403)
		}},
	})
}

// The arithmetic of a renewal is in the answers, so that no client has to guess it.
func TestRenewalPlan(t *testing.T) {
	rows(t, []row{
		{"the same on create, lookup and renew", func(t *testing.T, h *house) {
			made := h.do("POST", "auth/token/create", h.root, m{"policies": []string{"web"}, "ttl": "1h", "explicit_max_ttl": "5h"}).is(200)
			token := made.text("auth", "client_token")
			renewed := h.do("POST", "auth/token/renew-self", token, m{}).is(200)
			for member, a := range map[string]*answer{"auth": made, "data": h.lookup(token)} {
				a.has("2026-03-01T17:00:00Z", member, "renewable_until").has("token", member, "limited_by")
			}
			renewed.has("2026-03-01T17:00:00Z", "auth", "renewable_until").has("token", "auth", "limited_by")
			after, err := time.Parse(time.RFC3339, renewed.text("auth", "renew_after"))
			if err != nil || after.Before(h.wall.now().Add(37*time.Minute)) || after.After(h.wall.now().Add(43*time.Minute)) {
				t.Errorf("renew after %s, %v", after, err)
			}
		}},
		{"a token without end, and one that cannot be renewed", func(t *testing.T, h *house) {
			h.lookup(h.root).has(nil, "data", "renewable_until").has(nil, "data", "limited_by").has(nil, "data", "renew_after")
			fixed := h.create(h.root, m{"policies": []string{"web"}, "ttl": "1h", "renewable": false})
			h.lookup(fixed).has("2026-03-01T13:00:00Z", "data", "renewable_until").has("token", "data", "limited_by").has(nil, "data", "renew_after")
		}},
	})
}
