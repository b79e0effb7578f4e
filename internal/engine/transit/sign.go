package transit

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/asn1"
	"encoding/base64"
	"hash"
	"math/big"
	"strconv"

	"jeton/internal/backend"
	"jeton/internal/tool"
)

func (e *engine) signRoutes() []backend.Route {
	sign, verify, mac := backend.Handle(e.sign), backend.Handle(e.verify), backend.Handle(e.hmac)
	return []backend.Route{
		{Pattern: "sign/{name}", Summary: "Signs.", Write: sign},
		{Pattern: "sign/{name}/{urlalgorithm}", Summary: "Signs, with the hash in the path.", Write: sign},
		{Pattern: "verify/{name}", Summary: "Verifies a signature or an HMAC.", Write: verify},
		{Pattern: "verify/{name}/{urlalgorithm}", Summary: "Verifies, with the hash in the path.", Write: verify},
		{Pattern: "hmac/{name}", Summary: "Makes an HMAC.", Write: mac},
		{Pattern: "hmac/{name}/{urlalgorithm}", Summary: "Makes an HMAC, with the hash in the path.", Write: mac},
	}
}

// method is how something is signed: parameters of a whole request, of which items of a batch
// have none of their own.
type method struct {
	HashAlgorithm      string `json:"hash_algorithm" default:"sha2-256" doc:"sha1, sha2-224 to -512, sha3-224 to -512, or none for an input that is a hash already."`
	Algorithm          string `json:"algorithm" doc:"Old name of hash_algorithm."`
	URLAlgorithm       string `json:"urlalgorithm" doc:"The hash; beats hash_algorithm."`
	Prehashed          bool   `json:"prehashed" doc:"Whether the input is the hash, not what is to be hashed."`
	SignatureAlgorithm string `json:"signature_algorithm" default:"pss" doc:"With RSA: pss or pkcs1v15."`
	Marshaling         string `json:"marshaling_algorithm" default:"asn1" doc:"asn1 or jws."`
	Salt               string `json:"salt_length" default:"auto" doc:"With pss: auto, hash, or a number of bytes."`
}

// digest is a hash: how to make it and what signatures call it.
type digest struct {
	id  crypto.Hash
	new func() hash.Hash
}

// digestOf finds a hash by its name; "none" has neither.
func digestOf(name string) (digest, error) {
	switch name {
	case "sha1":
		return digest{crypto.SHA1, sha1.New}, nil
	case "none":
		return digest{}, nil
	}
	ids := map[string]crypto.Hash{
		"sha2-224": crypto.SHA224, "sha2-256": crypto.SHA256, "sha2-384": crypto.SHA384, "sha2-512": crypto.SHA512,
		"sha3-224": crypto.SHA3_224, "sha3-256": crypto.SHA3_256, "sha3-384": crypto.SHA3_384, "sha3-512": crypto.SHA3_512,
	}
	id, ok := ids[name]
	if !ok {
		return digest{}, backend.Invalidf("invalid hash algorithm: want sha1, sha2-224, -256, -384, -512, sha3-224, -256, -384, -512 or none")
	}
	return digest{id, func() hash.Hash { return tool.Hash(name) }}, nil
}

// settled is a method that makes sense.
type settled struct {
	digest
	prehashed, pkcs1, jws bool
	salt                  int
}

func (m method) settle() (settled, error) {
	name := m.HashAlgorithm
	for _, better := range []string{m.Algorithm, m.URLAlgorithm} {
		if better != "" {
			name = better
		}
	}
	d, err := digestOf(name)
	if err != nil {
		return settled{}, err
	}
	s := settled{digest: d, prehashed: m.Prehashed, pkcs1: m.SignatureAlgorithm == "pkcs1v15", jws: m.Marshaling == "jws"}
	switch {
	case !s.pkcs1 && m.SignatureAlgorithm != "pss" && m.SignatureAlgorithm != "":
		return s, backend.Invalidf("unsupported signature algorithm: want pss or pkcs1v15")
	case !s.jws && m.Marshaling != "asn1" && m.Marshaling != "":
		return s, backend.Invalidf("unsupported marshaling algorithm: want asn1 or jws")
	case d.new == nil && (!s.prehashed || !s.pkcs1):
		return s, backend.Invalidf("hash_algorithm=none requires both prehashed=true and signature_algorithm=pkcs1v15")
	}
	switch m.Salt {
	case "auto", "":
		s.salt = rsa.PSSSaltLengthAuto
	case "hash":
		s.salt = rsa.PSSSaltLengthEqualsHash
	default:
		n, err := strconv.Atoi(m.Salt)
		if err != nil || n < 0 {
			return s, backend.Invalidf("salt_length is neither auto nor hash nor a number of bytes")
		}
		s.salt = n
		if n == 0 {
			// To the library 0 is "auto"; a salt of no bytes cannot be asked of it.
			return s, backend.Invalidf("salt_length must be at least 1 where it is a number")
		}
	}
	return s, nil
}

