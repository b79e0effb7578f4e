package auth

import (
	"bytes"
	"context"
	"testing"

	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

// overtaken is a Store on which another node acts between the first look and the write.
type overtaken struct {
	store.Store
	other func()
}

func (o *overtaken) View(ctx context.Context, fn func(store.Reader) error) error {
	err := o.Store.View(ctx, fn)
	if other := o.other; other != nil {
		o.other = nil
		other()
	}
	return err
}

// What a mount hashes with must never be made anew: every secret id would be lost.
func TestMountKeyIsMadeOnce(t *testing.T) {
	whole, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { whole.Close() })
	make32 := func(s store.Store, mount string) []byte {
		t.Helper()
		secret, err := MountKey(t.Context(), store.NewArea(s, []byte(mount)), []byte("key"), 32)
		if err != nil || len(secret) != 32 {
			t.Fatalf("%d bytes, %v", len(secret), err)
		}
		return secret
	}
	var theirs []byte
	mine := make32(&overtaken{Store: whole, other: func() { theirs = make32(whole, "a/") }}, "a/")
	if theirs == nil || !bytes.Equal(mine, theirs) {
		t.Error("of two nodes that make it, each has its own")
	}
	if !bytes.Equal(make32(whole, "a/"), mine) {
		t.Error("it is another one after the mount is opened again")
	}
	if bytes.Equal(make32(whole, "b/"), mine) {
		t.Error("two mounts share it")
	}
}
