package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

// content is everything in s.
func content(t *testing.T, s store.Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := s.View(context.Background(), func(r store.Reader) error {
		return r.Scan(store.Range{}, func(k, v []byte) (bool, error) {
			all[string(k)] = string(v)
			return true, nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func fill(t *testing.T, s store.Store, name string, n int) {
	t.Helper()
	err := s.Update(context.Background(), func(tx store.Tx) error {
		for i := range n {
			if err := tx.Put(fmt.Appendf(nil, "%s/%06d", name, i), []byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// stage writes n pairs of about 400 bytes as a new content.
func stage(ctx context.Context, s *embedded.Store, n int) (store.Staged, map[string]string, error) {
	g, err := s.Stage(ctx)
	if err != nil {
		return nil, nil, err
	}
	want := map[string]string{}
	for i := range n {
		k, v := fmt.Sprintf("new/%06d", i), strings.Repeat("n", 400)
		if want[k] = v; err == nil {
			err = g.Put([]byte(k), []byte(v))
		}
	}
	return g, want, err
}

func position(t *testing.T, s store.Store) (at uint64) {
	t.Helper()
	if err := s.View(context.Background(), func(r store.Reader) error { at = r.Position(); return nil }); err != nil {
		t.Fatal(err)
	}
	return at
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	s, err := embedded.Open(t.Context(), embedded.Options{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, s, "old", 1000)
	before := position(t, s)
	var told store.Commit
	s.Subscribe(func(c store.Commit) { told = c })
	g, want, err := stage(t.Context(), s, 300_000)
	if err != nil {
		t.Fatal(err)
	}
	if got := content(t, s); len(got) != 1000 {
		t.Fatalf("a staged content shows: %d pairs", len(got))
	}
	if _, err := s.Stage(t.Context()); err == nil {
		t.Error("two contents are staged at once")
	}
	// The old content stays in service meanwhile.
	fill(t, s, "late", 1)
	if err := g.Commit(t.Context(), before+100); err != nil {
		t.Fatal(err)
	}
	if got := content(t, s); !maps.Equal(got, want) {
		t.Fatalf("%d pairs after the exchange, want %d", len(got), len(want))
	}
	if at := position(t, s); at <= before+100 || told.Position != at || len(told.Ranges) != 1 || len(told.Ranges[0].From)+len(told.Ranges[0].To) != 0 {
		t.Errorf("position %d after %d; told of %v", at, before, told)
	}
	fill(t, s, "after", 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = embedded.Open(t.Context(), embedded.Options{Path: dir}); err != nil {
		t.Fatal(err)
	}
	want["after/000000"] = "after"
	if got := content(t, s); !maps.Equal(got, want) {
		t.Errorf("%d pairs after a restart, want %d", len(got), len(want))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestReplaceRefuses(t *testing.T) {
	s, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fill(t, s, "old", 10)
	old := content(t, s)
	for name, do := range map[string]func(g store.Staged) error{
		"out of order": func(g store.Staged) error { return errors.Join(g.Put([]byte("b"), nil), g.Put([]byte("a"), nil)) },
		"twice":        func(g store.Staged) error { return errors.Join(g.Put([]byte("b"), nil), g.Put([]byte("b"), nil)) },
		"nothing":      func(g store.Staged) error { return g.Commit(context.Background(), 0) },
		"after Discard": func(g store.Staged) error {
			return errors.Join(g.Put([]byte("b"), nil), g.Discard(), g.Commit(context.Background(), 0))
		},
		"cancelled": func(g store.Staged) error {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return errors.Join(g.Put([]byte("b"), nil), g.Commit(ctx, 0))
		},
	} {
		g, err := s.Stage(context.Background())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := do(g); err == nil {
			t.Errorf("%s: no error", name)
		}
		if err := g.Discard(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := content(t, s); !maps.Equal(got, old) {
			t.Errorf("%s: the old content is gone", name)
		}
	}
}

// A power cut at any moment leaves the old content or the new one, whole.
func TestReplaceCrash(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	outcomes := map[string]int{}
	for round := range 40 {
		fs := vfs.NewCrashableMem()
		s := openOn(t, fs)
		fill(t, s, "old", 500)
		old := content(t, s)
		crash := func() *vfs.MemFS { return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: r}) }
		var clone *vfs.MemFS
		g, want, err := stage(t.Context(), s, 2000)
		if err != nil {
			t.Fatal(err)
		}
		switch round % 4 {
		case 0:
			clone = crash() // staged, not committed
			if err := g.Discard(); err != nil {
				t.Fatal(err)
			}
		case 1:
			done := make(chan error, 1)
			go func() { done <- g.Commit(context.Background(), 0) }()
			for range r.IntN(2000) {
				runtime.Gosched()
			}
			clone = crash() // in the middle
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		default:
			if err := g.Commit(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			clone = crash() // committed
		}
		again := openOn(t, clone)
		got := content(t, again)
		switch {
		case maps.Equal(got, old):
			outcomes["old"]++
			if round%4 > 1 {
				t.Fatal("a committed exchange is lost")
			}
		case maps.Equal(got, want):
			outcomes["new"]++
			if round%4 == 0 {
				t.Fatal("an exchange that nobody committed happened")
			}
		default:
			t.Fatalf("after a crash the store holds neither content: %d pairs", len(got))
		}
		names, err := clone.List("data")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasPrefix(name, "restore-") {
				t.Errorf("%s is left over", name)
			}
		}
		fill(t, again, "more", 1)
		if err := errors.Join(again.Close(), s.Close()); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Error(err)
		}
	}
	if outcomes["old"] == 0 || outcomes["new"] == 0 {
		t.Errorf("outcomes %v: the test is blind", outcomes)
	}
}

// What was read before an exchange, or is read from before it, is not remembered as of after it.
func TestReplaceForgetsRows(t *testing.T) {
	s, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fill(t, s, "new", 2) // keys that the staged content has as well
	get := func(r store.Reader, key, want string) {
		t.Helper()
		if got, err := r.Get([]byte(key)); err != nil || string(got) != want {
			t.Errorf("%s is %.10q, %v; want %.10q", key, got, err, want)
		}
	}
	err = s.View(t.Context(), func(old store.Reader) error {
		get(old, "new/000000", "new")
		g, want, err := stage(t.Context(), s, 10)
		if err != nil {
			return err
		}
		if err := g.Commit(t.Context(), 0); err != nil {
			return err
		}
		_, _ = old.Get([]byte("new/000001")) // it may find its state empty, and must not tell others
		return s.View(t.Context(), func(r store.Reader) error {
			for key, value := range want {
				get(r, key, value)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}
