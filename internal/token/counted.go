package token

import (
	"context"
	"strings"

	"jeton/internal/backend"
	"jeton/internal/store"
)

// Quotas bound how many leases a path may have. A service token is one lease of the path that
// issued it, from its issue to its end.
type Quotas interface {
	// Enter counts a new lease of path inside tx, a transaction of the whole store, or refuses
	// it with an error of kind TooMany; with always it counts it in any case.
	Enter(tx store.Tx, path string, always bool) error
	// Leave counts its end.
	Leave(tx store.Tx, path string) error
	// Room refuses as Enter does, and counts nothing.
	Room(ctx context.Context, path string) error
}

// countIn counts a new token, inside a transaction of the whole store. Quotas never refuse a
// root token: somebody must be able to mend what is full.
func (s *Store) countIn(tx store.Tx, t *Token) error {
	if s.quotas == nil || !t.Life.Leased {
		return nil
	}
	return s.quotas.Enter(tx, t.Origin.Path, t.Root)
}

// countOut counts the end of a token that lived until now.
func (s *Store) countOut(tx store.Tx, t *Token) error {
	if s.quotas == nil || !t.Life.Leased || t.End != nil {
		return nil
	}
	return s.quotas.Leave(tx, t.Origin.Path)
}

// roomForBatch refuses a batch token where a service token would be refused, though it does not count.
func (s *Store) roomForBatch(ctx context.Context, t *Token) error {
	if s.quotas == nil {
		return nil
	}
	return s.quotas.Room(ctx, t.Origin.Path)
}

// issuing is the transaction that stores a new token. Where a quota refuses it, tokens that
// have expired and that the sweeper has not come to yet are ended first.
func (s *Store) issuing(ctx context.Context, fn func(tx store.Tx) error) error {
	err := s.whole.Update(ctx, fn)
	for range expiredForRoom {
		if s.quotas == nil || backend.KindOf(err) != backend.TooMany {
			break
		}
		dealt, sweepErr := s.sweepExpired(ctx)
		if sweepErr != nil || dealt == 0 {
			break
		}
		err = s.whole.Update(ctx, fn)
	}
	return err
}

// expiredForRoom bounds the batches that one request ends to make room.
const expiredForRoom = 8

// CountIn counts the tokens that quotas count whose paths are in a scope, in r, a state of the
// whole store.
func (s *Store) CountIn(r store.Reader, scope backend.Scope) (n int64, err error) {
	prefix, _ := scope.Prefix()
	// A mount's own path is in its scope too.
	in := store.PrefixRange(pathPrefix(strings.TrimSuffix(prefix, "/")))
	in.KeysOnly = true
	err = s.area.Reading(r).Scan(in, func(k, _ []byte) (bool, error) {
		if path, ok := pathOf(k); ok && scope.Rank(path) >= 0 {
			n++
		}
		return true, nil
	})
	return n, err
}

// pathOf is the path of an entry of the tokens that a path issued.
func pathOf(entry []byte) (path string, ok bool) {
	end := len(entry) - 1 - len(ID{})
	if end < 1 || entry[0] != pathKey {
		return "", false
	}
	return string(entry[1:end]), true
}

// countOutEntry counts the end of a token that cannot be read, whose entry below its path has
// been removed.
func (s *Store) countOutEntry(tx store.Tx, entry []byte) error {
	path, ok := pathOf(entry)
	if s.quotas == nil || !ok {
		return nil
	}
	return s.quotas.Leave(tx, path)
}
