package approle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"

	"jeton/internal/auth"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Check implements backend.Checker.
func (m *Method) Check(r store.Reader, report func(what string)) error {
	c := &checker{m: m, r: r, report: report, roles: map[string]bool{}}
	// Roles first: what else there is belongs to one of them.
	for _, in := range []store.Range{store.PrefixRange([]byte(rolePrefix)), {}} {
		in.KeysOnly = true
		err := r.Scan(in, func(k, _ []byte) (bool, error) { return true, c.key(k, in.From != nil) })
		if err != nil {
			return err
		}
	}
	return nil
}

// checker is one walk. Its memory is bounded by the number of roles.
type checker struct {
	m      *Method
	r      store.Reader
	report func(what string)
	// roles are the UIDs of those that can be read; blind says that one cannot, so that the
	// owner of something is not known to be missing.
	roles map[string]bool
	blind bool
}

// say reports err where it is the data's, and returns it where it is the store's.
func (c *checker) say(err error, what string) error {
	if errors.Is(err, record.ErrMalformed) {
		c.report(what)
		return nil
	}
	return err
}

func (c *checker) key(k []byte, roles bool) error {
	name, isRole := strings.CutPrefix(string(k), rolePrefix)
	switch {
	case isRole != roles:
		return nil
	case isRole:
		return c.role(name)
	case bytes.Equal(k, mountKey):
		if key, err := c.r.Get(k); err != nil || len(key) != hashSize {
			return c.say(errors.Join(err, wrong(err == nil)), "the mount's key, which is none")
		}
		return nil
	case strings.HasPrefix(string(k), roleIDPrefix) && len(k) == len(roleIDPrefix)+hashSize:
		return c.roleID(k)
	case strings.HasPrefix(string(k), ownedPrefix) && len(k) > len(ownedPrefix)+uidSize:
		return c.owned(k)
	}
	c.report("a key of no known kind")
	return nil
}

// wrong is an error of the data where yes.
func wrong(yes bool) error {
	if yes {
		return record.ErrMalformed
	}
	return nil
}

// role checks a role, and that its role id leads to it.
func (c *checker) role(name string) error {
	stored, err := c.r.Get(roleKey(name))
	role := &roleRecord{}
	if err == nil {
		err = record.Decode(stored, role)
	}
	if err != nil {
		c.blind = true
		return c.say(err, "a role that cannot be read")
	}
	c.roles[string(role.UID)] = true
	if _, err := readyRole(stored); err != nil || role.Name != name || len(role.UID) != uidSize {
		c.report("a role that cannot be used")
	}
	owner, err := c.r.Get(roleIDKey(c.m.hash.roleID(role.RoleID)))
	switch {
	case isNotFound(err) || (err == nil && string(owner) != name):
		c.report("a role whose role id does not lead to it")
	case err != nil:
		return c.say(err, "a role id that cannot be read")
	}
	return nil
}

// roleID checks that a role id's role has it.
func (c *checker) roleID(k []byte) error {
	name, err := c.r.Get(k)
	if err != nil {
		return c.say(err, "a role id that cannot be read")
	}
	role, err := getRole(c.r, string(name))
	switch {
	case errors.Is(err, record.ErrMalformed): // said at the role
		return nil
	case err != nil:
		return err
	case role == nil || !bytes.Equal(k, roleIDKey(c.m.hash.roleID(role.RoleID))):
		c.report("a role id of no role")
	}
	return nil
}

// owned checks something that belongs to a role.
func (c *checker) owned(k []byte) error {
	uid, rest := k[len(ownedPrefix):len(ownedPrefix)+uidSize], k[len(ownedPrefix)+uidSize:]
	if !c.roles[string(uid)] && !c.blind {
		c.report("something of a role that is gone")
	}
	part := func(name string, size int) ([]byte, bool) {
		after, ok := bytes.CutPrefix(rest, []byte(name))
		return after, ok && len(after) == size
	}
	if hash, ok := part(secretPart, hashSize); ok {
		return c.secret(uid, hash)
	}
	if hash, ok := part(accessorPart, hashSize); ok {
		return c.accessor(uid, hash)
	}
	if hash, ok := part(usedPart, hashSize); ok {
		s, err := record.Get[secretRecord](c.r, secretKey(uid, hash))
		if err == nil && (s == nil || s.NumUses != 0) {
			c.report("a last use of no secret id")
		}
		return c.said(err)
	}
	if after, ok := part(expiryPart, 8+hashSize); ok {
		s, err := record.Get[secretRecord](c.r, secretKey(uid, after[8:]))
		if err == nil && (s == nil || s.Expires.IsZero() || s.Expires.Unix() != int64(binary.BigEndian.Uint64(after))) {
			c.report("a place in the order of expiry that is no secret id's")
		}
		return c.said(err)
	}
	c.report("a key of no known kind")
	return nil
}

// said drops an error that is reported at the record itself.
func (c *checker) said(err error) error {
	if errors.Is(err, record.ErrMalformed) {
		return nil
	}
	return err
}

// secret checks a secret id against its entries.
func (c *checker) secret(uid, hash []byte) error {
	s, err := record.Get[secretRecord](c.r, secretKey(uid, hash))
	if err != nil || s == nil {
		return c.say(err, "a secret id that cannot be read")
	}
	if _, err := auth.ParsePrefixes(append(append([]string{}, s.CIDRs...), s.TokenCIDRs...)); err != nil || s.NumUses < 0 {
		c.report("a secret id that cannot be used")
	}
	wanted := [][]byte{accessorKey(uid, c.m.hash.accessor(uid, s.Accessor))}
	if !s.Expires.IsZero() {
		wanted = append(wanted, expiryKey(uid, s.Expires, hash))
	}
	for _, k := range wanted {
		if _, err := c.r.Get(k); isNotFound(err) {
			c.report("a secret id without one of its entries")
		} else if c.said(err) != nil {
			return err
		}
	}
	return nil
}

// accessor checks that an accessor leads to the secret id that has it.
func (c *checker) accessor(uid, hash []byte) error {
	entry, err := record.Get[accessorRecord](c.r, accessorKey(uid, hash))
	if err != nil || entry == nil {
		return c.say(err, "an accessor that cannot be read")
	}
	s, err := record.Get[secretRecord](c.r, secretKey(uid, entry.Hash))
	if err == nil && (s == nil || s.Accessor != entry.Accessor || !bytes.Equal(hash, c.m.hash.accessor(uid, entry.Accessor))) {
		c.report("an accessor of no secret id")
	}
	return c.said(err)
}
