package cert

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"time"
)

// mostIntermediates bounds what a stranger has verified: what he sends beyond is ignored.
const mostIntermediates = 10

// presented is what a client showed: its certificate, and others that may lead to an authority.
type presented struct {
	leaf          *x509.Certificate
	intermediates []*x509.Certificate
}

func present(certificates []*x509.Certificate) presented {
	rest := certificates[1:]
	return presented{leaf: certificates[0], intermediates: rest[:min(len(rest), mostIntermediates)]}
}

// match is an entry that vouches for a certificate.
type match struct {
	entry *entry
	leaf  *x509.Certificate
	// chain leads from the leaf to a trusted authority; for a pinned certificate it is the
	// certificate, with its issuer if that is known.
	chain []*x509.Certificate
	// changes is the number of the last change to the revocation lists that were asked.
	changes uint64
}

// verdict says how far an entry went with a certificate.
type verdict uint8

const (
	// untrusted: the entry does not know it.
	untrusted verdict = iota
	// refused: the entry knows it, and it does not fulfil what is asked.
	refused
	// unproved: it fulfils everything, but nobody could be asked whether it is revoked.
	unproved
	// matched: the entry vouches for it.
	matched
)

// judge says whether an entry vouches for what was presented, as it is at a time. Contract: auth-methods §7.
func (m *Method) judge(ctx context.Context, e *entry, p presented, at time.Time) (*match, verdict, error) {
	chains := e.chains(p, at)
	if len(chains) == 0 {
		return nil, untrusted, nil
	}
	if !e.admits(p.leaf) {
		return nil, refused, nil
	}
	lists, changes, err := m.lists(ctx)
	if err != nil {
		return nil, refused, err
	}
	outcome := refused
	for _, chain := range chains {
		if err := m.revoked(lists, e, chain); err != nil {
			m.log.Info("a certificate was refused", "entry", e.name, "serial", p.leaf.SerialNumber.String(), "reason", err)
			continue
		}
		switch err := m.goodByOCSP(ctx, e, chain); {
		case err == nil:
			return &match{entry: e, leaf: p.leaf, chain: chain, changes: changes}, matched, nil
		case ctx.Err() != nil:
			return nil, refused, ctx.Err()
		default:
			m.log.Warn("a certificate was refused", "entry", e.name, "serial", p.leaf.SerialNumber.String(), "reason", err)
			if !errors.Is(err, errRevoked) {
				outcome = unproved
			}
		}
	}
	return nil, outcome, nil
}

// chains are the ways from the presented certificate to what the entry trusts; none when it does not.
func (e *entry) chains(p presented, at time.Time) [][]*x509.Certificate {
	if e.pin != nil {
		// The whole certificate is compared: another with the same names, serial and issuer is
		// another (CVE-2024-2048, CVE-2025-6037).
		if !bytes.Equal(p.leaf.Raw, e.pin.Raw) || at.Before(e.pin.NotBefore) || at.After(e.pin.NotAfter) || !serves(e.pin) {
			return nil
		}
		chain := []*x509.Certificate{p.leaf}
		if issuer := issuerOf(p.leaf, e.authorities, p.intermediates); issuer != nil {
			chain = append(chain, issuer)
		}
		return [][]*x509.Certificate{chain}
	}
	pool := x509.NewCertPool()
	for _, c := range p.intermediates {
		pool.AddCert(c)
	}
	chains, err := p.leaf.Verify(x509.VerifyOptions{
		Roots: e.roots, Intermediates: pool, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil
	}
	return chains
}

// issuerOf finds who signed certificate: the signature says so, not the names.
func issuerOf(certificate *x509.Certificate, lists ...[]*x509.Certificate) *x509.Certificate {
	for _, list := range lists {
		for _, c := range list {
			if bytes.Equal(c.RawSubject, certificate.RawIssuer) && certificate.CheckSignatureFrom(c) == nil {
				return c
			}
		}
	}
	return nil
}

// revoked asks the lists about every certificate of the chain.
func (m *Method) revoked(lists []*crl, e *entry, chain []*x509.Certificate) error {
	for i, certificate := range chain {
		var issuer *x509.Certificate
		switch {
		case i+1 < len(chain):
			issuer = chain[i+1]
		case bytes.Equal(certificate.RawIssuer, certificate.RawSubject):
			issuer = issuerOf(certificate, []*x509.Certificate{certificate}, e.authorities)
		default:
			issuer = issuerOf(certificate, e.authorities)
		}
		for _, l := range lists {
			if err := l.check(certificate, issuer); err != nil {
				return err
			}
		}
	}
	return nil
}
