package cert

import (
	"bytes"
	"crypto/x509"
	"math/big"
	"testing"
	"time"

	"jeton/internal/auth/cert/certtest"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// FuzzCertificates: whatever is sent as certificates either is a list of certificates, each of them
// in the text as it stands, or is refused.
func FuzzCertificates(f *testing.F) {
	root := certtest.New(f, "root", now)
	leaf := root.Issue("leaf")
	for _, seed := range []string{"", "\n", "x", root.PEM(), root.PEM() + leaf.PEM(), leaf.PEM() + "x", leaf.PEM() + leaf.KeyPEM(f), "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseCertificates(text)
		if err != nil {
			if list != nil {
				t.Error("certificates and an error")
			}
			return
		}
		again, err := parseCertificates(certtest.PEM(list...))
		if err != nil || len(again) != len(list) || len(list) > mostCertificates {
			t.Errorf("%d certificates, then %d, %v", len(list), len(again), err)
		}
		e := &entryRecord{Certificate: text}
		if ready, err := e.ready("e"); err == nil {
			_ = ready.chains(presented{leaf: leaf.Cert}, now)
			_ = ready.metadata(list[0])
		}
	})
}

// FuzzCRL: whatever is sent as a list is refused, or is one that can be asked.
func FuzzCRL(f *testing.F) {
	root := certtest.New(f, "root", now)
	leaf := root.Issue("leaf")
	root.Revoke(leaf)
	f.Add(root.CRL())
	f.Add([]byte(root.CRLPEM()))
	f.Add([]byte(root.PEM()))
	f.Add([]byte("-----BEGIN X509 CRL-----\n-----END X509 CRL-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseCRL(data)
		if err != nil {
			return
		}
		_ = list.check(leaf.Cert, root.Cert)
		_ = list.check(root.Cert, nil)
		if again, err := parseCRL(list.list.Raw); err != nil || len(again.serials) != len(list.serials) {
			t.Errorf("its own bytes: %v", err)
		}
	})
}

// FuzzOCSP: no answer but one that the issuer signed for the very certificate says anything.
func FuzzOCSP(f *testing.F) {
	root := certtest.New(f, "root", now)
	leaf := root.Issue("leaf")
	f.Add([]byte{}, []byte{})
	f.Add([]byte{0x30, 3, 0x0a, 1, 3}, []byte{0x30, 0})
	f.Fuzz(func(t *testing.T, data, tbs []byte) {
		q := question{entry: &entry{entryRecord: &entryRecord{}, signers: []*x509.Certificate{leaf.Cert}}, leaf: leaf.Cert, issuer: root.Cert}
		if answer, err := q.verified(data, now); err == nil {
			t.Errorf("an answer that nobody signed: %+v", answer)
		}
		_ = q.isAbout(tbs)
		_ = isIndirect(tbs)
	})
}

// FuzzExtensions: what is taken as required extensions has an OID and keeps its pattern.
func FuzzExtensions(f *testing.F) {
	for _, seed := range []string{"1.2.3:x", "hex:1.2.3:AB*", "", ":", "hex:", "1..2:x", "1.2:", "hex:hex:1.2:x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseExtensions([]string{text})
		if err != nil {
			return
		}
		if _, ok := oidOf(list[0].oid); !ok || len(list) != 1 {
			t.Errorf("%q was taken as %+v", text, list)
		}
		_ = hasExtensions(&x509.Certificate{SerialNumber: big.NewInt(1)}, list)
		if bytes.Contains([]byte(list[0].oid), []byte(":")) {
			t.Errorf("%+v", list)
		}
	})
}
