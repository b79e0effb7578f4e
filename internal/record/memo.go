package record

import (
	"bytes"
	"errors"
	"hash/maphash"
	"sync"

	"jeton/internal/store"
)

// Memo remembers what was made of the values at some keys of an area, so that they are neither
// read nor decoded again. The area's change feed alone keeps it true: Changed must be told of
// every commit, before the first read. By the feed's promise (store.Store.Subscribe) what it
// holds is then true inside a transaction as well, for keys that this has not written itself.
// What it holds is shared, and must not be changed. It is safe for concurrent use.
type Memo[T any] struct {
	seed   maphash.Seed
	absent *T
	shards [memoShards]memoShard[T]
}

const memoShards = 16

type memoShard[T any] struct {
	mu sync.RWMutex
	// entries is guarded by mu, and bounded by most.
	entries map[string]*T
	most    int
	// changed is the newest commit that changed a key of this shard; guarded by mu. What was
	// read from an older state is not let in.
	changed uint64
}

// NewMemo remembers at most about that many values. absent is what is remembered of a key that has
// none; nil where that is not to be, so that guesses do not push out what is there.
func NewMemo[T any](most int, absent *T) *Memo[T] {
	m := &Memo[T]{seed: maphash.MakeSeed(), absent: absent}
	for i := range m.shards {
		m.shards[i].entries, m.shards[i].most = map[string]*T{}, max(1, most/memoShards)
	}
	return m
}

func (m *Memo[T]) shard(key []byte) *memoShard[T] {
	return &m.shards[maphash.Bytes(m.seed, key)%memoShards]
}

// Get returns what is remembered of key, nil for nothing.
func (m *Memo[T]) Get(key []byte) *T {
	s := m.shard(key)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.entries[string(key)]
}

// Read returns what is remembered of key, or what decode makes of its value in r, which it then
// remembers; for a key without a value the absent one. Those who read a key at the same time all get
// what the first of them made.
func (m *Memo[T]) Read(r store.Reader, key []byte, decode func(value []byte) (*T, error)) (*T, error) {
	if v := m.Get(key); v != nil {
		return v, nil
	}
	value, err := r.Get(key)
	v := m.absent
	if err == nil {
		v, err = decode(value)
	} else if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	if v != nil {
		v = m.keep(r, key, v)
	}
	return v, nil
}

// keep remembers what was made of the value of key in r, and returns what is remembered. What a
// transaction reads is not kept: the transaction may have written it, and may fail.
func (m *Memo[T]) keep(r store.Reader, key []byte, v *T) *T {
	if _, writes := r.(store.Tx); writes {
		return v
	}
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Position() < s.changed {
		return v
	}
	if first := s.entries[string(key)]; first != nil {
		return first
	}
	if len(s.entries) >= s.most {
		// Any victim will do: what is in use comes back.
		for victim := range s.entries {
			delete(s.entries, victim)
			break
		}
	}
	s.entries[string(key)] = v
	return v
}

// Changed forgets what a commit changed.
func (m *Memo[T]) Changed(commit store.Commit) {
	for _, key := range commit.Keys {
		s := m.shard(key)
		s.mu.Lock()
		delete(s.entries, string(key))
		s.changed = max(s.changed, commit.Position)
		s.mu.Unlock()
	}
	if len(commit.Ranges) == 0 {
		return
	}
	for i := range m.shards {
		m.shards[i].clear(commit)
	}
}

// clear forgets the keys in ranges that were deleted.
func (s *memoShard[T]) clear(commit store.Commit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed = max(s.changed, commit.Position)
	for key := range s.entries {
		for _, r := range commit.Ranges {
			if bytes.Compare([]byte(key), r.From) >= 0 && (len(r.To) == 0 || bytes.Compare([]byte(key), r.To) < 0) {
				delete(s.entries, key)
				break
			}
		}
	}
}

// ErrUnread says that something would have to be read.
var ErrUnread = errors.New("record: not read")

// Unread stands for a state of the store where memos are to be asked alone: whatever they do not
// know fails with ErrUnread. Who gets that tries again in a View.
type Unread struct{}

var _ store.Reader = Unread{}

// Get knows no value.
func (Unread) Get([]byte) ([]byte, error) { return nil, ErrUnread }

// Scan knows no value.
func (Unread) Scan(store.Range, func(key, value []byte) (bool, error)) error { return ErrUnread }

// Position is that of no commit.
func (Unread) Position() uint64 { return 0 }
