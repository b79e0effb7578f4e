package seal

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"

	"jeton/internal/backend"
	"jeton/internal/seal/shamir"
)

// Config is how many shares of a key there are and how many of them bring it back.
type Config struct{ Shares, Threshold int }

// validate holds the arithmetic of contract: sys §1; prefix opens the text.
func (c Config) validate(prefix string) error {
	var wrong string
	switch {
	case c.Shares < 1:
		wrong = "shares must be at least one"
	case c.Threshold < 1:
		wrong = "threshold must be at least one"
	case c.Shares > 1 && c.Threshold == 1:
		wrong = "threshold must be greater than one for multiple shares"
	case c.Shares > shamir.MaxShares:
		wrong = "shares must be less than 256"
	case c.Threshold > shamir.MaxShares:
		wrong = "threshold must be less than 256"
	case c.Threshold > c.Shares:
		wrong = "threshold cannot be larger than shares"
	default:
		return nil
	}
	return backend.Invalidf("%s: %s", prefix, wrong)
}

// shareLength is the length in bytes of each share: of a single one, that of the key itself.
func (c Config) shareLength() int {
	if c.Shares == 1 {
		return keySize
	}
	return keySize + shamir.Overhead
}

// split makes the shares of key; a single one is the key itself (contract: sys §1).
func (c Config) split(key []byte) ([][]byte, error) {
	if c.Shares == 1 {
		return [][]byte{append([]byte(nil), key...)}, nil
	}
	return shamir.Split(key, c.Shares, c.Threshold)
}

// shareSet is what is stored about the shares of one key.
type shareSet struct {
	Shares    int `cbor:"1,keyasint,omitempty"`
	Threshold int `cbor:"2,keyasint,omitempty"`
	// Prints are the fingerprints of the shares. With them a false share is known as soon
	// as it is given, so that a stranger's garbage never spoils what operators have given
	// (see docs/decisions/0003). They tell nothing: each share is 256 random bits.
	Prints [][]byte `cbor:"3,keyasint,omitempty"`
}

// newShareSet splits key as c says.
func newShareSet(c Config, key []byte) (shareSet, [][]byte, error) {
	shares, err := c.split(key)
	if err != nil {
		return shareSet{}, nil, err
	}
	set := shareSet{Shares: c.Shares, Threshold: c.Threshold}
	for _, share := range shares {
		set.Prints = append(set.Prints, fingerprint(share))
	}
	return set, shares, nil
}

func (s shareSet) config() Config { return Config{s.Shares, s.Threshold} }

// knows says whether share is one of the set. Its time does not depend on which.
func (s shareSet) knows(share []byte) bool {
	if len(share) != s.config().shareLength() {
		return false
	}
	given, found := fingerprint(share), 0
	for _, print := range s.Prints {
		found |= subtle.ConstantTimeCompare(given, print)
	}
	return found == 1
}

func fingerprint(share []byte) []byte {
	h := sha256.New()
	h.Write([]byte("jeton/seal/share/1\x00"))
	h.Write(share)
	return h.Sum(nil)
}

// quorum gathers shares of one set. Its owner guards it.
type quorum struct{ parts [][]byte }

// has says whether share was given before, in constant time.
func (q *quorum) has(share []byte) bool {
	found := 0
	for _, part := range q.parts {
		found |= subtle.ConstantTimeCompare(part, share)
	}
	return found == 1
}

// add keeps a copy of share.
func (q *quorum) add(share []byte) { q.parts = append(q.parts, append([]byte(nil), share...)) }

// wipe overwrites and drops the shares.
func (q *quorum) wipe() {
	for _, part := range q.parts {
		clear(part)
	}
	q.parts = nil
}

// key combines the shares, of which there are enough.
func (q *quorum) key() ([]byte, error) {
	if len(q.parts) == 1 {
		return append([]byte(nil), q.parts[0]...), nil
	}
	key, err := shamir.Combine(q.parts)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return key, nil
}

// gathering is the shares given towards one end. They may be of the shares in force or of a
// candidate set that a rekey left unsettled: either set will do, by itself. Its owner guards it.
type gathering struct {
	current, candidate quorum
	// origins have given a good share, since the last wipe or before.
	origins map[string]struct{}
}

// given is what became of a share.
type given int

const (
	givenMore          given = iota // it is good, and more are needed
	givenAgain                      // it was given before
	givenFull                       // it completes the shares in force
	givenFullCandidate              // it completes the candidate set
	givenFalse                      // it is no share of either set
	givenFalseLast                  // the same, from one who takes part, and it was to be the last
)

// good says that the share is one of ours.
func (g given) good() bool { return g < givenFalse }

// give takes a share in, if it is good.
func (g *gathering) give(config *configRecord, origin string, share []byte) given {
	q, set, full := &g.current, config.Set, givenFull
	switch {
	case config.Set.knows(share):
	case config.candidate != nil && config.candidate.Set.knows(share):
		q, set, full = &g.candidate, config.candidate.Set, givenFullCandidate
	default:
		set, progress := g.progress(config)
		if g.from(origin) && progress == set.Threshold-1 {
			return givenFalseLast
		}
		return givenFalse
	}
	if g.origins == nil {
		g.origins = make(map[string]struct{})
	}
	g.origins[origin] = struct{}{}
	if q.has(share) {
		return givenAgain
	}
	q.add(share)
	if len(q.parts) >= set.Threshold {
		return full
	}
	return givenMore
}

// progress is the set that has come furthest, and how far.
func (g *gathering) progress(config *configRecord) (shareSet, int) {
	if n := len(g.candidate.parts); config.candidate != nil && n > len(g.current.parts) {
		return config.candidate.Set, n
	}
	return config.Set, len(g.current.parts)
}

// from says whether origin has given a good share.
func (g *gathering) from(origin string) bool {
	_, ok := g.origins[origin]
	return ok
}

// key combines the shares of one set.
func (g *gathering) key(candidate bool) ([]byte, error) {
	if candidate {
		return g.candidate.key()
	}
	return g.current.key()
}

// wipe overwrites and drops the shares; who gave some stays known.
func (g *gathering) wipe() {
	g.current.wipe()
	g.candidate.wipe()
}

// shareBounds refuses what cannot be a share of any set (contract: sys §3).
func shareBounds(share []byte) error {
	const shortest, longest = 16, keySize + shamir.Overhead
	if len(share) < shortest {
		return backend.Invalidf("key is shorter than minimum %d bytes", shortest)
	}
	if len(share) > longest {
		return backend.Invalidf("key is longer than maximum %d bytes", longest)
	}
	return nil
}
