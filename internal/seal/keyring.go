package seal

import (
	"crypto/cipher"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"jeton/internal/backend"
	"jeton/internal/record"
)

// Bounds of the rotation settings (contract: sys §14). The greatest number of encryptions
// under one key is a little below 2^32, where random nonces of 96 bits begin to be too likely
// to meet (NIST SP 800-38D, 8.3).
const (
	maxOperationsCeiling = 3865470566
	maxOperationsFloor   = 1000000
	minRotationInterval  = 24 * time.Hour
)

// countStep is how many encryptions a term may make before its count is stored again. After a
// crash the count is too low by at most this, plus what one transaction writes.
const countStep = 1 << 16

// Rotation says when the keyring gets a new term by itself.
type Rotation struct {
	Enabled bool `cbor:"1,keyasint,omitempty"`
	// MaxOperations is the number of encryptions after which a term is due.
	MaxOperations uint64 `cbor:"2,keyasint,omitempty"`
	// Interval is the age at which a term is due; 0 is never.
	Interval time.Duration `cbor:"3,keyasint,omitempty"`
}

// defaultRotation is what a new keyring has.
var defaultRotation = Rotation{Enabled: true, MaxOperations: maxOperationsCeiling}

// validate holds the bounds of contract: sys §14.
func (r Rotation) validate() error {
	if r.Interval != 0 && r.Interval < minRotationInterval {
		return backend.Invalidf("interval must be greater or equal to %s", minRotationInterval)
	}
	if r.MaxOperations < maxOperationsFloor || r.MaxOperations > maxOperationsCeiling {
		return backend.Invalidf("max_operations must be in the range [%d,%d]", maxOperationsFloor, maxOperationsCeiling)
	}
	return nil
}

// keyringRecord is the keyring as it is stored, under the root key.
type keyringRecord struct {
	// Terms in order: the term at index i has number i+1. The last one encrypts.
	Terms []termRecord `cbor:"1,keyasint,omitempty"`
	// Secret is what derived keys come from. It never rotates: token ids are hashed with
	// what is derived from it.
	Secret   []byte   `cbor:"2,keyasint,omitempty"`
	Rotation Rotation `cbor:"3,keyasint,omitempty"`
}

type termRecord struct {
	Key []byte `cbor:"1,keyasint,omitempty"`
	// Installed is in Unix microseconds.
	Installed int64 `cbor:"2,keyasint,omitempty"`
}

// countsRecord is the number of encryptions known to have been made, by term (index + 1).
type countsRecord struct {
	Made []uint64 `cbor:"1,keyasint,omitempty"`
}

// newKeyringRecord is a keyring with one fresh term.
func newKeyringRecord(now time.Time) *keyringRecord {
	r := &keyringRecord{Secret: newKey(), Rotation: defaultRotation}
	r.addTerm(now)
	return r
}

func (r *keyringRecord) addTerm(now time.Time) {
	r.Terms = append(r.Terms, termRecord{Key: newKey(), Installed: now.UnixMicro()})
}

// wipe overwrites the keys. The record is of no use after it.
func (r *keyringRecord) wipe() {
	clear(r.Secret)
	for _, t := range r.Terms {
		clear(t.Key)
	}
}

// sealed is the stored form of r under root.
func (r *keyringRecord) sealed(root []byte) ([]byte, error) {
	plain, err := record.Encode(r)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return wrapKey(root, keyringKey, plain)
}

// openKeyringRecord undoes sealed.
func openKeyringRecord(root, sealed []byte) (*keyringRecord, error) {
	plain, err := unwrapKey(root, keyringKey, sealed)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	r := new(keyringRecord)
	if err := record.Decode(plain, r); err != nil {
		return nil, fmt.Errorf("seal: keyring: %w", err)
	}
	if len(r.Terms) == 0 || len(r.Secret) != keySize {
		return nil, fmt.Errorf("seal: keyring: %w", record.ErrMalformed)
	}
	return r, nil
}

// term is one key of the keyring, ready for use.
type term struct {
	number    uint32
	installed time.Time
	aead      cipher.AEAD
	// made counts encryptions, in this life and the ones before.
	made *atomic.Uint64
	// stored is what made was when it was last stored.
	stored *atomic.Uint64
}

// ring is one immutable state of the keyring.
type ring struct {
	// terms in order: number n is at index n-1; the last one encrypts.
	terms    []term
	rotation Rotation
	secret   []byte
}

func (r *ring) active() *term { return &r.terms[len(r.terms)-1] }

// byNumber finds a term; nil when there is none.
func (r *ring) byNumber(n uint32) *term {
	if n == 0 || uint64(n) > uint64(len(r.terms)) {
		return nil
	}
	return &r.terms[n-1]
}

