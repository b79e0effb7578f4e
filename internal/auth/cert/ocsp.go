package cert

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/ocsp"

	"jeton/internal/store"
)

const (
	// mostAnswer bounds an OCSP answer, in bytes.
	mostAnswer = 64 << 10
	// askAllWithin bounds all questions of one login.
	askAllWithin = 20 * time.Second
	// rememberedFor is the longest time that an answer is remembered, however long it says that
	// it holds: a revocation must be seen soon.
	rememberedFor = 10 * time.Minute
	// skew is how far a responder's clock may be ahead.
	skew = 5 * time.Minute
)

// What an answer of a responder can lack.
var (
	errNoResponder   = errors.New("neither the certificate nor the entry names an OCSP responder")
	errNoIssuer      = errors.New("the issuer of the certificate is not known, so OCSP cannot be asked")
	errOCSPUnknown   = errors.New("the OCSP responder does not know the certificate")
	errOCSPSignature = errors.New("the OCSP answer is not signed by the issuer, nor by whom it or the entry empowered")
	errOCSPOther     = errors.New("the OCSP answer is about another certificate")
	errOCSPExpired   = errors.New("the OCSP answer is too old, or not valid yet")
)

// goodByOCSP asks about the leaf of chain; nil says that it is good, or that nobody was to be asked.
// errRevoked is the word of a responder. Any other error says that there is no word; with fail_open that
// is no error.
func (m *Method) goodByOCSP(ctx context.Context, e *entry, chain []*x509.Certificate) error {
	if !e.OCSP.Enabled {
		return nil
	}
	err := m.askOCSP(ctx, e, chain)
	if err != nil && !errors.Is(err, errRevoked) && e.OCSP.FailOpen {
		m.log.Warn("OCSP could not be asked; the entry lets certificates pass then", "entry", e.name, "reason", err)
		return nil
	}
	return err
}

