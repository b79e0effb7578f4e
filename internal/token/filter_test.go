package token

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"jeton/internal/store"
	"jeton/internal/store/storetest"
)

func TestParseInstant(t *testing.T) {
	now := epoch
	for _, c := range []struct {
		text  string
		ahead bool
		want  int64
	}{
		{"", false, 0},
		{" ", true, 0},
		{"24h", false, now.Add(-24 * time.Hour).UnixNano()},
		{"24h", true, now.Add(24 * time.Hour).UnixNano()},
		{"90", false, now.Add(-90 * time.Second).UnixNano()},
		{"2d", false, now.Add(-48 * time.Hour).UnixNano()},
		{"0", false, now.UnixNano()},
		{"1767225600", false, time.Unix(1767225600, 0).UnixNano()},
		{"1767225600", true, time.Unix(1767225600, 0).UnixNano()},
		{"2026-01-02T03:04:05Z", false, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano()},
		{"2026-01-02T03:04:05.5+01:00", true, time.Date(2026, 1, 2, 2, 4, 5, 5e8, time.UTC).UnixNano()},
		// A bound is never taken for none: 0 would let everything through.
		{"1970-01-01T00:00:00Z", false, 1},
		{"0001-01-01T00:00:00Z", false, 1},
		{"9999-01-01T00:00:00Z", false, math.MaxInt64},
		{"876000h", false, 1},
	} {
		got, err := ParseInstant(c.text, now, c.ahead)
		if err != nil || got != c.want {
			t.Errorf("%q, ahead %t: %d, %v; want %d", c.text, c.ahead, got, err, c.want)
		}
	}
	for _, text := range []string{"yesterday", "-24h", "-1", "2026-01-02", "1h ago", "99999999999999999999"} {
		if got, err := ParseInstant(text, now, false); err == nil {
			t.Errorf("%q: %d, want an error", text, got)
		}
	}
}

func TestParseSort(t *testing.T) {
	for text, want := range map[string]struct {
		by      Sort
		reverse bool
	}{
		"": {ByCreated, false}, "-": {ByCreated, true}, "created": {ByCreated, false}, "-created": {ByCreated, true},
		"expires": {ByExpires, false}, "-expires": {ByExpires, true}, "last_used": {ByLastUsed, false}, "-last_used": {ByLastUsed, true},
	} {
		by, reverse, err := ParseSort(text)
		if err != nil || by != want.by || reverse != want.reverse {
			t.Errorf("%q: %s, %t, %v", text, by, reverse, err)
		}
	}
	for _, text := range []string{"name", "--created", "Created", "created,expires"} {
		if _, _, err := ParseSort(text); err == nil {
			t.Errorf("%q: accepted", text)
		}
	}
}

// The promise: a page of 100 costs the same at 1,000 tokens and at many more, whatever it is
// filtered and sorted by.
func TestPageCostsTheSame(t *testing.T) {
	queries := map[string]Query{
		"all":             {Sort: ByCreated},
		"policy":          {Filter: Filter{Policy: "web"}, Sort: ByCreated},
		"newest":          {Filter: Filter{Policy: "web"}, Sort: ByCreated, Reverse: true},
		"expiring first":  {Filter: Filter{Policy: "web"}, Sort: ByExpires},
		"unused":          {Sort: ByLastUsed},
		"of a path":       {Filter: Filter{Path: "auth/token/create"}, Sort: ByCreated},
		"of a mount":      {Filter: Filter{Path: "auth/token/"}, Sort: ByCreated},
		"few of a policy": {Filter: Filter{Policy: "db"}, Sort: ByExpires},
		"few of a name":   {Filter: Filter{DisplayName: "token-rare-one"}, Sort: ByCreated},
		"few of metadata": {Filter: Filter{MetaKey: "team", MetaValue: "rare"}, Sort: ByCreated},
	}
	cost := func(n int) map[string]int64 {
		s := &storetest.Counting{Store: memory(t)}
		w := worldOver(t, s)
		crowded(w, n)
		w.create(w.root, func(a *Ask) {
			a.Policies, a.DisplayName, a.Meta = []string{"db"}, "rare-one", map[string]string{"team": "rare"}
		})
		// What a process reads once is no part of a page; and the order must be the same both times.
		w.must(w.plain(), w.foldAll(w.ctx))
		_, err := w.Search(w.ctx, Query{Sort: ByCreated, Limit: 1})
		w.ok(err)
		costs := map[string]int64{}
		for _, name := range slices.Sorted(maps.Keys(queries)) {
			q := queries[name]
			q.Limit = 100
			s.Reset()
			page, err := w.Search(w.ctx, q)
			w.ok(err)
			if len(page.Rows) == 0 {
				t.Fatalf("%s: nothing found", name)
			}
			costs[name] = s.Gets.Load() + s.Scanned.Load()
		}
		return costs
	}
	few, many := cost(1000), cost(10_000)
	for name := range queries {
		if many[name] != few[name] {
			t.Errorf("%s: %d operations with a thousand tokens, %d with ten thousand", name, few[name], many[name])
		}
		if few[name] > 12*100 {
			t.Errorf("%s: %d operations for a page", name, few[name])
		}
	}
}

// BenchmarkSearchPage is a page of 100 among few and among many.
func BenchmarkSearchPage(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			w := worldOver(b, memory(b))
			crowded(w, n)
			q := Query{Filter: Filter{Policy: "web"}, Sort: ByExpires, Limit: 100}
			for b.Loop() {
				page, err := w.Search(w.ctx, q)
				if err != nil || len(page.Rows) != 100 {
					b.Fatal(len(page.Rows), err)
				}
			}
		})
	}
}

// BenchmarkRevokeMatching is the mark of a job among few and among many.
func BenchmarkRevokeMatching(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			w := worldOver(b, memory(b))
			crowded(w, n)
			for b.Loop() {
				job, err := w.RevokeMatching(w.ctx, Filter{Policy: "web"}, caller(w.root, true))
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				w.ok(w.area.Update(w.ctx, func(tx store.Tx) error { return tx.Delete(key(jobKey, []byte(job.ID))) }))
				b.StartTimer()
			}
		})
	}
}
