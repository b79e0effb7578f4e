package storetest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"jeton/internal/store"
)

// How much is done at once: enough for transactions to meet, small enough for -race.
const (
	workers       = 8
	turnsOfWorker = 40
)

func concurrencyTests() []test {
	return []test{
		{"no increment of a counter is lost", testIncrements},
		{"transfers keep the sum in every view", testTransfers},
		{"two transactions that read what the other writes do not both win", testWriteSkew},
		{"a View never sees half a commit", testWholeCommits},
		{"a View's position is that of its newest commit", testPositionOfView},
		{"ranges deleted and refilled at once stay whole", testRangesWhole},
		{"a transaction takes effect between call and return", testLinearizable},
	}
}

// each runs fn in workers goroutines and waits for them.
func each(t *testing.T, fn func(worker int, random *rand.Rand) error) {
	t.Helper()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			if err := fn(w, rand.New(rand.NewPCG(uint64(w), 1))); err != nil {
				t.Errorf("worker %d: %v", w, err)
			}
		})
	}
	wg.Wait()
}

func getNumber(r store.Reader, key string) (uint64, error) {
	v, err := r.Get([]byte(key))
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("%q holds %x, not a number", key, v)
	}
	return binary.BigEndian.Uint64(v), nil
}

func putNumber(tx store.Tx, key string, n uint64) error {
	return tx.Put([]byte(key), binary.BigEndian.AppendUint64(nil, n))
}

