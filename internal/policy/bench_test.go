package policy

import (
	"fmt"
	"strings"
	"testing"
)

// manyRules is a policy of n rules of all kinds.
func manyRules(n int) string {
	var b strings.Builder
	for i := range n {
		switch i % 4 {
		case 0:
			fmt.Fprintf(&b, "path \"secret/data/team-%d/app\" { capabilities = [\"read\", \"update\"] }\n", i)
		case 1:
			fmt.Fprintf(&b, "path \"secret/data/team-%d/*\" { capabilities = [\"read\"] }\n", i)
		case 2:
			fmt.Fprintf(&b, "path \"secret/+/team-%d/*\" { capabilities = [\"list\"] }\n", i)
		case 3:
			fmt.Fprintf(&b, "path \"kv-%d/+/config\" { capabilities = [\"read\"] }\n", i)
		}
	}
	return b.String()
}

func BenchmarkCheck(b *testing.B) {
	for _, n := range []int{10, 1_000, 10_000} {
		p := mustParse(b, "p", manyRules(n))
		acl := Compile([]*Policy{p}, nil)
		last := n - n%4 - 4
		for _, tt := range []struct {
			kind string
			cap  Capability
			path string
		}{
			{"exact", Read, fmt.Sprintf("secret/data/team-%d/app", last)},
			{"prefix", Read, fmt.Sprintf("secret/data/team-%d/app/config", last+1)},
			{"plus", Read, fmt.Sprintf("kv-%d/app/config", last+3)},
			{"list", List, fmt.Sprintf("secret/metadata/team-%d/app/", last+2)},
			{"none", Read, "database/creds/readonly"},
		} {
			b.Run(fmt.Sprintf("%s/%d", tt.kind, n), func(b *testing.B) {
				req := Request{Capability: tt.cap, Path: tt.path}
				if got := acl.Check(req).Allowed; got != (tt.kind != "none") {
					b.Fatalf("%s %s: allowed = %v", tt.cap, tt.path, got)
				}
				b.ReportAllocs()
				for b.Loop() {
					acl.Check(req)
				}
			})
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{10, 1_000, 10_000} {
		p := mustParse(b, "p", manyRules(n))
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Compile([]*Policy{p}, nil)
			}
		})
	}
}

// BenchmarkTouches asks about a mount that nothing is granted on: the dearest answer.
func BenchmarkTouches(b *testing.B) {
	acl := Compile([]*Policy{mustParse(b, "p", manyRules(10_000))}, nil)
	if acl.Touches("database/") {
		b.Fatal("granted")
	}
	for b.Loop() {
		acl.Touches("database/")
	}
}

func BenchmarkSubject(b *testing.B) {
	set := Prepare([]*Policy{mustParse(b, "default", DefaultText), mustParse(b, "p", manyRules(10_000))})
	b.ReportAllocs()
	for b.Loop() {
		set.For(ada)
	}
}

// TestCheckAllocatesNothingCVE20235954 holds the promise of Check.
func TestCheckAllocatesNothingCVE20235954(t *testing.T) {
	set := Prepare([]*Policy{mustParse(t, "default", DefaultText), mustParse(t, "p", manyRules(100)), mustParse(t, "q", manyRules(50))})
	for name, acl := range map[string]*ACL{"no entity": set.For(nil), "entity": set.For(ada), "root": Root()} {
		for _, req := range []Request{
			{Capability: Read, Path: "secret/data/team-4/app"},
			{Capability: Read, Path: "secret/data/team-5/x/y"},
			{Capability: List, Path: "secret/metadata/team-6/x/"},
			{Capability: Update, Path: "nowhere/at/all"},
			{Capability: Read, Path: "identity/entity/id/e-1"},
		} {
			if n := testing.AllocsPerRun(100, func() { acl.Check(req) }); n != 0 {
				t.Errorf("%s, %s %s: %v allocations", name, req.Capability, req.Path, n)
			}
		}
	}
}
