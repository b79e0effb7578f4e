package idtoken

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"jeton/internal/record"
	"jeton/internal/store"
)

// Check walks all that the room stores and reports what contradicts itself: records that cannot
// be read, pairs that cannot sign, roles of no key. It changes nothing.
func (s *Store) Check(ctx context.Context, report func(what string)) error {
	return s.area.View(ctx, func(r store.Reader) error {
		// Values are read one by one: one that does not decrypt must not end the walk.
		return r.Scan(store.Range{KeysOnly: true}, func(k, _ []byte) (bool, error) {
			name := string(k)
			value, err := r.Get(k)
			switch {
			case errors.Is(err, record.ErrMalformed):
				report(fmt.Sprintf("%s cannot be read", name))
			case err != nil:
				return false, err
			case bytes.HasPrefix(k, []byte(keyPrefix)):
				checkKey(name, value, report)
			case bytes.HasPrefix(k, []byte(rolePrefix)):
				return true, checkRole(r, name, value, report)
			case bytes.Equal(k, configKey):
				if err := record.Decode(value, &configRecord{}); err != nil {
					report("the issuer cannot be read")
				}
			default:
				report(fmt.Sprintf("a key of no kind: %q", name))
			}
			return true, nil
		})
	})
}

func checkKey(name string, value []byte, report func(string)) {
	var k keyRecord
	if err := record.Decode(value, &k); err != nil {
		report(fmt.Sprintf("%s cannot be read", name))
		return
	}
	for _, p := range []*pair{&k.Signing, &k.Next} {
		if _, err := p.signer(); err != nil {
			report(fmt.Sprintf("%s cannot sign", name))
		}
	}
}

func checkRole(r store.Reader, name string, value []byte, report func(string)) error {
	var role roleRecord
	if err := record.Decode(value, &role); err != nil {
		report(fmt.Sprintf("%s cannot be read", name))
		return nil
	}
	k, err := getKey(r, role.Key)
	if errors.Is(err, record.ErrMalformed) {
		return nil // said at the key
	}
	if err == nil && k == nil {
		report(fmt.Sprintf("%s has no key", name))
	}
	return err
}
