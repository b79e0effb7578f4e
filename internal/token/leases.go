package token

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"jeton/internal/store"
)

// Holds says whether the token of id lives, its ancestry included, in r, a state of the whole
// store: what hangs on a token is given and renewed only in a state in which it does.
func (s *Store) Holds(r store.Reader, id ID) (bool, error) {
	t, _, err := s.alive(s.area.Reading(r), id, s.clock.Now())
	return t != nil, err
}

// LeasesBelow lists the leases of tokens below prefix, which is empty or ends in a slash, as a
// directory would show them: sub-prefixes end in a slash. Sorted. A token that has died is
// shown until it is swept. Contract: leases §1.3, §3.2.
func (s *Store) LeasesBelow(ctx context.Context, prefix string) (names []string, err error) {
	err = s.area.View(ctx, func(r store.Reader) error {
		names = nil
		if path, ok := strings.CutSuffix(prefix, "/"); ok {
			own := store.PrefixRange(pathEntry(path, ID{})[:len(pathPrefix(path))+1])
			own.KeysOnly = true
			ids, err := idsIn(r, own)
			if err != nil {
				return err
			}
			for _, id := range ids {
				names = append(names, "h"+hex.EncodeToString(id[:]))
			}
		}
		folders, err := foldersBelow(r, prefix)
		names = append(names, folders...)
		return err
	})
	slices.Sort(names)
	return slices.Compact(names), err
}

// errNoPath says that a key of the paths' index is none.
var errNoPath = errors.New("token: an entry of an issuing path that names none")

// foldersBelow lists the first segments of the issuing paths below prefix, each with a slash.
// It costs at most two seeks for each.
func foldersBelow(r store.Reader, prefix string) (folders []string, err error) {
	from := store.PrefixRange(pathPrefix(prefix))
	from.Limit, from.KeysOnly = 1, true
	for {
		var segment []byte
		err := r.Scan(from, func(k, _ []byte) (bool, error) {
			segment = bytes.Clone(k[len(pathPrefix(prefix)):])
			return false, nil
		})
		if err != nil || segment == nil {
			return folders, err
		}
		// The segment ends with its tokens (a zero) or goes on below (a slash); other segments
		// ("create-orphan") lie between the two.
		end := bytes.IndexAny(segment, "\x00/")
		if end < 0 {
			return folders, errNoPath
		}
		if end > 0 { // an answer to a list was wrapped under a path that ends in a slash
			folders = append(folders, string(segment[:end])+"/")
		}
		from.From = store.PrefixRange(append(pathPrefix(prefix), segment[:end+1]...)).To
	}
}

// Keeps says whether a record of id is still kept in r, a state of the whole store: that of a
// token which has ended stays until all that hangs on it is gone.
func (s *Store) Keeps(r store.Reader, id ID) (bool, error) {
	t, err := load(s.area.Reading(r), id)
	if unreadable(err) {
		return true, nil
	}
	return t != nil, err
}
