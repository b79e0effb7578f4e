package kv

import (
	"context"
	"strconv"
	"time"

	"jeton/internal/backend"
	"jeton/internal/engine/document"
	"jeton/internal/record"
	"jeton/internal/store"
)

// keyReply is the answer to a read of metadata.
type keyReply struct {
	CASRequired        bool                         `json:"cas_required"`
	CreatedTime        stamp                        `json:"created_time"`
	CurrentVersion     uint64                       `json:"current_version"`
	CustomMetadata     map[string]string            `json:"custom_metadata"`
	DeleteVersionAfter string                       `json:"delete_version_after"`
	MaxVersions        uint64                       `json:"max_versions"`
	OldestVersion      uint64                       `json:"oldest_version"`
	UpdatedTime        stamp                        `json:"updated_time"`
	Versions           map[string]versionStateReply `json:"versions"`
}

type versionStateReply struct {
	CreatedTime  stamp `json:"created_time"`
	DeletionTime stamp `json:"deletion_time"`
	Destroyed    bool  `json:"destroyed"`
}

func (k *keyRecord) reply() *keyReply {
	reply := &keyReply{
		CASRequired:        k.CASRequired,
		CreatedTime:        stamp(k.Created),
		CurrentVersion:     k.Current,
		CustomMetadata:     k.Custom,
		DeleteVersionAfter: time.Duration(k.DeleteAfter).String(),
		MaxVersions:        k.MaxVersions,
		OldestVersion:      k.Oldest,
		UpdatedTime:        stamp(k.Updated),
		Versions:           make(map[string]versionStateReply, len(k.Versions)),
	}
	for i, state := range k.Versions {
		reply.Versions[strconv.FormatUint(k.first()+uint64(i), 10)] = versionStateReply{
			CreatedTime:  stamp(state.Created),
			DeletionTime: stamp(state.Deleted),
			Destroyed:    state.Destroyed,
		}
	}
	return reply
}

type metadataRequest struct {
	MaxVersions        *int64           `json:"max_versions" doc:"How many versions of the key are kept; 0 leaves it to the mount."`
	CASRequired        *bool            `json:"cas_required" doc:"Whether every write of the key must carry the cas option."`
	DeleteVersionAfter *backend.Seconds `json:"delete_version_after" doc:"How long until a version is deleted by itself; 0s leaves it to the mount."`
	CustomMetadata     *backend.Pairs   `json:"custom_metadata" doc:"Names and texts of your own; replaced as a whole."`
}

// patchMetadataRequest differs in custom_metadata, whose members may be null.
type patchMetadataRequest struct {
	MaxVersions        *int64           `json:"max_versions" doc:"How many versions of the key are kept; null resets it."`
	CASRequired        *bool            `json:"cas_required" doc:"Whether every write of the key must carry the cas option; null resets it."`
	DeleteVersionAfter *backend.Seconds `json:"delete_version_after" doc:"How long until a version is deleted by itself; null resets it."`
	CustomMetadata     map[string]any   `json:"custom_metadata" doc:"Names and texts to set; null removes one, or all."`
}

type listRequest struct {
	After string `json:"after" doc:"Only names behind this one."`
	Limit int    `json:"limit" doc:"At most so many names; 0 for all."`
}

func (v *versioned) readMetadata(ctx context.Context, c *backend.Call, _ *backend.None) (*keyReply, error) {
	var key *keyRecord
	err := v.view(ctx, func(r store.Reader) (err error) {
		key, err = record.Get[keyRecord](r, keyKey(c.Capture("path")))
		return err
	})
	if err != nil || key == nil {
		return nil, err
	}
	return key.reply(), nil
}

func (v *versioned) writeMetadata(ctx context.Context, c *backend.Call, req *metadataRequest) (*backend.None, error) {
	path := c.Capture("path")
	if err := document.CheckPath(path); err != nil {
		return nil, err
	}
	change := keyChange{maxVersions: req.MaxVersions, casRequired: req.CASRequired, deleteAfter: req.DeleteVersionAfter}
	if req.CustomMetadata != nil {
		if err := checkCustom(*req.CustomMetadata); err != nil {
			return nil, err
		}
		change.custom = func(map[string]string) (map[string]string, error) { return *req.CustomMetadata, nil }
	}
	return nil, v.changeKey(ctx, c, path, change, true)
}

