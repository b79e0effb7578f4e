package token

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"jeton/internal/record"
	"jeton/internal/store"
	"jeton/internal/store/storetest"
)

// tree puts size tokens below top, levels deep, and returns the last level.
func (w *world) tree(top *Issued, size, levels int) (leaves []*Issued) {
	w.t.Helper()
	parents := []*Issued{top}
	for range levels {
		var level []*Issued
		for len(level) < size/levels {
			var batch []*Issued
			w.ok(w.whole.Update(w.ctx, func(tx store.Tx) error {
				batch = nil
				for range min(2000, size/levels-len(level)) {
					above := parents[(len(level)+len(batch))%len(parents)].Token
					next := &Issued{Token: above.clone()}
					next.Token.Parent, next.Token.Depth = above.ID, above.Depth+1
					next.Token.Accessor = randomBase62(plainChars)
					if err := w.insert(tx, next, "", newRandomness()); err != nil {
						return err
					}
					batch = append(batch, next)
				}
				return nil
			}))
			level = append(level, batch...)
		}
		parents = level
	}
	return parents
}

// A token that is cached costs no look at the store, however often it is asked for.
func TestCachedLookupTouchesNoStorage(t *testing.T) {
	s := &storetest.Counting{Store: memory(t)}
	w := worldOver(t, s)
	leaf := w.child(w.child(w.plain()))
	w.mustLive(leaf)
	s.Reset()
	for range 100 {
		if _, err := w.request(leaf); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Views.Load() + s.Updates.Load(); n != 0 {
		t.Errorf("%d looks at the store", n)
	}
	// A stranger's creation and revocation leave what is cached where it is.
	stranger := w.plain()
	w.revoke(stranger)
	s.Reset()
	if _, err := w.request(leaf); err != nil || s.Views.Load() != 0 {
		t.Errorf("%d looks at the store after a leaf was revoked elsewhere; %v", s.Views.Load(), err)
	}
}

// The first lookup after a start reads the token and its ancestors, and nothing that grows
// with the number of tokens.
func TestFirstLookupReadsTheAncestryAlone(t *testing.T) {
	for _, depth := range []int{0, 1, 10, 100} {
		t.Run(fmt.Sprintf("%d levels", depth), func(t *testing.T) {
			s := &storetest.Counting{Store: memory(t)}
			w := worldOver(t, s)
			leaf := w.plain()
			if depth > 0 {
				leaf = w.chain(leaf, depth)
			}
			w.tree(w.plain(), 500, 5)
			s.Reset()
			w.reopen()
			found, err := w.Find(w.ctx, leaf.Text)
			if found == nil || err != nil {
				t.Fatalf("found %v, %v", found, err)
			}
			// The leaf, depth ancestors, the root.
			if gets, scanned := s.Gets.Load(), s.Scanned.Load(); gets > int64(depth)+2 || scanned > 1 {
				t.Errorf("%d reads, %d scanned", gets, scanned)
			}
		})
	}
}

// The promise: revoking the root of a tree is one small write whatever hangs below,
// and from the answer on every descendant is refused; sweeping is bounded step by step.
func TestRevokingATreeIsOneWrite(t *testing.T) {
	for _, size := range []int{0, 10, 5_000} {
		t.Run(fmt.Sprintf("%d tokens", size), func(t *testing.T) {
			s := &storetest.Counting{Store: memory(t)}
			w := worldOver(t, s)
			top := w.create(w.root, func(a *Ask) { a.Policies, a.TTL = []string{"web"}, "10h" })
			var leaves []*Issued
			if size > 0 {
				leaves = w.tree(top, size, 10)
				w.mustLive(leaves[0], leaves[len(leaves)-1])
			}
			s.Reset()
			w.revoke(top)
			if updates, writes, read := s.Updates.Load(), s.Writes.Load(), s.Gets.Load()+s.Scanned.Load(); updates != 1 || writes > 60 || read > 60 {
				t.Errorf("%d updates, %d writes, %d reads", updates, writes, read)
			}
			w.mustBeDead(top)
			for n := 0; n < len(leaves); n += max(1, len(leaves)/50) {
				w.mustBeDead(leaves[n])
			}
			const step = 100 * sweepBatch
			for dealt := 1; dealt > 0; {
				s.Reset()
				var err error
				dealt, err = w.Sweep(w.ctx)
				w.ok(err)
				if writes := s.Writes.Load(); writes > step {
					t.Fatalf("one step of the sweeper writes %d times", writes)
				}
			}
			if n := w.records(); n != 1 {
				t.Errorf("%d records are left", n)
			}
			w.mustCheck()
		})
	}
}

// The cache is bounded, and a token that fell out of it is found all the same.
func TestCacheIsBounded(t *testing.T) {
	w := newWorld(t)
	c := w.Store.cache
	for n := range 3 * shardEntries {
		c.put(ID{0: 1, 1: byte(n), 2: byte(n >> 8), 3: byte(n >> 16)}, &cached{token: &Token{}}, 0)
	}
	if n := len(c.shard(ID{0: 1}).entries); n > shardEntries {
		t.Errorf("%d entries in a shard of %d", n, shardEntries)
	}
	// A fill that began before a drop is not kept.
	id := ID{0: 2}
	_, changes := c.get(id)
	c.drop(id, 1)
	c.put(id, &cached{token: &Token{}}, changes)
	if entry, _ := c.get(id); entry != nil {
		t.Error("what was read before a change is kept after it")
	}
}

// What a transaction wrote is kept only where nothing of its shard has changed since: a later
// commit may have ended the token before its maker got to keep it.
func TestCacheKeepsWhatWasWritten(t *testing.T) {
	c := newCache()
	id, neighbour := ID{0: 3}, ID{0: 3, 1: 1}
	for _, changed := range []ID{id, neighbour} {
		c.drop(id, 7) // the commit that wrote it is told
		c.drop(changed, 8)
		c.putCommitted(id, &cached{token: &Token{}}, 7)
		if entry, _ := c.get(id); entry != nil {
			t.Error("what was written is kept over a later change")
		}
	}
	c.drop(id, 9)
	c.putCommitted(id, &cached{token: &Token{}}, 9)
	if entry, _ := c.get(id); entry == nil {
		t.Error("what was written last is not kept")
	}
	c.drop(id, 10)
	if entry, _ := c.get(id); entry != nil {
		t.Error("it is kept for ever")
	}
}

// A new token's first request and a renewed token's next one cost no look at the store; a
// revocation is seen all the same.
func TestNewTokensAreCached(t *testing.T) {
	s := &storetest.Counting{Store: memory(t)}
	w := worldOver(t, s)
	leaf := w.child(w.plain())
	login := w.must(w.IssueLogin(w.ctx, loginOf("web"), loginMount, "auth/userpass/login/a", ""))
	for _, i := range []*Issued{leaf, login} {
		s.Reset()
		if _, err := w.request(i); err != nil || s.Views.Load() != 0 {
			t.Errorf("%d looks at the store for a new token; %v", s.Views.Load(), err)
		}
		if i == leaf {
			if _, err := w.renew(i, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		s.Reset()
		if _, err := w.request(i); err != nil || s.Views.Load() != 0 {
			t.Errorf("%d looks at the store for a renewed token; %v", s.Views.Load(), err)
		}
		w.revoke(i)
		w.mustBeDead(i)
	}
}

func benchWorld(b *testing.B) (*world, *Issued) {
	w := worldOver(b, memory(b))
	b.Cleanup(func() { w.Store.Close() })
	return w, w.plain()
}

func BenchmarkFind(b *testing.B) {
	w, i := benchWorld(b)
	leaf := w.chain(i, 3)
	b.Run("cached", func(b *testing.B) {
		for b.Loop() {
			if t, err := w.Find(w.ctx, leaf.Text); t == nil || err != nil {
				b.Fatal(t, err)
			}
		}
	})
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			w.cache.drop(leaf.Token.ID, 0)
			if t, err := w.Find(w.ctx, leaf.Text); t == nil || err != nil {
				b.Fatal(t, err)
			}
		}
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	w, i := benchWorld(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Authenticate(w.ctx, i.Text, anywhere); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRecord is a token's stored form.
func BenchmarkRecord(b *testing.B) {
	_, i := benchWorld(b)
	data, err := record.Encode(i.Token)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := record.Encode(i.Token); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := record.Decode(data, new(Token)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCreate(b *testing.B) {
	w, i := benchWorld(b)
	for b.Loop() {
		w.child(i)
	}
}

func BenchmarkLogin(b *testing.B) {
	w, _ := benchWorld(b)
	login := loginOf("web")
	for b.Loop() {
		w.must(w.IssueLogin(w.ctx, login, loginMount, "auth/userpass/login/a", ""))
	}
}

func BenchmarkRenew(b *testing.B) {
	w, i := benchWorld(b)
	for b.Loop() {
		w.clock.Add(time.Second)
		if _, err := w.renew(i, time.Hour); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSpend(b *testing.B) {
	w, _ := benchWorld(b)
	i := w.limited(1 << 30)
	for b.Loop() {
		if _, err := w.Spend(w.ctx, i.Token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRevoke(b *testing.B) {
	b.Run("leaf", func(b *testing.B) {
		w, i := benchWorld(b)
		for b.Loop() {
			b.StopTimer()
			leaf := w.child(i)
			b.StartTimer()
			w.revoke(leaf)
		}
	})
	b.Run("tree of 10,000", func(b *testing.B) {
		w, i := benchWorld(b)
		for b.Loop() {
			b.StopTimer()
			top := w.child(i)
			w.tree(top, 10_000, 10)
			b.StartTimer()
			w.revoke(top)
		}
	})
}

func BenchmarkSweep(b *testing.B) {
	w, i := benchWorld(b)
	for b.Loop() {
		b.StopTimer()
		top := w.child(i)
		w.tree(top, 10_000, 10)
		w.revoke(top)
		b.StartTimer()
		w.sweepAll()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10_000, "ns/token")
}

// What a token with one policy writes: nine keys of its own, and of these those at places that
// follow from its text or its maker lie behind those of the token before. Decisions 0017, 0022.
func TestKeysOfACreation(t *testing.T) {
	w := newWorld(t)
	w.plain()
	var wrote [][]string
	defer w.area.Subscribe(func(c store.Commit) {
		var keys []string
		for _, k := range c.Keys {
			keys = append(keys, string(k))
		}
		wrote = append(wrote, keys)
	})()
	for range 2 {
		w.create(w.root, func(a *Ask) { a.Policies, a.DisplayName = []string{"web"}, "a-name-of-some-length" })
	}
	for _, keys := range wrote {
		kinds := map[byte]int{}
		for _, k := range keys {
			kinds[k[0]]++
		}
		want := map[byte]int{recordKey: 1, childKey: 1, expiryKey: 1, pathKey: 1, createdOrder: 5, movedKey: 1, useOrder: 1}
		if !maps.Equal(kinds, want) {
			t.Errorf("wrote %v, want %v", kinds, want)
		}
	}
	for i, k := range wrote[0] {
		if later := wrote[1][i]; k[0] != later[0] || later <= k {
			t.Errorf("%x lies before %x, of the token before it", later, k)
		}
	}
}
