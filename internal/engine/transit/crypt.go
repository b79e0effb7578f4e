package transit

import (
	"context"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"

	"jeton/internal/backend"
)

func (e *engine) cryptRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "encrypt/{name}", Summary: "Encrypts; makes the key where there is none and the caller may.", Exists: e.mayNotCreate, Write: backend.Handle(e.encrypt)},
		{Pattern: "decrypt/{name}", Summary: "Decrypts.", Write: backend.Handle(e.decrypt)},
		{Pattern: "rewrap/{name}", Summary: "Encrypts under a newer version what an older one encrypted, without showing it.", Write: backend.Handle(e.rewrap)},
		{Pattern: "datakey/{form}/{name}", Summary: "A new random key, encrypted, and with the form plaintext also as it is.", Write: backend.Handle(e.dataKey)},
	}
}

// about is what says more about a plaintext: it selects the derived key, or is authenticated.
type about struct {
	Context        string `json:"context" doc:"Base64; selects the key where it is derived."`
	AssociatedData string `json:"associated_data" doc:"Base64; authenticated with the ciphertext, not part of it."`
}

type encryptItem struct {
	about
	Plaintext  *string `json:"plaintext" doc:"What to encrypt, in base64."`
	KeyVersion int     `json:"key_version" doc:"The version to encrypt with; 0 is the latest."`
	Nonce      string  `json:"nonce" doc:"Not taken: a nonce that is used twice breaks the cipher."`
}

type encryptRequest struct {
	encryptItem
	many
	Name       string `json:"name" doc:"The key's name."`
	Type       string `json:"type" default:"aes256-gcm96" doc:"The type of a key that is made by this call."`
	Convergent bool   `json:"convergent_encryption" doc:"Whether a key that is made by this call is a convergent one."`
}

// mayNotCreate tells a call that may make its key (create) from one that may not (update). Who
// has no right to create is told that there is no key, not that the call is forbidden.
func (e *engine) mayNotCreate(ctx context.Context, c *backend.Call) (bool, error) {
	k, err := e.key(ctx, c.Capture("name"))
	if err != nil || k != nil {
		return true, err
	}
	if c.Caller == nil || c.Caller.Access == nil {
		return false, nil
	}
	for _, capability := range c.Caller.Access.Capabilities(c.Mount.Path + c.Path) {
		if capability == "create" || capability == "root" {
			return false, nil
		}
	}
	return true, nil
}

func (e *engine) encrypt(ctx context.Context, c *backend.Call, req *encryptRequest) (*backend.Response, error) {
	derived, err := req.judgeContexts()
	if err != nil {
		return nil, err
	}
	u, err := e.use(ctx, req.Name, errNoKey)
	if errors.Is(err, errNoKey) && c.Operation == backend.Create {
		if err := e.upsert(ctx, req, derived); err != nil {
			return nil, err
		}
		u, err = e.use(ctx, req.Name, errNoKey)
	}
	if err != nil {
		return nil, err
	}
	return serve(ctx, req.many, strict, &req.encryptItem, u.encryptOne)
}

// judgeContexts says whether the call has a context: all of its items, or none.
func (req *encryptRequest) judgeContexts() (bool, error) {
	if err := req.judge(); err != nil || req.BatchInput == nil {
		return req.Context != "", err
	}
	objects, err := itemsOf(req.BatchInput)
	if err != nil {
		return false, err
	}
	with := 0
	for _, object := range objects {
		if context, _ := object["context"].(string); context != "" {
			with++
		}
	}
	if with != 0 && with != len(objects) {
		return false, backend.Invalidf("context should be set either in all the request blocks or in none")
	}
	return with > 0, nil
}

func (u *use) encryptOne(ctx context.Context, item *encryptItem) (*result, error) {
	switch {
	case item.Plaintext == nil:
		return nil, backend.Invalidf("missing plaintext to encrypt")
	case item.Nonce != "":
		// One that is used twice gives the key away (CVE-2023-4680).
		return nil, backend.Invalidf("provided nonce not allowed for this key")
	}
	plain, err := decodeBase64(*item.Plaintext, "plaintext")
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return u.seal(ctx, plain, item.about, item.KeyVersion)
}

