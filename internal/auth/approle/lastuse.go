package approle

import (
	"bytes"
	"encoding/binary"
	"sync"
	"time"

	"jeton/internal/clock"
	"jeton/internal/store"
)

// Last use of secret ids, so that an operator finds those that nobody needs any more.
//
// A use of a limited secret id rewrites its record anyway, and Updated is the time. For those
// without limit a login's own transaction puts one key more, no oftener than every useEvery:
// a write, but no commit of its own, no loop in the background, and nothing to lose in a crash.

// useEvery is how exact the last use is: a later one within it leaves no trace.
const useEvery = time.Minute

// usedPart holds the times; see the list of keys.
const usedPart = "/used/"

func usedKey(uid, hash []byte) []byte {
	return append(append(ownedKey(uid), usedPart...), hash...)
}

// rememberedUses bounds the memory of lastUses: some hundred bytes each.
const rememberedUses = 4096

// lastUses knows which uses need not be written, because one was a moment ago. What the store
// says of its commits keeps it true; forgetting costs no more than a write.
type lastUses struct {
	clock clock.Clock
	mu    struct {
		sync.Mutex
		// written is when the time of a secret id was last written.
		written map[ownName]time.Time
	}
}

// ownName is a role's UID and the hash of one of its secret ids.
type ownName [uidSize + hashSize]byte

func newLastUses(clock clock.Clock) *lastUses {
	u := &lastUses{clock: clock}
	u.mu.written = map[ownName]time.Time{}
	return u
}

// note writes that a secret id without limit was used, unless that is known well enough. It
// runs in the login's transaction, and may do so more than once.
func (u *lastUses) note(tx store.Tx, uid, hash []byte, now time.Time) error {
	var name ownName
	copy(name[copy(name[:], uid):], hash)
	u.mu.Lock()
	written, known := u.mu.written[name]
	u.mu.Unlock()
	if known && now.Sub(written) < useEvery {
		return nil
	}
	return tx.Put(usedKey(uid, hash), binary.BigEndian.AppendUint64(nil, uint64(now.Unix())))
}

// changed is told of every commit in the area. A secret id that came or went has no use of its
// own yet, whatever its namesake had.
func (u *lastUses) changed(commit store.Commit) {
	for _, part := range []string{usedPart, secretPart} {
		for _, key := range commit.Keys {
			if name, ok := ownedName(key, part); ok {
				u.remember(name, part == usedPart)
			}
		}
	}
}

func (u *lastUses) remember(name ownName, used bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !used {
		delete(u.mu.written, name)
		return
	}
	if len(u.mu.written) >= rememberedUses {
		clear(u.mu.written)
	}
	u.mu.written[name] = u.clock.Now()
}

// ownedName is what a key of that part names.
func ownedName(key []byte, part string) (name ownName, ok bool) {
	rest, ok := bytes.CutPrefix(key, []byte(ownedPrefix))
	if !ok || len(rest) != len(name)+len(part) || string(rest[uidSize:uidSize+len(part)]) != part {
		return name, false
	}
	copy(name[copy(name[:], rest[:uidSize]):], rest[uidSize+len(part):])
	return name, true
}

// lastUse is when s was last used; zero for never.
func lastUse(r store.Reader, uid, hash []byte, s *secretRecord) (time.Time, error) {
	if s.NumUses > 0 {
		if s.Updated.After(s.Created) {
			return s.Updated, nil
		}
		return time.Time{}, nil
	}
	value, err := r.Get(usedKey(uid, hash))
	if isNotFound(err) {
		return time.Time{}, nil
	}
	if err != nil || len(value) != 8 {
		return time.Time{}, err
	}
	return time.Unix(int64(binary.BigEndian.Uint64(value)), 0), nil
}
