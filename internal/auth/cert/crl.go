package cert

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"sync"
	"time"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// A mount's lists are kept in memory: together they have no more bytes, and are no more, than this.
const (
	mostCRLs    = 100
	mostCRLSize = 16 << 20
	mostCRLSum  = 64 << 20
)

// crlRecord is a revocation list as it is stored.
type crlRecord struct {
	// URL is where it is fetched from; "" for one that was sent.
	URL string `cbor:"1,keyasint,omitempty"`
	// DER is the list itself.
	DER []byte `cbor:"2,keyasint"`
}

// crl is a revocation list that is ready to be asked. It must not be changed, but for verdicts.
type crl struct {
	name string
	url  string
	list *x509.RevocationList
	// serials are the revoked ones, as the bytes of the number.
	serials map[string]struct{}

	mu sync.Mutex
	// verdicts remembers by an authority's hash whether it signed the list. Guarded by mu.
	verdicts map[[32]byte]bool
}

// mostVerdicts bounds a list's memory of authorities.
const mostVerdicts = 32

// Extensions of a list that change what it says (RFC 5280 §5.2).
var (
	oidDelta = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidScope = asn1.ObjectIdentifier{2, 5, 29, 28}
)

// reasonUnrevoked takes a serial off a list (RFC 5280 §5.3.1).
const reasonUnrevoked = 8

// parseCRL reads a list in PEM or DER. Its errors repeat nothing of it.
func parseCRL(data []byte) (*crl, error) {
	if len(data) > mostCRLSize {
		return nil, errTooLarge
	}
	if trimmed := bytes.TrimSpace(data); bytes.HasPrefix(trimmed, []byte("-----BEGIN")) {
		block, rest := pem.Decode(trimmed)
		if block == nil || block.Type != "X509 CRL" || len(bytes.TrimSpace(rest)) > 0 {
			return nil, errors.New("want one PEM block of type X509 CRL")
		}
		data = block.Bytes
	}
	list, err := x509.ParseRevocationList(data)
	if err != nil {
		return nil, errors.New("it is no X.509 revocation list")
	}
	for _, x := range list.Extensions {
		if x.Id.Equal(oidDelta) {
			return nil, errors.New("it is a delta: only whole lists are supported")
		}
		if x.Id.Equal(oidScope) && isIndirect(x.Value) {
			return nil, errors.New("it is indirect: only lists of the issuing authority are supported")
		}
	}
	out := &crl{list: list, serials: make(map[string]struct{}, len(list.RevokedCertificateEntries)), verdicts: map[[32]byte]bool{}}
	for _, e := range list.RevokedCertificateEntries {
		if e.ReasonCode != reasonUnrevoked {
			out.serials[string(e.SerialNumber.Bytes())] = struct{}{}
		}
	}
	// The set stands for them.
	list.RevokedCertificateEntries = nil
	return out, nil
}

// isIndirect reads an issuing distribution point; one that cannot be read counts as indirect.
func isIndirect(der []byte) bool {
	var scope struct {
		Point      asn1.RawValue  `asn1:"optional,tag:0"`
		Users      bool           `asn1:"optional,tag:1"`
		CAs        bool           `asn1:"optional,tag:2"`
		Reasons    asn1.BitString `asn1:"optional,tag:3"`
		Indirect   bool           `asn1:"optional,tag:4"`
		Attributes bool           `asn1:"optional,tag:5"`
	}
	rest, err := asn1.Unmarshal(der, &scope)
	return err != nil || len(rest) > 0 || scope.Indirect
}

// stale says whether the list should have been replaced by now.
func (c *crl) stale(now time.Time) bool {
	return !c.list.NextUpdate.IsZero() && now.After(c.list.NextUpdate)
}

// names says whether the list says that it is by the authority that issued certificate.
func (c *crl) names(certificate *x509.Certificate) bool {
	if !bytes.Equal(c.list.RawIssuer, certificate.RawIssuer) {
		return false
	}
	return len(c.list.AuthorityKeyId) == 0 || len(certificate.AuthorityKeyId) == 0 ||
		bytes.Equal(c.list.AuthorityKeyId, certificate.AuthorityKeyId)
}