// seal encrypts plain under version n, 0 for the latest.
func (u *use) seal(ctx context.Context, plain []byte, a about, n int) (*result, error) {
	if !u.typ.encrypts() {
		return nil, backend.Invalidf("key type %s does not support encryption", u.typ.name)
	}
	context, associated, err := u.judge(a)
	if err != nil {
		return nil, err
	}
	m, err := u.newest(ctx, n)
	if err != nil {
		return nil, err
	}
	var sealed []byte
	if u.typ.bits > 0 {
		sealed, err = sealRSA(m, plain)
	} else {
		sealed, err = u.sealSymmetric(m, plain, context, associated)
	}
	if err != nil {
		return nil, err
	}
	return &result{Ciphertext: versioned(m.number, base64.StdEncoding.EncodeToString(sealed)), KeyVersion: m.number}, nil
}

// judge reads what is said about a plaintext.
func (u *use) judge(a about) (context, associated []byte, err error) {
	if context, err = u.context(a.Context); err != nil {
		return nil, nil, err
	}
	if associated, err = decodeBase64(a.AssociatedData, "associated_data"); err != nil {
		return nil, nil, err
	}
	if len(associated) > 0 && u.typ.aead == nil {
		return nil, nil, backend.Invalidf("associated data is not supported by key type %s", u.typ.name)
	}
	return context, associated, nil
}

// cipher is that of a version, for a context where the key is derived.
func (u *use) cipher(m *material, context []byte) (cipher.AEAD, error) {
	key := m.secret
	if u.rec.Derived {
		var err error
		if key, err = m.subkey(context, u.typ.size); err != nil {
			return nil, err
		}
	}
	return u.typ.aead(key)
}

// sealSymmetric is the nonce, then the ciphertext with its tag.
func (u *use) sealSymmetric(m *material, plain, context, associated []byte) ([]byte, error) {
	aead, err := u.cipher(m, context)
	if err != nil {
		return nil, err
	}
	nonce := random(aead.NonceSize())
	if u.rec.Convergent {
		if nonce, err = convergentNonce(m, plain, context, associated, aead.NonceSize()); err != nil {
			return nil, err
		}
	}
	return aead.Seal(nonce, nonce, plain, associated), nil
}

// convergentNonce gives the same nonce for the same plaintext, and never for another: under one
// nonce two plaintexts, or two sets of associated data, would give the cipher away.
func convergentNonce(m *material, plain, context, associated []byte, size int) ([]byte, error) {
	key, err := m.nonceKey(context)
	if err != nil {
		return nil, err
	}
	h := hmac.New(sha256.New, key)
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(associated))))
	_, _ = h.Write(associated)
	_, _ = h.Write(plain)
	return h.Sum(nil)[:size], nil
}

func sealRSA(m *material, plain []byte) ([]byte, error) {
	public, ok := m.public.(*rsa.PublicKey)
	if !ok {
		return nil, errMaterial
	}
	if most := public.Size() - 2*sha256.Size - 2; len(plain) > most {
		return nil, backend.Invalidf("the plaintext is longer than the %d bytes that a key of this size can encrypt", most)
	}
	return rsa.EncryptOAEP(sha256.New(), rand.Reader, public, plain, nil)
}

type decryptItem struct {
	about
	Ciphertext string `json:"ciphertext" doc:"What encrypt returned."`
	Nonce      string `json:"nonce" doc:"Not taken: the ciphertext has its own."`
}

type decryptRequest struct {
	decryptItem
	many
	Name string `json:"name" doc:"The key's name."`
}

func (e *engine) decrypt(ctx context.Context, _ *backend.Call, req *decryptRequest) (*backend.Response, error) {
	if err := req.judge(); err != nil {
		return nil, err
	}
	u, err := e.use(ctx, req.Name, errNoKey)
	if err != nil {
		return nil, err
	}
	return serve(ctx, req.many, strict, &req.decryptItem, u.decryptOne)
}

