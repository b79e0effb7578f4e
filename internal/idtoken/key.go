package idtoken

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Default is the key that is there from its first use on. It cannot be deleted.
const Default = "default"

// anyClient in a key's list lets every role use it.
const anyClient = "*"

// keyRecord is a named key as it is stored: what is set of it, and its pairs.
type keyRecord struct {
	Settings KeySettings `cbor:"1,keyasint"`
	Signing  pair        `cbor:"2,keyasint"`
	// Next signs after the next rotation, and is published already: who caches keys has it by then.
	Next pair `cbor:"3,keyasint"`
	// Retired still prove what they have signed.
	Retired []retired `cbor:"4,keyasint,omitempty"`
	// RotateAt is when Signing has done its time, in Unix seconds.
	RotateAt int64 `cbor:"5,keyasint"`
}

// KeySettings is what clients set of a key.
type KeySettings struct {
	Algorithm string `cbor:"1,keyasint"`
	// Rotation is how long a pair signs, Verification how long it proves after that.
	Rotation     time.Duration `cbor:"2,keyasint"`
	Verification time.Duration `cbor:"3,keyasint"`
	// Clients are the client ids of the roles that may use the key; "*" is all.
	Clients []string `cbor:"4,keyasint,omitempty"`
}

// KeyChange is what a write asks for; nil leaves what is there, or the default.
type KeyChange struct {
	Algorithm              *string
	Rotation, Verification *time.Duration
	Clients                *[]string
}

func defaultKey() KeySettings {
	return KeySettings{Algorithm: "RS256", Rotation: day, Verification: day}
}

// apply is the settings with the change, judged whole.
func (c KeyChange) apply(to KeySettings) (KeySettings, error) {
	if c.Algorithm != nil {
		to.Algorithm = *c.Algorithm
	}
	if c.Rotation != nil {
		to.Rotation = *c.Rotation
	}
	if c.Verification != nil {
		to.Verification = *c.Verification
	}
	if c.Clients != nil {
		to.Clients = slices.Clone(*c.Clients)
	}
	switch {
	case to.Rotation < time.Minute:
		return to, backend.Invalidf("rotation_period must be at least one minute")
	case to.Verification > 10*to.Rotation:
		return to, backend.Invalidf("verification_ttl cannot be longer than 10x rotation_period")
	case to.Verification <= 0:
		return to, backend.Invalidf("verification_ttl must be positive")
	case !knownAlgorithm(to.Algorithm):
		return to, unknownAlgorithm()
	}
	return to, nil
}

func keyAt(name string) []byte { return []byte(keyPrefix + name) }

func getKey(r store.Reader, name string) (*keyRecord, error) {
	return record.Get[keyRecord](r, keyAt(name))
}

// Key is what is set of a key; nil when there is none.
func (s *Store) Key(ctx context.Context, name string) (*KeySettings, error) {
	k, err := s.key(ctx, name)
	if k == nil || err != nil {
		return nil, err
	}
	return &k.Settings, nil
}

func (s *Store) key(ctx context.Context, name string) (k *keyRecord, err error) {
	err = s.area.View(ctx, func(r store.Reader) (err error) {
		k, err = getKey(r, name)
		return err
	})
	return k, wrapped("read a key", err)
}

// errRace refuses what another request has overtaken.
func errRace() error {
	return backend.Errorf(backend.Conflict, "the key was changed meanwhile; try again")
}

// WriteKey makes a key or changes it. Another algorithm takes effect at once: the old pairs
// retire. Contract: identity §6.
func (s *Store) WriteKey(ctx context.Context, name string, change KeyChange) error {
	old, err := s.key(ctx, name)
	if err != nil {
		return err
	}
	from := defaultKey()
	if old != nil {
		from = old.Settings
	}
	settings, err := change.apply(from)
	if err != nil {
		return err
	}
	var fresh [2]*pair
	if old == nil || old.Signing.Algorithm != settings.Algorithm {
		if fresh, err = twoPairs(settings.Algorithm); err != nil {
			return err
		}
	}
	return wrapped("write a key", s.area.Update(ctx, func(tx store.Tx) error {
		now, err := getKey(tx, name)
		if err != nil {
			return err
		}
		if !sameKey(now, old) {
			return errRace()
		}
		if err := s.fitsRoles(tx, name, settings); err != nil {
			return err
		}
		next, err := s.renewed(old, settings, fresh)
		if err != nil {
			return err
		}
		return record.Put(tx, keyAt(name), next)
	}))
}

// renewed is the record after a write.
func (s *Store) renewed(old *keyRecord, settings KeySettings, fresh [2]*pair) (*keyRecord, error) {
	now := s.clock.Now().Unix()
	next := &keyRecord{Settings: settings, RotateAt: now + int64(settings.Rotation/time.Second)}
	if old != nil {
		next.Retired = living(old.Retired, now)
	}
	if fresh[0] == nil {
		next.Signing, next.Next = old.Signing, old.Next
		// A shorter period counts from now, a longer one does not prolong what has begun.
		next.RotateAt = min(old.RotateAt, next.RotateAt)
		return next, nil
	}
	next.Signing, next.Next = *fresh[0], *fresh[1]
	if old != nil {
		gone, err := old.Signing.retire(now + int64(old.Settings.Verification/time.Second))
		if err != nil {
			return nil, err
		}
		next.Retired = append(next.Retired, *gone)
	}
	return next, nil
}

// sameKey says whether the pairs and settings are those that were looked at.
func sameKey(a, b *keyRecord) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Signing.ID == b.Signing.ID && a.Settings.Algorithm == b.Settings.Algorithm && a.Settings.Rotation == b.Settings.Rotation &&
		a.Settings.Verification == b.Settings.Verification && slices.Equal(a.Settings.Clients, b.Settings.Clients)
}

