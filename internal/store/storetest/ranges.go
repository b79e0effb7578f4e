package storetest

import (
	"errors"
	"slices"
	"testing"

	"jeton/internal/store"
)

// rangeKeys are what every scan test begins with.
func rangeKeys() []string { return []string{"a", "b", "b/1", "b/2", "b/\xff", "b0", "c", "d"} }

func rangeTests() []test {
	return []test{
		{"bounds, direction and limit", testScanTable},
		{"a scan stops when told to", testScanStops},
		{"an error of fn ends the scan and is returned as it is", testScanError},
		{"pages forward with After", testPagesForward},
		{"pages backward with To", testPagesBackward},
		{"a prefix range holds the prefix's keys only", testPrefixRange},
		{"scans nest", testScansNest},
		{"scans see the transaction's own writes", testScanOwnWrites},
		{"DeleteRange", testDeleteRange},
		{"a key put after a DeleteRange of the same transaction stays", testDeleteRangeThenPut},
	}
}

func testScanTable(t *testing.T, s store.Store) {
	putKeys(t, s, rangeKeys()...)
	all := rangeKeys()
	tests := []struct {
		name string
		rng  store.Range
		want []string
	}{
		{"everything", store.Range{}, all},
		{"from is inclusive", store.Range{From: []byte("b")}, all[1:]},
		{"from between keys", store.Range{From: []byte("aa")}, all[1:]},
		{"to is exclusive", store.Range{To: []byte("c")}, all[:6]},
		{"both", store.Range{From: []byte("b/1"), To: []byte("b0")}, all[2:5]},
		{"empty when from is to", store.Range{From: []byte("b"), To: []byte("b")}, nil},
		{"empty when from is past to", store.Range{From: []byte("c"), To: []byte("b")}, nil},
		{"empty past the end", store.Range{From: []byte("x")}, nil},
		{"empty before the start", store.Range{To: []byte("a")}, nil},
		{"limit", store.Range{Limit: 3}, all[:3]},
		{"limit of one", store.Range{From: []byte("b"), Limit: 1}, all[1:2]},
		{"limit beyond the end", store.Range{From: []byte("c"), Limit: 10}, all[6:]},
		{"limit and bounds", store.Range{From: []byte("b"), To: []byte("b0"), Limit: 2}, all[1:3]},
	}
	for _, tt := range tests {
		for _, keysOnly := range []bool{false, true} {
			tt.rng.KeysOnly = keysOnly
			var want []pair
			for _, k := range tt.want {
				want = append(want, pair{key: k, value: k})
				if keysOnly {
					want[len(want)-1].value = ""
				}
			}
			check := func(kind string, r store.Reader) {
				got, err := collect(r, tt.rng)
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("%s, %s, keysOnly=%v: %v, %v, want %v", tt.name, kind, keysOnly, got, err, want)
				}
			}
			view(t, s, func(r store.Reader) error { check("view", r); return nil })
			update(t, s, func(tx store.Tx) error { check("update", tx); return nil })
			// Backward, a limit takes the last ones: compare those without.
			if tt.rng.Limit == 0 {
				tt.rng.Reverse = true
				slices.Reverse(want)
				view(t, s, func(r store.Reader) error { check("reverse view", r); return nil })
				update(t, s, func(tx store.Tx) error { check("reverse update", tx); return nil })
				tt.rng.Reverse = false
			}
		}
	}
	view(t, s, func(r store.Reader) error {
		got, err := collect(r, store.Range{From: []byte("b"), To: []byte("c"), Reverse: true, Limit: 2, KeysOnly: true})
		if want := []pair{{"b0", ""}, {"b/\xff", ""}}; !slices.Equal(got, want) {
			t.Errorf("reverse with a limit: %v, want %v", got, want)
		}
		return err
	})
}

func testScanStops(t *testing.T, s store.Store) {
	putKeys(t, s, rangeKeys()...)
	view(t, s, func(r store.Reader) error {
		n := 0
		err := r.Scan(store.Range{}, func(_, _ []byte) (bool, error) { n++; return n < 3, nil })
		if n != 3 {
			t.Errorf("fn was called %d times, want 3", n)
		}
		return err
	})
}

func testScanError(t *testing.T, s store.Store) {
	putKeys(t, s, rangeKeys()...)
	boom := errors.New("boom")
	n := 0
	err := s.View(t.Context(), func(r store.Reader) error {
		return r.Scan(store.Range{}, func(_, _ []byte) (bool, error) { n++; return true, boom })
	})
	if err != boom || n != 1 {
		t.Errorf("View = %v after %d calls, want fn's error after 1", err, n)
	}
}

func testPagesForward(t *testing.T, s store.Store) {
	putKeys(t, s, rangeKeys()...)
	var got []string
	rng := store.Range{Limit: 3}
	for {
		var page []pair
		view(t, s, func(r store.Reader) (err error) { page, err = collect(r, rng); return err })
		for _, p := range page {
			got = append(got, p.key)
		}
		if len(page) < rng.Limit {
			break
		}
		rng.From = store.After([]byte(page[len(page)-1].key))
	}
	if !slices.Equal(got, rangeKeys()) {
		t.Errorf("pages give %q, want %q", got, rangeKeys())
	}
}

