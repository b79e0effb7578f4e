package lease

import (
	"encoding/binary"

	"jeton/internal/backend"
)

// The lease room's keys, below its area. A lease's entries are all derived from its record by
// entries, so that one diff of old against new keeps them true.
//
//	r <id>                       the record; ids below a path are one range
//	d <mount accessor> 0 <due> <id>  when an engine has to be asked; Unix nanoseconds, big-endian
//	h <holder> <id>              the leases that die with a token
//	i <expiry> <id>              the irrevocable leases, in the order in which they are shown
//	n <mount accessor>           tally: how many irrevocable leases an engine has
//	z <id>                       a lease whose record could not be read
//
// The order of what is due is kept for each mount by itself, so that an engine that is slow
// or away has a queue of its own and nobody stands behind it.
const (
	recordKey      = 'r'
	dueKey         = 'd'
	holderKey      = 'h'
	irrevocableKey = 'i'
	tallyKey       = 'n'
	quarantineKey  = 'z'
)

// tally counts.
type tally struct {
	Count int64 `cbor:"1,keyasint"`
}

func recordOf(id string) []byte { return append([]byte{recordKey}, id...) }

func quarantineOf(id string) []byte { return append([]byte{quarantineKey}, id...) }

func tallyOf(mount string) []byte { return append([]byte{tallyKey}, mount...) }

func holderPrefix(holder backend.TokenID) []byte { return append([]byte{holderKey}, holder[:]...) }

// duePrefix begins the queue of a mount.
func duePrefix(mount string) []byte {
	return append(append([]byte{dueKey}, mount...), 0)
}

// dueBefore ends the part of a mount's queue that is due at nanos.
func dueBefore(mount string, nanos int64) []byte {
	return binary.BigEndian.AppendUint64(duePrefix(mount), uint64(nanos)+1)
}

func dueEntry(mount string, nanos int64, id string) []byte {
	return append(binary.BigEndian.AppendUint64(duePrefix(mount), uint64(nanos)), id...)
}

func irrevocableEntry(expires int64, id string) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{irrevocableKey}, uint64(expires)), id...)
}

// idFrom is what follows the first n bytes of a key.
func idFrom(k []byte, n int) string { return string(k[n:]) }

// What precedes the id in each kind of key.
const (
	recordHead      = 1
	holderHead      = 1 + len(backend.TokenID{})
	irrevocableHead = 1 + 8
)

// dueHead is what precedes the id in the queue of a mount.
func dueHead(mount string) int { return 1 + len(mount) + 1 + 8 }

// entries are the index keys that a record must have. An ended lease no longer hangs on its
// holder: its own mark says all.
func (l *Lease) entries() [][]byte {
	keys := [][]byte{dueEntry(l.Mount, l.due(), l.ID)}
	if l.End == nil && l.Holder != (backend.TokenID{}) {
		keys = append(keys, append(holderPrefix(l.Holder), l.ID...))
	}
	if _, yes := l.Irrevocable(); yes {
		keys = append(keys, irrevocableEntry(l.Expires, l.ID))
	}
	return keys
}
