package cli

import (
	"strings"
	"testing"
)

const seenToken = `{"accessor":"A","display_name":"ci-1","policies":["default","x"],"ttl":3600,"expire_time":"2026-01-02T03:04:05Z","orphan":false,"children":2,"last_used":null,"path":"auth/token/create"}`

const seenRoot = `{"accessor":"R","display_name":"root","policies":["root"],"ttl":0,"expire_time":null,"orphan":true,"children":1,"last_used":"2026-01-02T03:04:05Z","path":"auth/token/root"}`

func TestTokenSearch(t *testing.T) {
	f := newFake(t, map[string]answer{"PUT auth/token/search": ok(`{"data":{"tokens":[` + seenToken + `,` + seenRoot + `],"cursor":""}}`)})
	sh := newShell(t, f)
	sh.run("token", "search", "-policy=x", "-orphan=false", "-meta=k=v", "-created-before=1h").want(t, 0, `Accessor    Display Name    Policies     TTL    Orphan    Children    Last Used               Path
--------    ------------    --------     ---    ------    --------    ---------               ----
A           ci-1            default,x    1h     false     2           n/a                     auth/token/create
R           root            root         ∞      true      1           2026-01-02T03:04:05Z    auth/token/root
`, "")
	if got := f.last(t).body; got != `{"created_before":"1h","limit":100,"meta":{"k":"v"},"orphan":false,"policy":"x"}` {
		t.Errorf("sent %s", got)
	}
	t.Run("what was not given is not sent", func(t *testing.T) {
		sh.run("token", "search").wantCode(t, 0)
		if got := f.last(t).body; got != `{"limit":100}` {
			t.Errorf("sent %s", got)
		}
	})
	t.Run("a page of more", func(t *testing.T) {
		f.answers["PUT auth/token/search"] = ok(`{"data":{"tokens":[` + seenToken + `],"cursor":"c"}}`)
		sh.run("token", "search", "-format=json").wantErr(t, 0, "-cursor=c the next page")
	})
	t.Run("an empty page may lead on", func(t *testing.T) {
		f.answers["PUT auth/token/search"] = ok(`{"data":{"tokens":[],"cursor":"c"}}`)
		sh.run("token", "search").wantErr(t, 0, "-cursor=c the next page")
	})
	t.Run("nothing", func(t *testing.T) {
		f.answers["PUT auth/token/search"] = ok(`{"data":{"tokens":[],"cursor":""}}`)
		sh.run("token", "search").want(t, 2, "", "No tokens found\n")
		sh.run("token", "search", "-format=json").want(t, 2, "[]\n", "No tokens found\n")
	})
}

func TestTokenCountAndTree(t *testing.T) {
	f := newFake(t, map[string]answer{
		"PUT auth/token/count": ok(`{"data":{"by":"role","counts":{"b":1,"a":2},"total":3}}`),
		"PUT auth/token/tree":  ok(`{"data":{"ancestors":[` + seenRoot + `],"token":` + seenToken + `,"descendants":[` + strings.Replace(seenToken, `{"accessor":"A"`, `{"level":1,"accessor":"C"`, 1) + `,` + strings.Replace(seenToken, `{"accessor":"A"`, `{"level":2,"accessor":"D"`, 1) + `],"cursor":""}}`),
	})
	sh := newShell(t, f)
	sh.run("token", "count", "-by=role").want(t, 0, "Role    Tokens\n----    ------\na       2\nb       1\n\nTotal: 3\n", "")
	sh.run("token", "tree", "A").want(t, 0, `R  root  root  ∞
  > A  ci-1  default,x  1h
    C  ci-1  default,x  1h
      D  ci-1  default,x  1h
`, "")
	if got := f.last(t).body; got != `{"accessor":"A","depth":0,"limit":1000}` {
		t.Errorf("sent %s", got)
	}
}

func TestTokenRevokeMatching(t *testing.T) {
	f := newFake(t, map[string]answer{"PUT auth/token/revoke-matching": ok(`{"data":{"dry_run":true,"matching":1,"tokens":[` + seenToken + `],"job_id":"j"}}`)})
	sh := newShell(t, f)
	t.Run("without a filter nothing is sent", func(t *testing.T) {
		sh.run("token", "revoke-matching", "-yes").wantErr(t, 1, "Give at least one filter")
		if len(f.seen) != 0 {
			t.Error("a request was sent")
		}
	})
	r := sh.run("token", "revoke-matching", "-dry-run", "-yes", "-policy=x")
	r.wantCode(t, 0)
	if !strings.HasSuffix(r.out, "Matching tokens: 1\n") || f.last(t).body != `{"dry_run":true,"policy":"x"}` {
		t.Errorf("%s%s", r.out, f.last(t).body)
	}
	t.Run("without a terminal and -yes only the rehearsal is sent", func(t *testing.T) {
		before := len(f.seen)
		sh.run("token", "revoke-matching", "-policy=x").wantErr(t, 1, "Give -yes to revoke without being asked")
		for _, r := range f.seen[before:] {
			if !strings.Contains(r.body, `"dry_run":true`) {
				t.Errorf("sent %s", r.body)
			}
		}
	})
	sh.run("token", "revoke-matching", "-policy=x", "-yes").want(t, 0, "Success! The tokens are revoked. Job j cleans up after them.\n", "")
	if got := f.last(t).body; got != `{"policy":"x"}` {
		t.Errorf("sent %s", got)
	}
}
