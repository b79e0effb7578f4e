package transit

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"jeton/internal/backend"
	"jeton/internal/store"
)

func (e *engine) keyRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "keys", Summary: "The names of the keys.", List: backend.Handle(e.list)},
		{Pattern: "keys/{name}", Summary: "Makes, shows and deletes a key.", Read: backend.Handle(e.read), Write: backend.Handle(e.create), Delete: backend.Handle(e.delete)},
		{Pattern: "keys/{name}/config", Summary: "Changes what may be done with a key.", Write: backend.Handle(e.configure)},
		{Pattern: "keys/{name}/rotate", Summary: "Gives a key a new version.", Write: backend.Handle(e.rotate)},
		{Pattern: "keys/{name}/trim", Summary: "Deletes old versions of a key for good.", Write: backend.Handle(e.trim)},
		{Pattern: "keys/{name}/import", Summary: "Makes a key of material that was brought along.", Write: backend.Handle(e.importKey)},
		{Pattern: "keys/{name}/import_version", Summary: "Gives an imported key a version that was brought along.", Write: backend.Handle(e.importVersion)},
	}
}

// minRotation is the shortest period of automatic rotation. Contract: secrets §5.
const minRotation = time.Hour

var errRotation = backend.Invalidf("auto rotate period must be 0 to disable or at least an hour")

// traits are what is said of a key when it comes into being.
type traits struct {
	Type        string          `json:"type" default:"aes256-gcm96" doc:"aes128-gcm96, aes256-gcm96, chacha20-poly1305, xchacha20-poly1305, ed25519, ecdsa-p256, -p384, -p521, rsa-2048, -3072, -4096 or hmac."`
	Derived     bool            `json:"derived" doc:"Whether each context has a key of its own."`
	Convergent  bool            `json:"convergent_encryption" doc:"Whether the same plaintext and context give the same ciphertext; the key has to be derived."`
	Exportable  bool            `json:"exportable" doc:"Whether the key can be read out; cannot be taken back."`
	PlainBackup bool            `json:"allow_plaintext_backup" doc:"Whether the key can be backed up, in the clear; cannot be taken back."`
	AutoRotate  backend.Seconds `json:"auto_rotate_period" doc:"After how long a new version is made by itself; 0 for never, else an hour or more."`
}

// record judges the traits and makes a key without versions of them.
func (t traits) record() (*keyRecord, keyType, error) {
	kind, ok := typeOf(t.Type)
	switch {
	case !ok:
		return nil, kind, backend.Invalidf("unknown key type: want aes128-gcm96, aes256-gcm96, chacha20-poly1305, xchacha20-poly1305, ed25519, ecdsa-p256, ecdsa-p384, ecdsa-p521, rsa-2048, rsa-3072, rsa-4096 or hmac")
	case t.Derived && !kind.derives():
		return nil, kind, backend.Invalidf("key derivation and convergent encryption not supported for keys of type %s", kind.name)
	case t.Convergent && !t.Derived:
		return nil, kind, backend.Invalidf("convergent encryption requires derivation to be enabled")
	case t.Convergent && kind.aead == nil:
		return nil, kind, backend.Invalidf("key derivation and convergent encryption not supported for keys of type %s", kind.name)
	case t.AutoRotate != 0 && t.AutoRotate.Duration() < minRotation:
		return nil, kind, errRotation
	}
	return &keyRecord{
		ID: newID(), Type: kind.name, Derived: t.Derived, Convergent: t.Convergent, Exportable: t.Exportable,
		PlainBackup: t.PlainBackup, AutoRotate: int64(t.AutoRotate.Duration()), MinDecrypt: 1,
	}, kind, nil
}

// newID is an id that no key ever had.
func newID() []byte {
	id := uuid.New()
	return id[:]
}

type createRequest struct {
	traits
	Name    string `json:"name" doc:"The key's name."`
	KeySize int    `json:"key_size" doc:"Bytes of a key of type hmac, 32 to 512; 32 by default."`
	Context string `json:"context" doc:"Base64; selects the public key that is shown of a derived key."`
}

func (e *engine) create(ctx context.Context, c *backend.Call, req *createRequest) (*keyReply, error) {
	k, kind, err := req.record()
	if err != nil {
		return nil, err
	}
	switch {
	case req.KeySize == 0 && kind.name == typeHMAC:
		k.Size = hmacSize
	case req.KeySize == 0:
	case kind.name != typeHMAC:
		return nil, backend.Invalidf("key_size is only valid for keys of type hmac")
	case req.KeySize < minHMACSize || req.KeySize > maxHMACSize:
		return nil, backend.Invalidf("key_size must be between %d and %d bytes", minHMACSize, maxHMACSize)
	default:
		k.Size = req.KeySize
	}
	made, err := e.make(ctx, req.Name, k, kind)
	if err != nil {
		return nil, err
	}
	if !made {
		c.Warn(fmt.Sprintf("key %s already existed", req.Name))
	}
	return e.describe(ctx, req.Name, req.Context)
}

