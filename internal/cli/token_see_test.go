package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

const seenToken = `{"accessor":"A","display_name":"ci-1","policies":["default","x"],"ttl":3600,"expire_time":"2026-01-02T03:04:05Z","orphan":false,"children":2,"last_used":null,"last_used_ago":null,"path":"auth/token/create"}`

const seenRoot = `{"accessor":"R","display_name":"root","policies":["root"],"ttl":0,"expire_time":null,"orphan":true,"children":1,"last_used":"2026-01-02T03:04:05Z","last_used_ago":200,"path":"auth/token/root"}`

// seenBelow is a token of a tree.
func seenBelow(accessor string, level int) string {
	return strings.Replace(seenToken, `{"accessor":"A"`, fmt.Sprintf(`{"level":%d,"accessor":%q`, level, accessor), 1)
}

func TestTokenList(t *testing.T) {
	f := newFake(t, map[string]answer{"PUT auth/token/search": ok(`{"data":{"tokens":[` + seenToken + `,` + seenRoot + `],"cursor":""}}`)})
	sh := newShell(t, f)
	const want = `Accessor    Display Name    Policies     TTL    Orphan    Children    Last Used    Path
--------    ------------    --------     ---    ------    --------    ---------    ----
A           ci-1            default,x    1h     false     2           never        auth/token/create
R           root            root         ∞      true      1           3m ago       auth/token/root
`
	for _, name := range []string{"list", "search"} {
		sh.run("token", name, "-policy=x", "-orphan=false", "-meta=k=v", "-created-before=1h").want(t, 0, want, "")
		if got := f.last(t).body; got != `{"created_before":"1h","limit":100,"meta":{"k":"v"},"orphan":false,"policy":"x"}` {
			t.Errorf("sent %s", got)
		}
	}
	t.Run("every filter is sent as it was given", func(t *testing.T) {
		for flag, sent := range map[string]string{
			"policy=p": `"policy":"p"`, "role=r": `"role":"r"`, "entity=e": `"entity":"e"`, "path=auth/x": `"path":"auth/x"`,
			"display-name=ci": `"display_name":"ci"`, "meta=k=v": `"meta":{"k":"v"}`, "type=service": `"type":"service"`,
			"orphan": `"orphan":true`, "parent=A": `"parent":"A"`, "created-before=1h": `"created_before":"1h"`,
			"created-after=2h": `"created_after":"2h"`, "expiring-before=3h": `"expiring_before":"3h"`,
			"expiring-after=4h": `"expiring_after":"4h"`, "unused-since=5h": `"unused_since":"5h"`,
			"sort=-last_used": `"sort":"-last_used"`, "limit=7": `"limit":7`, "cursor=c": `"cursor":"c"`,
		} {
			sh.run("token", "list", "-"+flag).wantCode(t, 0)
			if got := f.last(t).body; !strings.Contains(got, sent) {
				t.Errorf("-%s sent %s, want %s in it", flag, got, sent)
			}
		}
	})
	t.Run("what was not given is not sent", func(t *testing.T) {
		sh.run("token", "list").wantCode(t, 0)
		if got := f.last(t).body; got != `{"limit":100}` {
			t.Errorf("sent %s", got)
		}
	})
	t.Run("a value that a script forgot is no filter left out", func(t *testing.T) {
		sh.run("token", "list", "-policy=").want(t, 1, "", "-policy has no value\n")
	})
	t.Run("one field of each", func(t *testing.T) {
		sh.run("token", "list", "-field=accessor").want(t, 0, "A\nR\n", "")
		sh.run("token", "list", "-field=accessor", "-format=json").want(t, 0, "[\n  \"A\",\n  \"R\"\n]\n", "")
		sh.run("token", "list", "-field=id").want(t, 1, "", "Field \"id\" not present in secret\n")
	})
	t.Run("yaml", func(t *testing.T) {
		r := sh.run("token", "list", "-format=yaml")
		if r.wantCode(t, 0); !strings.Contains(r.out, "- accessor: A\n") {
			t.Errorf("%s", r.out)
		}
	})
	t.Run("a page of more", func(t *testing.T) {
		f.answers["PUT auth/token/search"] = ok(`{"data":{"tokens":[` + seenToken + `],"cursor":"c"}}`)
		sh.run("token", "list", "-format=json").wantErr(t, 0, "-cursor=c the next page")
	})
	t.Run("an empty page may lead on", func(t *testing.T) {
		f.answers["PUT auth/token/search"] = ok(`{"data":{"tokens":[],"cursor":"c"}}`)
		sh.run("token", "list").wantErr(t, 0, "-cursor=c the next page")
	})
	t.Run("nothing", func(t *testing.T) {
		f.answers["PUT auth/token/search"] = ok(`{"data":{"tokens":[],"cursor":""}}`)
		sh.run("token", "list").want(t, 2, "", "No tokens found\n")
		sh.run("token", "list", "-format=json").want(t, 2, "[]\n", "No tokens found\n")
	})
}

