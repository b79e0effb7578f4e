package cert

import (
	"context"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

const (
	usualAnswers = 100
	usualEntries = 200
	mostCached   = 100_000
)

// configRecord is the settings as they are stored.
type configRecord struct {
	DisableBinding    bool `cbor:"1,keyasint,omitempty"`
	AliasMetadata     bool `cbor:"2,keyasint,omitempty"`
	OCSPCacheSize     int  `cbor:"3,keyasint,omitempty"`
	RoleCacheSize     int  `cbor:"4,keyasint,omitempty"`
	MetadataOnFailure bool `cbor:"5,keyasint,omitempty"`
	SharedCommonNames bool `cbor:"6,keyasint,omitempty"`
}

// config reads the settings; those that were never written are the usual ones.
func config(r store.Reader) (*configRecord, error) {
	c, err := record.Get[configRecord](r, configKey)
	if err == nil && c == nil {
		c = &configRecord{OCSPCacheSize: usualAnswers, RoleCacheSize: usualEntries}
	}
	return c, err
}

type configRequest struct {
	DisableBinding              *bool `json:"disable_binding" doc:"Renew tokens on connections without the certificate of the login."`
	EnableIdentityAliasMetadata *bool `json:"enable_identity_alias_metadata" doc:"Keep the metadata of a login with the entity's alias, too."`
	OCSPCacheSize               *int  `json:"ocsp_cache_size" doc:"Number of OCSP answers to remember."`
	RoleCacheSize               *int  `json:"role_cache_size" doc:"Number of trusted certificates to keep ready; -1 for none."`
	EnableMetadataOnFailures    *bool `json:"enable_metadata_on_failures" doc:"Describe the certificate in the answer to a login that was refused."`
	SharedCommonNames           *bool `json:"shared_common_names" doc:"Take certificates of different authorities with one common name for one entity."`
}

type configView struct {
	DisableBinding              bool `json:"disable_binding"`
	EnableIdentityAliasMetadata bool `json:"enable_identity_alias_metadata"`
	OCSPCacheSize               int  `json:"ocsp_cache_size"`
	RoleCacheSize               int  `json:"role_cache_size"`
	EnableMetadataOnFailures    bool `json:"enable_metadata_on_failures"`
	SharedCommonNames           bool `json:"shared_common_names"`
}

func (m *Method) readConfig(ctx context.Context, _ *backend.Call, _ *backend.None) (*configView, error) {
	c, err := m.settings(ctx)
	if err != nil {
		return nil, err
	}
	return &configView{
		DisableBinding: c.DisableBinding, EnableIdentityAliasMetadata: c.AliasMetadata,
		OCSPCacheSize: c.OCSPCacheSize, RoleCacheSize: c.RoleCacheSize,
		EnableMetadataOnFailures: c.MetadataOnFailure, SharedCommonNames: c.SharedCommonNames,
	}, nil
}

// writeConfig changes what was sent and leaves the rest.
func (m *Method) writeConfig(ctx context.Context, _ *backend.Call, req *configRequest) (*backend.None, error) {
	if n := req.OCSPCacheSize; n != nil && (*n < 2 || *n > mostCached) {
		return nil, backend.Invalidf("invalid cache size, must be >= 2 and <= %d", mostCached)
	}
	if n := req.RoleCacheSize; n != nil && (*n < -1 || *n > mostCached) {
		return nil, backend.Invalidf("invalid role cache size, must be >= -1 and <= %d", mostCached)
	}
	return nil, m.area.Update(ctx, func(tx store.Tx) error {
		c, err := config(tx)
		if err != nil {
			return err
		}
		set(&c.DisableBinding, req.DisableBinding)
		set(&c.AliasMetadata, req.EnableIdentityAliasMetadata)
		set(&c.OCSPCacheSize, req.OCSPCacheSize)
		set(&c.RoleCacheSize, req.RoleCacheSize)
		set(&c.MetadataOnFailure, req.EnableMetadataOnFailures)
		set(&c.SharedCommonNames, req.SharedCommonNames)
		return record.Put(tx, configKey, c)
	})
}

// set assigns what was sent.
func set[T any](field *T, sent *T) {
	if sent != nil {
		*field = *sent
	}
}