func (v *versioned) patchMetadata(ctx context.Context, c *backend.Call, req *patchMetadataRequest) (*backend.None, error) {
	path := c.Capture("path")
	if err := document.CheckPath(path); err != nil {
		return nil, err
	}
	change := keyChange{maxVersions: req.MaxVersions, casRequired: req.CASRequired, deleteAfter: req.DeleteVersionAfter}
	if isNull(c, "max_versions") {
		change.maxVersions = new(int64)
	}
	if isNull(c, "cas_required") {
		change.casRequired = new(bool)
	}
	if isNull(c, "delete_version_after") {
		change.deleteAfter = new(backend.Seconds)
	}
	switch {
	case isNull(c, "custom_metadata"):
		change.custom = func(map[string]string) (map[string]string, error) { return nil, nil }
	case req.CustomMetadata != nil:
		patch, err := parseCustomPatch(req.CustomMetadata)
		if err != nil {
			return nil, err
		}
		change.custom = patch.apply
	}
	return nil, v.changeKey(ctx, c, path, change, false)
}

// isNull says whether the client sent null for a parameter, which a decoded request does not
// tell from its absence.
func isNull(c *backend.Call, name string) bool {
	value, sent := c.Data[name]
	return sent && value == nil
}

// keyChange is what a metadata write or patch does to a key; nil members leave it alone.
type keyChange struct {
	maxVersions *int64
	casRequired *bool
	deleteAfter *backend.Seconds
	custom      func(old map[string]string) (map[string]string, error)
}

// empty says whether nothing is to be changed.
func (k *keyChange) empty() bool {
	return k.maxVersions == nil && k.casRequired == nil && k.deleteAfter == nil && k.custom == nil
}

func (k *keyChange) apply(key *keyRecord) (err error) {
	if k.maxVersions != nil {
		key.MaxVersions = uint64(*k.maxVersions)
	}
	if k.casRequired != nil {
		key.CASRequired = *k.casRequired
	}
	if k.deleteAfter != nil {
		key.DeleteAfter = int64(k.deleteAfter.Duration())
	}
	if k.custom != nil {
		key.Custom, err = k.custom(key.Custom)
	}
	return err
}

// changeKey applies change to a key. An absent key is made when create is set and there is
// anything to change, else it is a 404. Versions are left alone: max_versions and
// delete_version_after take hold at the next write.
func (v *versioned) changeKey(ctx context.Context, c *backend.Call, path string, change keyChange, create bool) error {
	if err := checkMaxVersions(change.maxVersions); err != nil {
		return err
	}
	var overruled bool
	err := v.update(ctx, func(tx store.Tx) error {
		key, config, err := keyAndSettings(tx, path)
		if err != nil {
			return err
		}
		if key == nil && !create {
			return backend.Missing()
		}
		if change.empty() {
			return nil
		}
		overruled = change.casRequired != nil && !*change.casRequired && config.CASRequired
		if key == nil {
			key = newKeyRecord(v.clock.Now())
		}
		if err := change.apply(key); err != nil {
			return err
		}
		return record.Put(tx, keyKey(path), key)
	})
	if err == nil && overruled {
		c.Warn(`"cas_required" set to false, but is mandated by backend config. This value will be ignored.`)
	}
	return err
}

// deleteMetadata erases a key with all its versions.
func (v *versioned) deleteMetadata(ctx context.Context, c *backend.Call, _ *backend.None) (*backend.None, error) {
	path := c.Capture("path")
	return nil, v.update(ctx, func(tx store.Tx) error {
		known, err := present(tx, keyKey(path))
		if err != nil || !known {
			return err
		}
		if err := tx.Delete(keyKey(path)); err != nil {
			return err
		}
		all := store.PrefixRange(versionPrefix(path))
		return tx.DeleteRange(all.From, all.To)
	})
}

func (v *versioned) list(ctx context.Context, c *backend.Call, req *listRequest) (*backend.Keys, error) {
	var names []string
	err := v.view(ctx, func(r store.Reader) (err error) {
		names, err = document.List(r, []byte{keySpace}, c.Capture("path"), req.After, req.Limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return backend.Listing(names), nil
}

// listDetailed lists with what is known of each key; folders are names only.
func (v *versioned) listDetailed(ctx context.Context, c *backend.Call, req *listRequest) (*backend.Keys, error) {
	folder := c.Capture("path")
	var reply *backend.Keys
	err := v.view(ctx, func(r store.Reader) error {
		names, err := document.List(r, []byte{keySpace}, folder, req.After, req.Limit)
		if reply = backend.Listing(names); err != nil || reply == nil {
			return err
		}
		reply.Info = make(map[string]any, len(names))
		for _, name := range names {
			if isFolder(name) {
				continue
			}
			path := name
			if folder != "" {
				path = folder + "/" + name
			}
			key, err := record.Get[keyRecord](r, keyKey(path))
			if err != nil {
				return err
			}
			reply.Info[name] = key.reply()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return reply, nil
}
