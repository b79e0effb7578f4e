package mount

import (
	"errors"
	"testing"

	"jeton/internal/backend"
)

// says is what a call to a path of the table gets.
func (d *desk) says(path string) error {
	d.t.Helper()
	m, below, ok := d.Find(path)
	if !ok {
		d.t.Fatalf("%s is free to be taken", path)
	}
	match, ok := m.Routes.Find(backend.Read, below)
	if !ok || !match.Route.Read.Defined() {
		return nil
	}
	_, err := match.Route.Read.Serve(d.t.Context(), &backend.Call{Operation: backend.Read})
	return err
}

// A mount that does not open after a restart keeps nobody from serving: it keeps its path and
// answers with an error.
func TestOneBrokenMountStopsNobody(t *testing.T) {
	d := newDesk(t)
	d.add("good/", "kv")
	d.add("bad/", "transit")
	// The store is as a start with a faulty engine finds it.
	if err := d.Tune(t.Context(), "bad/", func(e *Entry) error {
		e.Options = map[string]string{"broken": "yes"}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	d.load()
	if err := d.says("bad/x"); backend.KindOf(err) != backend.Failed {
		t.Errorf("the broken mount says %v", err)
	}
	if err := d.says("good/x"); err != nil {
		t.Errorf("the mount beside it says %v", err)
	}
	refused(t, d.Add(t.Context(), Entry{Path: "bad/", Type: "kv"}), "path is already in use at bad/")
}

// An upgrade that fails leaves the path taken and the data for the next start to go on with.
func TestFailedUpgradeKeepsThePath(t *testing.T) {
	d := newDesk(t)
	d.add("secret/", "kv").Backend.(*engine).put(t)
	d.upgradeFails = errors.New("disk full")
	err := d.Tune(t.Context(), "secret/", func(e *Entry) error {
		e.Options = map[string]string{"version": "2"}
		return nil
	})
	if !errors.Is(err, d.upgradeFails) {
		t.Fatalf("the upgrade says %v", err)
	}
	if err := d.says("secret/x"); backend.KindOf(err) != backend.Failed {
		t.Errorf("the mount says %v", err)
	}
	d.upgradeFails = nil
	d.load()
	if err := d.says("secret/x"); err != nil || d.upgrades != 2 || d.dataKeys() != 1 {
		t.Errorf("after a restart: %v, %d upgrades, %d keys", err, d.upgrades, d.dataKeys())
	}
}

// A move waits for the calls in flight, and one that cannot revoke what was issued leaves the
// mount where it was.
func TestMoveThatFailsChangesNothing(t *testing.T) {
	d := newDesk(t)
	d.add("secret/", "kv")
	d.issued.fails = errors.New("away")
	if err := d.Move(t.Context(), "secret/", "other/"); !errors.Is(err, d.issued.fails) {
		t.Fatalf("the move says %v", err)
	}
	m, _, ok := d.Find("secret/x")
	if !ok || !m.Enter() {
		t.Fatal("the mount does not serve at its old path")
	}
	m.Leave()
	if _, _, ok := d.Find("other/x"); ok {
		t.Error("the mount is at its new path too")
	}
}
