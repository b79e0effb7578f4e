package kv

import (
	"time"

	"jeton/internal/record"
	"jeton/internal/store"
)

// defaultMaxVersions is how many versions are kept when neither key nor mount says.
const defaultMaxVersions = 10

// keyRecord is what is known of one key of version 2. Times are Unix nanoseconds, 0 is unset.
type keyRecord struct {
	// Current is the number of the newest version ever written; it counts on through
	// deletions. 0 is a key that has been described but never written.
	Current uint64 `cbor:"1,keyasint,omitempty"`
	// Oldest is the first version that is left once any have been trimmed; 0 before that.
	Oldest  uint64 `cbor:"2,keyasint,omitempty"`
	Created int64  `cbor:"3,keyasint,omitempty"`
	Updated int64  `cbor:"4,keyasint,omitempty"`
	// MaxVersions 0 leaves it to the mount.
	MaxVersions uint64 `cbor:"5,keyasint,omitempty"`
	CASRequired bool   `cbor:"6,keyasint,omitempty"`
	// DeleteAfter is in nanoseconds; 0 leaves it to the mount.
	DeleteAfter int64             `cbor:"7,keyasint,omitempty"`
	Custom      map[string]string `cbor:"8,keyasint,omitempty"`
	// Versions are those that are left, without gaps: the last one is Current.
	Versions []versionState `cbor:"9,keyasint,omitempty"`
}

// versionState is what is known of one version.
type versionState struct {
	Created int64 `cbor:"1,keyasint,omitempty"`
	// Deleted may lie in the future: the version is readable until then.
	Deleted   int64 `cbor:"2,keyasint,omitempty"`
	Destroyed bool  `cbor:"3,keyasint,omitempty"`
}

// versionRecord is one version's object. It is there for every version of keyRecord.Versions
// that is not destroyed, and for no other.
type versionRecord struct {
	// JSON is the object as document.Encode writes it.
	JSON []byte `cbor:"1,keyasint,omitempty"`
}

// configRecord is the settings of a mount.
type configRecord struct {
	MaxVersions uint64 `cbor:"1,keyasint,omitempty"`
	CASRequired bool   `cbor:"2,keyasint,omitempty"`
	// DeleteAfter is in nanoseconds; a negative one switches deletion off for all keys.
	DeleteAfter int64 `cbor:"3,keyasint,omitempty"`
}

// settings reads the mount's configuration; the zero one when none was written.
func settings(r store.Reader) (configRecord, error) {
	config, err := record.Get[configRecord](r, configKey())
	if err != nil || config == nil {
		return configRecord{}, err
	}
	return *config, nil
}

func newKeyRecord(now time.Time) *keyRecord {
	return &keyRecord{Created: now.UnixNano(), Updated: now.UnixNano()}
}

// version is the state of version n; nil when it never was or has been trimmed.
func (k *keyRecord) version(n uint64) *versionState {
	first := k.first()
	if n < first || n > k.Current {
		return nil
	}
	return &k.Versions[n-first]
}

// first is the number of the oldest version left; Current+1 when there is none.
func (k *keyRecord) first() uint64 { return k.Current + 1 - uint64(len(k.Versions)) }

// add makes a new current version.
func (k *keyRecord) add(config configRecord, now time.Time) {
	k.Current++
	k.Updated = now.UnixNano()
	k.Versions = append(k.Versions, versionState{Created: now.UnixNano(), Deleted: k.expiry(config, now)})
}

// trim forgets versions beyond the most that are kept and returns the numbers of those that
// it forgot, first to last; none when last is 0.
func (k *keyRecord) trim(config configRecord) (first, last uint64) {
	keep := k.keep(config)
	if uint64(len(k.Versions)) <= keep {
		return 0, 0
	}
	first = k.first()
	k.Oldest = k.Current - keep + 1
	k.Versions = k.Versions[k.Oldest-first:]
	return first, k.Oldest - 1
}

// keep is how many versions are kept. A key's own setting overrides the mount's, as the
// documentation of the field has always said. The servers in use take the larger of the two
// instead, so that nobody can keep fewer versions of one key; following them was rejected
// because whoever sets 2 on a key wants old versions of it gone. Contract: secrets §2.2, max_versions.
func (k *keyRecord) keep(config configRecord) uint64 {
	switch {
	case k.MaxVersions > 0:
		return k.MaxVersions
	case config.MaxVersions > 0:
		return config.MaxVersions
	}
	return defaultMaxVersions
}

// expiry is when a version that starts its life now is deleted by itself; 0 for never. The
// shorter of the key's and the mount's time holds. Contract: secrets §2.2, delete_version_after.
func (k *keyRecord) expiry(config configRecord, now time.Time) int64 {
	after := k.DeleteAfter
	switch {
	case config.DeleteAfter < 0:
		return 0
	case after == 0 || (config.DeleteAfter > 0 && config.DeleteAfter < after):
		after = config.DeleteAfter
	}
	if after == 0 {
		return 0
	}
	return now.Add(time.Duration(after)).UnixNano()
}

// deleted says whether the version's deletion time has come.
func (v *versionState) deleted(now time.Time) bool {
	return v.Deleted != 0 && now.UnixNano() >= v.Deleted
}

// gone says whether the version cannot be read: deleted or destroyed.
func (v *versionState) gone(now time.Time) bool { return v.Destroyed || v.deleted(now) }

// putVersion stores body, an encoded versionRecord, as the new current version of key, and
// removes what max_versions no longer leaves room for.
func putVersion(tx store.Tx, path string, key *keyRecord, config configRecord, body []byte, now time.Time) error {
	key.add(config, now)
	if err := tx.Put(versionKey(path, key.Current), body); err != nil {
		return err
	}
	first, last := key.trim(config)
	switch {
	case last == 0:
	case first == last:
		// The usual case; a range's tombstone costs readers more than a key's.
		if err := tx.Delete(versionKey(path, first)); err != nil {
			return err
		}
	default:
		r := versionRange(path, first, last)
		if err := tx.DeleteRange(r.From, r.To); err != nil {
			return err
		}
	}
	return record.Put(tx, keyKey(path), key)
}
