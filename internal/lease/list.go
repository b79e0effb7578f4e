package lease

import (
	"context"
	"strings"

	"jeton/internal/record"
	"jeton/internal/store"
)

// Lookup returns the lease of id; nil when there is none. One that has ended is shown until its
// secret is taken back.
func (s *Store) Lookup(ctx context.Context, id string) (l *Lease, err error) {
	err = s.area.View(ctx, func(r store.Reader) (err error) {
		l, err = load(r, id)
		return err
	})
	return l, err
}

// List returns what lies below prefix, which is empty or ends in a slash, as a directory would
// show it: ids without their prefix, and sub-prefixes, which end in a slash. Sorted.
func (s *Store) List(ctx context.Context, prefix string) (names []string, err error) {
	err = s.area.View(ctx, func(r store.Reader) error {
		names = nil
		from := store.PrefixRange(recordOf(prefix))
		from.KeysOnly = true
		for more := true; more; {
			more = false
			err := r.Scan(from, func(k, _ []byte) (bool, error) {
				name := idFrom(k, recordHead+len(prefix))
				if folder, _, ok := strings.Cut(name, "/"); ok {
					// Jump over all that lies in the folder.
					names = append(names, folder+"/")
					from.From, more = store.PrefixRange(recordOf(prefix+folder+"/")).To, true
					return false, nil
				}
				names = append(names, name)
				return true, nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return names, err
}

// Irrevocable returns the irrevocable leases in the order of their expiry, at most limit (0 for
// all), and says whether there are more. Contract: leases §3.6.
func (s *Store) Irrevocable(ctx context.Context, limit int) (leases []*Lease, more bool, err error) {
	in := store.PrefixRange([]byte{irrevocableKey})
	if limit > 0 {
		in.Limit = limit + 1
	}
	err = s.area.View(ctx, func(r store.Reader) error {
		leases, more = nil, false
		ids, err := idsIn(r, in, irrevocableHead)
		if err != nil {
			return err
		}
		if more = limit > 0 && len(ids) > limit; more {
			ids = ids[:limit]
		}
		for _, id := range ids {
			l, err := load(r, id)
			if s.cannotRead(err) {
				continue
			}
			if err != nil {
				return err
			}
			if l != nil {
				leases = append(leases, l)
			}
		}
		return nil
	})
	return leases, more, err
}

// CountIrrevocable returns how many irrevocable leases each mount accessor has. It reads one
// number for each mount. Contract: leases §3.6.
func (s *Store) CountIrrevocable(ctx context.Context) (byMount map[string]int, err error) {
	err = s.area.View(ctx, func(r store.Reader) error {
		byMount = map[string]int{}
		return record.Each(r, store.PrefixRange([]byte{tallyKey}), func(k []byte, t *tally, malformed error) error {
			if malformed == nil {
				byMount[idFrom(k, 1)] = int(t.Count)
			}
			return nil
		})
	})
	return byMount, err
}