// hashed is the hash of the input, or the input where that is one already.
func (s settled) hashed(input []byte) ([]byte, error) {
	if !s.prehashed {
		h := s.new()
		_, _ = h.Write(input)
		return h.Sum(nil), nil
	}
	if len(input) == 0 {
		return nil, backend.Invalidf("the input is no hash: it is empty")
	}
	return input, nil
}

// fitsRSA says why an RSA key cannot take a hash, if it cannot. (ECDSA takes what it is given,
// and cuts it to its size: clients sign longer hashes than they name.)
func (s settled) fitsRSA(hashed []byte) error {
	switch {
	case s.new == nil:
		return nil
	case len(hashed) != s.id.Size():
		return backend.Invalidf("the input is no hash of the hash algorithm: it has another length")
	case s.pkcs1 && s.id >= crypto.SHA3_224 && s.id <= crypto.SHA3_512:
		return backend.Invalidf("signature_algorithm pkcs1v15 knows no sha3 hashes: use pss")
	}
	return nil
}

func (s settled) encode(signature []byte) string {
	if s.jws {
		return base64.RawURLEncoding.EncodeToString(signature)
	}
	return base64.StdEncoding.EncodeToString(signature)
}

func (s settled) decode(text string) ([]byte, error) {
	encoding := base64.StdEncoding
	if s.jws {
		encoding = base64.RawURLEncoding
	}
	b, err := encoding.DecodeString(text)
	if err != nil {
		return nil, backend.Invalidf("invalid signature: could not decode base64")
	}
	return b, nil
}

type signItem struct {
	Input      *string `json:"input" doc:"What to sign, in base64."`
	Context    string  `json:"context" doc:"Base64; selects the key where it is derived."`
	KeyVersion int     `json:"key_version" doc:"The version to sign with; 0 is the latest."`
}

type signRequest struct {
	signItem
	method
	many
	Name string `json:"name" doc:"The key's name."`
}

func (e *engine) sign(ctx context.Context, _ *backend.Call, req *signRequest) (*backend.Response, error) {
	u, how, err := e.signing(ctx, req.Name, req.method, req.many)
	if err != nil {
		return nil, err
	}
	return serve(ctx, req.many, lenient, &req.signItem, func(ctx context.Context, item *signItem) (*result, error) {
		return u.signOne(ctx, how, item)
	})
}

// signing finds a key that signs.
func (e *engine) signing(ctx context.Context, name string, m method, batch many) (*use, settled, error) {
	how, err := m.settle()
	if err == nil {
		err = batch.judge()
	}
	if err != nil {
		return nil, how, err
	}
	u, err := e.use(ctx, name, errNoSigningKey)
	if err == nil && !u.typ.signs() {
		err = backend.Invalidf("key type %s does not support signing", u.typ.name)
	}
	return u, how, err
}

// inputOf is the input of an item. One that is missing is not an empty one (contract: observed, transit).
func inputOf(text *string) ([]byte, error) {
	if text == nil {
		return nil, backend.Invalidf("missing input")
	}
	return decodeBase64(*text, "input")
}