// make stores a new key with one version and says whether it did: a key that is there stays.
func (e *engine) make(ctx context.Context, name string, k *keyRecord, kind keyType) (made bool, err error) {
	if there, err := e.key(ctx, name); err != nil || there != nil {
		return false, err
	}
	now := e.clock.Now()
	first, err := kind.generate(k.Size, now)
	if err != nil {
		return false, err
	}
	defer first.wipe()
	return e.add(ctx, name, k, first, now)
}

// add stores a key whose first version is first, unless there is one of that name.
func (e *engine) add(ctx context.Context, name string, k *keyRecord, first *versionRecord, now time.Time) (made bool, err error) {
	err = e.area.Update(ctx, func(tx store.Tx) error {
		made = false
		there, err := getKey(tx, name)
		if err != nil || there != nil {
			return err
		}
		fresh := *k
		fresh.schedule(now)
		if err := addVersion(tx, &fresh, first); err != nil {
			return err
		}
		made = true
		return putKey(tx, name, nil, &fresh)
	})
	return made, err
}

// upsert makes the key that an encryption asks for.
func (e *engine) upsert(ctx context.Context, req *encryptRequest, derived bool) error {
	config, err := e.settings(ctx)
	if err != nil {
		return err
	}
	if config.DisableUpsert {
		return errNoKey
	}
	k, kind, err := traits{Type: req.Type, Derived: derived, Convergent: req.Convergent}.record()
	if err != nil {
		return err
	}
	if !kind.encrypts() {
		return backend.Invalidf("key type %s does not support encryption", kind.name)
	}
	_, err = e.make(ctx, req.Name, k, kind)
	return err
}

func (e *engine) list(ctx context.Context, _ *backend.Call, _ *backend.None) (*backend.Keys, error) {
	var names []string
	r := store.PrefixRange([]byte{keyPrefix})
	r.KeysOnly = true
	err := e.area.View(ctx, func(rd store.Reader) error {
		names = nil
		return rd.Scan(r, func(key, _ []byte) (bool, error) {
			names = append(names, string(key[1:]))
			return true, ctx.Err()
		})
	})
	return backend.Listing(names), err
}

type nameRequest struct {
	Name string `json:"name" doc:"The key's name."`
}

func (e *engine) delete(ctx context.Context, _ *backend.Call, req *nameRequest) (*backend.None, error) {
	return nil, e.area.Update(ctx, func(tx store.Tx) error {
		k, err := getKey(tx, req.Name)
		switch {
		case err != nil:
			return err
		case k == nil:
			return backend.Invalidf("error deleting policy %s: could not delete key; not found", req.Name)
		case !k.DeletionAllowed:
			return backend.Invalidf("error deleting policy %s: deletion is not allowed for this key", req.Name)
		}
		if err := store.Reindex(tx, k.rotations(req.Name), nil); err != nil {
			return err
		}
		versions := versionsOf(k.ID, 0, 0)
		if err := tx.DeleteRange(versions.From, versions.To); err != nil {
			return err
		}
		return tx.Delete(keyKey(req.Name))
	})
}

type configRequest struct {
	Name            string           `json:"name" doc:"The key's name."`
	MinDecrypt      *int             `json:"min_decryption_version" doc:"The oldest version that still decrypts and verifies."`
	MinEncrypt      *int             `json:"min_encryption_version" doc:"The oldest version that may be asked to encrypt; 0 for no bound of its own."`
	DeletionAllowed *bool            `json:"deletion_allowed" doc:"Whether the key may be deleted."`
	Exportable      *bool            `json:"exportable" doc:"Whether the key can be read out; cannot be taken back."`
	PlainBackup     *bool            `json:"allow_plaintext_backup" doc:"Whether the key can be backed up, in the clear; cannot be taken back."`
	AutoRotate      *backend.Seconds `json:"auto_rotate_period" doc:"After how long a new version is made by itself; 0 for never, else an hour or more."`
}

func (e *engine) configure(ctx context.Context, c *backend.Call, req *configRequest) (*keyReply, error) {
	if req.MinDecrypt != nil && *req.MinDecrypt == 0 {
		c.Warn("since Vault 0.3, transit key numbering starts at 1; forcing minimum to 1")
	}
	now := e.clock.Now()
	err := e.area.Update(ctx, func(tx store.Tx) error {
		k, err := getKey(tx, req.Name)
		if err != nil {
			return err
		}
		if k == nil {
			return backend.Invalidf("no existing key named %s could be found", req.Name)
		}
		after := *k
		if err := req.apply(&after, now); err != nil {
			return err
		}
		return putKey(tx, req.Name, k, &after)
	})
	if err != nil {
		return nil, err
	}
	return e.describe(ctx, req.Name, "")
}

