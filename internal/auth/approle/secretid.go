package approle

import (
	"bytes"
	"maps"
	"net/netip"
	"time"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// secretRecord is a secret id as it is stored: all but the id itself.
type secretRecord struct {
	Accessor string `cbor:"1,keyasint"`
	// NumUses are the logins that are left; 0 is without limit. The last one removes the record.
	NumUses int           `cbor:"2,keyasint,omitempty"`
	TTL     time.Duration `cbor:"3,keyasint,omitempty"`
	Created time.Time     `cbor:"4,keyasint"`
	Updated time.Time     `cbor:"5,keyasint"`
	// Expires is zero for a secret id that has no end.
	Expires  time.Time         `cbor:"6,keyasint,omitempty"`
	Metadata map[string]string `cbor:"7,keyasint,omitempty"`
	// CIDRs bound where logins may come from, TokenCIDRs where the tokens may be used.
	CIDRs      []string `cbor:"8,keyasint,omitempty"`
	TokenCIDRs []string `cbor:"9,keyasint,omitempty"`
}

// secret is a secret id ready for use. It is shared by logins and must not be changed.
type secret struct {
	secretRecord
	// sources are CIDRs, tokenSources TokenCIDRs.
	sources, tokenSources []netip.Prefix
	// metadata is what the tokens say: the secret id's and the name of its role.
	metadata map[string]string
}

// rememberedSecrets bounds the secret ids that are kept ready for use: some four megabytes a mount.
const rememberedSecrets = 4096

// readySecret makes a stored secret id of the role ready for use.
func (r *role) readySecret(stored []byte) (*secret, error) {
	s := &secret{metadata: r.metadata}
	if err := record.Decode(stored, &s.secretRecord); err != nil {
		return nil, err
	}
	var err error
	if s.sources, err = parseBlocks("", s.CIDRs); err != nil {
		return nil, err
	}
	if s.tokenSources, err = parseBlocks("token ", s.TokenCIDRs); err != nil {
		return nil, err
	}
	if len(s.Metadata) > 0 {
		s.metadata = maps.Clone(s.Metadata)
		maps.Copy(s.metadata, r.metadata)
	}
	return s, nil
}

// precision is that of the stored times. Records keep a time as a floating point number of
// seconds, which blurs microseconds: an end just before a full second would come back as one
// after it, and its key in the order of time would not be found again.
const precision = time.Millisecond

// accessorRecord leads from an accessor to its secret id.
type accessorRecord struct {
	Accessor string    `cbor:"1,keyasint"`
	Hash     []byte    `cbor:"2,keyasint"`
	Expires  time.Time `cbor:"3,keyasint,omitempty"`
}

// ended says whether something that expires then is over. From its end on, a secret id is
// refused and shown nowhere, whether or not its record has been removed (CVE-2026-115362).
func ended(expires, now time.Time) bool { return !expires.IsZero() && !now.Before(expires) }

// getSecret reads a secret id that has not expired; nil when there is none.
func getSecret(r store.Reader, uid, hash []byte, now time.Time) (*secretRecord, error) {
	s, err := record.Get[secretRecord](r, secretKey(uid, hash))
	if s == nil || err != nil || ended(s.Expires, now) {
		return nil, err
	}
	return s, nil
}

// getByAccessor reads the secret id of an accessor of this role. The index is the role's own:
// another role's accessor leads nowhere (CVE-2023-24999), and a role is deleted with its index
// in one step. So a stranger's accessor is unknown (404), where the contract has 403.
func (m *Method) getByAccessor(r store.Reader, uid []byte, accessor string, now time.Time) (*secretRecord, []byte, error) {
	entry, err := record.Get[accessorRecord](r, accessorKey(uid, m.hash.accessor(uid, accessor)))
	if entry == nil || err != nil {
		return nil, nil, err
	}
	s, err := getSecret(r, uid, entry.Hash, now)
	return s, entry.Hash, err
}

// putSecret stores a new secret id with its entries in the indexes. A secret id that is there
// already and has not expired is an error.
func (m *Method) putSecret(tx store.Tx, uid, hash []byte, s *secretRecord) error {
	old, err := record.Get[secretRecord](tx, secretKey(uid, hash))
	if err != nil {
		return err
	}
	if old != nil {
		if !ended(old.Expires, s.Created) {
			return backend.Invalidf("failed to store secret_id: SecretID is already registered")
		}
		if err := m.eraseSecret(tx, uid, hash, old); err != nil {
			return err
		}
	}
	entry := &accessorRecord{Accessor: s.Accessor, Hash: hash, Expires: s.Expires}
	if err := record.Put(tx, accessorKey(uid, m.hash.accessor(uid, s.Accessor)), entry); err != nil {
		return err
	}
	if !s.Expires.IsZero() {
		if err := tx.Put(expiryKey(uid, s.Expires, hash), nil); err != nil {
			return err
		}
	}
	return record.Put(tx, secretKey(uid, hash), s)
}

// eraseSecret removes a secret id with its entries in the indexes.
func (m *Method) eraseSecret(tx store.Tx, uid, hash []byte, s *secretRecord) error {
	if err := tx.Delete(accessorKey(uid, m.hash.accessor(uid, s.Accessor))); err != nil {
		return err
	}
	if !s.Expires.IsZero() {
		if err := tx.Delete(expiryKey(uid, s.Expires, hash)); err != nil {
			return err
		}
	}
	if s.NumUses == 0 {
		if err := tx.Delete(usedKey(uid, hash)); err != nil {
			return err
		}
	}
	return tx.Delete(secretKey(uid, hash))
}

// sweep removes at most limit expired secret ids of one role, the oldest first, and says how many.
func (m *Method) sweep(tx store.Tx, uid []byte, now time.Time, limit int) (int, error) {
	var hashes [][]byte
	err := tx.Scan(expiredRange(uid, now, limit), func(key, _ []byte) (bool, error) {
		hashes = append(hashes, bytes.Clone(key[len(key)-hashSize:]))
		return true, nil
	})
	if err != nil {
		return 0, err
	}
	for _, hash := range hashes {
		s, err := record.Get[secretRecord](tx, secretKey(uid, hash))
		if err != nil {
			return 0, err
		}
		if s == nil {
			continue
		}
		if err := m.eraseSecret(tx, uid, hash, s); err != nil {
			return 0, err
		}
	}
	return len(hashes), nil
}

// expiredRange has the ends of a role's secret ids that were before the second of now.
func expiredRange(uid []byte, now time.Time, limit int) store.Range {
	from := append(ownedKey(uid), expiryPart...)
	return store.Range{From: from, To: expiryKey(uid, now, nil), Limit: limit, KeysOnly: true}
}

// terms are what a request asks of a new secret id, within what the role allows.
type terms struct {
	numUses int
	// ttl 0 is without end.
	ttl               time.Duration
	cidrs, tokenCIDRs []string
	metadata          map[string]string
}

// resolve measures a request by the role. maxTTL is the mount's. Contract: auth-methods §2.3.
func (req *generateRequest) resolve(r *roleRecord, metadata map[string]string, maxTTL time.Duration) (*terms, error) {
	if !r.BindSecretID {
		return nil, backend.Invalidf("bind_secret_id is not set on the role")
	}
	t := &terms{
		numUses: r.SecretIDNumUses, ttl: capTTL(r.SecretIDTTL, maxTTL),
		cidrs: req.CIDRList, tokenCIDRs: req.TokenBoundCIDRs, metadata: metadata,
	}
	if req.NumUses != nil {
		t.numUses = *req.NumUses
		if t.numUses < 0 {
			return nil, backend.Invalidf("num_uses cannot be negative")
		}
		if r.SecretIDNumUses > 0 && (t.numUses == 0 || t.numUses > r.SecretIDNumUses) {
			return nil, backend.Invalidf("num_uses cannot be higher than the role's secret_id_num_uses")
		}
	}
	if req.TTL != nil {
		limit := t.ttl
		t.ttl = capTTL(req.TTL.Duration().Truncate(time.Second), maxTTL)
		if limit > 0 && (t.ttl == 0 || t.ttl > limit) {
			return nil, backend.Invalidf("ttl cannot be longer than the role's secret_id_ttl")
		}
	}
	if err := narrower("", t.cidrs, r.SecretIDBoundCIDRs); err != nil {
		return nil, err
	}
	return t, narrower("token ", t.tokenCIDRs, r.BoundCIDRs)
}

// capTTL makes negative and too long lives the mount's longest. 0 stays without end.
func capTTL(ttl, maxTTL time.Duration) time.Duration {
	if ttl < 0 || ttl > maxTTL {
		return maxTTL
	}
	return ttl
}

// narrower parses the CIDR blocks of a secret id, which must lie in those of its role.
func narrower(kind string, ofSecret, ofRole []string) error {
	if len(ofSecret) == 0 {
		return nil
	}
	inner, err := parseBlocks(kind, ofSecret)
	if err != nil {
		return err
	}
	outer, err := auth.ParsePrefixes(ofRole)
	if err != nil {
		return err
	}
	return within(kind, inner, outer)
}

func parseBlocks(kind string, list []string) ([]netip.Prefix, error) {
	blocks, err := auth.ParsePrefixes(list)
	if err != nil {
		return nil, backend.Invalidf("failed to validate %sCIDR blocks: %s", kind, err)
	}
	return blocks, nil
}

// within refuses blocks of a secret id that do not lie in those of its role.
func within(kind string, ofSecret, ofRole []netip.Prefix) error {
	if auth.Subset(ofSecret, ofRole) {
		return nil
	}
	return backend.Invalidf("failed to verify subset relationship between %sCIDR blocks on the role %q and %sCIDR blocks on the secret ID %q",
		kind, auth.FormatPrefixes(ofRole), kind, auth.FormatPrefixes(ofSecret))
}