// signedBy says whether the authority's key signed the list.
func (c *crl) signedBy(authority *x509.Certificate) bool {
	id := sha256.Sum256(authority.RawSubjectPublicKeyInfo)
	c.mu.Lock()
	defer c.mu.Unlock()
	verdict, known := c.verdicts[id]
	if !known {
		verdict = authority.CheckSignature(c.list.SignatureAlgorithm, c.list.RawTBSRevocationList, c.list.Signature) == nil
		if len(c.verdicts) >= mostVerdicts {
			clear(c.verdicts)
		}
		c.verdicts[id] = verdict
	}
	return verdict
}

// check looks certificate up. issuer is nil where it is not known; the list's word is then taken for whose
// it is. errRevoked and errForgedList refuse the certificate.
func (c *crl) check(certificate, issuer *x509.Certificate) error {
	if !c.names(certificate) {
		return nil
	}
	if issuer != nil && !c.signedBy(issuer) {
		if len(c.list.AuthorityKeyId) > 0 && bytes.Equal(c.list.AuthorityKeyId, issuer.SubjectKeyId) {
			return errForgedList
		}
		// Another authority of the same name.
		return nil
	}
	if _, revoked := c.serials[string(certificate.SerialNumber.Bytes())]; revoked {
		return errRevoked
	}
	return nil
}

// crlCache holds a mount's lists, read when the first login asks (CVE-2022-41316: never later).
// What the store says of its commits keeps it true.
type crlCache struct {
	// loading serialises reading: a hundred logins read the lists once.
	loading sync.Mutex
	mu      struct {
		sync.Mutex
		lists []*crl
		// ready says that lists are those of the store.
		ready bool
		// changes counts commits that touched a list.
		changes uint64
	}
}

func newCRLCache() *crlCache { return &crlCache{} }

