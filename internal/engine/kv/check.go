package kv

import (
	"encoding/binary"
	"errors"

	"jeton/internal/engine/document"
	"jeton/internal/record"
	"jeton/internal/store"
)

// checker is one walk over a mount.
type checker struct {
	r      store.Reader
	report func(what string)
	// moving says that data of version 1 may lie beside that of version 2.
	moving bool
}

// Check implements backend.Checker.
func (p *plain) Check(r store.Reader, report func(what string)) error {
	return check(r, report, true)
}

// Check implements backend.Checker.
func (v *versioned) Check(r store.Reader, report func(what string)) error {
	return check(r, report, v.upgrade.ready() != nil)
}

func check(r store.Reader, report func(what string), moving bool) error {
	c := &checker{r: r, report: report, moving: moving}
	return r.Scan(store.Range{KeysOnly: true}, func(k, _ []byte) (bool, error) {
		return true, c.key(k)
	})
}

// say reports err where it is the data's, and returns it where it is the store's.
func (c *checker) say(err error, what string) error {
	if errors.Is(err, record.ErrMalformed) || errors.Is(err, document.ErrMalformed) {
		c.report(what)
		return nil
	}
	return err
}

func (c *checker) key(k []byte) error {
	switch {
	case len(k) > 1 && k[0] == plainSpace:
		if !c.moving {
			c.report("an object of version 1 in a mount of version 2")
		}
		return c.object(k)
	case len(k) == 1 && k[0] == upgradeSpace:
		return nil
	case len(k) == 1 && k[0] == configSpace:
		_, err := settings(c.r)
		return c.say(err, "settings that cannot be read")
	case len(k) > 1 && k[0] == keySpace:
		return c.versions(string(k[1:]))
	case len(k) > 1 && k[0] == versionSpace:
		return c.version(k)
	}
	c.report("a key of no known kind")
	return nil
}

// object checks a path of version 1.
func (c *checker) object(k []byte) error {
	found, err := record.Get[plainRecord](c.r, k)
	if err == nil && found != nil {
		_, err = document.Decode(found.JSON)
	}
	return c.say(err, "an object that cannot be read")
}

// versions checks what is known of a key against the versions that it has.
func (c *checker) versions(path string) error {
	key, err := record.Get[keyRecord](c.r, keyKey(path))
	if err != nil || key == nil {
		return c.say(err, "the description of a key that cannot be read")
	}
	if uint64(len(key.Versions)) > key.Current || (key.Current > 0 && len(key.Versions) == 0) {
		c.report("a key whose versions do not end with the current one")
		return nil
	}
	for i, state := range key.Versions {
		there, err := present(c.r, versionKey(path, key.first()+uint64(i)))
		switch {
		case errors.Is(err, record.ErrMalformed): // said at the version itself
		case err != nil:
			return err
		case !there && !state.Destroyed:
			c.report("a version without its data")
		case there && state.Destroyed:
			c.report("a destroyed version that still has data")
		}
	}
	return nil
}

// version checks that a key knows of the version at k, and that it can be read.
func (c *checker) version(k []byte) error {
	length, n := binary.Uvarint(k[1:])
	if n <= 0 || uint64(len(k)-1-n) != length+8 {
		c.report("a key of a version that is none")
		return nil
	}
	path, number := string(k[1+n:len(k)-8]), binary.BigEndian.Uint64(k[len(k)-8:])
	key, err := record.Get[keyRecord](c.r, keyKey(path))
	switch {
	case errors.Is(err, record.ErrMalformed): // said at the key itself
	case err != nil:
		return err
	case key == nil || key.Current < uint64(len(key.Versions)) || key.version(number) == nil:
		c.report("data of a version that no key has")
	}
	body, err := record.Get[versionRecord](c.r, k)
	if err == nil && body != nil {
		_, err = document.Decode(body.JSON)
	}
	return c.say(err, "a version that cannot be read")
}