func testPagesBackward(t *testing.T, s store.Store) {
	putKeys(t, s, rangeKeys()...)
	var got []string
	rng := store.Range{Limit: 3, Reverse: true}
	for {
		var page []pair
		view(t, s, func(r store.Reader) (err error) { page, err = collect(r, rng); return err })
		for _, p := range page {
			got = append(got, p.key)
		}
		if len(page) < rng.Limit {
			break
		}
		rng.To = []byte(page[len(page)-1].key)
	}
	want := rangeKeys()
	slices.Reverse(want)
	if !slices.Equal(got, want) {
		t.Errorf("pages give %q, want %q", got, want)
	}
}

func testPrefixRange(t *testing.T, s store.Store) {
	putKeys(t, s, append(rangeKeys(), "\xff", "\xff\xff", "\xff\xffz")...)
	for prefix, want := range map[string][]string{
		"b/":       {"b/1", "b/2", "b/\xff"},
		"b/\xff":   {"b/\xff"},
		"\xff\xff": {"\xff\xff", "\xff\xffz"},
		"nothing":  nil,
	} {
		view(t, s, func(r store.Reader) error {
			pairs, err := collect(r, store.PrefixRange([]byte(prefix)))
			var got []string
			for _, p := range pairs {
				got = append(got, p.key)
			}
			if !slices.Equal(got, want) {
				t.Errorf("prefix %q: %q, want %q", prefix, got, want)
			}
			return err
		})
	}
}

func testScansNest(t *testing.T, s store.Store) {
	putKeys(t, s, "a", "b", "c")
	var got string
	nested := func(r store.Reader) error {
		got = ""
		return r.Scan(store.Range{}, func(outer, _ []byte) (bool, error) {
			got += string(outer) + ":"
			err := r.Scan(store.Range{From: outer}, func(inner, _ []byte) (bool, error) {
				v, err := r.Get(inner)
				got += string(v)
				return true, err
			})
			got += " "
			return true, err
		})
	}
	const want = "a:abc b:bc c:c "
	if view(t, s, nested); got != want {
		t.Errorf("nested scans of a View: %q, want %q", got, want)
	}
	if update(t, s, func(tx store.Tx) error { return nested(tx) }); got != want {
		t.Errorf("nested scans of an Update: %q, want %q", got, want)
	}
}

func testScanOwnWrites(t *testing.T, s store.Store) {
	putKeys(t, s, "a", "b", "c", "d")
	update(t, s, func(tx store.Tx) error {
		err := errors.Join(tx.Put([]byte("bb"), []byte("new")), tx.Put([]byte("c"), []byte("changed")), tx.Delete([]byte("a")))
		if err != nil {
			return err
		}
		want := []pair{{"b", "b"}, {"bb", "new"}, {"c", "changed"}, {"d", "d"}}
		got, err := collect(tx, store.Range{})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("scan: %v, %v, want %v", got, err, want)
		}
		slices.Reverse(want)
		got, err = collect(tx, store.Range{Reverse: true})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("reverse scan: %v, %v, want %v", got, err, want)
		}
		// Deleting what is being scanned is how subtrees are swept.
		return tx.Scan(store.Range{}, func(k, _ []byte) (bool, error) { return true, tx.Delete(k) })
	})
	wantContents(t, s)
}

func testDeleteRange(t *testing.T, s store.Store) {
	tests := []struct {
		name     string
		from, to string
		want     []string
	}{
		{"from is inclusive, to exclusive", "b", "c", []string{"a", "c", "d"}},
		{"bounds that are no keys", "b/", "b0", []string{"a", "b", "b0", "c", "d"}},
		{"an empty from begins at the first key", "", "c", []string{"c", "d"}},
		{"an empty to ends after the last", "b0", "", []string{"a", "b", "b/1", "b/2", "b/\xff"}},
		{"nothing when from is to", "b", "b", rangeKeys()},
		{"nothing when from is past to", "d", "a", rangeKeys()},
		{"nothing where there is nothing", "x", "z", rangeKeys()},
		{"everything", "", "", nil},
	}
	for _, tt := range tests {
		putKeys(t, s, rangeKeys()...)
		var want []pair
		for _, k := range tt.want {
			want = append(want, pair{k, k})
		}
		update(t, s, func(tx store.Tx) error {
			if err := tx.DeleteRange([]byte(tt.from), []byte(tt.to)); err != nil {
				return err
			}
			got, err := collect(tx, store.Range{})
			if !slices.Equal(got, want) {
				t.Errorf("%s: transaction sees %v, want %v", tt.name, got, want)
			}
			for _, k := range rangeKeys() {
				if slices.Contains(tt.want, k) {
					wantValue(t, tx, k, k)
				} else {
					wantAbsent(t, tx, k)
				}
			}
			return err
		})
		if got := contents(t, s); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", tt.name, got, want)
		}
	}
}

func testDeleteRangeThenPut(t *testing.T, s store.Store) {
	putKeys(t, s, "a", "b", "c")
	update(t, s, func(tx store.Tx) error {
		return errors.Join(
			tx.Put([]byte("before"), []byte("x")),
			tx.DeleteRange([]byte("a"), []byte("c")),
			tx.Put([]byte("b"), []byte("again")),
			tx.Put([]byte("bb"), []byte("new")),
		)
	})
	wantContents(t, s, pair{"b", "again"}, pair{"bb", "new"}, pair{"c", "c"})
}
