package quota

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"jeton/internal/backend"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
	"jeton/internal/store/storetest"
)

// leases is a room that keeps nothing but the paths of its leases, "l/PATH\x00N".
type leases struct {
	store  store.Store
	quotas *Store
}

func (l *leases) CountIn(r store.Reader, scope backend.Scope) (n int64, err error) {
	in := store.PrefixRange([]byte("l/"))
	err = r.Scan(in, func(k, _ []byte) (bool, error) {
		path, _, _ := strings.Cut(string(k[2:]), "\x00")
		if scope.Rank(path) >= 0 {
			n++
		}
		return true, nil
	})
	return n, err
}

func (l *leases) add(path string, id int) error {
	return l.store.Update(context.Background(), func(tx store.Tx) error {
		if err := l.quotas.Enter(tx, path, false); err != nil {
			return err
		}
		return tx.Put(fmt.Appendf(nil, "l/%s\x00%d", path, id), nil)
	})
}

func (l *leases) remove(path string, id int) error {
	return l.store.Update(context.Background(), func(tx store.Tx) error {
		if err := l.quotas.Leave(tx, path); err != nil {
			return err
		}
		return tx.Delete(fmt.Appendf(nil, "l/%s\x00%d", path, id))
	})
}

// opened opens the rooms over s, as a start of the server does.
func opened(t interface{ Cleanup(func()) }, s store.Store) *leases {
	l := &leases{store: s, quotas: New(s, []byte("quota/"), slog.New(slog.DiscardHandler))}
	l.quotas.Count(l)
	t.Cleanup(l.quotas.Close)
	return l
}

func memory(t interface {
	Fatal(...any)
	Cleanup(func())
}) store.Store {
	s, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// reference decides slowly and obviously: the quota whose scope says most of the path decides,
// and has the leases of which the same is true.
type reference struct {
	quotas map[string]Quota
	leases map[string]string // id, path
}

func (m *reference) holding(path string) string {
	best, most := "", -1
	for name, q := range m.quotas {
		if rank := q.scope().Rank(path); rank > most {
			best, most = name, rank
		}
	}
	return best
}

func (m *reference) used(name string) (n int64) {
	for _, path := range m.leases {
		if m.holding(path) == name {
			n++
		}
	}
	return n
}

func scopes() []backend.Scope {
	return []backend.Scope{
		{}, {Path: "a/", Mount: "a/"}, {Path: "a/*", Mount: "a/"}, {Path: "a/b*", Mount: "a/"}, {Path: "a/b/*", Mount: "a/"},
		{Path: "a/b", Mount: "a/"}, {Path: "a/bc", Mount: "a/"}, {Path: "ab/", Mount: "ab/"},
	}
}

// TestModel: in any order of making, changing and removing quotas and leases, with restarts in
// between, refusals and counts are those of the reference, and Check finds nothing.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		raw := memory(t)
		l := opened(t, raw)
		m := &reference{quotas: map[string]Quota{}, leases: map[string]string{}}
		paths := []string{"a", "a/b", "a/bc", "a/b/c", "a/x", "ab/y", "z"}
		for step := range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0, 1:
				scope := rapid.SampledFrom(scopes()).Draw(t, "scope")
				q := Quota{Name: rapid.SampledFrom([]string{"p", "q", "r"}).Draw(t, "name"), Path: scope.Path, Mount: scope.Mount,
					MaxLeases: int64(rapid.IntRange(1, 4).Draw(t, "most"))}
				taken := false
				for name, other := range m.quotas {
					taken = taken || (name != q.Name && other.scope() == q.scope())
				}
				if err := l.quotas.Put(ctx, q); (err != nil) != taken {
					t.Fatalf("Put: %v, taken %v", err, taken)
				}
				if !taken {
					m.quotas[q.Name] = q
				}
			case 2:
				name := rapid.SampledFrom([]string{"p", "q", "r"}).Draw(t, "name")
				if err := l.quotas.Delete(ctx, name); err != nil {
					t.Fatal(err)
				}
				delete(m.quotas, name)
			case 3:
				l.quotas.Close()
				l = opened(t, raw)
			case 4, 5:
				for id, path := range m.leases {
					var n int
					_, _ = fmt.Sscan(id, &n)
					if err := l.remove(path, n); err != nil {
						t.Fatal(err)
					}
					delete(m.leases, id)
					break
				}
			default:
				path := rapid.SampledFrom(paths).Draw(t, "path")
				holding := m.holding(path)
				refused := holding != "" && m.used(holding) >= m.quotas[holding].MaxLeases
				room := l.quotas.Room(ctx, path)
				err := l.add(path, step)
				if (err != nil) != refused || (room != nil) != refused {
					t.Fatalf("a lease of %q: %v, room %v, want refused %v", path, err, room, refused)
				}
				if refused && (backend.KindOf(err) != backend.TooMany || !errors.As(err, new(*Exceeded))) {
					t.Fatalf("refused with %v", err)
				}
				if !refused {
					m.leases[fmt.Sprint(step)] = path
				}
			}
			all, err := l.quotas.All(ctx)
			if err != nil || len(all) != len(m.quotas) {
				t.Fatalf("%d quotas, want %d; %v", len(all), len(m.quotas), err)
			}
			for _, q := range all {
				if want := m.used(q.Name); q.Counter != want {
					t.Fatalf("quota %s of %q counts %d, want %d", q.Name, q.Path, q.Counter, want)
				}
			}
			if err := l.quotas.Check(ctx, func(what string) { t.Fatalf("check: %s", what) }); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestPutFaults: whatever becomes of the steps of Put, after a restart the count is right or
