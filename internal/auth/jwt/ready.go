package jwt

import (
	"context"
	"maps"
	"net/netip"
	"slices"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// rememberedRoles is about a megabyte of roles.
const rememberedRoles = 2048

// role is a role ready for use. It is shared by logins and must not be changed.
type role struct {
	roleRecord
	name string
	// key and stored are the record's.
	key, stored []byte
	// claims are Bounds.Claims, audience is Bounds.Audiences, sources the TokenRecord's BoundCIDRs.
	claims   []boundClaim
	audience boundClaim
	sources  []netip.Prefix
	// mapped are the names in ClaimMappings, judged those that check looks at: both sorted.
	mapped, judged []string
}

// role returns a role ready for use; nil when there is none.
func (m *Method) role(ctx context.Context, name string) (*role, error) {
	// Most logins find it, and need no key on the heap.
	var short [64]byte
	if r := m.roles.Get(append(append(short[:0], rolePrefix...), name...)); r != nil {
		return r, nil
	}
	var found *role
	err := m.area.View(ctx, func(r store.Reader) (err error) {
		found, err = m.roles.Read(r, roleKey(name), func(stored []byte) (*role, error) { return readyRole(name, stored) })
		return err
	})
	return found, err
}

func readyRole(name string, stored []byte) (*role, error) {
	var rec roleRecord
	if err := record.Decode(stored, &rec); err != nil {
		return nil, err
	}
	r, err := rec.ready(name)
	if err != nil {
		return nil, err
	}
	r.key, r.stored = roleKey(name), stored
	return r, nil
}

// ready works out once what logins need of the record.
func (rec *roleRecord) ready(name string) (*role, error) {
	r := &role{roleRecord: *rec, name: name, audience: boundClaim{name: "aud"}}
	var err error
	if r.sources, err = auth.ParsePrefixes(r.BoundCIDRs); err != nil {
		return nil, err
	}
	if r.claims, err = r.Bounds.parse(); err != nil {
		return nil, err
	}
	for _, audience := range r.Bounds.Audiences {
		r.audience.values = append(r.audience.values, audience)
	}
	r.mapped = slices.Sorted(maps.Keys(r.ClaimMappings))
	r.judged = []string{"aud", "iss", "sub"}
	for _, b := range r.claims {
		r.judged = append(r.judged, b.name)
	}
	slices.Sort(r.judged)
	r.judged = slices.Compact(r.judged)
	return r, nil
}

// trusted returns the configuration ready for use; nil when there is none. Many logins at once get
// the same, so that together they ask the provider once.
func (m *Method) trusted(ctx context.Context) (*trust, error) {
	if t := m.trusts.Get(configKey); t != nil {
		return t, nil
	}
	var found *trust
	err := m.area.View(ctx, func(r store.Reader) (err error) {
		found, err = m.trusts.Read(r, configKey, m.readyTrust)
		return err
	})
	return found, err
}

func (m *Method) readyTrust(stored []byte) (*trust, error) {
	config := &configRecord{}
	if err := record.Decode(stored, config); err != nil {
		return nil, err
	}
	made, err := newTrust(config, m.fetch)
	if err != nil {
		return nil, err
	}
	made.stored = stored
	return made, nil
}

// confirm runs in the transaction that stores the token: what the login was judged by has not
// changed meanwhile.
func (m *Method) confirm(tx store.Tx, r *role, t *trust) error {
	if m.roles.Get(r.key) != r {
		if err := unchanged(tx, r.key, r.stored); err != nil {
			return err
		}
	}
	if m.trusts.Get(configKey) != t {
		return unchanged(tx, configKey, t.stored)
	}
	return nil
}

func unchanged(tx store.Tx, key, want []byte) error {
	got, err := tx.Get(key)
	if err != nil && !isNotFound(err) {
		return err
	}
	if string(got) != string(want) {
		return backend.Errorf(backend.Conflict, "the role or the configuration was changed during the login: try again")
	}
	return nil
}
