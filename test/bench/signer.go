package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// signer makes the tokens of the clients that log in with one.
type signer struct {
	jose.Signer
	// public is its key in PEM.
	public string
}

func newSigner() (*signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	made, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	return &signer{made, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}, err
}

func (s *signer) token(client int) (string, error) {
	signed, err := s.Sign(fmt.Appendf(nil, `{"iss":"bench","sub":"client-%d","aud":"jeton","exp":%d}`, client, time.Now().Add(time.Hour).Unix()))
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}
