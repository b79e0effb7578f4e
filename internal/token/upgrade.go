package token

import (
	"context"

	"jeton/internal/record"
	"jeton/internal/store"
)

// The form of what is derived from the records: the indexes of facets and their counts. An older
// form is not read but made anew from the records, when the server is unsealed.
//
//	1 (no record)   each facet in two orders (s and e), each count in one record
//	0               a part was found damaged: it is made anew like an old one
//	2               s for those facets that have nothing else, counts in two parts, x for all
const (
	formKey     = 'f'
	currentForm = 2
	damagedForm = 0
)

type form struct {
	Version int `cbor:"1,keyasint"`
}

// upgradeBatch bounds one transaction of an upgrade.
const upgradeBatch = 256

// Upgrade brings what is derived from the records to this version's form. It costs one read where
// that was done. It must be called before anybody else uses the store; after a crash it begins
// again.
func (s *Store) Upgrade(ctx context.Context) error {
	var have *form
	err := s.area.View(ctx, func(r store.Reader) (err error) {
		have, err = record.Get[form](r, []byte{formKey})
		return err
	})
	if err != nil && !unreadable(err) || have != nil && have.Version == currentForm {
		return err
	}
	if err := s.area.Update(ctx, s.dropDerived); err != nil {
		return err
	}
	var last []byte
	for more := true; more; {
		err := s.area.Update(ctx, func(tx store.Tx) (err error) {
			last, more, err = s.derive(tx, last)
			return err
		})
		if err == nil {
			err = s.foldAll(ctx)
		}
		if err != nil {
			return err
		}
	}
	return s.area.Update(ctx, func(tx store.Tx) error {
		return record.Put(tx, []byte{formKey}, &form{currentForm})
	})
}

// dropDerived removes what an older form derived, and makes jobs begin their walks again: their
// places are in indexes that are gone.
func (s *Store) dropDerived(tx store.Tx) error {
	const expiryOrder = 'e' // form 1 had it
	for _, kind := range []byte{createdOrder, expiryOrder, countKey, movedKey} {
		in := store.PrefixRange([]byte{kind})
		if err := tx.DeleteRange(in.From, in.To); err != nil {
			return err
		}
	}
	keys, err := keysIn(tx, keysBelow([]byte{progressKey}))
	if err != nil {
		return err
	}
	for _, k := range keys {
		p, err := record.Get[jobProgress](tx, k)
		if unreadable(err) {
			continue // its job fails alone
		}
		if err != nil {
			return err
		}
		p.At = nil
		if err := record.Put(tx, k, p); err != nil {
			return err
		}
	}
	return nil
}

// derive makes what a batch of records needs, those after last.
func (s *Store) derive(tx store.Tx, last []byte) (next []byte, more bool, err error) {
	in := keysBelow([]byte{recordKey})
	resume(&in, last)
	in.Limit = upgradeBatch
	keys, err := keysIn(tx, in)
	if err != nil {
		return nil, false, err
	}
	for _, k := range keys {
		next = k
		t, err := load(tx, lastID(k))
		if unreadable(err) {
			continue // Check says so
		}
		if err != nil {
			return nil, false, err
		}
		for _, entry := range t.entries() {
			if err := tx.Put(entry, nil); err != nil {
				return nil, false, err
			}
		}
		if err := s.index(tx, nil, t); err != nil {
			return nil, false, err
		}
	}
	return next, len(keys) == upgradeBatch, nil
}
