package transit

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strconv"
	"time"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// keyReply is what is shown of a key. Contract: secrets §5, GET keys/:name.
type keyReply struct {
	Name            string         `json:"name"`
	Type            string         `json:"type"`
	Derived         bool           `json:"derived"`
	KDF             string         `json:"kdf,omitempty"`
	Convergent      *bool          `json:"convergent_encryption,omitempty"`
	ConvergentKind  int            `json:"convergent_encryption_version,omitempty"`
	DeletionAllowed bool           `json:"deletion_allowed"`
	Exportable      bool           `json:"exportable"`
	PlainBackup     bool           `json:"allow_plaintext_backup"`
	Keys            map[string]any `json:"keys"`
	Latest          uint64         `json:"latest_version"`
	MinAvailable    uint64         `json:"min_available_version"`
	MinDecrypt      uint64         `json:"min_decryption_version"`
	MinEncrypt      uint64         `json:"min_encryption_version"`
	AutoRotate      int64          `json:"auto_rotate_period"` // seconds
	Imported        bool           `json:"imported_key"`
	ImportRotation  *bool          `json:"imported_key_allow_rotation,omitempty"`
	Encryption      bool           `json:"supports_encryption"`
	Decryption      bool           `json:"supports_decryption"`
	Signing         bool           `json:"supports_signing"`
	Derivation      bool           `json:"supports_derivation"`
	KeySize         int            `json:"key_size,omitempty"`
}

// publicVersion is what is shown of a version that has a public key; of any other it is the Unix
// time when it was made.
type publicVersion struct {
	Name      string `json:"name"`
	PublicKey string `json:"public_key"`
	Created   string `json:"creation_time"`
}

type readRequest struct {
	Name    string `json:"name" doc:"The key's name."`
	Context string `json:"context" doc:"Base64; selects the public key that is shown of a derived key."`
}

func (e *engine) read(ctx context.Context, _ *backend.Call, req *readRequest) (*keyReply, error) {
	return e.describe(ctx, req.Name, req.Context)
}

// describe shows a key and the versions of it that decrypt; nil when there is none.
func (e *engine) describe(ctx context.Context, name, context string) (*keyReply, error) {
	selected, err := decodeBase64(context, "context")
	if err != nil {
		return nil, err
	}
	var k *keyRecord
	versions := map[uint64]*versionRecord{}
	err = e.area.View(ctx, func(r store.Reader) (err error) {
		if k, err = getKey(r, name); err != nil || k == nil {
			return err
		}
		return r.Scan(versionsOf(k.ID, max(k.MinDecrypt, k.oldest()), 0), func(key, value []byte) (bool, error) {
			v := new(versionRecord)
			if err := record.Decode(value, v); err != nil {
				return false, err
			}
			id, _ := parseVersionKey(key)
			versions[id.number] = v
			return true, nil
		})
	})
	if err != nil || k == nil {
		return nil, err
	}
	return k.reply(name, versions, selected)
}

func (k *keyRecord) reply(name string, versions map[uint64]*versionRecord, context []byte) (*keyReply, error) {
	t, ok := typeOf(k.Type)
	if !ok {
		return nil, errMaterial
	}
	out := &keyReply{
		Name: name, Type: k.Type, Derived: k.Derived, DeletionAllowed: k.DeletionAllowed, Exportable: k.Exportable, PlainBackup: k.PlainBackup,
		Keys: map[string]any{}, Latest: k.Latest, MinAvailable: k.MinAvailable, MinDecrypt: k.MinDecrypt, MinEncrypt: k.MinEncrypt,
		AutoRotate: k.AutoRotate / int64(time.Second), Imported: k.Import != madeHere,
		Encryption: t.encrypts(), Decryption: t.encrypts(), Signing: t.signs(), Derivation: t.derives(), KeySize: k.Size,
	}
	if k.Derived {
		out.KDF, out.Convergent = "hkdf_sha256", &k.Convergent
		if k.Convergent {
			out.ConvergentKind = 1
		}
	}
	if k.Import != madeHere {
		may := k.Import == importedRotating
		out.ImportRotation = &may
	}
	for n, v := range versions {
		shown, err := t.show(n, v, k.Derived, context)
		if err != nil {
			return nil, err
		}
		out.Keys[strconv.FormatUint(n, 10)] = shown
		v.wipe()
	}
	return out, nil
}

// show is what is told of one version.
func (t keyType) show(n uint64, v *versionRecord, derived bool, context []byte) (any, error) {
	created := time.Unix(0, v.Created).UTC()
	if !t.asymmetric() {
		return created.Unix(), nil
	}
	m, err := t.ready(n, v)
	if err != nil {
		return nil, err
	}
	public := publicVersion{Name: t.shown, Created: created.Format(time.RFC3339Nano)}
	if derived {
		if len(context) == 0 {
			return public, nil
		}
		if m, err = m.forContext(context); err != nil {
			return nil, err
		}
	}
	public.PublicKey, err = m.publicText()
	return public, err
}

// publicText is a public key as clients read it: base64 for Ed25519, PEM for any other.
func (m *material) publicText() (string, error) {
	if raw, ok := m.public.(ed25519.PublicKey); ok {
		return base64.StdEncoding.EncodeToString(raw), nil
	}
	der, err := x509.MarshalPKIXPublicKey(m.public)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}
