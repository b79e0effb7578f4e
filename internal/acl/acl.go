// Package acl owns the stored policies and the ACLs compiled from them: what may be written
// under which name, and that a change is in force on the very next request of every holder.
// What a policy means is package policy's.
package acl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"jeton/internal/backend"
	"jeton/internal/policy"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Store keeps policies and answers with ACLs. It is safe for concurrent use.
type Store struct {
	area     store.Store
	cache    *cache
	wrapping *policy.Policy
	root     *policy.ACL
	cancel   func()
}

// stored is the record of a policy.
type stored struct {
	// Text is the document as it was sent, base64 undone.
	Text string `cbor:"1,keyasint,omitempty"`
}

// Entry is a policy as read back.
type Entry struct {
	Name string
	// Text is exactly what was written; empty for root.
	Text string
}

// New opens the policies in area, which is theirs alone. Close must be called before the
// area's store is closed.
func New(area store.Store) (*Store, error) {
	wrapping, err := policy.Parse(policy.WrappingName, policy.WrappingText)
	if err != nil {
		return nil, fmt.Errorf("acl: built-in policy: %w", err)
	}
	s := &Store{area: area, cache: newCache(), wrapping: wrapping, root: policy.Root()}
	s.cancel = area.Subscribe(s.changed)
	return s, nil
}

// Close ends the subscription to the store's changes.
func (s *Store) Close() { s.cancel() }

// changed forgets what a commit made stale. It runs before the Update that made the commit
// returns: whoever knows of a change never gets an ACL from before it.
func (s *Store) changed(c store.Commit) {
	if len(c.Ranges) > 0 {
		s.cache.forgetAll()
		return
	}
	for _, key := range c.Keys {
		if name, ok := bytes.CutPrefix(key, policyPrefix); ok {
			s.cache.forget(string(name))
		}
	}
}

// Init writes the default policy if there is none.
func (s *Store) Init(ctx context.Context) error {
	if err := s.area.Update(ctx, WriteDefault); err != nil {
		return fmt.Errorf("acl: write default policy: %w", err)
	}
	return nil
}

// WriteDefault is Init within a transaction of the policies' area. It never overwrites a
// default policy that an operator has changed (contract: policies §9).
func WriteDefault(tx store.Tx) error {
	key := policyKey(policy.DefaultName)
	if _, err := tx.Get(key); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return record.Put(tx, key, &stored{Text: policy.DefaultText})
}

// Put writes a policy, given as HCL or JSON, plain or in base64. It returns the name under
// which it is stored and what the writer should be warned of. Errors that are the writer's
// are of kind backend.Invalid (contract: policies §9, §10).
func (s *Store) Put(ctx context.Context, name, text string) (canonical string, warnings []string, err error) {
	canonical, err = writable(name, "update")
	if err != nil {
		return "", nil, err
	}
	if text == "" {
		return "", nil, backend.Invalidf("'policy' parameter not supplied or empty")
	}
	text = policy.Decode(text)
	parsed, err := policy.Parse(canonical, text)
	if err != nil {
		return "", nil, backend.Invalidf("%s", err.Error())
	}
	err = s.area.Update(ctx, func(tx store.Tx) error {
		return record.Put(tx, policyKey(canonical), &stored{Text: text})
	})
	if err != nil {
		return "", nil, fmt.Errorf("acl: write policy: %w", err)
	}
	if name != canonical {
		warnings = append(warnings, "policy name was converted to "+canonical)
	}
	return canonical, append(warnings, parsed.Warnings()...), nil
}

// Get returns a policy. The kind of the error is backend.NotFound when there is none, which
// also holds for names that cannot be written.
func (s *Store) Get(ctx context.Context, name string) (Entry, error) {
	canonical, err := policy.CanonicalName(name)
	if err != nil {
		return Entry{}, backend.Missing()
	}
	switch canonical {
	case policy.RootName:
		return Entry{Name: canonical}, nil
	case policy.WrappingName:
		return Entry{Name: canonical, Text: policy.WrappingText}, nil
	}
	var found *stored
	err = s.area.View(ctx, func(r store.Reader) error {
		found, err = record.Get[stored](r, policyKey(canonical))
		return err
	})
	switch {
	case err != nil:
		return Entry{}, fmt.Errorf("acl: read policy: %w", err)
	case found == nil:
		return Entry{}, backend.Missing()
	}
	return Entry{Name: canonical, Text: found.Text}, nil
}

