package storetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"jeton/internal/store"
)

// What benchmarks fill a store with: records of the size of a token's.
const (
	benchKeys       = 20_000
	benchValueBytes = 400
	benchScan       = 100
)

func benchKey(i uint64) []byte {
	// Spread like the keyed hashes that tokens are stored under.
	return fmt.Appendf(nil, "t/%016x", i*0x9e3779b97f4a7c15)
}

// Benchmark measures what requests are made of. open returns a new, empty store.
func Benchmark(b *testing.B, open func(b *testing.B) store.Store) {
	s := open(b)
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	value := make([]byte, benchValueBytes)
	const batch = 1000
	for start := 0; start < benchKeys; start += batch {
		update(b, s, func(tx store.Tx) error {
			for i := range batch {
				if err := tx.Put(benchKey(uint64(start+i)), value); err != nil {
					return err
				}
			}
			return nil
		})
	}

	b.Run("get", func(b *testing.B) {
		b.ReportAllocs()
		var i uint64
		for b.Loop() {
			i++
			view(b, s, func(r store.Reader) error {
				_, err := r.Get(benchKey(i % benchKeys))
				return err
			})
		}
	})
	b.Run("get of an absent key", func(b *testing.B) {
		b.ReportAllocs()
		var i uint64
		for b.Loop() {
			i++
			view(b, s, func(r store.Reader) error {
				if _, err := r.Get(benchKey(benchKeys + i)); err != store.ErrNotFound {
					return fmt.Errorf("absent key: %w", err)
				}
				return nil
			})
		}
	})
	b.Run(fmt.Sprintf("scan of %d", benchScan), func(b *testing.B) {
		b.ReportAllocs()
		var i uint64
		for b.Loop() {
			i++
			view(b, s, func(r store.Reader) error {
				return r.Scan(store.Range{From: benchKey(i), Limit: benchScan}, func(_, _ []byte) (bool, error) { return true, nil })
			})
		}
	})
	for _, goroutines := range []int{1, 64} {
		b.Run(fmt.Sprintf("commit by %d", goroutines), func(b *testing.B) { benchmarkCommits(b, s, goroutines, value) })
	}
}

// benchmarkCommits measures durable commits of one record and one index entry each.
func benchmarkCommits(b *testing.B, s store.Store, goroutines int, value []byte) {
	b.ReportAllocs()
	var next atomic.Uint64
	total := uint64(b.N)
	done := make(chan error, goroutines)
	for range goroutines {
		go func() {
			var err error
			for i := next.Add(1); i <= total && err == nil; i = next.Add(1) {
				err = s.Update(context.Background(), func(tx store.Tx) error {
					key := benchKey(benchKeys + i)
					if err := tx.Put(key, value); err != nil {
						return err
					}
					return tx.Put(append([]byte("i/"), key...), nil)
				})
			}
			done <- err
		}()
	}
	for range goroutines {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}
