package identity

import (
	"bytes"
	"errors"

	"jeton/internal/record"
	"jeton/internal/store"
)

// The identity room's keys, below its area. Hashes are keyed ones of canonical names; ids and
// accessors are texts without a slash. All but the records are derived from them by entries,
// so that one diff of old against new keeps them true.
//
//	e <id>                       an entity
//	n <hash of name>             its id
//	a <hash of accessor, name>   the id of the entity that has the alias
//	i <alias id>                 the same
//	m <entity id>                the id of the entity that it was merged into
//	w <accessor> / <entity id>   who has an alias on a mount
//	d <group id> / <entity id>   who was put into an external group
//	g <id>                       a group
//	h <hash of name>             its id
//	x <hash of accessor, name>   the id of the group that has the group alias
//	y <group alias id>           the same
//	v <accessor> / <group id>    which groups have an alias on a mount
//	b <entity id> / <group id>   an entity in an internal group
//	c <group id> / <group id>    a group, and one that it is a member of
const (
	entityKey      = 'e'
	nameKey        = 'n'
	aliasKey       = 'a'
	aliasIDKey     = 'i'
	mergedKey      = 'm'
	onMountKey     = 'w'
	externalKey    = 'd'
	groupKey       = 'g'
	groupNameKey   = 'h'
	groupAliasKey  = 'x'
	groupAliasID   = 'y'
	groupOnMount   = 'v'
	memberKey      = 'b'
	parentGroupKey = 'c'
)

func key(kind byte, name string) []byte { return append([]byte{kind}, name...) }

func pairKey(kind byte, first, second string) []byte {
	return append(append(key(kind, first), '/'), second...)
}

func (s *Store) nameEntry(name string) []byte {
	return s.digest(nameKey, canonical(name))
}

func (s *Store) aliasEntry(mount, name string) []byte {
	return s.digest(aliasKey, mount, canonical(name))
}

func (s *Store) groupNameEntry(name string) []byte {
	return s.digest(groupNameKey, canonical(name))
}

func (s *Store) groupAliasEntry(mount, name string) []byte {
	return s.digest(groupAliasKey, mount, canonical(name))
}

// entry is a key that points to a record, and what is stored there.
type entry struct {
	key   []byte
	value string
}

// entries are all that an entity must have besides its record.
func (s *Store) entries(e *Entity) []entry {
	if e == nil {
		return nil
	}
	out := []entry{{s.nameEntry(e.Name), e.ID}}
	for i := range e.Aliases {
		a := &e.Aliases[i]
		out = append(out, entry{s.aliasEntry(a.Mount, a.Name), e.ID}, entry{key(aliasIDKey, a.ID), e.ID},
			entry{pairKey(onMountKey, a.Mount, e.ID), ""})
	}
	for _, id := range e.Merged {
		out = append(out, entry{key(mergedKey, id), e.ID})
	}
	for _, m := range e.External {
		out = append(out, entry{pairKey(externalKey, m.Group, e.ID), ""})
	}
	return out
}

// groupEntries are all that a group must have besides its record.
func (s *Store) groupEntries(g *Group) []entry {
	if g == nil {
		return nil
	}
	out := []entry{{s.groupNameEntry(g.Name), g.ID}}
	if a := g.Alias; a != nil {
		out = append(out, entry{s.groupAliasEntry(a.Mount, a.Name), g.ID}, entry{key(groupAliasID, a.ID), g.ID},
			entry{pairKey(groupOnMount, a.Mount, g.ID), ""})
	}
	for _, id := range g.Entities {
		out = append(out, entry{pairKey(memberKey, id, g.ID), ""})
	}
	for _, id := range g.Groups {
		out = append(out, entry{pairKey(parentGroupKey, id, g.ID), ""})
	}
	return out
}

// point replaces the entries before by those after. An entry that is another record's now is
// left alone: two records that change in one transaction may hand an alias from one to the other.
func point(tx store.Tx, owner string, before, after []entry) error {
	want := make(map[string]string, len(after))
	for _, e := range after {
		want[string(e.key)] = e.value
	}
	had := make(map[string]string, len(before))
	for _, e := range before {
		had[string(e.key)] = e.value
		if _, kept := want[string(e.key)]; kept {
			continue
		}
		if now, err := text(tx, e.key); err != nil {
			return err
		} else if now != "" && now != owner {
			continue
		}
		if err := tx.Delete(e.key); err != nil {
			return err
		}
	}
	for _, e := range after {
		if value, there := had[string(e.key)]; there && value == e.value {
			continue
		}
		if err := tx.Put(e.key, []byte(e.value)); err != nil {
			return err
		}
	}
	return nil
}

// put writes an entity and everything that points to it: a new one has no old, one that goes
// has no new.
func (s *Store) put(tx store.Tx, old, new *Entity) error {
	owner := old
	if new != nil {
		owner = new
	}
	if err := point(tx, owner.ID, s.entries(old), s.entries(new)); err != nil {
		return err
	}
	if new == nil {
		return tx.Delete(key(entityKey, old.ID))
	}
	return record.Put(tx, key(entityKey, new.ID), new)
}

// putGroup is put for a group.
func (s *Store) putGroup(tx store.Tx, old, new *Group) error {
	owner := old
	if new != nil {
		owner = new
	}
	if err := point(tx, owner.ID, s.groupEntries(old), s.groupEntries(new)); err != nil {
		return err
	}
	if new == nil {
		return tx.Delete(key(groupKey, old.ID))
	}
	return record.Put(tx, key(groupKey, new.ID), new)
}

// text is the text at a key, "" where there is none.
func text(r store.Reader, k []byte) (string, error) {
	v, err := r.Get(k)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return string(v), err
}

// load reads an entity by its own id; nil when there is none.
func load(r store.Reader, id string) (*Entity, error) {
	e, err := record.Get[Entity](r, key(entityKey, id))
	if e != nil {
		e.ID = id
	}
	return e, err
}

// loadMerged is load that follows a merge.
func loadMerged(r store.Reader, id string) (*Entity, error) {
	e, err := load(r, id)
	if e != nil || err != nil {
		return e, err
	}
	return loadAt(r, key(mergedKey, id))
}

// loadAt reads the entity that an entry points to.
func loadAt(r store.Reader, k []byte) (*Entity, error) {
	id, err := text(r, k)
	if id == "" || err != nil {
		return nil, err
	}
	return load(r, id)
}

func loadGroup(r store.Reader, id string) (*Group, error) {
	g, err := record.Get[Group](r, key(groupKey, id))
	if g != nil {
		g.ID = id
	}
	return g, err
}

func loadGroupAt(r store.Reader, k []byte) (*Group, error) {
	id, err := text(r, k)
	if id == "" || err != nil {
		return nil, err
	}
	return loadGroup(r, id)
}

// seconds are the second ids of the pair keys that begin with first, in order; limit 0 is all.
func seconds(r store.Reader, kind byte, first string, limit int) (ids []string, err error) {
	prefix := append(key(kind, first), '/')
	all := store.PrefixRange(prefix)
	all.KeysOnly, all.Limit = true, limit
	err = r.Scan(all, func(k, _ []byte) (bool, error) {
		ids = append(ids, string(bytes.TrimPrefix(k, prefix)))
		return true, nil
	})
	return ids, err
}
