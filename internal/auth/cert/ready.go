package cert

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"net/url"
	"strings"
	"sync"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// An entry holds no more certificates, and no longer PEM, than this.
const (
	mostCertificates = 100
	longestPEM       = 1 << 20
)

// entry is an entryRecord made ready for logins. It must not be changed.
type entry struct {
	*entryRecord
	name string
	// pin is the one certificate that logs in; nil where authorities vouch for others.
	pin *x509.Certificate
	// authorities are the trusted ones, or those that came along with a pin and only help to
	// judge revocation.
	authorities []*x509.Certificate
	roots       *x509.CertPool
	bound       []netip.Prefix
	extensions  []requiredExtension
	signers     []*x509.Certificate
}

// ready parses e. Its errors are Invalid and repeat nothing of what was sent.
func (e *entryRecord) ready(name string) (*entry, error) {
	out := &entry{entryRecord: e, name: name}
	certificates, err := parseCertificates(e.Certificate)
	if err != nil || len(certificates) == 0 {
		return nil, backend.Invalidf("failed to parse certificate")
	}
	if first := certificates[0]; isAuthority(first) {
		out.roots = x509.NewCertPool()
		for _, c := range certificates {
			if !isAuthority(c) {
				// In a pool of roots it would vouch for itself.
				return nil, backend.Invalidf("a certificate that begins with a CA may hold nothing but CAs")
			}
			out.roots.AddCert(c)
		}
		out.authorities = certificates
	} else {
		if !serves(first) {
			return nil, backend.Invalidf("nonCA certificates should have TLS client authentication set as an extended key usage")
		}
		out.pin, out.authorities = first, certificates[1:]
	}
	if out.bound, err = auth.ParsePrefixes(e.BoundCIDRs); err != nil {
		return nil, err
	}
	if out.extensions, err = parseExtensions(e.Constraints.Extensions); err != nil {
		return nil, err
	}
	for _, oid := range e.MetadataExtensions {
		if _, ok := oidOf(oid); !ok {
			return nil, backend.Invalidf("allowed_metadata_extensions: want OIDs such as 1.2.3.4")
		}
	}
	if e.OCSP.CAs != "" {
		if out.signers, err = parseCertificates(e.OCSP.CAs); err != nil || len(out.signers) == 0 {
			return nil, backend.Invalidf("failed to parse certificate in ocsp_ca_certificates")
		}
	}
	for _, server := range e.OCSP.Servers {
		if !isWebAddress(server) {
			return nil, backend.Invalidf("ocsp_servers_override: want URLs that begin with http:// or https://")
		}
	}
	return out, nil
}

// parseCertificates reads PEM that holds certificates and nothing else: a private key that was
// pasted along must not be stored.
func parseCertificates(text string) ([]*x509.Certificate, error) {
	if len(text) > longestPEM {
		return nil, errTooLarge
	}
	var list []*x509.Certificate
	rest := []byte(strings.TrimSpace(text))
	for len(rest) > 0 {
		block, after := pem.Decode(rest)
		if block == nil || block.Type != "CERTIFICATE" || len(list) == mostCertificates {
			return nil, errNotCertificates
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errNotCertificates
		}
		list = append(list, c)
		rest = after
		if len(strings.TrimSpace(string(rest))) == 0 {
			break
		}
	}
	return list, nil
}

func isWebAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

// entryCache keeps entries ready by name. What the store says of its commits keeps it true.
type entryCache struct {
	mu struct {
		sync.RWMutex
		byName map[string]*entry
		// changed is the commit of the newest change to any entry. What was read from an
		// older state is not let in.
		changed uint64
	}
}

func newEntryCache() *entryCache {
	c := &entryCache{}
	c.mu.byName = map[string]*entry{}
	return c
}

func (c *entryCache) get(name string) *entry {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.mu.byName[name]
}

func (c *entryCache) put(e *entry, position uint64, most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if position < c.mu.changed || most <= 0 {
		return
	}
	for name := range c.mu.byName {
		if len(c.mu.byName) < most {
			break
		}
		delete(c.mu.byName, name)
	}
	c.mu.byName[e.name] = e
}

// changed is told of every commit in the area.
func (c *entryCache) changed(commit store.Commit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range commit.Keys {
		if name, ok := strings.CutPrefix(string(key), entryPrefix); ok {
			delete(c.mu.byName, name)
			c.mu.changed = max(c.mu.changed, commit.Position)
		}
	}
	if len(commit.Ranges) > 0 {
		clear(c.mu.byName)
		c.mu.changed = max(c.mu.changed, commit.Position)
	}
}

// load returns a ready entry from the cache or from r; nil when there is none.
func (m *Method) load(r store.Reader, name string, cached int) (*entry, error) {
	if e := m.entries.get(name); e != nil {
		return e, nil
	}
	rec, err := getEntry(r, name)
	if rec == nil || err != nil {
		return nil, err
	}
	e, err := rec.ready(name)
	if err != nil {
		return nil, err
	}
	m.entries.put(e, r.Position(), cached)
	return e, nil
}

// pageSize is how many entries are looked at in one state of the store.
const pageSize = 64

// each calls fn for the entries in the order of their names, outside of any transaction (fn may
// ask the network), until fn says that it needs no more. An entry that cannot be read vouches
// for nobody, and must not keep those of other entries out.
func (m *Method) each(ctx context.Context, cached int, fn func(*entry) (more bool, err error)) error {
	span := store.PrefixRange([]byte(entryPrefix))
	span.Limit = pageSize
	for {
		var page []*entry
		var last []byte
		seen := 0
		err := m.area.View(ctx, func(r store.Reader) error {
			page, seen = nil, 0
			return r.Scan(span, func(key, value []byte) (bool, error) {
				seen++
				last = bytes.Clone(key)
				name := string(key[len(entryPrefix):])
				e, err := m.decode(name, value, r.Position(), cached)
				if err != nil {
					m.log.Warn("a trusted certificate cannot be read; nobody can log in with it", "name", name, "error", err)
					return true, nil
				}
				page = append(page, e)
				return true, nil
			})
		})
		if err != nil {
			return err
		}
		for _, e := range page {
			if more, err := fn(e); err != nil || !more {
				return err
			}
		}
		if seen < pageSize {
			return nil
		}
		span.From = store.After(last)
	}
}

// decode makes a stored entry ready, or finds it in the cache.
func (m *Method) decode(name string, value []byte, position uint64, cached int) (*entry, error) {
	if e := m.entries.get(name); e != nil {
		return e, nil
	}
	rec := new(entryRecord)
	if err := record.Decode(value, rec); err != nil {
		return nil, err
	}
	e, err := rec.ready(name)
	if err != nil {
		return nil, err
	}
	m.entries.put(e, position, cached)
	return e, nil
}
