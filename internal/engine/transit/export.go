package transit

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strconv"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

func (e *engine) exportRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "export/{kind}/{name}", Summary: "Reads a key out, where it is exportable.", Read: backend.Handle(e.export)},
		{Pattern: "export/{kind}/{name}/{version}", Summary: "Reads one version of a key out.", Read: backend.Handle(e.export)},
		{Pattern: "backup/{name}", Summary: "The whole key in the clear, where that is allowed.", Read: backend.Handle(e.backup)},
		{Pattern: "restore", Summary: "Brings a key back from its backup.", Write: backend.Handle(e.restore)},
		{Pattern: "restore/{name}", Summary: "Brings a key back from its backup, under this name.", Write: backend.Handle(e.restore)},
		{Pattern: "wrapping_key", Summary: "The public key that material to be imported is wrapped for.", Read: backend.Handle(e.readWrappingKey)},
	}
}

type exportRequest struct {
	Kind    string `json:"kind" doc:"encryption-key, signing-key, hmac-key or public-key."`
	Name    string `json:"name" doc:"The key's name."`
	Version string `json:"version" doc:"A number, or latest; all versions that decrypt by default."`
	Format  string `json:"format" doc:"der for PKCS #8 or PKIX in base64, pem for the same in PEM; by default what clients expect of the type."`
}

type exportReply struct {
	Name string            `json:"name"`
	Type string            `json:"type"`
	Keys map[string]string `json:"keys"`
}

func (e *engine) export(ctx context.Context, _ *backend.Call, req *exportRequest) (*exportReply, error) {
	show, ok := map[string]func(keyType, *material, string) (string, error){
		"encryption-key": keyType.exportEncryption, "signing-key": keyType.exportSigning, "hmac-key": keyType.exportHMAC, "public-key": keyType.exportPublic,
	}[req.Kind]
	switch {
	case !ok:
		return nil, backend.Invalidf("invalid export type: want encryption-key, signing-key, hmac-key or public-key")
	case req.Format != "" && req.Format != "raw" && req.Format != "der" && req.Format != "pem":
		return nil, backend.Invalidf("invalid format: want raw, der or pem")
	}
	u, err := e.use(ctx, req.Name, backend.Missing())
	if err != nil {
		return nil, err
	}
	if !u.rec.Exportable && req.Kind != "public-key" {
		return nil, backend.Invalidf("private key material is not exportable")
	}
	first, last, err := u.exported(req.Version)
	if err != nil {
		return nil, err
	}
	out := &exportReply{Name: req.Name, Type: u.rec.Type, Keys: map[string]string{}}
	for n := first; n <= last; n++ {
		m, err := e.version(ctx, u.rec, n)
		if err != nil {
			return nil, err
		}
		if out.Keys[strconv.FormatUint(n, 10)], err = show(u.typ, m, req.Format); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// exported are the versions that a request is for.
func (u *use) exported(version string) (first, last uint64, err error) {
	oldest := max(u.rec.MinDecrypt, u.rec.oldest())
	switch version {
	case "":
		return oldest, u.rec.Latest, nil
	case "latest":
		return u.rec.Latest, u.rec.Latest, nil
	}
	n, parseErr := strconv.ParseUint(version, 10, 63)
	switch {
	case parseErr != nil:
		return 0, 0, backend.Invalidf("invalid key version: want a number or latest")
	case n > u.rec.Latest || n == 0:
		return 0, 0, backend.Invalidf("version does not exist or cannot be found")
	case n < oldest:
		return 0, 0, backend.Invalidf("version for export is below minimum decryption version")
	}
	return n, n, nil
}

func (t keyType) exportEncryption(m *material, format string) (string, error) {
	switch {
	case t.aead != nil:
		return base64.StdEncoding.EncodeToString(m.secret), nil
	case t.bits > 0:
		return m.privateText(format)
	}
	return "", backend.Invalidf("unknown key type for export type: %s does not encrypt", t.name)
}

func (t keyType) exportSigning(m *material, format string) (string, error) {
	if !t.signs() {
		return "", backend.Invalidf("unknown key type for export type: %s does not sign", t.name)
	}
	return m.privateText(format)
}

func (t keyType) exportHMAC(m *material, _ string) (string, error) {
	return base64.StdEncoding.EncodeToString(m.hmac), nil
}

func (t keyType) exportPublic(m *material, format string) (string, error) {
	if m.public == nil {
		return "", backend.Invalidf("unknown key type for export type: %s has no public key", t.name)
	}
	if format == "" || format == "raw" {
		return m.publicText()
	}
	der, err := x509.MarshalPKIXPublicKey(m.public)
	return formatted(format, "PUBLIC KEY", der, err)
}

// privateText is a private key as clients expect it: PEM of the type's own form, and base64 of
// seed and public key for Ed25519.
func (m *material) privateText(format string) (string, error) {
	if m.private == nil {
		return "", backend.Invalidf("requested version does not contain a private part")
	}
	if format == "der" || format == "pem" {
		der, err := x509.MarshalPKCS8PrivateKey(m.private)
		return formatted(format, "PRIVATE KEY", der, err)
	}
	switch private := m.private.(type) {
	case ed25519.PrivateKey:
		return base64.StdEncoding.EncodeToString(private), nil
	case *ecdsa.PrivateKey:
		der, err := x509.MarshalECPrivateKey(private)
		return formatted("pem", "EC PRIVATE KEY", der, err)
	case *rsa.PrivateKey:
		return formatted("pem", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(private), nil)
	}
	return "", errMaterial
}

func formatted(format, label string, der []byte, err error) (string, error) {
	if err != nil {
		return "", err
	}
	if format == "der" {
		return base64.StdEncoding.EncodeToString(der), nil
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})), nil
}

