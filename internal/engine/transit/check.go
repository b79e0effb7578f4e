package transit

import (
	"encoding/binary"
	"errors"

	"jeton/internal/record"
	"jeton/internal/store"
)

// Check implements backend.Checker: a version that is lost is data that nobody can decrypt any more.
func (e *engine) Check(r store.Reader, report func(what string)) error {
	c := &checker{r: r, owners: map[[16]byte]*keyRecord{}}
	// Keys first: what else there is belongs to one of them.
	for _, keys := range []bool{true, false} {
		err := r.Scan(store.Range{KeysOnly: true}, func(k, _ []byte) (bool, error) {
			if (k[0] == keyPrefix) != keys {
				return true, nil
			}
			what, err := c.judge(k)
			if errors.Is(err, record.ErrMalformed) {
				what, err = "a record that cannot be read", nil
			}
			if what != "" {
				report(what)
			}
			return true, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// checker is one walk. Its memory is bounded by the number of keys.
type checker struct {
	r store.Reader
	// owners are the keys that can be read; blind says that one cannot, so that the owner of a
	// version is not known to be missing.
	owners map[[16]byte]*keyRecord
	blind  bool
}

// judge says what is wrong with what is kept at k, "" for nothing.
func (c *checker) judge(k []byte) (what string, err error) {
	switch {
	case k[0] == keyPrefix && len(k) > 1:
		return c.key(k)
	case k[0] == versionPrefix:
		return c.version(k)
	case k[0] == rotationPrefix && len(k) > 1+8:
		return c.rotation(k)
	case string(k) == settingsKey:
		_, err := settings(c.r)
		return "", err
	case string(k) == wrappingKey:
		_, err := record.Get[wrappingRecord](c.r, k)
		return "", err
	}
	return "a key of no known kind", nil
}

// key judges a key, its versions and its place in the order of rotations.
func (c *checker) key(k []byte) (what string, err error) {
	rec, err := getKey(c.r, string(k[1:]))
	if err != nil {
		c.blind = true
		return "", err
	}
	if _, known := typeOf(rec.Type); !known || len(rec.ID) != 16 || rec.Latest < rec.oldest() {
		c.blind = true
		return "a key that cannot be used", nil
	}
	c.owners[[16]byte(rec.ID)] = rec
	for _, entry := range rec.rotations(string(k[1:])) {
		if _, err := c.r.Get(entry); errors.Is(err, store.ErrNotFound) {
			return "a key that is not rotated when it says", nil
		} else if err != nil {
			return "", err
		}
	}
	versions := uint64(0)
	in := versionsOf(rec.ID, rec.oldest(), rec.Latest+1)
	in.KeysOnly = true
	err = c.r.Scan(in, func(_, _ []byte) (bool, error) {
		versions++
		return true, nil
	})
	if err == nil && versions != rec.Latest-rec.oldest()+1 {
		what = "a key that lacks a version: what was made with that is lost"
	}
	return what, err
}

// version judges the material of a version.
func (c *checker) version(k []byte) (what string, err error) {
	id, ok := parseVersionKey(k)
	if !ok {
		return "a key of no known kind", nil
	}
	v, err := record.Get[versionRecord](c.r, k)
	if err != nil {
		return "", err
	}
	defer v.wipe()
	rec := c.owners[id.key]
	if rec == nil {
		if c.blind {
			return "", nil
		}
		return "a version of no key", nil
	}
	if id.number < rec.oldest() || id.number > rec.Latest {
		return "a version that its key does not have", nil
	}
	t, _ := typeOf(rec.Type)
	m, err := t.ready(id.number, v)
	if err != nil {
		return "a version that cannot be used", nil
	}
	clear(m.secret)
	clear(m.hmac)
	return "", nil
}

// rotation judges a place in the order of rotations.
func (c *checker) rotation(k []byte) (what string, err error) {
	at, name := int64(binary.BigEndian.Uint64(k[1:9])), string(k[9:])
	rec, err := getKey(c.r, name)
	switch {
	case errors.Is(err, record.ErrMalformed): // said at the key itself
		return "", nil
	case err != nil:
		return "", err
	case rec == nil || rec.Rotates == 0 || rec.Rotates != at:
		return "a rotation of no key", nil
	}
	return "", nil
}
