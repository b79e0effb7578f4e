package transfer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	lost := []Row{{Unreadable, "version of a secret", "kv/a version 2", "it is deleted", ""}}
	j, err := openJournal(path, "a -> b", false)
	if err != nil {
		t.Fatal(err)
	}
	for name, rows := range map[string][]Row{"kv/a": lost, "kv/odd \n\"name": nil} {
		if err := j.add(name, rows); err != nil {
			t.Fatal(err)
		}
	}
	j.close() // as a run that is killed leaves it
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}

	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Cut anywhere, the file gives what whole lines there are, and can be gone on with.
	for cut := range len(whole) + 1 {
		if err := os.WriteFile(path, whole[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		j, err := openJournal(path, "a -> b", false)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		lines := max(strings.Count(string(whole[:cut]), "\n")-1, 0)
		if len(j.done) != lines {
			t.Fatalf("cut at %d: %d entries, want %d", cut, len(j.done), lines)
		}
		if err := j.add("kv/after", nil); err != nil {
			t.Fatal(err)
		}
		j.close()
		again, err := openJournal(path, "a -> b", true)
		if err != nil {
			t.Fatalf("cut at %d, gone on with: %v", cut, err)
		}
		if _, done := again.has("kv/after"); !done || len(again.done) != lines+1 {
			t.Fatalf("cut at %d: gone on with, it has %d entries", cut, len(again.done))
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a file that others could read stays so: %v, %v", info.Mode(), err)
	}
	j, err = openJournal(path, "a -> b", true)
	if err != nil {
		t.Fatal(err)
	}
	if rows, done := j.has("kv/a"); !done || !slices.Equal(rows, lost) {
		t.Errorf("kv/a: %v, %v", rows, done)
	}
	if err := j.finish(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("a dry run removed the state: %v", err)
	}
	if _, err := openJournal(path, "a -> c", false); err == nil || !strings.Contains(err.Error(), "other servers") {
		t.Errorf("between other servers: %v", err)
	}
}

func TestSettle(t *testing.T) {
	fields := []string{"a", "b", "c", "d", "e"}
	have := map[string]any{"a": "1", "b": json.Number("0"), "c": []any{"y", "x"}, "d": "other", "f": "x"}
	want := map[string]any{"a": "1", "b": json.Number("5"), "c": []any{"x", "y"}, "d": "mine", "e": []any{}, "f": "y"}
	missing, differing := settle(have, want, fields)
	if len(missing) != 1 || missing["b"] != json.Number("5") || !slices.Equal(differing, []string{"d"}) {
		t.Errorf("missing %v, differing %v", missing, differing)
	}
}

func TestIdenticalCountsEveryDigit(t *testing.T) {
	one := func(n string) map[string]any { return map[string]any{"n": json.Number(n), "x": []any{nil}} }
	for _, c := range []struct {
		a, b string
		same bool
	}{{"12345678901234567890123", "12345678901234567890123", true}, {"12345678901234567890123", "12345678901234567890124", false}, {"1.10", "1.1", false}} {
		if identical(one(c.a), one(c.b)) != c.same {
			t.Errorf("%s and %s", c.a, c.b)
		}
	}
	if identical(nil, map[string]any{}) {
		t.Error("nothing is an empty secret")
	}
}

func TestAddressable(t *testing.T) {
	for path, want := range map[string]bool{"kv/a": true, "kv/a/": true, "kv/a b%2F?": true, "kv/..a": true,
		"kv//a": false, "kv/../sys": false, "kv/./a": false, "kv/a/..": false, "kv/a//": false} {
		if addressable(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
}

func TestRenamer(t *testing.T) {
	const old, now = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
	r := &run{accessors: map[string]string{"auth_userpass_1": "auth_userpass_9"}, ids: map[string]string{old: now}}
	in := `path "a/{{identity.entity.aliases.auth_userpass_1.name}}/{{identity.groups.ids.` + old + `.name}}/33333333-3333-3333-3333-333333333333" {}`
	want := `path "a/{{identity.entity.aliases.auth_userpass_9.name}}/{{identity.groups.ids.` + now + `.name}}/33333333-3333-3333-3333-333333333333" {}`
	if got := r.renamer()(in); got != want {
		t.Errorf("%s", got)
	}
}