// backupRecord is a whole key. Its text is base64 of the record, in the clear.
type backupRecord struct {
	Name     string          `cbor:"1,keyasint,omitempty"`
	Key      keyRecord       `cbor:"2,keyasint,omitempty"`
	Versions []versionRecord `cbor:"3,keyasint,omitempty"`
}

type backupReply struct {
	Backup string `json:"backup"`
}

func (e *engine) backup(ctx context.Context, _ *backend.Call, req *nameRequest) (*backupReply, error) {
	b := backupRecord{Name: req.Name}
	err := e.area.View(ctx, func(r store.Reader) error {
		k, err := getKey(r, req.Name)
		switch {
		case err != nil:
			return err
		case k == nil:
			return errNoSuchKey
		case !k.Exportable:
			return backend.Invalidf("exporting is disallowed on the policy")
		case !k.PlainBackup:
			return backend.Invalidf("plaintext backup is disallowed on the policy")
		}
		b.Key, b.Versions = *k, nil
		return r.Scan(versionsOf(k.ID, 0, 0), func(_, value []byte) (bool, error) {
			var v versionRecord
			err := record.Decode(value, &v)
			b.Versions = append(b.Versions, v)
			return true, err
		})
	})
	if err != nil {
		return nil, err
	}
	text, err := record.Encode(&b)
	return &backupReply{base64.StdEncoding.EncodeToString(text)}, err
}

type restoreRequest struct {
	Name   string `json:"name" doc:"The name to restore under; that of the backup by default."`
	Backup string `json:"backup" doc:"What backup returned."`
	Force  bool   `json:"force" doc:"Whether a key of that name is replaced."`
}

var errBackup = backend.Invalidf("invalid backup: it is not one of a key of this server")

func (e *engine) restore(ctx context.Context, _ *backend.Call, req *restoreRequest) (*backend.None, error) {
	if req.Backup == "" {
		return nil, backend.Invalidf("'backup' must be supplied")
	}
	b, err := parseBackup(req.Backup)
	if err != nil {
		return nil, err
	}
	if req.Name != "" {
		b.Name = req.Name
	}
	now := e.clock.Now()
	return nil, e.area.Update(ctx, func(tx store.Tx) error {
		there, err := getKey(tx, b.Name)
		if err != nil {
			return err
		}
		if there != nil && !req.Force {
			return backend.Invalidf("key already exists; give force to replace it")
		}
		if there != nil {
			old := versionsOf(there.ID, 0, 0)
			if err := tx.DeleteRange(old.From, old.To); err != nil {
				return err
			}
		}
		k := b.Key
		k.schedule(now)
		for i := range b.Versions {
			if err := record.Put(tx, versionKey(k.ID, k.oldest()+uint64(i)), &b.Versions[i]); err != nil {
				return err
			}
		}
		return putKey(tx, b.Name, there, &k)
	})
}

// parseBackup reads a backup that is whole and consistent. Its key gets an id of its own: the
// one that it was taken of may still be there under another name.
func parseBackup(text string) (*backupRecord, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errBackup
	}
	var b backupRecord
	if err := record.Decode(raw, &b); err != nil {
		return nil, errBackup.Because(err)
	}
	t, ok := typeOf(b.Key.Type)
	k := &b.Key
	switch {
	case !ok || !isName(b.Name) || k.Latest == 0 || k.MinDecrypt == 0 || k.MinDecrypt > k.Latest || k.MinEncrypt > k.Latest || k.oldest() > k.MinDecrypt:
		return nil, errBackup
	case k.Latest-k.oldest()+1 != uint64(len(b.Versions)):
		return nil, errBackup
	case k.Derived && !t.derives(), k.Convergent && (!k.Derived || t.aead == nil), k.Import > importedRotating, k.AutoRotate < 0:
		return nil, errBackup
	}
	for i := range b.Versions {
		if _, err := t.ready(k.oldest()+uint64(i), &b.Versions[i]); err != nil {
			return nil, errBackup.Because(err)
		}
	}
	k.ID = newID()
	return &b, nil
}

// isName says whether a backup's own name is one that a path could have.
func isName(name string) bool {
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.' {
			return false
		}
	}
	return name != ""
}