// apply changes k as the request says. Contract: secrets §5, config.
func (req *configRequest) apply(k *keyRecord, now time.Time) error {
	if err := req.applyVersions(k); err != nil {
		return err
	}
	if req.DeletionAllowed != nil {
		k.DeletionAllowed = *req.DeletionAllowed
	}
	if req.AutoRotate != nil {
		period := req.AutoRotate.Duration()
		switch {
		case period != 0 && period < minRotation:
			return errRotation
		case period != 0 && k.Import == imported:
			return errImported
		}
		k.AutoRotate = int64(period)
		k.schedule(now)
	}
	// One way: what has left once cannot be called back.
	k.Exportable = k.Exportable || req.Exportable != nil && *req.Exportable
	k.PlainBackup = k.PlainBackup || req.PlainBackup != nil && *req.PlainBackup
	return nil
}

func (req *configRequest) applyVersions(k *keyRecord) error {
	if n := req.MinDecrypt; n != nil {
		switch {
		case *n < 0:
			return backend.Invalidf("min decryption version cannot be negative")
		case uint64(*n) > k.Latest:
			return backend.Invalidf("cannot set min decryption version of %d, latest key version is %d", *n, k.Latest)
		case uint64(max(*n, 1)) < k.MinAvailable:
			return backend.Invalidf("cannot set min decryption version of %d, versions before %d were deleted", *n, k.MinAvailable)
		}
		k.MinDecrypt = uint64(max(*n, 1))
	}
	if n := req.MinEncrypt; n != nil {
		switch {
		case *n < 0:
			return backend.Invalidf("min encryption version cannot be negative")
		case uint64(*n) > k.Latest:
			return backend.Invalidf("cannot set min encryption version of %d, latest key version is %d", *n, k.Latest)
		}
		k.MinEncrypt = uint64(*n)
	}
	if k.MinEncrypt > 0 && k.MinEncrypt < k.MinDecrypt {
		return backend.Invalidf("cannot set min encryption/decryption values; min encryption version of %d must be greater than or equal to min decryption version of %d",
			k.MinEncrypt, k.MinDecrypt)
	}
	return nil
}

func (e *engine) rotate(ctx context.Context, _ *backend.Call, req *nameRequest) (*keyReply, error) {
	if err := e.rotateKey(ctx, req.Name, func(*keyRecord) bool { return true }); err != nil {
		return nil, err
	}
	return e.describe(ctx, req.Name, "")
}

// rotateKey gives a key its next version if it is due. Any number of rotations at once succeed,
// each with a version of its own.
func (e *engine) rotateKey(ctx context.Context, name string, due func(*keyRecord) bool) error {
	u, err := e.use(ctx, name, errNoSuchKey)
	if err != nil {
		return err
	}
	now := e.clock.Now()
	next, err := u.typ.generate(u.rec.Size, now)
	if err != nil {
		return err
	}
	defer next.wipe()
	return e.area.Update(ctx, func(tx store.Tx) error {
		k, err := getKey(tx, name)
		switch {
		case err != nil:
			return err
		case k == nil || string(k.ID) != string(u.rec.ID):
			return errNoSuchKey
		case k.Import == imported:
			return errImported
		case !due(k):
			return nil
		}
		after := *k
		if err := addVersion(tx, &after, next); err != nil {
			return err
		}
		after.schedule(now)
		return putKey(tx, name, k, &after)
	})
}

type trimRequest struct {
	Name         string `json:"name" doc:"The key's name."`
	MinAvailable *int   `json:"min_available_version" doc:"The oldest version that is kept."`
}

func (e *engine) trim(ctx context.Context, _ *backend.Call, req *trimRequest) (*keyReply, error) {
	if req.MinAvailable == nil {
		return nil, backend.Invalidf("missing min_available_version")
	}
	if *req.MinAvailable < 1 {
		return nil, backend.Invalidf("minimum available version must be positive")
	}
	n := uint64(*req.MinAvailable)
	err := e.area.Update(ctx, func(tx store.Tx) error {
		k, err := getKey(tx, req.Name)
		switch {
		case err != nil:
			return err
		case k == nil:
			return errNoSuchKey
		case n < k.MinAvailable:
			return backend.Invalidf("minimum available version cannot be decremented")
		case k.MinEncrypt == 0:
			return backend.Invalidf("minimum available version cannot be set when minimum encryption version is not set")
		case n > k.MinEncrypt:
			return backend.Invalidf("minimum available version cannot be greater than minimum encryption version")
		case n > k.MinDecrypt:
			return backend.Invalidf("minimum available version cannot be greater than minimum decryption version")
		}
		gone := versionsOf(k.ID, 0, n)
		if err := tx.DeleteRange(gone.From, gone.To); err != nil {
			return err
		}
		after := *k
		after.MinAvailable = n
		return putKey(tx, req.Name, k, &after)
	})
	if err != nil {
		return nil, err
	}
	return e.describe(ctx, req.Name, "")
}
