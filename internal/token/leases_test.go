package token

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"jeton/internal/store"
)

// Contract: leases §1.3, §1.4, §3.2.
func TestLeasesBelow(t *testing.T) {
	w := newWorld(t)
	at := func(path string) func(*Ask) { return func(a *Ask) { a.Path, a.TTL = path, "1h" } }
	suffix := func(i *Issued) string {
		id := i.Token.LeaseID()
		return id[strings.LastIndex(id, "/")+1:]
	}
	plain := w.create(w.root, at("auth/token/create"))
	role := w.create(w.root, at("auth/token/create/dev"))
	w.create(w.root, at("auth/token/create/dev/suffix"))
	w.create(w.root, at("auth/token/create-orphan"))
	w.create(w.root, at("auth/userpass/login/al"))
	wrapping, err := w.IssueWrapping(w.ctx, time.Minute, "secret/data/x", func(store.Tx, ID) error { return nil })
	w.ok(err)
	list, err := w.IssueWrapping(w.ctx, time.Minute, "secret/metadata/", func(store.Tx, ID) error { return nil })
	w.ok(err)
	for _, row := range []struct {
		prefix string
		want   []string
	}{
		{"", []string{"auth/", "secret/"}},
		{"auth/", []string{"token/", "userpass/"}},
		{"auth/token/", []string{"create-orphan/", "create/"}},
		{"auth/token/create/", []string{"dev/", suffix(plain)}},
		{"auth/token/create/dev/", []string{suffix(role), "suffix/"}},
		{"auth/userpass/", []string{"login/"}},
		{"secret/data/x/", []string{suffix(wrapping)}},
		{"secret/metadata/", nil},
		{"nothing/", nil},
	} {
		got, err := w.LeasesBelow(w.ctx, row.prefix)
		w.ok(err)
		if fmt.Sprint(got) != fmt.Sprint(row.want) {
			t.Errorf("below %q: %q, want %q", row.prefix, got, row.want)
		}
	}
	w.revoke(plain)
	w.revoke(list)
	got, err := w.LeasesBelow(w.ctx, "auth/token/create/")
	w.ok(err)
	if fmt.Sprint(got) != "[dev/]" {
		t.Errorf("after the revocation: %q", got)
	}
}

// A lease hangs on a token only while the token lives, in one state of the store.
func TestHolds(t *testing.T) {
	w := newWorld(t)
	holds := func(i *Issued) (alive bool) {
		t.Helper()
		w.ok(w.raw.View(w.ctx, func(r store.Reader) (err error) {
			alive, err = w.Holds(r, i.Token.ID)
			return err
		}))
		return alive
	}
	parent := w.plain()
	child := w.child(parent)
	short := w.create(w.root, func(a *Ask) { a.TTL = "1m" })
	once := w.create(w.root, func(a *Ask) { a.NumUses = 1 })
	for n, i := range []*Issued{parent, child, short, once} {
		if !holds(i) {
			t.Fatalf("token %d lives and holds nothing", n)
		}
	}
	_, err := w.Spend(w.ctx, once.Token)
	w.ok(err)
	w.revoke(parent)
	w.clock.Add(time.Minute)
	for n, i := range []*Issued{parent, child, short, once} {
		if holds(i) {
			t.Fatalf("token %d is dead and holds something", n)
		}
	}
}