// ringOf makes rec ready for use. Counters of terms that before has go on; those of others
// start at counts. The ring keeps nothing of rec's memory.
func ringOf(rec *keyringRecord, counts countsRecord, before *ring) (*ring, error) {
	r := &ring{rotation: rec.Rotation, secret: slices.Clone(rec.Secret)}
	for i, t := range rec.Terms {
		aead, err := newAEAD(t.Key)
		if err != nil {
			return nil, err
		}
		next := term{number: uint32(i + 1), installed: time.UnixMicro(t.Installed).UTC(), aead: aead}
		if before != nil && i < len(before.terms) {
			next.made, next.stored = before.terms[i].made, before.terms[i].stored
		} else {
			next.made, next.stored = new(atomic.Uint64), new(atomic.Uint64)
			if i < len(counts.Made) {
				next.made.Store(counts.Made[i])
				next.stored.Store(counts.Made[i])
			}
		}
		r.terms = append(r.terms, next)
	}
	return r, nil
}

// counts is what there is to store of the counters.
func (r *ring) counts() countsRecord {
	var c countsRecord
	for i := range r.terms {
		c.Made = append(c.Made, r.terms[i].made.Load())
	}
	return c
}

// countsDue says that the active term has gone a step beyond what is stored of it.
func (r *ring) countsDue() bool {
	t := r.active()
	return t.made.Load()-t.stored.Load() >= countStep
}

// countsStored notes that c was stored.
func (r *ring) countsStored(c countsRecord) {
	for i, made := range c.Made {
		r.terms[i].stored.Store(made)
	}
}

// Keyring holds the keys that encrypt records, by term. A value names the term it was sealed
// under; new values are sealed under the newest one. It is safe for concurrent use, and
// readers take no lock.
type Keyring struct {
	// current is nil once the keys are gone.
	current atomic.Pointer[ring]
	// scratch lends buffers for associated data, so that a read allocates none.
	scratch sync.Pool
}

// NewKeyring makes a keyring of one fresh term that no root key protects: for tests and for
// stores that live no longer than the process.
func NewKeyring(now time.Time) (*Keyring, error) {
	rec := newKeyringRecord(now)
	defer rec.wipe()
	r, err := ringOf(rec, countsRecord{}, nil)
	if err != nil {
		return nil, err
	}
	return keyringOf(r), nil
}

func keyringOf(r *ring) *Keyring {
	k := &Keyring{scratch: sync.Pool{New: func() any { b := make([]byte, 0, 256); return &b }}}
	k.current.Store(r)
	return k
}

// forget drops the keys: every later use fails with ErrSealed.
func (k *Keyring) forget() {
	// The secret is not wiped in place: a DeriveKey under way would derive from zeros.
	k.current.Store(nil)
}

// load is the state of now, or ErrSealed.
func (k *Keyring) load() (*ring, error) {
	if r := k.current.Load(); r != nil {
		return r, nil
	}
	return nil, ErrSealed
}

// KeyStatus describes the term that encrypts (contract: sys §14).
type KeyStatus struct {
	Term      uint32
	Installed time.Time
	// Encryptions made under the term, over all lives of the server.
	Encryptions uint64
}

// Status describes the term that encrypts; ErrSealed when the keys are gone.
func (k *Keyring) Status() (KeyStatus, error) {
	r, err := k.load()
	if err != nil {
		return KeyStatus{}, err
	}
	t := r.active()
	return KeyStatus{Term: t.number, Installed: t.installed, Encryptions: t.made.Load()}, nil
}

// due says whether the newest term is to be followed by another. The cipher's own bound holds
// even where rotation is switched off.
func (r *ring) due(now time.Time) bool {
	t, limit := r.active(), uint64(maxOperationsCeiling)
	if r.rotation.Enabled {
		limit = r.rotation.MaxOperations
		if r.rotation.Interval > 0 && now.Sub(t.installed) >= r.rotation.Interval {
			return true
		}
	}
	return t.made.Load() >= limit
}

// seal appends the stored form of value under the newest term to dst, which is empty.
func (k *Keyring) seal(dst, key, value []byte) ([]byte, error) {
	r, err := k.load()
	if err != nil {
		return nil, err
	}
	ad := k.scratch.Get().(*[]byte)
	defer k.scratch.Put(ad)
	t := r.active()
	t.made.Add(1)
	dst, *ad = sealInto(dst, *ad, t.aead, t.number, key, value)
	return dst, nil
}

// open appends the value inside sealed to dst. Its errors wrap ErrUndecryptable, or ErrSealed.
func (k *Keyring) open(dst, key, sealed []byte) ([]byte, error) {
	r, err := k.load()
	if err != nil {
		return nil, err
	}
	number, ok := termOf(sealed)
	if !ok {
		return nil, fmt.Errorf("%w: %q: unknown format", ErrUndecryptable, key)
	}
	t := r.byNumber(number)
	if t == nil {
		return nil, fmt.Errorf("%w: %q: no key of term %d", ErrUndecryptable, key, number)
	}
	ad := k.scratch.Get().(*[]byte)
	defer k.scratch.Put(ad)
	value, used, err := openInto(dst, *ad, t.aead, key, sealed)
	*ad = used
	if err != nil {
		return nil, fmt.Errorf("%w: %q", ErrUndecryptable, key)
	}
	return value, nil
}

// openOwned is open for bytes that are the caller's own: it decrypts in place.
func (k *Keyring) openOwned(key, sealed []byte) ([]byte, error) {
	if len(sealed) < overhead {
		return k.open(nil, key, sealed)
	}
	start := headerSize + nonceSize
	value, err := k.open(sealed[start:start], key, sealed)
	return slices.Clip(value), err
}
