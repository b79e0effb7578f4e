package embedded

import (
	"bytes"
	"hash/maphash"
	"sync"
)

// rows remembers values as they are stored, encrypted ones included, by key, and keys that have
// none: to ask Pebble costs ten times as much, and a request asks for the same few again.
//
// A row holds in every state from the one it was read in, or written by (since), to the newest. For
// that, a commit changes the rows of its keys before it becomes visible, and what was read in a
// state before that is not let in any more.
type rows struct {
	seed   maphash.Seed
	shards [rowShards]rowShard
}

const (
	rowShards = 64
	// rowShardBytes bounds a shard, keys included: all of them are 16 MiB.
	rowShardBytes = 256 << 10
	// rowBytes is the longest value that is worth its room.
	rowBytes = 4 << 10
	// rowOverhead is about what the map adds to a row.
	rowOverhead = 64
)

type rowShard struct {
	mu sync.Mutex
	// entries are by the stored form of the key; guarded by mu, as is what follows.
	entries map[string]row
	bytes   int
	// changed is the newest commit that changed a key of the shard, remembered or not.
	changed uint64
}

// row is a value; nil is none. It is immutable.
type row struct {
	value []byte
	since uint64
}

func newRows() *rows {
	r := &rows{seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].entries = map[string]row{}
	}
	return r
}

func (r *rows) shard(hash uint64) *rowShard { return &r.shards[hash%rowShards] }

// get is the value of key in the state of position. known is false when it has to be read;
// the value is nil when there is none, and must not be changed.
func (r *rows) get(key []byte, hash, position uint64) (value []byte, known bool) {
	s := r.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.entries[string(key)]
	if !ok || found.since > position {
		return nil, false
	}
	return found.value, true
}

// put keeps what was read in the state of position; a nil value says that there is none. Both
// are copied.
func (r *rows) put(key []byte, hash uint64, value []byte, position uint64) {
	if len(value) > rowBytes {
		return
	}
	s := r.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed > position {
		return
	}
	if _, ok := s.entries[string(key)]; ok {
		return // it holds in a newer state, or was read in the same
	}
	for victim, old := range s.entries {
		if s.bytes+len(key)+len(value)+rowOverhead <= rowShardBytes {
			break
		}
		s.remove(victim, old) // any will do: what is in use comes back
	}
	s.entries[string(key)] = row{bytes.Clone(value), position}
	s.bytes += len(key) + len(value) + rowOverhead
}

// remove forgets a row. REQUIRES: mu is held.
func (s *rowShard) remove(key string, old row) {
	delete(s.entries, key)
	s.bytes -= len(key) + len(old.value) + rowOverhead
}

// change gives a key that is remembered the value of the commit of position, nil where that deletes
// it. It is called before the commit is visible: nobody reads its state yet, and whoever reads an
// older one passes over the row. What is not remembered is not from here on either: most keys
// that are written are not read soon.
func (r *rows) change(key, value []byte, position uint64) {
	s := r.shard(maphash.Bytes(r.seed, key))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed = position
	old, ok := s.entries[string(key)]
	if !ok {
		return
	}
	if len(value) > rowBytes || len(value) > len(old.value) && s.bytes+len(value)-len(old.value) > rowShardBytes {
		s.remove(string(key), old)
		return
	}
	s.entries[string(key)] = row{bytes.Clone(value), position}
	s.bytes += len(value) - len(old.value)
}

// dropAll forgets everything: the commit of position deletes a range.
func (r *rows) dropAll(position uint64) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		s.changed, s.bytes = position, 0
		clear(s.entries)
		s.mu.Unlock()
	}
}
