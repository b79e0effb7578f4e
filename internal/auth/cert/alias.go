package cert

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// nameRecord says whose a common name is on this mount: two authorities that give out the same name
// do not mean the same person. Decision 0020.
type nameRecord struct {
	// Entry is the UID of the entry that the name was first used with.
	Entry []byte `cbor:"1,keyasint"`
	// Authorities are the hashes of the keys that vouched for it.
	Authorities [][]byte `cbor:"2,keyasint"`
}

// mostAuthorities bounds what a name remembers of changing authorities.
const mostAuthorities = 16

// claim is an alias that a login may have, and what has to be written down for it, if anything.
type claim struct {
	alias  string
	key    []byte
	record *nameRecord
}

// nameKey finds an alias's record: the identity store takes names that differ in case for one.
func nameKey(alias string) []byte {
	sum := sha256.Sum256([]byte(strings.ToLower(strings.TrimSpace(alias))))
	return []byte(namePrefix + hex.EncodeToString(sum[:]))
}

// claim finds the alias of who logs in: the common name, unless another authority had it first;
// then the name with the authority's fingerprint.
func (p *match) claim(r store.Reader) (*claim, error) {
	common := p.leaf.Subject.CommonName
	authorities := p.authorities()
	for _, alias := range []string{common, common + " [" + short(authorities[len(authorities)-1]) + "]"} {
		c := &claim{alias: alias, key: nameKey(alias)}
		owner, err := record.Get[nameRecord](r, c.key)
		switch {
		case err != nil:
			return nil, err
		case owner == nil:
			c.record = &nameRecord{Entry: p.entry.UID, Authorities: authorities}
			return c, nil
		case owner.has(authorities):
			return c, nil
		case bytes.Equal(owner.Entry, p.entry.UID) || owner.has(p.entry.vouching()):
			// The operator has put both authorities, one after the other or side by side, into one
			// entry: they stand for the same people.
			c.record = owner.with(authorities)
			return c, nil
		}
	}
	// Somebody's common name is written like this one's fingerprint.
	return nil, backend.Errorf(backend.Denied, "the name of this certificate belongs to another authority on this mount")
}

// authorities are the hashes of the keys that vouch for the login, the trusted one last.
func (p *match) authorities() [][]byte {
	chain := p.chain
	if p.entry.pin == nil && len(chain) > 1 {
		chain = chain[1:]
	}
	hashes := make([][]byte, len(chain))
	for i, c := range chain {
		hashes[i] = fingerprint(c)
	}
	if p.entry.pin != nil {
		// The pin itself is what is trusted.
		slices.Reverse(hashes)
	}
	return hashes
}

// vouching are the hashes of the keys that the entry trusts now.
func (e *entry) vouching() [][]byte {
	if e.pin != nil {
		return [][]byte{fingerprint(e.pin)}
	}
	hashes := make([][]byte, len(e.authorities))
	for i, c := range e.authorities {
		hashes[i] = fingerprint(c)
	}
	return hashes
}

func (n *nameRecord) has(any [][]byte) bool {
	return slices.ContainsFunc(any, func(hash []byte) bool {
		return slices.ContainsFunc(n.Authorities, func(known []byte) bool { return bytes.Equal(known, hash) })
	})
}

// with is n with more authorities, the oldest of too many left out.
func (n *nameRecord) with(more [][]byte) *nameRecord {
	all := slices.Concat(n.Authorities, more)
	return &nameRecord{Entry: n.Entry, Authorities: all[max(0, len(all)-mostAuthorities):]}
}
