package main

import (
	"crypto/rand"
	"crypto/rsa"
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

// newSigner signs with RS256, which most providers do unless they are told otherwise.
func newSigner() (*signer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	made, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, nil)
	return &signer{made, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}, err
}

func (s *signer) token(client int) (string, error) {
	signed, err := s.Sign(fmt.Appendf(nil, `{"iss":"bench","sub":"client-%d","aud":"jeton","exp":%d}`, client, time.Now().Add(time.Hour).Unix()))
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}
