package kv_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/engine/enginetest"
	"jeton/internal/engine/kv"
	"jeton/internal/store"
	"jeton/internal/store/storetest"
)

const upgrading = "Upgrading from non-versioned to versioned data. This backend will be unavailable for a brief period and will resume service shortly."

var version2 = map[string]string{"version": "2"}

func newClock() *clock.Manual { return clock.NewManual(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)) }

// fill writes n objects at f/000 and so on with version 1.
func fill(t *testing.T, m *enginetest.Mount, n int) {
	t.Helper()
	for i := range n {
		if got := m.Do(backend.Update, fmt.Sprintf("f/%03d", i), fmt.Sprintf(`{"n":%d}`, i)); got.Status != done {
			t.Fatal(got.Error)
		}
	}
}

// checkFilled expects what fill wrote as version 1 of n keys, and nothing else.
func checkFilled(t *testing.T, m *enginetest.Mount, n int) {
	t.Helper()
	for i := range n {
		got := m.Do(backend.Read, fmt.Sprintf("data/f/%03d", i), "")
		if got.Status != ok || got.Member("data.n") != fmt.Sprint(i) || got.Member("metadata.version") != "1" {
			t.Fatalf("key %d: %d %s %s", i, got.Status, got.Error, got.Data)
		}
	}
	if keys := strings.Count(m.Do(backend.List, "metadata/f", "").Member("keys"), ","); keys != n-1 {
		t.Errorf("%d keys, want %d", keys+1, n)
	}
	checkSound(t, m.Area)
}

func checkSound(t testing.TB, area *store.Area) {
	t.Helper()
	faults, err := kv.Faults(context.Background(), area)
	if err != nil || len(faults) > 0 {
		t.Fatalf("stored data: %q, %v", faults, err)
	}
}

// Contract: secrets §2.3: mount creation is synchronous.
func TestFreshMountServesAtOnceAndWritesNothing(t *testing.T) {
	f := storetest.Faulty(enginetest.OpenStore(t))
	m := enginetest.OpenOver(t, f, newClock(), kv.New, version2)
	kv.WaitUpgrade(m.Backend)
	want(t, m.Do(backend.Read, "config", ""), ok, "", "")
	if n := f.Updates(); n != 0 {
		t.Errorf("%d transactions to mount", n)
	}
}

func TestUpgrade(t *testing.T) {
	ctx := context.Background()
	for _, n := range []int{1, kv.UpgradeKeys, 2*kv.UpgradeKeys + 1} {
		s, now := enginetest.OpenStore(t), newClock()
		old := enginetest.OpenOver(t, s, now, kv.New, nil)
		fill(t, old, n)
		for range 2 { // the second time there is nothing to do
			if err := kv.Upgrade(ctx, old.Area, now); err != nil {
				t.Fatal(err)
			}
			checkFilled(t, enginetest.OpenOver(t, s, now, kv.New, version2), n)
		}
		// What is still served as version 1 refuses.
		for _, op := range []backend.Operation{backend.Read, backend.Update, backend.Delete, backend.List} {
			if got := old.Do(op, "f/000", `{"n":1}`); got.Status != bad || got.Error != upgrading {
				t.Errorf("%s after the upgrade: %d %q", op, got.Status, got.Error)
			}
		}
	}
}

func TestUpgradeOfBigObjects(t *testing.T) {
	s, now := enginetest.OpenStore(t), newClock()
	old := enginetest.OpenOver(t, s, now, kv.New, nil)
	big := strings.Repeat("x", 700<<10)
	for i := range 5 {
		old.Do(backend.Update, fmt.Sprintf("big/%d", i), `{"x":"`+big+`"}`)
	}
	updates := storetest.Faulty(s)
	if err := kv.Upgrade(context.Background(), store.NewArea(updates, []byte("mount/7/")), now); err != nil {
		t.Fatal(err)
	}
	if n := updates.Updates(); n != 3 {
		t.Errorf("moved in %d transactions, want 3 of two objects at most", n)
	}
	m := enginetest.OpenOver(t, s, now, kv.New, version2)
	for i := range 5 {
		want(t, m.Do(backend.Read, fmt.Sprintf("data/big/%d", i), ""), ok, "data.x", `"`+big+`"`)
	}
	checkSound(t, m.Area)
}

// The option was changed, the data was not: version 2 catches up, refusing calls meanwhile.
func TestVersion2FinishesTheUpgrade(t *testing.T) {
	s, now := enginetest.OpenStore(t), newClock()
	fill(t, enginetest.OpenOver(t, s, now, kv.New, nil), 300)

	f := storetest.Faulty(s)
	f.InjectAt(2, storetest.Failed)
	m := enginetest.OpenOver(t, f, now, kv.New, version2)
	kv.WaitUpgrade(m.Backend)
	// It failed half-way: the next call is refused, and has it tried again.
	if got := m.Do(backend.Read, "config", ""); got.Status != bad || got.Error != upgrading {
		t.Fatalf("%d %q", got.Status, got.Error)
	}
	kv.WaitUpgrade(m.Backend)
	checkFilled(t, m, 300)
}

