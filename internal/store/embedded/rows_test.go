package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"testing"

	"jeton/internal/store"
)

// A row holds from the state that it was read in to the newest; what an older state had is not
// let in once a commit has changed something beside it.
func TestRows(t *testing.T) {
	r := newRows()
	key := []byte("k")
	hash := maphash.Bytes(r.seed, key)
	want := func(when string, position uint64, value []byte, known bool) {
		t.Helper()
		got, ok := r.get(key, hash, position)
		if ok != known || !bytes.Equal(got, value) || (got == nil) != (value == nil) {
			t.Errorf("%s: %q, %t; want %q, %t", when, got, ok, value, known)
		}
	}
	want("at first", 5, nil, false)
	r.put(key, hash, []byte("v"), 5)
	want("in its state", 5, []byte("v"), true)
	want("in a later one", 9, []byte("v"), true)
	want("in an earlier one", 4, nil, false)
	r.change(key, []byte("longer"), 10)
	want("after a change", 10, []byte("longer"), true)
	want("in the state before it", 9, nil, false)
	r.put(key, hash, []byte("v"), 9)
	want("after it was read in that state", 10, []byte("longer"), true)
	r.change(key, nil, 11)
	want("deleted", 11, nil, true)
	want("in the state before that", 10, nil, false)
	r.change(key, []byte{}, 12)
	want("with an empty value", 12, []byte{}, true)
	r.change(key, make([]byte, rowBytes+1), 13)
	want("changed to a long value", 13, nil, false)
	r.change(key, []byte("w"), 14)
	want("changed while it is not remembered", 14, nil, false)
	r.put(key, hash, []byte("v"), 13)
	want("after it was read before that change", 14, nil, false)
	r.put(key, hash, []byte("w"), 14)
	want("after it was read since", 14, []byte("w"), true)
	r.dropAll(15)
	want("after a range was deleted", 15, nil, false)
	r.put(key, hash, make([]byte, rowBytes+1), 15)
	want("with a long value", 15, nil, false)
	for n := range 100_000 {
		k := fmt.Append(nil, n)
		r.put(k, maphash.Bytes(r.seed, k), make([]byte, rowBytes/4), 15)
	}
	for n := range 100_000 {
		r.change(fmt.Append(nil, n), make([]byte, n%(rowBytes+2)), 16)
	}
	for i := range r.shards {
		s, held := &r.shards[i], 0
		for k, one := range s.entries {
			held += len(k) + len(one.value) + rowOverhead
		}
		if held != s.bytes || held > rowShardBytes {
			t.Fatalf("%d bytes in a shard that says %d", held, s.bytes)
		}
	}
}

// Views that began before a commit, and transactions that fail, read what they should while
// rows are remembered for others.
func TestRowsKeepStatesApart(t *testing.T) {
	s, err := OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	key := func() []byte { return []byte{byte(rng.IntN(6))} }
	model := map[string]string{}
	check := func(r store.Reader, state map[string]string) {
		t.Helper()
		k := key()
		got, err := r.Get(k)
		want, there := state[string(k)]
		if there != (err == nil) || string(got) != want {
			t.Fatalf("%x is %q, %v; want %q, %t", k, got, err, want, there)
		}
	}
	clone := func() map[string]string {
		out := map[string]string{}
		for k, v := range model {
			out[k] = v
		}
		return out
	}
	aborted := errors.New("aborted")
	for range 3000 {
		before := clone()
		err := s.View(t.Context(), func(old store.Reader) error {
			check(old, before)
			commit := rng.IntN(3) > 0
			next := clone()
			err := s.Update(t.Context(), func(tx store.Tx) error {
				for range rng.IntN(4) {
					check(tx, next)
					k := key()
					switch rng.IntN(8) {
					case 0:
						clear(next)
						if err := tx.DeleteRange(nil, nil); err != nil {
							return err
						}
					case 1, 2:
						delete(next, string(k))
						if err := tx.Delete(k); err != nil {
							return err
						}
					default:
						v := fmt.Append(nil, rng.Uint32())
						next[string(k)] = string(v)
						if err := tx.Put(k, v); err != nil {
							return err
						}
					}
					check(tx, next)
				}
				if !commit {
					return aborted
				}
				return nil
			})
			if commit {
				model = next
			} else if !errors.Is(err, aborted) {
				t.Fatal(err)
			}
			check(old, before)
			return s.View(t.Context(), func(r store.Reader) error {
				check(r, model)
				check(old, before)
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