func twoPairs(algorithm string) (two [2]*pair, err error) {
	for i := range two {
		if two[i], err = generate(algorithm); err != nil {
			return two, err
		}
	}
	return two, nil
}

// living are the retired pairs that still prove something.
func living(all []retired, now int64) []retired {
	return slices.DeleteFunc(slices.Clone(all), func(r retired) bool { return r.Until <= now })
}

// fitsRoles refuses a verification time that is shorter than the life of a role's tokens.
func (s *Store) fitsRoles(r store.Reader, key string, settings KeySettings) error {
	return eachRole(r, func(name string, role *roleRecord) error {
		if role.Key == key && role.TTL > settings.Verification {
			return backend.Invalidf("unable to update key %q because it is currently referenced by one or more roles with a token ttl greater than %d seconds", key, int64(settings.Verification/time.Second))
		}
		return nil
	})
}

// DeleteKey removes a key that no role uses. One that is not there is no error.
func (s *Store) DeleteKey(ctx context.Context, name string) error {
	if name == Default {
		return backend.Invalidf("deletion of key %q not allowed.", Default)
	}
	return wrapped("delete a key", s.area.Update(ctx, func(tx store.Tx) error {
		var users []string
		err := eachRole(tx, func(role string, r *roleRecord) error {
			if r.Key == name {
				users = append(users, role)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(users) > 0 {
			return backend.Invalidf("unable to delete key %q because it is currently referenced by these roles: %s", name, strings.Join(users, ", "))
		}
		return tx.Delete(keyAt(name))
	}))
}

// RotateKey has the next pair sign from now on. What was signed is proved for verification, or
// for as long as the key says where that is nil.
func (s *Store) RotateKey(ctx context.Context, name string, verification *time.Duration) error {
	k, err := s.key(ctx, name)
	if err != nil {
		return err
	}
	if k == nil {
		return backend.Errorf(backend.NotFound, "key %q not found", name)
	}
	keep := k.Settings.Verification
	if verification != nil {
		if keep = *verification; keep < 0 || keep > 10*k.Settings.Rotation {
			return backend.Invalidf("verification_ttl cannot be longer than 10x rotation_period")
		}
	}
	return s.rotate(ctx, name, k, keep, false)
}

// rotate moves the pairs of a key on by one. With due, only if its time has still come.
func (s *Store) rotate(ctx context.Context, name string, seen *keyRecord, keep time.Duration, due bool) error {
	fresh, err := generate(seen.Settings.Algorithm)
	if err != nil {
		return err
	}
	return wrapped("rotate a key", s.area.Update(ctx, func(tx store.Tx) error {
		k, err := getKey(tx, name)
		if err != nil {
			return err
		}
		now := s.clock.Now().Unix()
		switch {
		case due && k != nil && k.RotateAt > now:
			return nil // another request was quicker
		case !sameKey(k, seen):
			return errRace()
		}
		gone, err := k.Signing.retire(now + int64(keep/time.Second))
		if err != nil {
			return err
		}
		k.Retired = append(living(k.Retired, now), *gone)
		k.Signing, k.Next = k.Next, *fresh
		k.RotateAt = now + int64(k.Settings.Rotation/time.Second)
		return record.Put(tx, keyAt(name), k)
	}))
}

// signing is a key that is fit to sign now: rotated where that was due, made where it is the
// default one.
func (s *Store) signing(ctx context.Context, name string) (*keyRecord, error) {
	k, err := s.key(ctx, name)
	if err != nil {
		return nil, err
	}
	if k == nil && name == Default {
		if err := s.EnsureDefault(ctx); err != nil {
			return nil, err
		}
		return s.key(ctx, name)
	}
	if k == nil || k.RotateAt > s.clock.Now().Unix() {
		return k, nil
	}
	if err := s.rotate(ctx, name, k, k.Settings.Verification, true); err != nil {
		return nil, err
	}
	return s.key(ctx, name)
}

// EnsureDefault makes the default key where it is not there. Every role may use it.
func (s *Store) EnsureDefault(ctx context.Context) error {
	k, err := s.key(ctx, Default)
	if k != nil || err != nil {
		return err
	}
	err = s.WriteKey(ctx, Default, KeyChange{Clients: &[]string{anyClient}})
	if backend.KindOf(err) == backend.Conflict {
		return nil // it is there now
	}
	return err
}

// Published are the public keys that prove tokens, now and after the next rotation.
func (s *Store) Published(ctx context.Context) (set jose.JSONWebKeySet, err error) {
	err = s.area.View(ctx, func(r store.Reader) error {
		set.Keys = []jose.JSONWebKey{}
		return s.eachPublic(r, func(_ *keyRecord, key jose.JSONWebKey) { set.Keys = append(set.Keys, key) })
	})
	return set, wrapped("list the public keys", err)
}

// eachPublic calls fn for each public key that proves something.
func (s *Store) eachPublic(r store.Reader, fn func(k *keyRecord, key jose.JSONWebKey)) error {
	now := s.clock.Now().Unix()
	return r.Scan(store.PrefixRange([]byte(keyPrefix)), func(_, value []byte) (bool, error) {
		var k keyRecord
		if err := record.Decode(value, &k); err != nil {
			return false, err
		}
		for _, p := range []*pair{&k.Signing, &k.Next} {
			key, err := p.public()
			if err != nil {
				return false, err
			}
			fn(&k, key)
		}
		for _, old := range living(k.Retired, now) {
			key, err := old.public()
			if err != nil {
				return false, err
			}
			fn(&k, key)
		}
		return true, nil
	})
}
