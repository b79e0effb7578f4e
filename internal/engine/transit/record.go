package transit

import (
	"context"
	"encoding/binary"
	"time"

	"jeton/internal/record"
	"jeton/internal/store"
)

// The keys of one transit mount, within its area. The first byte says what a key holds:
//
//	k <name>                what is known of a key (keyRecord)
//	v <key id> <version>    the material of one version (versionRecord), its number big-endian
//	r <time> <name>         when a key rotates by itself, in Unix nanoseconds, big-endian; empty
//	c                       the mount's settings (settingsRecord)
//	w                       the key that imported material is wrapped for (wrappingRecord)
//
// A key that is made under the name of a deleted one has another id: what was read of the one
// is never taken for the other's.
const (
	keyPrefix      = 'k'
	versionPrefix  = 'v'
	rotationPrefix = 'r'
	settingsKey    = "c"
	wrappingKey    = "w"
)

// keyRecord is what is known of a key. A version is there from MinAvailable (or 1) to Latest.
type keyRecord struct {
	ID         []byte `cbor:"1,keyasint,omitempty"`
	Type       string `cbor:"2,keyasint,omitempty"`
	Derived    bool   `cbor:"3,keyasint,omitempty"`
	Convergent bool   `cbor:"4,keyasint,omitempty"`
	Exportable bool   `cbor:"5,keyasint,omitempty"`
	// PlainBackup allows a backup, which holds the keys in the clear.
	PlainBackup     bool `cbor:"6,keyasint,omitempty"`
	DeletionAllowed bool `cbor:"7,keyasint,omitempty"`
	// AutoRotate is in nanoseconds, 0 for never; Rotates is the next time in Unix nanoseconds.
	AutoRotate int64  `cbor:"8,keyasint,omitempty"`
	Rotates    int64  `cbor:"9,keyasint,omitempty"`
	Latest     uint64 `cbor:"10,keyasint,omitempty"`
	// MinDecrypt is at least 1; MinEncrypt 0 is the latest; MinAvailable 0 is the first.
	MinDecrypt   uint64 `cbor:"11,keyasint,omitempty"`
	MinEncrypt   uint64 `cbor:"12,keyasint,omitempty"`
	MinAvailable uint64 `cbor:"13,keyasint,omitempty"`
	// Size is that of an hmac key in bytes.
	Size int `cbor:"14,keyasint,omitempty"`
	// Import says where the material came from.
	Import importState `cbor:"15,keyasint,omitempty"`
}

// importState is how a key that was brought along may go on.
type importState uint8

const (
	madeHere importState = iota
	// imported keys get new versions by import alone.
	imported
	// importedRotating keys may also be rotated here.
	importedRotating
)

// versionRecord is the material of one version, which never changes.
type versionRecord struct {
	// Created is in Unix nanoseconds.
	Created int64 `cbor:"1,keyasint,omitempty"`
	// Key is a symmetric key or an Ed25519 seed as it is, any other private key in PKCS #8.
	Key []byte `cbor:"2,keyasint,omitempty"`
	// HMAC is the version's key for hmac.
	HMAC []byte `cbor:"3,keyasint,omitempty"`
	// Public is an imported public key in PKIX form, where there is no private one.
	Public []byte `cbor:"4,keyasint,omitempty"`
}

// wipe overwrites the secrets.
func (v *versionRecord) wipe() {
	clear(v.Key)
	clear(v.HMAC)
}

// settingsRecord is the settings of a mount.
type settingsRecord struct {
	CacheSize     int  `cbor:"1,keyasint,omitempty"`
	DisableUpsert bool `cbor:"2,keyasint,omitempty"`
}

func keyKey(name string) []byte { return append([]byte{keyPrefix}, name...) }

// versionKey is where version n of the key with that id lies.
func versionKey(id []byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte{versionPrefix}, id...), n)
}

// versionsOf is the range of versions from first to before end; an end of 0 is all of them.
func versionsOf(id []byte, first, end uint64) store.Range {
	r := store.PrefixRange(append([]byte{versionPrefix}, id...))
	r.From = versionKey(id, first)
	if end > 0 {
		r.To = versionKey(id, end)
	}
	return r
}

// rotations are the index entries of a key: one, or none.
func (k *keyRecord) rotations(name string) [][]byte {
	if k == nil || k.Rotates == 0 {
		return nil
	}
	entry := binary.BigEndian.AppendUint64([]byte{rotationPrefix}, uint64(k.Rotates))
	return [][]byte{append(entry, name...)}
}

// oldest is the first version that is there.
func (k *keyRecord) oldest() uint64 { return max(k.MinAvailable, 1) }

// schedule sets the next rotation, counted from now.
func (k *keyRecord) schedule(now time.Time) {
	k.Rotates = 0
	if k.AutoRotate > 0 {
		k.Rotates = now.Add(time.Duration(k.AutoRotate)).UnixNano()
	}
}

// getKey reads a key; nil when there is none.
func getKey(r store.Reader, name string) (*keyRecord, error) {
	return record.Get[keyRecord](r, keyKey(name))
}

// putKey stores a key in place of before, which is nil for a new one.
func putKey(tx store.Tx, name string, before, after *keyRecord) error {
	if err := store.Reindex(tx, before.rotations(name), after.rotations(name)); err != nil {
		return err
	}
	return record.Put(tx, keyKey(name), after)
}

// addVersion gives k its next version.
func addVersion(tx store.Tx, k *keyRecord, v *versionRecord) error {
	k.Latest++
	return record.Put(tx, versionKey(k.ID, k.Latest), v)
}

// settings reads the mount's settings; the zero ones when none were written.
func settings(r store.Reader) (settingsRecord, error) {
	s, err := record.Get[settingsRecord](r, []byte(settingsKey))
	if err != nil || s == nil {
		return settingsRecord{}, err
	}
	return *s, nil
}

func (e *engine) settings(ctx context.Context) (config settingsRecord, err error) {
	err = e.area.View(ctx, func(r store.Reader) (err error) {
		config, err = settings(r)
		return err
	})
	return config, err
}

func (e *engine) changeSettings(ctx context.Context, change func(*settingsRecord)) error {
	return e.area.Update(ctx, func(tx store.Tx) error {
		config, err := settings(tx)
		if err != nil {
			return err
		}
		change(&config)
		return record.Put(tx, []byte(settingsKey), &config)
	})
}