func (u *use) signOne(ctx context.Context, how settled, item *signItem) (*result, error) {
	input, err := inputOf(item.Input)
	if err != nil {
		return nil, err
	}
	context, err := u.context(item.Context)
	if err != nil {
		return nil, err
	}
	m, err := u.newest(ctx, item.KeyVersion)
	if err != nil {
		return nil, err
	}
	out := &result{KeyVersion: m.number}
	if u.rec.Derived {
		if m, err = m.forContext(context); err != nil {
			return nil, err
		}
		if out.PublicKey, err = m.publicText(); err != nil {
			return nil, err
		}
	}
	signature, err := how.sign(m, input)
	if err != nil {
		return nil, err
	}
	out.Signature = versioned(m.number, how.encode(signature))
	return out, nil
}

func (s settled) sign(m *material, input []byte) ([]byte, error) {
	if m.private == nil {
		return nil, backend.Invalidf("requested version for signing does not contain a private part")
	}
	if private, ok := m.private.(ed25519.PrivateKey); ok {
		// It hashes by itself, and signs the input as it is.
		return ed25519.Sign(private, input), nil
	}
	hashed, err := s.hashed(input)
	if err != nil {
		return nil, err
	}
	switch private := m.private.(type) {
	case *ecdsa.PrivateKey:
		signature, err := ecdsa.SignASN1(rand.Reader, private, hashed)
		if err != nil || !s.jws {
			return signature, err
		}
		return fixedPair(signature, private.Curve.Params().BitSize)
	case *rsa.PrivateKey:
		if err := s.fitsRSA(hashed); err != nil {
			return nil, err
		}
		var signature []byte
		if s.pkcs1 {
			signature, err = rsa.SignPKCS1v15(rand.Reader, private, s.id, hashed)
		} else {
			signature, err = rsa.SignPSS(rand.Reader, private, s.id, hashed, &rsa.PSSOptions{SaltLength: s.salt, Hash: s.id})
		}
		if err != nil {
			// The key is sound: it is the input or the salt that does not fit.
			return nil, backend.Invalidf("the input or the salt is too long for the key").Because(err)
		}
		return signature, nil
	}
	return nil, errMaterial
}

// pair is an ECDSA signature.
type pair struct{ R, S *big.Int }

// fixedPair turns ASN.1 into what JWS has (RFC 7518, 3.4): both numbers at the curve's length.
func fixedPair(der []byte, bits int) ([]byte, error) {
	var p pair
	if _, err := asn1.Unmarshal(der, &p); err != nil {
		return nil, err
	}
	size := (bits + 7) / 8
	out := make([]byte, 2*size)
	p.R.FillBytes(out[:size])
	p.S.FillBytes(out[size:])
	return out, nil
}

type verifyItem struct {
	Input     *string `json:"input" doc:"What was signed, in base64."`
	Context   string  `json:"context" doc:"Base64; selects the key where it is derived."`
	Signature string  `json:"signature" doc:"What sign returned."`
	HMAC      string  `json:"hmac" doc:"What hmac returned; instead of signature."`
}

type verifyRequest struct {
	verifyItem
	method
	many
	Name string `json:"name" doc:"The key's name."`
}

func (e *engine) verify(ctx context.Context, _ *backend.Call, req *verifyRequest) (*backend.Response, error) {
	if err := req.judge(); err != nil {
		return nil, err
	}
	how, err := req.settle()
	if err != nil {
		return nil, err
	}
	u, err := e.use(ctx, req.Name, errNoSigningKey)
	if err != nil {
		return nil, err
	}
	return serve(ctx, req.many, lenient, &req.verifyItem, func(ctx context.Context, item *verifyItem) (*result, error) {
		input, err := inputOf(item.Input)
		if err != nil {
			return nil, err
		}
		var valid bool
		switch {
		case item.Signature != "" && item.HMAC != "":
			err = backend.Invalidf("provide one of 'signature' or 'hmac'")
		case item.Signature != "":
			valid, err = u.verifySignature(ctx, how, item, input)
		case item.HMAC != "":
			valid, err = u.verifyHMAC(ctx, how, item.HMAC, input)
		default:
			err = backend.Invalidf("neither a 'signature' nor an 'hmac' is there to verify")
		}
		if err != nil {
			return nil, err
		}
		return &result{Valid: &valid}, nil
	})
}