// A crash at any step of an upgrade loses nothing, whichever version is mounted next.
func TestUpgradeSurvivesFaults(t *testing.T) {
	const n = kv.UpgradeKeys + 3
	storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
		ctx := context.Background()
		f, now := storetest.Faulty(enginetest.OpenStore(t)), newClock()
		old := enginetest.OpenOver(t, f, now, kv.New, nil)
		fill(t, old, n)
		inject(f)
		err := kv.Upgrade(ctx, old.Area, now)

		again := enginetest.OpenOver(t, f.Inner(), now, kv.New, nil)
		got := again.Do(backend.Read, "f/000", "")
		if got.Error != upgrading && (err == nil || got.Member("n") != "0") {
			t.Errorf("version 1 after %v: %d %q %s", err, got.Status, got.Error, got.Data)
		}
		if err := kv.Upgrade(ctx, again.Area, now); err != nil {
			t.Fatal(err)
		}
		checkFilled(t, enginetest.OpenOver(t, f.Inner(), now, kv.New, version2), n)
	})
}

// Writes that version 1 acknowledged while the upgrade began are all there afterwards.
func TestUpgradeLosesNoConcurrentWrite(t *testing.T) {
	s, now := enginetest.OpenStore(t), newClock()
	old := enginetest.OpenOver(t, s, now, kv.New, nil)
	fill(t, old, 200)
	var wg sync.WaitGroup
	acknowledged := make([]int, 4)
	for w := range acknowledged {
		wg.Go(func() {
			for i := 0; ; i++ {
				got := old.Do(backend.Update, fmt.Sprintf("w%d/%d", w, i), `{"x":1}`)
				if got.Status != done {
					if got.Error != upgrading {
						t.Errorf("write: %d %q", got.Status, got.Error)
					}
					acknowledged[w] = i
					return
				}
			}
		})
	}
	if err := kv.Upgrade(context.Background(), old.Area, now); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	m := enginetest.OpenOver(t, s, now, kv.New, version2)
	for w, n := range acknowledged {
		for i := range n {
			want(t, m.Do(backend.Read, fmt.Sprintf("data/w%d/%d", w, i), ""), ok, "", "")
		}
	}
}

func TestClosedUpgradeIsResumed(t *testing.T) {
	s, now := enginetest.OpenStore(t), newClock()
	fill(t, enginetest.OpenOver(t, s, now, kv.New, nil), 300)
	first := enginetest.OpenOver(t, s, now, kv.New, version2)
	if err := first.Backend.(backend.Closer).Close(); err != nil {
		t.Fatal(err)
	}
	second := enginetest.OpenOver(t, s, now, kv.New, version2)
	kv.WaitUpgrade(second.Backend)
	checkFilled(t, second, 300)
}

// A write of version 2 that goes wrong leaves the state before it or the state after it,
// and an acknowledged one the state after it.
func TestFaultsLeaveNoHalfWrittenVersion(t *testing.T) {
	prepare := func(t *testing.T, m *enginetest.Mount) {
		m.Do(backend.Update, "config", `{"max_versions":2}`)
		put(t, m, "a", `{"n":1}`, 1)
		put(t, m, "a", `{"n":2}`, 2)
		m.Do(backend.Update, "delete/a", `{"versions":1}`)
		m.Clock.Add(time.Second)
	}
	state := func(m *enginetest.Mount) string {
		text := m.Do(backend.Read, "metadata/a", "").Data + m.Do(backend.List, "metadata", "").Data + m.Do(backend.Read, "config", "").Data
		for n := range 4 {
			got := m.Do(backend.Read, "data/a", fmt.Sprintf(`{"version":%d}`, n))
			text += fmt.Sprint("\n", got.Status, got.Data)
		}
		return text
	}
	for _, s := range []step{
		{op: backend.Update, path: "data/a", body: `{"data":{"n":3}}`},
		{op: backend.Update, path: "data/new", body: `{"data":{"n":3}}`},
		{op: backend.Patch, path: "data/a", body: `{"data":{"m":3}}`},
		{op: backend.Delete, path: "data/a"},
		{op: backend.Update, path: "undelete/a", body: `{"versions":1}`},
		{op: backend.Update, path: "destroy/a", body: `{"versions":[1,2]}`},
		{op: backend.Update, path: "metadata/a", body: `{"custom_metadata":{"a":"b"}}`},
		{op: backend.Delete, path: "metadata/a"},
		{op: backend.Update, path: "config", body: `{"max_versions":7}`},
	} {
		t.Run(s.op.String()+" "+s.path, func(t *testing.T) {
			clean := enginetest.OpenOver(t, enginetest.OpenStore(t), newClock(), kv.New, version2)
			prepare(t, clean)
			before := state(clean)
			clean.Do(s.op, s.path, s.body)
			after := state(clean)
			if before == after {
				t.Fatal("the call changes nothing")
			}
			storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
				f, now := storetest.Faulty(enginetest.OpenStore(t)), newClock()
				m := enginetest.OpenOver(t, f, now, kv.New, version2)
				prepare(t, m)
				inject(f)
				got := m.Do(s.op, s.path, s.body)
				if got.Err != nil && !errors.Is(got.Err, storetest.ErrInjected) && !errors.Is(got.Err, storetest.ErrDied) {
					t.Errorf("the fault became %v", got.Err)
				}
				again := enginetest.OpenOver(t, f.Inner(), now, kv.New, version2)
				found := state(again)
				if found != after && (found != before || got.Status < http.StatusInternalServerError) {
					t.Errorf("answered %d and left\n%s", got.Status, found)
				}
				checkSound(t, again.Area)
			})
		})
	}
}
