package kv

import (
	"bytes"
	"context"
	"fmt"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// MergePatch is mergePatch, for the fuzz test.
var MergePatch = mergePatch

// UpgradeKeys is how many objects one transaction of an upgrade moves.
const UpgradeKeys = upgradeKeys

// WaitUpgrade returns when no upgrade of b, a mount of version 2, is running.
func WaitUpgrade(b backend.Backend) { b.(*versioned).upgrade.work.Wait() }

// Faults names everything in the area of a version 2 mount that does not fit together: a
// version that has no data though it should, and data that belongs to no version.
func Faults(ctx context.Context, area *store.Area) (faults []string, err error) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	err = area.View(ctx, func(r store.Reader) error {
		belongs := map[string]bool{}
		err := r.Scan(store.PrefixRange([]byte{keySpace}), func(k, value []byte) (bool, error) {
			path := string(k[1:])
			var key keyRecord
			if err := record.Decode(value, &key); err != nil {
				return false, err
			}
			if key.Oldest != 0 && key.first() != key.Oldest {
				fault("%q: oldest is %d, first %d", path, key.Oldest, key.first())
			}
			for n := key.first(); n <= key.Current; n++ {
				if !key.version(n).Destroyed {
					belongs[string(versionKey(path, n))] = true
				}
			}
			return true, nil
		})
		if err != nil {
			return err
		}
		err = r.Scan(store.PrefixRange([]byte{versionSpace}), func(k, value []byte) (bool, error) {
			if !belongs[string(k)] {
				fault("data of no version at %q", k)
			}
			delete(belongs, string(k))
			var body versionRecord
			if err := record.Decode(value, &body); err != nil || !bytes.HasPrefix(body.JSON, []byte("{")) {
				fault("no object at %q: %v", k, err)
			}
			return true, nil
		})
		for k := range belongs {
			fault("no data at %q", k)
		}
		return err
	})
	return faults, err
}