func TestTokenCountAndTree(t *testing.T) {
	below := seenBelow("B", 1) + `,` + seenBelow("C", 2) + `,` + seenBelow("D", 3) + `,` + seenBelow("E", 2) + `,` + seenBelow("F", 1)
	f := newFake(t, map[string]answer{
		"PUT auth/token/count": ok(`{"data":{"by":"role","counts":{"b":1,"a":2},"total":3}}`),
		"PUT auth/token/tree":  ok(`{"data":{"ancestors":[` + seenToken + `,` + seenRoot + `],"token":` + seenToken + `,"descendants":[` + below + `],"cursor":""}}`),
	})
	sh := newShell(t, f)
	sh.run("token", "count", "-by=role").want(t, 0, "Role    Tokens\n----    ------\na       2\nb       1\n\nTotal: 3\n", "")
	sh.run("token", "count", "-by=role", "-field=total").want(t, 0, "3", "")
	sh.run("token", "tree", "A").want(t, 0, `R  root  root  ∞
└── A  ci-1  default,x  1h
    └── A  ci-1  default,x  1h  <- this one
        ├── B  ci-1  default,x  1h
        │   ├── C  ci-1  default,x  1h
        │   │   └── D  ci-1  default,x  1h
        │   └── E  ci-1  default,x  1h
        └── F  ci-1  default,x  1h
`, "")
	if got := f.last(t).body; got != `{"accessor":"A","depth":0,"limit":100}` {
		t.Errorf("sent %s", got)
	}
	sh.run("token", "tree", "A", "-field=accessor").want(t, 0, "B\nC\nD\nE\nF\n", "")
	f.answers["PUT auth/token/tree"] = ok(`{"data":{"ancestors":[],"token":` + seenToken + `,"descendants":[` + seenBelow("B", 1) + `],"cursor":"c"}}`)
	sh.run("token", "tree", "A").want(t, 0, "A  ci-1  default,x  1h  <- this one\n├── B  ci-1  default,x  1h\n", "There are more: -all shows them, -cursor=c the next page.\n")
}

const seenJob = `{"job_id":"j","state":"cleaning-up","revoked":3,"looked":5,"expected":20,"started":"2026-01-02T03:04:05Z","finished":null,"filter":{"policy":"x","meta":{"k":"v"}}}`