// Delete removes a policy; one that is not there is no error. Tokens keep the name, which
// grants nothing until it is written again.
func (s *Store) Delete(ctx context.Context, name string) error {
	canonical, err := writable(name, "delete")
	if err != nil {
		return err
	}
	if canonical == policy.DefaultName {
		return backend.Invalidf("cannot delete default policy")
	}
	err = s.area.Update(ctx, func(tx store.Tx) error { return tx.Delete(policyKey(canonical)) })
	if err != nil {
		return fmt.Errorf("acl: delete policy: %w", err)
	}
	return nil
}

// List returns the names of all policies, sorted, with root as the last. response-wrapping
// is not among them.
func (s *Store) List(ctx context.Context) ([]string, error) {
	var names []string
	err := s.area.View(ctx, func(r store.Reader) error {
		names = nil
		all := store.PrefixRange(policyPrefix)
		all.KeysOnly = true
		return r.Scan(all, func(key, _ []byte) (bool, error) {
			names = append(names, string(key[len(policyPrefix):]))
			return true, nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("acl: list policies: %w", err)
	}
	return append(names, policy.RootName), nil
}

// Exists says whether name, in canonical form, is a policy.
func (s *Store) Exists(ctx context.Context, name string) (bool, error) {
	switch name {
	case policy.RootName, policy.WrappingName:
		return true, nil
	}
	if s.cache.parsed(name) != nil {
		return true, nil
	}
	found, err := s.policies(ctx, []string{name})
	if err != nil {
		return false, err
	}
	return found[0] != nil, nil
}

// For returns the ACL of a token with these policies: canonical names, in a fixed order
// (sorted, say) so that equal sets share one ACL. root says that the token is a root token;
// the name root in the list means nothing. subject is the entity behind the token, nil when
// there is none. Names that are unknown or not canonical grant nothing. When nothing was
// changed since the last call with the same names, it reads no storage.
func (s *Store) For(ctx context.Context, names []string, root bool, subject *policy.Subject) (*policy.ACL, error) {
	if root {
		return s.root, nil
	}
	if set := s.cache.set(names); set != nil {
		return s.cache.aclOf(set, subject), nil
	}
	before := s.cache.now()
	found, err := s.policies(ctx, names)
	if err != nil {
		return nil, err
	}
	set := newNamedSet(slices.Clone(names), policy.Prepare(found))
	s.cache.keepSet(set, before)
	return s.cache.aclOf(set, subject), nil
}

// policies returns the parsed policies of these names, nil for those that grant nothing.
func (s *Store) policies(ctx context.Context, names []string) ([]*policy.Policy, error) {
	found := make([]*policy.Policy, len(names))
	var missing []int
	before := s.cache.now()
	for i, name := range names {
		switch canonical, err := policy.CanonicalName(name); {
		case err != nil || canonical != name || name == policy.RootName:
			// Written before names were checked, or no rule of its own: grants nothing.
		case name == policy.WrappingName:
			found[i] = s.wrapping
		default:
			if found[i] = s.cache.parsed(name); found[i] == nil {
				missing = append(missing, i)
			}
		}
	}
	if len(missing) == 0 {
		return found, nil
	}
	texts := make(map[int]*stored, len(missing))
	err := s.area.View(ctx, func(r store.Reader) (err error) {
		for _, i := range missing {
			if texts[i], err = record.Get[stored](r, policyKey(names[i])); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("acl: read policies: %w", err)
	}
	for _, i := range missing {
		if texts[i] == nil {
			continue
		}
		parsed, err := policy.Parse(names[i], texts[i].Text)
		if err != nil {
			// A rule that can no longer be read may have been a deny: refuse, do not guess.
			return nil, fmt.Errorf("acl: stored policy %q: %w", names[i], err)
		}
		found[i] = parsed
		s.cache.keepParsed(parsed, before)
	}
	return found, nil
}

// writable returns the canonical form of a name that may be written or deleted.
func writable(name, verb string) (string, error) {
	canonical, err := policy.CanonicalName(name)
	if err != nil {
		return "", backend.Invalidf("%s", err.Error())
	}
	if canonical == policy.RootName || canonical == policy.WrappingName {
		return "", backend.Invalidf("cannot %s %q policy", verb, canonical)
	}
	return canonical, nil
}