func (u *use) decryptOne(ctx context.Context, item *decryptItem) (*result, error) {
	plain, err := u.open(ctx, item)
	if err != nil {
		return nil, err
	}
	text := base64.StdEncoding.EncodeToString(plain)
	return &result{Plaintext: &text}, nil
}

var errAuthentication = backend.Invalidf("cipher: message authentication failed")

// open decrypts.
func (u *use) open(ctx context.Context, item *decryptItem) ([]byte, error) {
	switch {
	case item.Ciphertext == "":
		return nil, backend.Invalidf("missing ciphertext to decrypt")
	case item.Nonce != "":
		return nil, backend.Invalidf("provided nonce not allowed for this key")
	case !u.typ.encrypts():
		return nil, backend.Invalidf("key type %s does not support decryption", u.typ.name)
	}
	context, associated, err := u.judge(item.about)
	if err != nil {
		return nil, err
	}
	n, encoded, err := parseVersioned("ciphertext", item.Ciphertext, u.rec.Latest)
	if err != nil {
		return nil, err
	}
	sealed, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, backend.Invalidf("invalid ciphertext: could not decode base64")
	}
	m, err := u.older(ctx, n)
	if err != nil {
		return nil, err
	}
	if u.typ.bits > 0 {
		return openRSA(m, sealed)
	}
	aead, err := u.cipher(m, context)
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize()+aead.Overhead() {
		return nil, backend.Invalidf("invalid ciphertext length")
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], associated)
	if err != nil {
		return nil, errAuthentication
	}
	return plain, nil
}

func openRSA(m *material, sealed []byte) ([]byte, error) {
	private, ok := m.private.(*rsa.PrivateKey)
	if !ok {
		return nil, backend.Invalidf("requested version for decryption does not contain a private part")
	}
	plain, err := rsa.DecryptOAEP(sha256.New(), nil, private, sealed, nil)
	if err != nil {
		return nil, errAuthentication
	}
	return plain, nil
}

type rewrapItem struct {
	decryptItem
	KeyVersion int `json:"key_version" doc:"The version to encrypt with; 0 is the latest."`
}

type rewrapRequest struct {
	rewrapItem
	many
	Name string `json:"name" doc:"The key's name."`
}

func (e *engine) rewrap(ctx context.Context, _ *backend.Call, req *rewrapRequest) (*backend.Response, error) {
	if err := req.judge(); err != nil {
		return nil, err
	}
	u, err := e.use(ctx, req.Name, errNoKey)
	if err != nil {
		return nil, err
	}
	return serve(ctx, req.many, strict, &req.rewrapItem, func(ctx context.Context, item *rewrapItem) (*result, error) {
		plain, err := u.open(ctx, &item.decryptItem)
		if err != nil {
			return nil, err
		}
		defer clear(plain)
		return u.seal(ctx, plain, item.about, item.KeyVersion)
	})
}

type dataKeyRequest struct {
	about
	Form       string `json:"form" doc:"plaintext or wrapped."`
	Name       string `json:"name" doc:"The key's name."`
	Bits       int    `json:"bits" default:"256" doc:"128, 256 or 512."`
	KeyVersion int    `json:"key_version" doc:"The version to encrypt with; 0 is the latest."`
	Nonce      string `json:"nonce" doc:"Not taken."`
}

func (e *engine) dataKey(ctx context.Context, _ *backend.Call, req *dataKeyRequest) (*result, error) {
	switch {
	case req.Form != "plaintext" && req.Form != "wrapped":
		return nil, backend.Invalidf("Invalid path, must be 'plaintext' or 'wrapped'")
	case req.Bits != 128 && req.Bits != 256 && req.Bits != 512:
		return nil, backend.Invalidf("invalid bit length")
	case req.Nonce != "":
		return nil, backend.Invalidf("provided nonce not allowed for this key")
	}
	u, err := e.use(ctx, req.Name, errNoKey)
	if err != nil {
		return nil, err
	}
	key := random(req.Bits / 8)
	defer clear(key)
	out, err := u.seal(ctx, key, req.about, req.KeyVersion)
	if err == nil && req.Form == "plaintext" {
		text := base64.StdEncoding.EncodeToString(key)
		out.Plaintext = &text
	}
	return out, err
}
