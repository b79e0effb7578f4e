package acl

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"jeton/internal/backend"
	"jeton/internal/policy"
	"jeton/internal/record"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

const readSecret = `path "secret/*" { capabilities = ["read"] }`

// counted counts the reads of a store and fails them on demand.
type counted struct {
	store.Store
	views  atomic.Int64
	broken atomic.Bool
}

var errBroken = errors.New("disk away")

func (c *counted) View(ctx context.Context, fn func(store.Reader) error) error {
	c.views.Add(1)
	if c.broken.Load() {
		return errBroken
	}
	return c.Store.View(ctx, fn)
}

func (c *counted) Update(ctx context.Context, fn func(store.Tx) error) error {
	if c.broken.Load() {
		return errBroken
	}
	return c.Store.Update(ctx, fn)
}

// open returns policies over an empty store, and their area of it.
func open(t testing.TB) (*Store, *counted) {
	t.Helper()
	whole, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	area := &counted{Store: store.NewArea(whole, []byte("policy/"))}
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

func put(t testing.TB, s *Store, name, text string) {
	t.Helper()
	if _, _, err := s.Put(t.Context(), name, text); err != nil {
		t.Fatalf("put %s: %v", name, err)
	}
}

func aclFor(t testing.TB, s *Store, subject *policy.Subject, names ...string) *policy.ACL {
	t.Helper()
	acl, err := s.For(t.Context(), names, false, subject)
	if err != nil {
		t.Fatal(err)
	}
	return acl
}

// may says whether a token with these policies may read path.
func may(t testing.TB, s *Store, path string, names ...string) bool {
	t.Helper()
	return aclFor(t, s, nil, names...).Check(policy.Request{Capability: policy.Read, Path: path}).Allowed
}

// contract: policies §10, §13.20: an edit holds on the next request, a deletion too, and
// writing the policy again grants again.
func TestEditIsEffectiveAtOnce(t *testing.T) {
	s, _ := open(t)
	put(t, s, "other", `path "other" { capabilities = ["read"] }`)
	if may(t, s, "secret/a", "dev", "other") {
		t.Fatal("a name without a policy grants")
	}
	steps := []struct {
		text string
		want bool
	}{
		{readSecret, true},
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
		if got := may(t, s, "secret/a", "dev", "other"); got != step.want {
			t.Errorf("after %q: read allowed = %v", step.text, got)
		}
		if !may(t, s, "other", "dev", "other") {
			t.Errorf("after %q: the other policy is gone", step.text)
		}
	}
}

// A range deleted below (a restore, say) is a change like any other.
func TestRangeDeletedIsNoticed(t *testing.T) {
	s, area := open(t)
	put(t, s, "dev", readSecret)
	if !may(t, s, "secret/a", "dev") {
		t.Fatal("not granted")
	}
	err := area.Update(t.Context(), func(tx store.Tx) error {
		all := store.PrefixRange(policyPrefix)
		return tx.DeleteRange(all.From, all.To)
	})
	if err != nil {
		t.Fatal(err)
	}
	if may(t, s, "secret/a", "dev") {
		t.Error("still granted")
	}
}

// contract: policies §9, §10, §13.19
func TestRefusals(t *testing.T) {
	s, _ := open(t)
	put(t, s, "default", policy.DefaultText)
	write := func(name, text string) func() error {
		return func() error { _, _, err := s.Put(t.Context(), name, text); return err }
	}
	remove := func(name string) func() error { return func() error { return s.Delete(t.Context(), name) } }
	tests := []struct {
		name string
		do   func() error
		want string
	}{
		{"write root", write("root", readSecret), `cannot update "root" policy`},
		{"write ROOT", write(" ROOT ", readSecret), `cannot update "root" policy`},
		{"write response-wrapping", write("Response-Wrapping", readSecret), `cannot update "response-wrapping" policy`},
		{"delete root", remove("root"), `cannot delete "root" policy`},
		{"delete response-wrapping", remove("response-wrapping"), `cannot delete "response-wrapping" policy`},
		{"delete default", remove("default"), "cannot delete default policy"},
		{"delete Default", remove("Default"), "cannot delete default policy"},
		{"no text", write("dev", ""), "'policy' parameter not supplied or empty"},
		{"no policy", write("dev", "x"), "failed to parse policy: "},
		{"unknown capability", write("dev", `path "x" { capabilities = ["y"] }`), `failed to parse policy: path "x": invalid capability "y"`},
		{"a name with dots", write("root/../root", readSecret), "invalid policy name: "},
		{"no name", write(" ", readSecret), "invalid policy name: "},
		{"delete a bad name", remove("./root"), "invalid policy name: "},
	}
	for _, tt := range tests {
		err := tt.do()
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || backend.KindOf(err) != backend.Invalid {
			t.Errorf("%s: %v (kind %v), want %q", tt.name, err, backend.KindOf(err), tt.want)
		}
	}
	if names, err := s.List(t.Context()); err != nil || !slices.Equal(names, []string{"default", "root"}) {
		t.Errorf("something was written: %v, %v", names, err)
	}
}

// contract: policies §1.7, §1.8, §10, §13.18: names become canonical with a warning, texts
// stay as they are.
func TestPutAndGet(t *testing.T) {
	s, _ := open(t)
	text := "# words\n" + readSecret + "\n\n"
	tests := []struct {
		name, text      string
		canonical, read string
		warnings        []string
	}{
		{"dev", text, "dev", text, nil},
		{"DEV", text, "dev", text, []string{"policy name was converted to dev"}},
		{"team/web", text, "team/web", text, nil},
		{"b64", base64.StdEncoding.EncodeToString([]byte(text)), "b64", text, nil},
		{"json", `{"path":{}}`, "json", `{"path":{}}`, nil},
		{"empty", "# nothing", "empty", "# nothing", nil},
		{"mfa", `path "x" { mfa_methods = ["m"] }`, "mfa", `path "x" { mfa_methods = ["m"] }`,
			[]string{`path "x": mfa_methods is accepted but not enforced`}},
	}
	for _, tt := range tests {
		name, warnings, err := s.Put(t.Context(), tt.name, tt.text)
		if err != nil || name != tt.canonical || !slices.Equal(warnings, tt.warnings) {
			t.Errorf("put %s: %q %q %v", tt.name, name, warnings, err)
		}
		got, err := s.Get(t.Context(), tt.name)
		if err != nil || got != (Entry{Name: tt.canonical, Text: tt.read}) {
			t.Errorf("get %s: %+v %v", tt.name, got, err)
		}
	}
	for _, name := range []string{"none", "", "a/../b", "\x00"} {
		if _, err := s.Get(t.Context(), name); backend.KindOf(err) != backend.NotFound {
			t.Errorf("get %q: %v", name, err)
		}
	}
}

// contract: policies §9
func TestBuiltins(t *testing.T) {
	s, area := open(t)
	if got, err := s.Get(t.Context(), "root"); err != nil || got != (Entry{Name: "root"}) {
		t.Errorf("root: %+v %v", got, err)
	}
	if got, err := s.Get(t.Context(), "response-wrapping"); err != nil || got.Text != policy.WrappingText {
		t.Errorf("response-wrapping: %+v %v", got, err)
	}
	if err := s.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), "default"); err != nil || got.Text != policy.DefaultText {
		t.Errorf("default: %+v %v", got, err)
	}
	put(t, s, "default", "# mine")
	if err := s.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), "default"); err != nil || got.Text != "# mine" {
		t.Errorf("default was overwritten: %+v %v", got, err)
	}
	area.broken.Store(true)
	if err := s.Init(t.Context()); !errors.Is(err, errBroken) {
		t.Errorf("init on a broken store: %v", err)
	}
}

