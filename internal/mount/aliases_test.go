package mount

import (
	"context"
	"errors"
	"testing"
)

// forgetful loses the aliases of mounts, or fails to.
type forgetful struct {
	fail  error
	asked []string
}

func (f *forgetful) ForgetMount(_ context.Context, accessor string) error {
	f.asked = append(f.asked, accessor)
	return f.fail
}

// A mount is not gone before its aliases are: the removal says so, and goes on later. Contract:
// identity §4.
func TestRemovalForgetsAliases(t *testing.T) {
	b := newBuilding(t, memory(t))
	people := &forgetful{fail: errors.New("the store is away")}
	b.aliases = people
	if err := b.Add(b.ctx, Entry{Path: "db/", Type: "leasing"}); err != nil {
		t.Fatal(err)
	}
	m, _ := b.At("db/")
	if err := b.Remove(b.ctx, "db/"); !errors.Is(err, people.fail) {
		t.Fatalf("a removal that cannot forget: %v", err)
	}
	if _, ok := b.At("db/"); ok {
		t.Error("the mount still serves")
	}
	if err := b.Resume(b.ctx); !errors.Is(err, people.fail) {
		t.Errorf("going on: %v", err)
	}
	people.fail = nil
	if err := b.Resume(b.ctx); err != nil {
		t.Error(err)
	}
	if _, ok := b.Leaving(m.Entry.Accessor); ok {
		t.Error("the mount is still there")
	}
	if len(people.asked) != 3 || people.asked[2] != m.Entry.Accessor {
		t.Errorf("asked to forget %v", people.asked)
	}
}
