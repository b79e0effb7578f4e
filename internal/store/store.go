// Package store owns the promise under which Jeton keeps its data: ordered keys,
// serialisable transactions that are durable when they return, and a feed of what
// each commit changed. Everything above depends on this interface alone; what a
// backend promises is proved by the suite in store/storetest.
package store

import (
	"context"
	"errors"
)

// ErrNotFound says that a key has no value.
var ErrNotFound = errors.New("store: key not found")

// ErrClosed says that the store was closed before or during the call.
var ErrClosed = errors.New("store: closed")

// ErrReadOnly says that a write to the disk failed, and that the store takes no more until the disk
// is well. What was acknowledged is there, and reads go on.
var ErrReadOnly = errors.New("store: write failed, data is read-only until the disk is well again")

// ErrInUse says that another process holds the data directory.
var ErrInUse = errors.New("store: data is in use by another process")

// Store keeps ordered key-value pairs durably. All methods are safe for concurrent use.
type Store interface {
	// View runs fn on one consistent state of the store. Readers never wait for writers.
	// r must not be used after fn returns.
	View(ctx context.Context, fn func(r Reader) error) error

	// Update runs fn in a serialisable transaction that is durable when Update returns nil.
	// fn may run more than once: it must have no effect outside tx (variables that it
	// assigns afresh on each run are fine). When fn fails nothing is written and its error
	// is returned as it is. When Update fails for a reason of its own (disk, shutdown) the
	// outcome may be either: the caller must not claim success and must not assume failure.
	// A closure that writes nothing makes no commit. With a context of Reading it fails with
	// ErrReading. fn must not call Update or View. It may run
	// on another goroutine than the caller's, while the caller waits: a panic reaches the caller,
	// but fn must not end the goroutine.
	Update(ctx context.Context, fn func(tx Tx) error) error

	// Subscribe calls fn with what every later commit changed, in commit order, before the
	// Update that made it returns, and before the closure of any later Update runs: what a
	// cache holds is true inside a transaction. (A store that several processes write to can
	// promise this of its own process's commits only; its conflicts must then reject the rest.)
	// A View may see a commit a moment before fn hears of
	// it: a cache must not keep what it read when a change was told meanwhile (compare
	// Reader.Position, or count the changes). fn must be quick, must not call the store, and
	// must not keep the slices it is given. cancel returns when fn will not be called again.
	Subscribe(fn func(Commit)) (cancel func())

	// Close waits for what is in flight and releases the data. Later calls fail with ErrClosed.
	Close() error
}

// Reader reads one consistent state. It belongs to one goroutine.
type Reader interface {
	// Get returns the value of key, which is the caller's to keep, or ErrNotFound.
	Get(key []byte) ([]byte, error)

	// Scan calls fn for the pairs of the range in order until fn returns false or an error.
	// key and value are valid only during the call. In a Tx, what fn writes during the scan
	// may or may not be seen by it.
	Scan(r Range, fn func(key, value []byte) (more bool, err error)) error

	// Position is the number of the newest commit that this state contains; in a Tx, the
	// number that its commit will have. It grows with every commit, and survives restarts.
	Position() uint64
}

// Tx reads its own writes.
type Tx interface {
	Reader
	// Put sets key to value; both are copied before it returns.
	Put(key, value []byte) error
	// Delete removes key; an absent key is no error.
	Delete(key []byte) error
	// Withdraw removes key as Delete does, and may leave no trace of it, for keys that are put and
	// soon removed again. REQUIRES: key was put once, and no more, since it last had no value;
	// where it was put twice, the earlier value may show again.
	Withdraw(key []byte) error
	// DeleteRange removes every key in [from, to); an empty to is the end of all keys.
	DeleteRange(from, to []byte) error
}

// Range selects keys from From (inclusive) to To (exclusive). An empty From starts at the
// first key, an empty To ends after the last. To resume a forward scan after key k use
// After(k) as From; to resume a reverse scan before k use k as To.
type Range struct {
	From, To []byte
	// Reverse scans from the end of the range to its start.
	Reverse bool
	// Limit bounds the number of pairs; 0 is no bound.
	Limit int
	// KeysOnly promises that fn ignores its value, which is then nil.
	KeysOnly bool
}

// Commit is what one Update changed.
type Commit struct {
	Position uint64
	// Keys were put or deleted.
	Keys [][]byte
	// Common is what all Keys begin with, or a part of it: most commits are of one room, and the
	// others need not look at their keys.
	Common []byte
	// Ranges were deleted whole.
	Ranges []Range
}

// PrefixRange is the range of all keys that begin with prefix.
func PrefixRange(prefix []byte) Range {
	return Range{From: prefix, To: prefixEnd(prefix)}
}

// After is the smallest key greater than key.
func After(key []byte) []byte {
	next := make([]byte, len(key)+1)
	copy(next, key)
	return next
}

// prefixEnd is the smallest key greater than every key that begins with prefix; nil when
// there is none (an empty prefix, or one of 0xff bytes only).
func prefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}