// changed is told of every commit in the area.
func (c *crlCache) changed(commit store.Commit) {
	touches := len(commit.Ranges) > 0
	for _, key := range commit.Keys {
		touches = touches || strings.HasPrefix(string(key), crlPrefix)
	}
	if !touches {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.changes++
	c.mu.ready = false
}

// current are the lists, if they are at hand, and the number of the last change.
func (c *crlCache) current() (lists []*crl, changes uint64, ready bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.lists, c.mu.changes, c.mu.ready
}

// lists returns the mount's revocation lists and the number of the last change to them. A list
// that cannot be read is an error: a login must not pass because of it.
func (m *Method) lists(ctx context.Context) ([]*crl, uint64, error) {
	c := m.crls
	if lists, changes, ready := c.current(); ready {
		return lists, changes, nil
	}
	c.loading.Lock()
	defer c.loading.Unlock()
	old, before, ready := c.current()
	if ready {
		return old, before, nil
	}
	known := make(map[string]*crl, len(old))
	for _, l := range old {
		known[l.name] = l
	}
	var lists []*crl
	err := m.area.View(ctx, func(r store.Reader) error {
		lists = nil
		return r.Scan(store.PrefixRange([]byte(crlPrefix)), func(key, value []byte) (bool, error) {
			name := string(key[len(crlPrefix):])
			rec := new(crlRecord)
			if err := record.Decode(value, rec); err != nil {
				return false, err
			}
			l := known[name]
			if l == nil || l.url != rec.URL || !bytes.Equal(l.list.Raw, rec.DER) {
				var err error
				if l, err = parseCRL(rec.DER); err != nil {
					return false, errors.New("cert: the stored revocation list " + name + " cannot be read")
				}
				l.name, l.url = name, rec.URL
			}
			lists = append(lists, l)
			return true, nil
		})
	})
	if err != nil {
		return nil, 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.changes == before {
		c.mu.lists, c.mu.ready = lists, true
	}
	return lists, before, nil
}

type crlRequest struct {
	named
	CRL string `json:"crl" doc:"The revocation list, in PEM."`
	URL string `json:"url" doc:"Where to fetch it from, now and again and again."`
}

// writeCRL stores a list, or fetches it for the first time.
func (m *Method) writeCRL(ctx context.Context, _ *backend.Call, req *crlRequest) (*backend.None, error) {
	if (req.CRL == "") == (req.URL == "") {
		return nil, backend.Invalidf("one of 'crl' or 'url' must be provided")
	}
	data := []byte(req.CRL)
	if req.URL != "" {
		if !isWebAddress(req.URL) {
			return nil, backend.Invalidf("'url' must begin with http:// or https://")
		}
		var err error
		if data, err = m.fetch(ctx, req.URL); err != nil {
			return nil, backend.Invalidf("failed to fetch the CRL: %s", err)
		}
		m.looked.set(req.Name, m.clock.Now())
	}
	list, err := parseCRL(data)
	if err != nil {
		return nil, backend.Invalidf("failed to parse CRL: %s", err)
	}
	if err := m.vouched(ctx, list); err != nil {
		return nil, err
	}
	return nil, m.area.Update(ctx, func(tx store.Tx) error {
		if err := fits(tx, req.Name, len(list.list.Raw)); err != nil {
			return err
		}
		return record.Put(tx, crlKey(req.Name), &crlRecord{URL: req.URL, DER: list.list.Raw})
	})
}

// fits refuses a list that would be one too many.
func fits(r store.Reader, name string, size int) error {
	count, sum := 1, size
	err := r.Scan(store.PrefixRange([]byte(crlPrefix)), func(key, value []byte) (bool, error) {
		if string(key) != crlPrefix+name {
			count++
			sum += len(value)
		}
		return true, nil
	})
	if err == nil && (count > mostCRLs || sum > mostCRLSum) {
		err = backend.Invalidf("there are too many CRLs on this mount: at most %d, and %d MiB together", mostCRLs, mostCRLSum>>20)
	}
	return err
}

// vouched checks the list's signature where the mount trusts an authority that it names: one of
// them must have signed it.
func (m *Method) vouched(ctx context.Context, list *crl) error {
	named, signed := false, false
	err := m.each(ctx, 0, func(e *entry) (bool, error) {
		for _, a := range e.authorities {
			if !bytes.Equal(a.RawSubject, list.list.RawIssuer) {
				continue
			}
			if id := list.list.AuthorityKeyId; len(id) > 0 && len(a.SubjectKeyId) > 0 && !bytes.Equal(id, a.SubjectKeyId) {
				continue
			}
			named = true
			signed = signed || list.signedBy(a)
		}
		return !signed, nil
	})
	if err == nil && named && !signed {
		err = backend.Invalidf("failed to parse CRL: it is not signed by the authority that it names")
	}
	return err
}

type crlView struct {
	Serials    map[string]struct{} `json:"serials"`
	CDP        *distributionPoint  `json:"cdp"`
	Issuer     string              `json:"issuer"`
	ThisUpdate string              `json:"this_update"`
	NextUpdate string              `json:"next_update"`
	// Stale says that the list should have been replaced; it goes on holding.
	Stale bool `json:"stale"`
}

type distributionPoint struct {
	URL        string `json:"url"`
	ValidUntil string `json:"valid_until"`
}

func (m *Method) readCRL(ctx context.Context, _ *backend.Call, req *named) (*crlView, error) {
	rec, err := m.crl(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	if rec == nil {
		return nil, errNoCRL(req.Name)
	}
	list, err := parseCRL(rec.DER)
	if err != nil {
		return nil, err
	}
	view := &crlView{
		Serials: make(map[string]struct{}, len(list.serials)), Issuer: list.list.Issuer.String(),
		ThisUpdate: stamp(list.list.ThisUpdate), NextUpdate: stamp(list.list.NextUpdate), Stale: list.stale(m.clock.Now()),
	}
	for serial := range list.serials {
		view.Serials[new(big.Int).SetBytes([]byte(serial)).String()] = struct{}{}
	}
	if rec.URL != "" {
		view.CDP = &distributionPoint{URL: rec.URL, ValidUntil: view.NextUpdate}
	}
	return view, nil
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func errNoCRL(name string) error { return backend.Invalidf("no such CRL %s", name) }

func (m *Method) crl(ctx context.Context, name string) (*crlRecord, error) {
	var rec *crlRecord
	err := m.area.View(ctx, func(r store.Reader) (err error) {
		rec, err = record.Get[crlRecord](r, crlKey(name))
		return err
	})
	return rec, err
}

func (m *Method) deleteCRL(ctx context.Context, _ *backend.Call, req *named) (*backend.None, error) {
	return nil, m.area.Update(ctx, func(tx store.Tx) error {
		if _, err := tx.Get(crlKey(req.Name)); errors.Is(err, store.ErrNotFound) {
			return errNoCRL(req.Name)
		} else if err != nil {
			return err
		}
		return tx.Delete(crlKey(req.Name))
	})
}

// fingerprint is the hash by which an authority's key is known.
func fingerprint(c *x509.Certificate) []byte {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return sum[:]
}

func short(hash []byte) string { return hex.EncodeToString(hash[:8]) }