func (u *use) verifySignature(ctx context.Context, how settled, item *verifyItem, input []byte) (bool, error) {
	if !u.typ.signs() {
		return false, backend.Invalidf("key type %s does not support verification", u.typ.name)
	}
	context, err := u.context(item.Context)
	if err != nil {
		return false, err
	}
	n, encoded, err := parseVersioned("signature", item.Signature, u.rec.Latest)
	if err != nil {
		return false, err
	}
	signature, err := how.decode(encoded)
	if err != nil {
		return false, err
	}
	m, err := u.older(ctx, n)
	if err == nil && u.rec.Derived {
		m, err = m.forContext(context)
	}
	if err != nil {
		return false, err
	}
	return how.verify(m, input, signature)
}

func (s settled) verify(m *material, input, signature []byte) (bool, error) {
	if public, ok := m.public.(ed25519.PublicKey); ok {
		return ed25519.Verify(public, input, signature), nil
	}
	hashed, err := s.hashed(input)
	if err != nil {
		return false, err
	}
	switch public := m.public.(type) {
	case *ecdsa.PublicKey:
		if s.jws {
			size := (public.Curve.Params().BitSize + 7) / 8
			if len(signature) != 2*size {
				return false, nil
			}
			p := pair{new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])}
			if signature, err = asn1.Marshal(p); err != nil {
				return false, err
			}
		}
		return ecdsa.VerifyASN1(public, hashed, signature), nil
	case *rsa.PublicKey:
		if err := s.fitsRSA(hashed); err != nil {
			return false, err
		}
		if s.pkcs1 {
			return rsa.VerifyPKCS1v15(public, s.id, hashed, signature) == nil, nil
		}
		return rsa.VerifyPSS(public, s.id, hashed, signature, &rsa.PSSOptions{SaltLength: s.salt, Hash: s.id}) == nil, nil
	}
	return false, errMaterial
}

type hmacItem struct {
	Input      *string `json:"input" doc:"The input, in base64."`
	KeyVersion int     `json:"key_version" doc:"The version to use; 0 is the latest."`
}

type hmacRequest struct {
	hmacItem
	many
	Name         string `json:"name" doc:"The key's name."`
	Algorithm    string `json:"algorithm" default:"sha2-256" doc:"sha2-224 to -512 or sha3-224 to -512."`
	URLAlgorithm string `json:"urlalgorithm" doc:"The hash; beats algorithm."`
}

func (e *engine) hmac(ctx context.Context, _ *backend.Call, req *hmacRequest) (*backend.Response, error) {
	if err := req.judge(); err != nil {
		return nil, err
	}
	if req.URLAlgorithm != "" {
		req.Algorithm = req.URLAlgorithm
	}
	d, err := digestOf(req.Algorithm)
	if err != nil {
		return nil, err
	}
	u, err := e.use(ctx, req.Name, errNoKey)
	if err != nil {
		return nil, err
	}
	return serve(ctx, req.many, lenient, &req.hmacItem, func(ctx context.Context, item *hmacItem) (*result, error) {
		input, err := inputOf(item.Input)
		if err != nil {
			return nil, err
		}
		m, err := u.newest(ctx, item.KeyVersion)
		if err != nil {
			return nil, err
		}
		sum, err := m.mac(d, input)
		if err != nil {
			return nil, err
		}
		return &result{HMAC: versioned(m.number, base64.StdEncoding.EncodeToString(sum)), KeyVersion: m.number}, nil
	})
}

func (m *material) mac(d digest, input []byte) ([]byte, error) {
	switch {
	case d.new == nil:
		return nil, backend.Invalidf("an hmac needs a hash algorithm")
	case len(m.hmac) == 0:
		return nil, backend.Invalidf("requested version does not contain a key for hmac")
	}
	h := hmac.New(d.new, m.hmac)
	_, _ = h.Write(input)
	return h.Sum(nil), nil
}

func (u *use) verifyHMAC(ctx context.Context, how settled, text string, input []byte) (bool, error) {
	n, encoded, err := parseVersioned("HMAC to verify", text, u.rec.Latest)
	if err != nil {
		return false, err
	}
	given, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return false, backend.Invalidf("invalid HMAC to verify: could not decode base64")
	}
	m, err := u.older(ctx, n)
	if err != nil {
		return false, err
	}
	sum, err := m.mac(how.digest, input)
	if err != nil {
		return false, err
	}
	return hmac.Equal(sum, given), nil
}