func TestTokenRevokeByFilter(t *testing.T) {
	f := newFake(t, map[string]answer{"PUT auth/token/revoke-matching": ok(`{"data":{"dry_run":true,"matching":7,"tokens":[` + seenToken + `],"job_id":"j"}}`)})
	sh := newShell(t, f)
	t.Run("what means nothing is not sent", func(t *testing.T) {
		for want, args := range map[string][]string{
			"Give filters or a token, not both":                    {"-policy=x", "hvs.abc"},
			"-dry-run and -force need a filter, such as -policy":   {"-force", "hvs.abc"},
			"-policy has no value":                                 {"-policy=", "-role=ci"},
			"Not enough arguments (expected 1 or -self, got 0)":    nil,
			`Give filters or a token, not both `:                   {"-self", "-policy=x"},
			`Give filters or a token, not both  `:                  {"-mode=path", "-policy=x", "auth/token"},
			"-dry-run and -force need a filter, such as -policy  ": {"-dry-run"},
		} {
			sh.run(append([]string{"token", "revoke"}, args...)...).wantErr(t, 1, strings.TrimSpace(want))
		}
		if len(f.seen) != 0 {
			t.Error("a request was sent")
		}
	})
	r := sh.run("token", "revoke", "-dry-run", "-policy=x")
	r.wantCode(t, 0)
	if !strings.HasSuffix(r.out, "The first 1 are shown.\nMatching tokens: 7\n") || f.last(t).body != `{"dry_run":true,"policy":"x"}` {
		t.Errorf("%s%s", r.out, f.last(t).body)
	}
	sh.run("token", "revoke", "-policy=x", "-created-before=1h").want(t, 0, "Success! The tokens are revoked. Job j cleans up after them.\n", "")
	if got := f.last(t).body; got != `{"created_before":"1h","policy":"x"}` {
		t.Errorf("sent %s", got)
	}
	sh.run("token", "revoke", "-policy=x", "-format=json").wantCode(t, 0)
}

func TestTokenJobs(t *testing.T) {
	f := newFake(t, map[string]answer{
		"GET auth/token/jobs":   ok(`{"data":{"jobs":[` + seenJob + `]}}`),
		"GET auth/token/jobs/j": ok(`{"data":` + seenJob + `}`),
	})
	sh := newShell(t, f)
	sh.run("token", "jobs").want(t, 0, `Job    State          Revoked    Looked At    Started                 Finished    Filter
---    -----          -------    ---------    -------                 --------    ------
j      cleaning-up    3          5 of 20      2026-01-02T03:04:05Z    n/a         meta=k=v policy=x
`, "")
	sh.run("token", "jobs", "-field=job_id").want(t, 0, "j\n", "")
	sh.run("token", "jobs", "-field=state", "j").want(t, 0, "cleaning-up", "")
	sh.run("token", "jobs", "nobody").wantErr(t, 2, "No job found with the id nobody")
	f.answers["GET auth/token/jobs"] = ok(`{"data":{"jobs":[]}}`)
	sh.run("token", "jobs").want(t, 2, "", "No jobs found\n")
}

func TestProgress(t *testing.T) {
	num := func(n string) json.Number { return json.Number(n) }
	for want, job := range map[string]map[string]any{
		"[----------------------------------------] 0 revoked, 0 of 20 looked at":   {"revoked": num("0"), "looked": num("0"), "expected": num("20")},
		"[##########------------------------------] 3 revoked, 5 of 20 looked at":   {"revoked": num("3"), "looked": num("5"), "expected": num("20")},
		"[#######################################-] 20 revoked, 20 of 20 looked at": {"revoked": num("20"), "looked": num("20"), "expected": num("20")},
		"[########################################] 2 revoked, 30 of 30 looked at":  {"revoked": num("2"), "looked": num("30"), "expected": num("20"), "state": "done"},
		"[########################################] 0 revoked, 0 of 0 looked at":    {"revoked": num("0"), "looked": num("0"), "expected": num("0"), "state": "done"},
	} {
		if got := progress(job); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestRoughly(t *testing.T) {
	for n, want := range map[int64]string{0: "0s", 1: "1s", 59: "59s", 60: "1m", 200: "3m", 3600: "1h", 3660: "1h1m", 7199: "1h59m",
		86400: "1d", 90000: "1d1h", 2764800: "32d"} {
		if got := roughly(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