func testIncrements(t *testing.T, s store.Store) {
	each(t, func(int, *rand.Rand) error {
		for range turnsOfWorker {
			err := s.Update(context.Background(), func(tx store.Tx) error {
				n, err := getNumber(tx, "counter")
				if err != nil {
					return err
				}
				return putNumber(tx, "counter", n+1)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	view(t, s, func(r store.Reader) error {
		n, err := getNumber(r, "counter")
		if n != workers*turnsOfWorker {
			t.Errorf("counter is %d, want %d", n, workers*turnsOfWorker)
		}
		if r.Position() < n {
			t.Errorf("position is %d after %d commits", r.Position(), n)
		}
		return err
	})
}

const (
	accounts       = 10
	openingBalance = 100
)

func account(i int) string { return fmt.Sprintf("account/%02d", i) }

// total is the sum of all accounts in r.
func total(r store.Reader) (sum uint64, err error) {
	err = r.Scan(store.PrefixRange([]byte("account/")), func(_, v []byte) (bool, error) {
		sum += binary.BigEndian.Uint64(v)
		return true, nil
	})
	return sum, err
}

// transfer moves amount if the payer has it; every third one fails after it has written.
func transfer(tx store.Tx, from, to int, amount uint64, abort bool) error {
	payer, err := getNumber(tx, account(from))
	if err != nil || payer < amount || from == to {
		return err
	}
	payee, err := getNumber(tx, account(to))
	if err != nil {
		return err
	}
	if err := putNumber(tx, account(from), payer-amount); err != nil {
		return err
	}
	if abort {
		return errAbort
	}
	return putNumber(tx, account(to), payee+amount)
}

func testTransfers(t *testing.T, s store.Store) {
	update(t, s, func(tx store.Tx) error {
		for i := range accounts {
			if err := putNumber(tx, account(i), openingBalance); err != nil {
				return err
			}
		}
		return nil
	})
	check := func(r store.Reader) error {
		sum, err := total(r)
		if err == nil && sum != accounts*openingBalance {
			err = fmt.Errorf("sum of accounts is %d, want %d", sum, accounts*openingBalance)
		}
		return err
	}
	each(t, func(w int, random *rand.Rand) error {
		for turn := range turnsOfWorker {
			if w%2 == 0 {
				if err := s.View(context.Background(), check); err != nil {
					return err
				}
				continue
			}
			from, to, amount := random.IntN(accounts), random.IntN(accounts), random.Uint64N(openingBalance)
			err := s.Update(context.Background(), func(tx store.Tx) error {
				return transfer(tx, from, to, amount, turn%3 == 0)
			})
			if err != nil && err != errAbort {
				return err
			}
		}
		return nil
	})
	view(t, s, check)
}

// testWriteSkew is the anomaly that snapshot isolation allows and serialisability forbids: of
// two people on call, each signs off if the other is still there.
func testWriteSkew(t *testing.T, s store.Store) {
	for round := range 20 {
		duty := func(who int) string { return fmt.Sprintf("duty/%d/%d", round, who) }
		update(t, s, func(tx store.Tx) error {
			return errors.Join(putNumber(tx, duty(0), 1), putNumber(tx, duty(1), 1))
		})
		var wg sync.WaitGroup
		for who := range 2 {
			wg.Go(func() {
				err := s.Update(context.Background(), func(tx store.Tx) error {
					other, err := getNumber(tx, duty(1-who))
					if err != nil || other == 0 {
						return err
					}
					return putNumber(tx, duty(who), 0)
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		view(t, s, func(r store.Reader) error {
			a, errA := getNumber(r, duty(0))
			b, errB := getNumber(r, duty(1))
			if a+b != 1 {
				t.Errorf("round %d: %d on duty, want 1", round, a+b)
			}
			return errors.Join(errA, errB)
		})
	}
}

func testWholeCommits(t *testing.T, s store.Store) {
	each(t, func(w int, _ *rand.Rand) error {
		for turn := range turnsOfWorker {
			mark := fmt.Appendf(nil, "%d/%d", w, turn)
			if w%2 == 0 {
				err := s.Update(context.Background(), func(tx store.Tx) error {
					return errors.Join(tx.Put([]byte("a"), mark), tx.Put([]byte("m"), mark), tx.Put([]byte("z"), mark))
				})
				if err != nil {
					return err
				}
				continue
			}
			err := s.View(context.Background(), func(r store.Reader) error {
				got, err := collect(r, store.Range{})
				for _, p := range got {
					if p.value != got[0].value || len(got) != 3 {
						return fmt.Errorf("half a commit: %v", got)
					}
				}
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func testPositionOfView(t *testing.T, s store.Store) {
	update(t, s, func(tx store.Tx) error { return putNumber(tx, "newest", tx.Position()) })
	each(t, func(w int, _ *rand.Rand) error {
		var last uint64
		for range turnsOfWorker {
			if w%2 == 0 {
				err := s.Update(context.Background(), func(tx store.Tx) error {
					return putNumber(tx, "newest", tx.Position())
				})
				if err != nil {
					return err
				}
				continue
			}
			err := s.View(context.Background(), func(r store.Reader) error {
				newest, err := getNumber(r, "newest")
				if err == nil && (newest != r.Position() || newest < last) {
					err = fmt.Errorf("position %d, newest commit %d, before %d", r.Position(), newest, last)
				}
				last = newest
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func testRangesWhole(t *testing.T, s store.Store) {
	const size = 20
	prefix := []byte("set/")
	each(t, func(w int, _ *rand.Rand) error {
		for range turnsOfWorker {
			if w%2 == 0 {
				err := s.Update(context.Background(), func(tx store.Tx) error {
					rng := store.PrefixRange(prefix)
					if err := tx.DeleteRange(rng.From, rng.To); err != nil {
						return err
					}
					for i := range size {
						if err := tx.Put(fmt.Appendf(nil, "set/%d-%d", w, i), []byte{byte(w)}); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					return err
				}
				continue
			}
			err := s.View(context.Background(), func(r store.Reader) error {
				got, err := collect(r, store.PrefixRange(prefix))
				if n := len(got); err == nil && n != 0 && (n != size || got[0].value != got[n-1].value) {
					err = fmt.Errorf("a set of %d, from %v to %v", n, got[0], got[n-1])
				}
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// interval is one operation on a register: when it was called, when it had returned, and the number
// of writes that it followed (a read) or was (a write).
type interval struct {
	called, returned, n uint64
	write               bool
}

// testLinearizable has many write and read one counter, and compares the order of what they found
// with that of calls and returns: whoever begins after another has returned comes after it.
func testLinearizable(t *testing.T, s store.Store) {
	const callers = 64
	var (
		clock   atomic.Uint64
		mu      sync.Mutex
		history []interval // guarded by mu
		wg      sync.WaitGroup
	)
	for w := range callers {
		wg.Go(func() {
			for turn := range 10 {
				op := interval{called: clock.Add(1), write: (w+turn)%3 > 0}
				var err error
				if op.write {
					err = s.Update(context.Background(), func(tx store.Tx) (err error) {
						if op.n, err = getNumber(tx, "counter"); err != nil {
							return err
						}
						op.n++
						return putNumber(tx, "counter", op.n)
					})
				} else {
					err = s.View(context.Background(), func(r store.Reader) (err error) {
						op.n, err = getNumber(r, "counter")
						return err
					})
				}
				if op.returned = clock.Add(1); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				history = append(history, op)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for _, a := range history {
		for _, b := range history {
			if a.returned >= b.called {
				continue
			}
			// A write has a number of its own, a read that of the last write before it.
			if b.n < a.n || b.write && b.n == a.n {
				t.Errorf("%+v was found after %+v had returned", b, a)
			}
		}
	}
}