// contract: policies §10, §13.23: sorted, root last, response-wrapping hidden.
func TestList(t *testing.T) {
	s, _ := open(t)
	for _, name := range []string{"web", "default", "zz", "app"} {
		put(t, s, name, readSecret)
	}
	if names, err := s.List(t.Context()); err != nil || !slices.Equal(names, []string{"app", "default", "web", "zz", "root"}) {
		t.Errorf("list: %v %v", names, err)
	}
}

// Deleting what is not there is no error (contract: policies §10).
func TestDeleteIsIdempotent(t *testing.T) {
	s, _ := open(t)
	put(t, s, "dev", readSecret)
	for range 2 {
		if err := s.Delete(t.Context(), "DEV"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Get(t.Context(), "dev"); backend.KindOf(err) != backend.NotFound {
		t.Errorf("still there: %v", err)
	}
}

func TestExists(t *testing.T) {
	s, _ := open(t)
	put(t, s, "dev", readSecret)
	for name, want := range map[string]bool{
		"dev": true, "root": true, "response-wrapping": true, "none": false, "DEV": false, "../dev": false, "": false,
	} {
		if got, err := s.Exists(t.Context(), name); err != nil || got != want {
			t.Errorf("%q: %v %v", name, got, err)
		}
	}
}

// CVE-2025-5999, CVE-2025-64761, CVE-2026-105820: the name root in a list, or a name that
// only resembles one, grants nothing, even where old data has a policy under that very key.
func TestNamesThatGrantNothingCVE2026105820CVE2026115365(t *testing.T) {
	s, area := open(t)
	put(t, s, "dev", readSecret)
	names := []string{"root", "ROOT", " root", "root\t", "./root", "root/../root", "../dev", "dev/../dev", "DEV", " dev", "dev\x00", "%72oot", "", "ｒｏｏｔ"}
	err := area.Update(t.Context(), func(tx store.Tx) error {
		for _, name := range names {
			if err := record.Put(tx, policyKey(name), &stored{Text: `path "*" { capabilities = ["read", "sudo"] }`}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		acl := aclFor(t, s, nil, name)
		if got := acl.Check(policy.Request{Capability: policy.Read, Path: "secret/a"}); got.Allowed || acl.IsRoot() {
			t.Errorf("%q grants %+v", name, got)
		}
	}
	if acl := aclFor(t, s, nil, append(names, "dev")...); acl.IsRoot() || acl.Check(policy.Request{Capability: policy.Read, Path: "x"}).Allowed {
		t.Error("together they grant")
	}
	if !may(t, s, "secret/a", "root", "dev") {
		t.Error("the good name beside them grants nothing")
	}
}

func TestRootIsAFlag(t *testing.T) {
	s, area := open(t)
	area.broken.Store(true) // a root token needs no policy to be read
	acl, err := s.For(t.Context(), []string{"root", "dev"}, true, nil)
	if err != nil || !acl.IsRoot() {
		t.Errorf("root: %v %v", acl, err)
	}
}

func TestWrappingTokens(t *testing.T) {
	s, _ := open(t)
	acl := aclFor(t, s, nil, "response-wrapping")
	if got := strings.Join(acl.Capabilities("sys/wrapping/unwrap"), ","); got != "update" {
		t.Errorf("unwrap: %s", got)
	}
	if got := strings.Join(acl.Capabilities("sys/wrapping/rewrap"), ","); got != "deny" {
		t.Errorf("rewrap: %s", got)
	}
}

// Two lists of names never share an ACL because their names run together.
func TestListsAreNotConfused(t *testing.T) {
	s, _ := open(t)
	put(t, s, "a,b", `path "both" { capabilities = ["read"] }`)
	put(t, s, "a", `path "a" { capabilities = ["read"] }`)
	put(t, s, "b", `path "b" { capabilities = ["read"] }`)
	for range 2 {
		for path, names := range map[string][]string{"both": {"a,b"}, "a": {"a", "b"}} {
			if !may(t, s, path, names...) {
				t.Errorf("%v grants nothing on %s", names, path)
			}
		}
		if may(t, s, "both", "a", "b") || may(t, s, "a", "a,b") || may(t, s, "a") {
			t.Error("lists are confused")
		}
	}
}

// Subjects get their own rules, from one compilation of the rest.
func TestSubjects(t *testing.T) {
	s, _ := open(t)
	put(t, s, "own", `path "kv/{{identity.entity.name}}/*" { capabilities = ["read"] }`)
	read := func(subject *policy.Subject, path string) bool {
		return aclFor(t, s, subject, "own").Check(policy.Request{Capability: policy.Read, Path: path}).Allowed
	}
	ada, bob := &policy.Subject{ID: "1", Name: "ada"}, &policy.Subject{ID: "2", Name: "bob"}
	for range 2 {
		if !read(ada, "kv/ada/x") || !read(bob, "kv/bob/x") || read(ada, "kv/bob/x") || read(nil, "kv/ada/x") {
			t.Fatal("subjects are confused")
		}
	}
	if aclFor(t, s, ada, "own") != aclFor(t, s, &policy.Subject{ID: "1", Name: "ada"}, "own") {
		t.Error("an equal subject is compiled anew")
	}
	renamed := &policy.Subject{ID: "1", Name: "eve"}
	if read(renamed, "kv/ada/x") || !read(renamed, "kv/eve/x") {
		t.Error("a renamed entity keeps its old rules")
	}
	put(t, s, "own", `path "kv/{{identity.entity.id}}/*" { capabilities = ["read"] }`)
	if read(ada, "kv/ada/x") || !read(ada, "kv/1/x") {
		t.Error("an edit is not seen by a subject known before")
	}
}

// When nothing changed, For reads no storage and allocates nothing.
func TestForReadsNothingTwice(t *testing.T) {
	s, area := open(t)
	put(t, s, "dev", readSecret)
	names := []string{"default", "dev", "gone"}
	aclFor(t, s, nil, names...)
	before := area.views.Load()
	for range 10 {
		aclFor(t, s, nil, names...)
	}
	if got := area.views.Load() - before; got != 0 {
		t.Errorf("%d reads", got)
	}
	n := testing.AllocsPerRun(100, func() {
		if _, err := s.For(t.Context(), names, false, nil); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A failing store and an unreadable policy are errors, never an ACL with rules left out.
func TestForFailsClosed(t *testing.T) {
	s, area := open(t)
	put(t, s, "dev", readSecret)
	area.broken.Store(true)
	if acl, err := s.For(t.Context(), []string{"dev"}, false, nil); !errors.Is(err, errBroken) || acl != nil {
		t.Errorf("broken store: %v %v", acl, err)
	}
	area.broken.Store(false)
	write := func(value []byte) {
		if err := area.Update(t.Context(), func(tx store.Tx) error { return tx.Put(policyKey("dev"), value) }); err != nil {
			t.Fatal(err)
		}
	}
	bad, err := record.Encode(&stored{Text: `path "x" { capabilities = ["nonsense"] }`})
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string][]byte{"no record": {0xff}, "no policy": bad} {
		write(value)
		if acl, err := s.For(t.Context(), []string{"dev"}, false, nil); err == nil || acl != nil || backend.KindOf(err) != backend.Internal {
			t.Errorf("%s: %v %v", name, acl, err)
		}
	}
	put(t, s, "dev", readSecret)
	if !may(t, s, "secret/a", "dev") {
		t.Error("writing the policy again does not mend it")
	}
}

// The caches stay within their bounds, and what they drop comes back right.
func TestCacheIsBounded(t *testing.T) {
	s, _ := open(t)
	var text strings.Builder
	for i := range 2_000 {
		fmt.Fprintf(&text, "path \"kv/%d/x\" { capabilities = [\"read\"] }\n", i)
	}
	put(t, s, "big", text.String())
	put(t, s, "own", `path "own/{{identity.entity.id}}" { capabilities = ["read"] }`)
	for i := range 250 {
		if !may(t, s, "kv/7/x", "big", fmt.Sprintf("none-%d", i)) {
			t.Fatal("not granted")
		}
	}
	for i := range maxRules/2 + 10 {
		id := fmt.Sprint(i)
		acl := aclFor(t, s, &policy.Subject{ID: id}, "own")
		if i%1000 == 0 && !acl.Check(policy.Request{Capability: policy.Read, Path: "own/" + id}).Allowed {
			t.Fatal("not granted")
		}
	}
	shared, own := 0, 0
	for _, set := range s.cache.sets {
		shared += set.shared
	}
	for key := range s.cache.own {
		own += key.set.own
	}
	if shared != s.cache.sharedRules || own != s.cache.ownRules || shared > maxRules || own > maxRules || shared == 0 || own == 0 {
		t.Errorf("shared %d (counted %d), own %d (counted %d)", shared, s.cache.sharedRules, own, s.cache.ownRules)
	}
}

func BenchmarkFor(b *testing.B) {
	s, _ := open(b)
	if err := s.Init(b.Context()); err != nil {
		b.Fatal(err)
	}
	put(b, s, "dev", readSecret)
	names := []string{"default", "dev"}
	for name, subject := range map[string]*policy.Subject{"no entity": nil, "entity": {ID: "1", Name: "ada"}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.For(b.Context(), names, false, subject); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