func (m *Method) askOCSP(ctx context.Context, e *entry, chain []*x509.Certificate) error {
	leaf := chain[0]
	if len(chain) < 2 {
		return errNoIssuer
	}
	servers := e.OCSP.Servers
	if len(servers) == 0 {
		servers = leaf.OCSPServer
	}
	if len(servers) == 0 {
		return errNoResponder
	}
	q := question{entry: e, leaf: leaf, issuer: chain[1]}
	if known, revoked := m.answers.get(q.key(), m.clock.Now()); known {
		if revoked {
			return errRevoked
		}
		return nil
	}
	var most int
	err := m.area.View(ctx, func(r store.Reader) error {
		c, err := config(r)
		if err == nil {
			most = c.OCSPCacheSize
		}
		return err
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askAllWithin)
	defer cancel()
	var last error
	until := m.clock.Now().Add(rememberedFor)
	for _, server := range servers {
		answer, err := m.askPatiently(ctx, server, q)
		if err != nil {
			if last = err; e.OCSP.QueryAll && !e.OCSP.FailOpen {
				return err
			}
			continue
		}
		if answer.NextUpdate.Before(until) {
			until = answer.NextUpdate // The zero time is not remembered at all.
		}
		if answer.Status == ocsp.Revoked {
			m.answers.put(q.key(), true, until, most)
			return errRevoked
		}
		if !e.OCSP.QueryAll {
			m.answers.put(q.key(), false, until, most)
			return nil
		}
	}
	if last == nil {
		m.answers.put(q.key(), false, until, most)
	}
	return last
}

// question is what is asked of a responder.
type question struct {
	entry        *entry
	leaf, issuer *x509.Certificate
}

// key finds the answer again. It is the entry's, because the entry says who may be asked and how old
// an answer may be, and of this revision of it.
func (q question) key() [32]byte {
	h := sha256.New()
	for _, part := range [][]byte{q.entry.UID, q.entry.Revision, fingerprint(q.issuer), q.leaf.Raw} {
		fmt.Fprintf(h, "%d:", len(part))
		h.Write(part)
	}
	return [32]byte(h.Sum(nil))
}

// askPatiently asks one responder, and asks again as often as the entry says.
func (m *Method) askPatiently(ctx context.Context, server string, q question) (*ocsp.Response, error) {
	request, err := ocsp.CreateRequest(q.leaf, q.issuer, nil)
	if err != nil {
		return nil, err
	}
	for attempt := 0; ; attempt++ {
		data, err := m.post(ctx, server, request)
		if err == nil {
			return m.read(data, q)
		}
		if attempt == q.entry.OCSP.Retries || ctx.Err() != nil {
			return nil, err
		}
	}
}

func (m *Method) post(ctx context.Context, server string, body []byte) ([]byte, error) {
	if !isWebAddress(server) {
		return nil, errNoResponder
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server, bytes.NewReader(body))
	if err != nil {
		return nil, errNoResponder
	}
	req.Header.Set("Content-Type", "application/ocsp-request")
	req.Header.Set("Accept", "application/ocsp-response")
	return m.ask(req, mostAnswer)
}

// read judges an answer: it must be about the very certificate, signed by who may, and of now.
// Only then its status counts (CVE-2024-2660).
func (m *Method) read(data []byte, q question) (*ocsp.Response, error) {
	now := m.clock.Now()
	answer, err := q.verified(data, now)
	if err != nil {
		return nil, err
	}
	switch {
	case answer.ThisUpdate.After(now.Add(skew)):
		return nil, errOCSPExpired
	case !answer.NextUpdate.IsZero() && now.After(answer.NextUpdate):
		return nil, errOCSPExpired
	case q.entry.OCSP.MaxAge > 0 && now.Sub(answer.ThisUpdate) > q.entry.OCSP.MaxAge:
		return nil, errOCSPExpired
	case answer.Status != ocsp.Good && answer.Status != ocsp.Revoked:
		return nil, errOCSPUnknown
	}
	return answer, nil
}

// verified checks who signed an answer and what it is about: the issuer, a responder that the issuer
// empowered, or a signer that the entry names.
func (q question) verified(data []byte, now time.Time) (*ocsp.Response, error) {
	for _, signer := range append([]*x509.Certificate{q.issuer}, q.entry.signers...) {
		answer, err := ocsp.ParseResponseForCert(data, q.leaf, signer)
		if err != nil && signer != q.issuer {
			// A signer that is named may send itself along; then its issuer does not matter.
			if answer, err = ocsp.ParseResponseForCert(data, q.leaf, nil); err == nil &&
				(answer.Certificate == nil || !bytes.Equal(answer.Certificate.Raw, signer.Raw)) {
				err = errOCSPSignature
			}
		}
		if err != nil {
			continue
		}
		if delegate := answer.Certificate; delegate != nil && !bytes.Equal(delegate.Raw, signer.Raw) && !empowered(delegate, now) {
			continue
		}
		// The library finds the answer by its serial alone, which another authority may have given, too.
		if !q.isAbout(answer.TBSResponseData) {
			return nil, errOCSPOther
		}
		return answer, nil
	}
	return nil, errOCSPSignature
}

// empowered says whether a certificate that came along may sign answers: the library has checked who
// signed it, and no more. Without this, any client could answer for itself.
func empowered(delegate *x509.Certificate, now time.Time) bool {
	return slices.Contains(delegate.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning) &&
		!now.Before(delegate.NotBefore) && !now.After(delegate.NotAfter)
}

// isAbout says whether the first answer with the leaf's serial, the one that the library takes, names the
// leaf's issuer by the hashes of its name and key (RFC 6960 §4.1.1).
func (q question) isAbout(tbs []byte) bool {
	input := cryptobyte.String(tbs)
	var data, answers, responder cryptobyte.String
	var tag casn1.Tag
	if !input.ReadASN1(&data, casn1.SEQUENCE) ||
		!data.SkipOptionalASN1(casn1.Tag(0).Constructed().ContextSpecific()) ||
		!data.ReadAnyASN1(&responder, &tag) ||
		!data.SkipASN1(casn1.GeneralizedTime) ||
		!data.ReadASN1(&answers, casn1.SEQUENCE) {
		return false
	}
	for !answers.Empty() {
		var answer, id, algorithm, name, key cryptobyte.String
		var oid asn1.ObjectIdentifier
		serial := new(big.Int)
		if !answers.ReadASN1(&answer, casn1.SEQUENCE) ||
			!answer.ReadASN1(&id, casn1.SEQUENCE) ||
			!id.ReadASN1(&algorithm, casn1.SEQUENCE) ||
			!algorithm.ReadASN1ObjectIdentifier(&oid) ||
			!id.ReadASN1(&name, casn1.OCTET_STRING) ||
			!id.ReadASN1(&key, casn1.OCTET_STRING) ||
			!id.ReadASN1Integer(serial) {
			return false
		}
		if serial.Cmp(q.leaf.SerialNumber) == 0 {
			wantName, wantKey, ok := q.issuerHashes(oid)
			return ok && bytes.Equal(name, wantName) && bytes.Equal(key, wantKey)
		}
	}
	return false
}

// issuerHashes are the hashes of the issuer's name and of its key, without its ASN.1 frame.
func (q question) issuerHashes(algorithm asn1.ObjectIdentifier) (name, key []byte, ok bool) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(q.issuer.RawSubjectPublicKeyInfo, &info); err != nil {
		return nil, nil, false
	}
	var sum crypto.Hash
	switch algorithm.String() {
	case "1.3.14.3.2.26":
		sum = crypto.SHA1
	case "2.16.840.1.101.3.4.2.1":
		sum = crypto.SHA256
	case "2.16.840.1.101.3.4.2.2":
		sum = crypto.SHA384
	case "2.16.840.1.101.3.4.2.3":
		sum = crypto.SHA512
	default:
		return nil, nil, false
	}
	hash := func(data []byte) []byte {
		h := sum.New()
		h.Write(data)
		return h.Sum(nil)
	}
	return hash(q.leaf.RawIssuer), hash(info.Key.RightAlign()), true
}

// answerCache remembers what responders said, bounded and each for a bounded time.
type answerCache struct {
	mu   sync.Mutex
	said map[[32]byte]said // guarded by mu
}

type said struct {
	revoked bool
	until   time.Time
}

func newAnswerCache() *answerCache { return &answerCache{said: map[[32]byte]said{}} }

func (c *answerCache) get(key [32]byte, now time.Time) (known, revoked bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.said[key]
	return ok && now.Before(s.until), s.revoked
}

func (c *answerCache) put(key [32]byte, revoked bool, until time.Time, most int) {
	if until.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for victim := range c.said {
		if len(c.said) < most {
			break
		}
		delete(c.said, victim)
	}
	c.said[key] = said{revoked: revoked, until: until}
}
