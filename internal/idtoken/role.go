package idtoken

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// roleRecord is a role as it is stored.
type roleRecord struct {
	// Key names the key that signs.
	Key string `cbor:"1,keyasint"`
	// Client is who the tokens are for: their "aud".
	Client string        `cbor:"2,keyasint"`
	TTL    time.Duration `cbor:"3,keyasint"`
	// Template adds to the claims; as it was written, decoded.
	Template string `cbor:"4,keyasint,omitempty"`
}

// Role is a role as clients see it.
type Role struct {
	Key, Client, Template string
	TTL                   time.Duration
}

// RoleChange is what a write asks for; nil leaves what is there, or the default.
type RoleChange struct {
	Key, Client, Template *string
	TTL                   *time.Duration
}

func roleAt(name string) []byte { return []byte(rolePrefix + name) }

func getRole(r store.Reader, name string) (*roleRecord, error) {
	return record.Get[roleRecord](r, roleAt(name))
}

func eachRole(r store.Reader, fn func(name string, role *roleRecord) error) error {
	return r.Scan(store.PrefixRange([]byte(rolePrefix)), func(k, value []byte) (bool, error) {
		var role roleRecord
		if err := record.Decode(value, &role); err != nil {
			return false, err
		}
		return true, fn(string(k[len(rolePrefix):]), &role)
	})
}

// Role reads a role; nil when there is none.
func (s *Store) Role(ctx context.Context, name string) (*Role, error) {
	var found *roleRecord
	err := s.area.View(ctx, func(r store.Reader) (err error) {
		found, err = getRole(r, name)
		return err
	})
	if found == nil || err != nil {
		return nil, wrapped("read a role", err)
	}
	return &Role{Key: found.Key, Client: found.Client, Template: found.Template, TTL: found.TTL}, nil
}

// WriteRole makes a role or changes it. Contract: identity §6.
func (s *Store) WriteRole(ctx context.Context, name string, change RoleChange) error {
	if change.Key != nil && *change.Key == Default {
		if err := s.EnsureDefault(ctx); err != nil {
			return err
		}
	}
	if change.Template != nil {
		text, err := plainTemplate(*change.Template)
		if err != nil {
			return err
		}
		change.Template = &text
	}
	client := uuid.NewString()
	return wrapped("write a role", s.area.Update(ctx, func(tx store.Tx) error {
		old, err := getRole(tx, name)
		if err != nil {
			return err
		}
		next := roleRecord{Client: client, TTL: day}
		if old != nil {
			next = *old
		}
		change.apply(&next)
		if next.Key == "" {
			return backend.Invalidf("the key parameter is required")
		}
		key, err := getKey(tx, next.Key)
		switch {
		case err != nil:
			return err
		case key == nil:
			return backend.Invalidf("cannot find key %q", next.Key)
		case next.TTL <= 0:
			return backend.Invalidf("the ttl must be positive")
		case next.TTL > key.Settings.Verification:
			return backend.Invalidf("a role's token ttl cannot be longer than the verification_ttl of the key it references")
		}
		return record.Put(tx, roleAt(name), &next)
	}))
}

func (c RoleChange) apply(to *roleRecord) {
	if c.Key != nil {
		to.Key = *c.Key
	}
	if c.Client != nil && *c.Client != "" {
		to.Client = *c.Client
	}
	if c.Template != nil {
		to.Template = *c.Template
	}
	if c.TTL != nil {
		to.TTL = *c.TTL
	}
}

// DeleteRole removes a role; one that is not there is no error. Its tokens go on until they end.
func (s *Store) DeleteRole(ctx context.Context, name string) error {
	return wrapped("delete a role", s.area.Update(ctx, func(tx store.Tx) error { return tx.Delete(roleAt(name)) }))
}

// allows says whether roles of that client may use the key.
func (k KeySettings) allows(client string) bool {
	return slices.Contains(k.Clients, anyClient) || slices.Contains(k.Clients, client)
}
