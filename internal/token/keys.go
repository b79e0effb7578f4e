package token

import (
	"encoding/binary"
	"time"
)

// The token room's keys, below its area. A token's entries are all derived from its record by
// entries, so that one diff of old against new keeps them true.
//
//	r <id>                     the record
//	a <hash of accessor>       accessorEntry: the token of an older accessor; see accessor.go
//	c <parent id> <child id>   a child below its parent
//	x <expiry> <id>            the order of expiry; Unix nanoseconds, big-endian; never is last
//	l <path> 0 <id>            the tokens that a path issued ("auth/token/create")
//	q <id>                     an ended token that is still to be cleaned up
//	g                          bumped by every commit that may end a token with children
//	o <name>                   a role
//	z <id>                     a token whose record could not be read
//	s, n, d                    facets and their counts: see facet.go, counts.go
//	f                          which form all of this has: see upgrade.go
//	u, v                       last use: see lastuse.go
//	J, p, j                    jobs: see jobs.go
//	t                          what the sweeper ended last: see swept.go
const (
	recordKey   = 'r'
	accessorKey = 'a'
	childKey    = 'c'
	expiryKey   = 'x'
	pathKey     = 'l'
	queueKey    = 'q'
	markKey     = 'g'
	roleKey     = 'o'

	quarantineKey = 'z'
)

func key(kind byte, parts ...[]byte) []byte {
	size := 1
	for _, p := range parts {
		size += len(p)
	}
	k := make([]byte, 1, size)
	k[0] = kind
	for _, p := range parts {
		k = append(k, p...)
	}
	return k
}

func idKey(kind byte, id ID) []byte { return key(kind, id[:]) }

func expiryPrefix(nanos int64) []byte {
	k := make([]byte, 0, 1+8+len(ID{}))
	return binary.BigEndian.AppendUint64(append(k, expiryKey), uint64(nanos))
}

func pathPrefix(path string) []byte { return key(pathKey, []byte(path)) }

func pathEntry(path string, id ID) []byte { return key(pathKey, []byte(path), []byte{0}, id[:]) }

func roleRecord(name string) []byte { return key(roleKey, []byte(name)) }

// lastID is the id that ends an index key.
func lastID(k []byte) (id ID) {
	copy(id[:], k[len(k)-len(id):])
	return id
}

// entries are the index keys that a record must have, besides its accessor's. An ended token
// is detached from its parent at once: its own mark makes it dead, so that the parent's
// clean-up need not wait for it.
func (t *Token) entries() [][]byte {
	if t.End != nil {
		return [][]byte{idKey(queueKey, t.ID)}
	}
	keys := make([][]byte, 0, 4)
	// One piece of memory for all of them.
	room := make([]byte, 0, (1+2*len(t.ID))+(1+8+len(t.ID))+(1+len(t.Origin.Path)+1+len(t.ID)))
	add := func(kind byte, parts ...[]byte) {
		from := len(room)
		room = append(room, kind)
		for _, p := range parts {
			room = append(room, p...)
		}
		keys = append(keys, room[from:len(room):len(room)])
	}
	if !t.Orphan() {
		add(childKey, t.Parent[:], t.ID[:])
	}
	at := t.sweepTime()
	if at == 0 {
		at = never
	}
	var time [8]byte
	binary.BigEndian.PutUint64(time[:], uint64(at))
	add(expiryKey, time[:], t.ID[:])
	if t.Life.Leased {
		add(pathKey, []byte(t.Origin.Path), []byte{0}, t.ID[:])
	}
	return keys
}

// never is the place of a token without end in the order of expiry: after all others.
const never = -1

// sweepTime is when the sweeper has to look at the token, 0 for never. A used-up token is
// removed by the request that used it up; the sweeper comes for those that a crash left.
func (t *Token) sweepTime() int64 {
	if t.Uses == spent {
		return t.Life.SpentAt + int64(spentGrace)
	}
	return t.Life.Expires
}

// spentGrace is longer than any request may take.
const spentGrace = 5 * time.Minute