// the quota is not there.
func TestPutFaults(t *testing.T) {
	for step := range 2 {
		for _, outcome := range []storetest.Outcome{storetest.Failed, storetest.Persisted, storetest.DiedBefore, storetest.DiedAfter} {
			t.Run(fmt.Sprintf("step %d %s", step+1, outcome), func(t *testing.T) {
				ctx, raw := context.Background(), memory(t)
				faulty := storetest.Faulty(raw)
				l := opened(t, faulty)
				for i := range 3 {
					if err := l.add("a/b", i); err != nil {
						t.Fatal(err)
					}
				}
				faulty.InjectAt(step+1, outcome)
				if err := l.quotas.Put(ctx, Quota{Name: "q", MaxLeases: 4}); err == nil {
					t.Fatal("Put reports success")
				}
				l.quotas.Close()
				l = opened(t, raw)
				// Between the restart and the end of the counting it does not hold, and counts.
				if err := l.add("a/b", 3); err != nil {
					t.Fatal(err)
				}
				if err := l.quotas.Resume(ctx); err != nil {
					t.Fatal(err)
				}
				if err := l.quotas.Check(ctx, func(what string) { t.Error(what) }); err != nil {
					t.Fatal(err)
				}
				all, err := l.quotas.All(ctx)
				if err != nil {
					t.Fatal(err)
				}
				for _, q := range all {
					if q.Counting || q.Counter != 4 {
						t.Errorf("counting %v, counter %d", q.Counting, q.Counter)
					}
					if err := l.add("a/b", 4); backend.KindOf(err) != backend.TooMany {
						t.Errorf("one more: %v", err)
					}
				}
			})
		}
	}
}

// untouchable is a transaction that may not be used.
type untouchable struct{ store.Tx }

// TestNoQuotaCostsNothing: once it is known that there is none, neither store nor memory is touched.
func TestNoQuotaCostsNothing(t *testing.T) {
	l := opened(t, memory(t))
	if err := l.add("a/b", 1); err != nil {
		t.Fatal(err)
	}
	allocations := testing.AllocsPerRun(100, func() {
		if err := errors.Join(l.quotas.Enter(untouchable{}, "a/b", false), l.quotas.Leave(untouchable{}, "a/b"), l.quotas.Room(context.Background(), "a/b")); err != nil {
			t.Fatal(err)
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
	if err := l.quotas.Put(context.Background(), Quota{Name: "q", MaxLeases: 1}); err != nil {
		t.Fatal(err)
	}
	if err := l.add("a/b", 2); backend.KindOf(err) != backend.TooMany {
		t.Errorf("the first quota does not hold: %v", err)
	}
}

// TestCheckFinds: a count that is wrong is found.
func TestCheckFinds(t *testing.T) {
	ctx, raw := context.Background(), memory(t)
	l := opened(t, raw)
	if err := l.quotas.Put(ctx, Quota{Name: "q", MaxLeases: 9}); err != nil {
		t.Fatal(err)
	}
	if err := raw.Update(ctx, func(tx store.Tx) error { return tx.Put([]byte("l/a\x001"), nil) }); err != nil {
		t.Fatal(err)
	}
	var found []string
	if err := l.quotas.Check(ctx, func(what string) { found = append(found, what) }); err != nil || len(found) != 1 {
		t.Errorf("found %q, %v", found, err)
	}
}
