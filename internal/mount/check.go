package mount

import (
	"bytes"
	"context"
	"fmt"

	"jeton/internal/record"
	"jeton/internal/store"
)

// DataPrefix begins the keys, in the whole store, of what the backend at path keeps; nil when
// nothing is mounted there.
func (t *Table) DataPrefix(path string) []byte {
	m, ok := t.At(path)
	if !ok {
		return nil
	}
	return []byte(dataPrefix + m.Entry.UUID + "/")
}

// Check reports entries that cannot be read, that contradict each other or that nobody serves,
// and data that belongs to no entry. It reads one key of each mount's data.
func (t *Table) Check(ctx context.Context, report func(what string)) error {
	return t.whole.View(ctx, func(r store.Reader) error {
		known, err := t.checkEntries(ctx, r, report)
		if err != nil {
			return err
		}
		return checkData(r, known, report)
	})
}

// checkEntries returns the UUIDs that have an entry.
func (t *Table) checkEntries(ctx context.Context, r store.Reader, report func(what string)) (map[string]bool, error) {
	known, paths := map[string]bool{}, map[string]bool{}
	area := t.area.Reading(r)
	err := area.Scan(store.Range{KeysOnly: true}, func(k, _ []byte) (bool, error) {
		uuid := string(k)
		known[uuid] = true
		e, err := record.Get[Entry](area, k)
		switch {
		case err != nil:
			// What it cannot say, the walk over all records says too.
			report(fmt.Sprintf("an entry that cannot be read: %q", uuid))
		case e.UUID != uuid:
			report(fmt.Sprintf("an entry below another's name: %q", uuid))
		case paths[e.Path] && !e.Tainted:
			report(fmt.Sprintf("two entries for one path: %q", e.Path))
		case !t.serves(ctx, e):
			report(fmt.Sprintf("an entry that nobody serves: %q", e.Path))
		default:
			paths[e.Path] = paths[e.Path] || !e.Tainted
		}
		return true, nil
	})
	return known, err
}

// serves says whether the table as it is in memory has the entry, or is removing it. Entries that
// came or went since r was taken are no fault.
func (t *Table) serves(ctx context.Context, e *Entry) bool {
	now := t.current.Load()
	if now.byAccessor[e.Accessor] != nil || now.leaving[e.Accessor] != nil {
		return true
	}
	still := false
	err := t.area.View(ctx, func(r store.Reader) error {
		_, err := r.Get([]byte(e.UUID))
		still = err == nil
		return nil
	})
	return err == nil && !still
}

// checkData goes from one mount's data to the next.
func checkData(r store.Reader, known map[string]bool, report func(what string)) error {
	rest := store.PrefixRange([]byte(dataPrefix))
	rest.Limit, rest.KeysOnly = 1, true
	for {
		var key []byte
		err := r.Scan(rest, func(k, _ []byte) (bool, error) {
			key = bytes.Clone(k[len(dataPrefix):])
			return false, nil
		})
		if err != nil || key == nil {
			return err
		}
		uuid, _, ok := bytes.Cut(key, []byte("/"))
		if !ok || !known[string(uuid)] {
			report(fmt.Sprintf("data of no mount: %q", uuid))
		}
		rest.From = store.PrefixRange([]byte(dataPrefix + string(uuid) + "/")).To
	}
}
