package cert

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// entryRecord is a trusted certificate or authority as it is stored. Fields 1 to 19 are the
// TokenRecord's.
type entryRecord struct {
	auth.TokenRecord
	// UID tells the entry from a later one of the same name.
	UID []byte `cbor:"20,keyasint"`
	// Revision is new with every write.
	Revision []byte `cbor:"21,keyasint"`
	// Certificate is PEM: authorities, or one certificate (with its issuers, perhaps).
	Certificate        string            `cbor:"22,keyasint"`
	DisplayName        string            `cbor:"23,keyasint,omitempty"`
	Constraints        constraintsRecord `cbor:"24,keyasint"`
	MetadataExtensions []string          `cbor:"25,keyasint,omitempty"`
	OCSP               ocspRecord        `cbor:"26,keyasint"`
}

// constraintsRecord is what a certificate must say: one of each list, and all extensions.
type constraintsRecord struct {
	Names       []string `cbor:"1,keyasint,omitempty"`
	CommonNames []string `cbor:"2,keyasint,omitempty"`
	DNSNames    []string `cbor:"3,keyasint,omitempty"`
	Emails      []string `cbor:"4,keyasint,omitempty"`
	URIs        []string `cbor:"5,keyasint,omitempty"`
	Units       []string `cbor:"6,keyasint,omitempty"`
	Extensions  []string `cbor:"7,keyasint,omitempty"`
}

// ocspRecord says how revocation is asked about.
type ocspRecord struct {
	Enabled  bool          `cbor:"1,keyasint,omitempty"`
	CAs      string        `cbor:"2,keyasint,omitempty"`
	Servers  []string      `cbor:"3,keyasint,omitempty"`
	FailOpen bool          `cbor:"4,keyasint,omitempty"`
	QueryAll bool          `cbor:"5,keyasint,omitempty"`
	Retries  int           `cbor:"6,keyasint,omitempty"`
	MaxAge   time.Duration `cbor:"7,keyasint,omitempty"`
}

// usualRetries is how often a silent responder is asked again.
const usualRetries = 4

func getEntry(r store.Reader, name string) (*entryRecord, error) {
	return record.Get[entryRecord](r, entryKey(name))
}

type entryRequest struct {
	named
	Certificate *string `json:"certificate" doc:"The trusted certificate or authorities, in PEM."`
	DisplayName *string `json:"display_name" doc:"Name of the tokens' holder; by default the name of the entry."`

	AllowedNames               *backend.CommaList `json:"allowed_names" doc:"Patterns for the common name, DNS names or e-mail addresses: one must match."`
	AllowedCommonNames         *backend.CommaList `json:"allowed_common_names" doc:"Patterns for the common name."`
	AllowedDNSSANs             *backend.CommaList `json:"allowed_dns_sans" doc:"Patterns for DNS names: one must match."`
	AllowedEmailSANs           *backend.CommaList `json:"allowed_email_sans" doc:"Patterns for e-mail addresses: one must match."`
	AllowedURISANs             *backend.CommaList `json:"allowed_uri_sans" doc:"Patterns for URIs: one must match."`
	AllowedOrganizationalUnits *backend.CommaList `json:"allowed_organizational_units" doc:"Patterns for organizational units: one must match."`
	RequiredExtensions         *backend.CommaList `json:"required_extensions" doc:"oid:pattern, or hex:oid:pattern for the bytes in hexadecimal: all must match."`
	AllowedMetadataExtensions  *backend.CommaList `json:"allowed_metadata_extensions" doc:"Extensions (by OID) to keep as metadata of the tokens."`

	OCSPEnabled          *bool                  `json:"ocsp_enabled" doc:"Ask OCSP responders at login and renewal."`
	OCSPCACertificates   *string                `json:"ocsp_ca_certificates" doc:"Further signers of OCSP answers, in PEM."`
	OCSPServersOverride  *backend.CommaList     `json:"ocsp_servers_override" doc:"Responders to ask in place of those that the certificate names."`
	OCSPFailOpen         *bool                  `json:"ocsp_fail_open" doc:"Let a login pass when no responder answers."`
	OCSPQueryAllServers  *bool                  `json:"ocsp_query_all_servers" doc:"Ask all responders: each must say that the certificate is good."`
	OCSPMaxRetries       *int                   `json:"ocsp_max_retries" doc:"How often a silent responder is asked again."`
	OCSPThisUpdateMaxAge *backend.SignedSeconds `json:"ocsp_this_update_max_age" doc:"Oldest answer to accept; 0 for no bound of one's own."`

	auth.TokenParams
	Policies   *backend.CommaList     `json:"policies" doc:"Old name of token_policies."`
	Lease      *backend.SignedSeconds `json:"lease" doc:"Oldest name of token_ttl."`
	TTL        *backend.SignedSeconds `json:"ttl" doc:"Old name of token_ttl."`
	MaxTTL     *backend.SignedSeconds `json:"max_ttl" doc:"Old name of token_max_ttl."`
	Period     *backend.SignedSeconds `json:"period" doc:"Old name of token_period."`
	BoundCIDRs *backend.CommaList     `json:"bound_cidrs" doc:"Old name of token_bound_cidrs."`
}

type entryView struct {
	auth.TokenView
	Certificate                string          `json:"certificate"`
	DisplayName                string          `json:"display_name"`
	AllowedNames               []string        `json:"allowed_names"`
	AllowedCommonNames         []string        `json:"allowed_common_names"`
	AllowedDNSSANs             []string        `json:"allowed_dns_sans"`
	AllowedEmailSANs           []string        `json:"allowed_email_sans"`
	AllowedURISANs             []string        `json:"allowed_uri_sans"`
	AllowedOrganizationalUnits []string        `json:"allowed_organizational_units"`
	RequiredExtensions         []string        `json:"required_extensions"`
	AllowedMetadataExtensions  []string        `json:"allowed_metadata_extensions"`
	OCSPEnabled                bool            `json:"ocsp_enabled"`
	OCSPCACertificates         string          `json:"ocsp_ca_certificates"`
	OCSPServersOverride        []string        `json:"ocsp_servers_override"`
	OCSPFailOpen               bool            `json:"ocsp_fail_open"`
	OCSPQueryAllServers        bool            `json:"ocsp_query_all_servers"`
	OCSPMaxRetries             int             `json:"ocsp_max_retries"`
	OCSPThisUpdateMaxAge       backend.Seconds `json:"ocsp_this_update_max_age"`
}

func (m *Method) readEntry(ctx context.Context, _ *backend.Call, req *named) (*entryView, error) {
	e, err := m.entry(ctx, req.Name)
	if e == nil || err != nil {
		return nil, err
	}
	return &entryView{
		TokenView:                  e.View(),
		Certificate:                e.Certificate,
		DisplayName:                e.displayName(req.Name),
		AllowedNames:               auth.NotNull(e.Constraints.Names),
		AllowedCommonNames:         auth.NotNull(e.Constraints.CommonNames),
		AllowedDNSSANs:             auth.NotNull(e.Constraints.DNSNames),
		AllowedEmailSANs:           auth.NotNull(e.Constraints.Emails),
		AllowedURISANs:             auth.NotNull(e.Constraints.URIs),
		AllowedOrganizationalUnits: auth.NotNull(e.Constraints.Units),
		RequiredExtensions:         auth.NotNull(e.Constraints.Extensions),
		AllowedMetadataExtensions:  auth.NotNull(e.MetadataExtensions),
		OCSPEnabled:                e.OCSP.Enabled,
		OCSPCACertificates:         e.OCSP.CAs,
		OCSPServersOverride:        auth.NotNull(e.OCSP.Servers),
		OCSPFailOpen:               e.OCSP.FailOpen,
		OCSPQueryAllServers:        e.OCSP.QueryAll,
		OCSPMaxRetries:             e.OCSP.Retries,
		OCSPThisUpdateMaxAge:       backend.Seconds(e.OCSP.MaxAge),
	}, nil
}

func (e *entryRecord) displayName(name string) string {
	if e.DisplayName != "" {
		return e.DisplayName
	}
	return name
}

func (m *Method) entry(ctx context.Context, name string) (*entryRecord, error) {
	var found *entryRecord
	err := m.area.View(ctx, func(r store.Reader) (err error) {
		found, err = getEntry(r, name)
		return err
	})
	return found, err
}

func (m *Method) entryExists(ctx context.Context, c *backend.Call) (bool, error) {
	e, err := m.entry(ctx, c.Capture("name"))
	return e != nil, err
}

// writeEntry creates or updates an entry; what was not sent stays as it is.
func (m *Method) writeEntry(ctx context.Context, c *backend.Call, req *entryRequest) (*backend.None, error) {
	uid, revision := make([]byte, 16), make([]byte, 8)
	rand.Read(uid)
	rand.Read(revision)
	var written *entryRecord
	err := m.area.Update(ctx, func(tx store.Tx) error {
		e, err := getEntry(tx, req.Name)
		if err != nil {
			return err
		}
		switch {
		case e == nil && c.Operation != backend.Create:
			return backend.Errorf(backend.NotFound, "no such certificate")
		case e != nil && c.Operation == backend.Create:
			return backend.Errorf(backend.Conflict, "the certificate was created by another request")
		case e == nil:
			e = &entryRecord{UID: uid, OCSP: ocspRecord{Retries: usualRetries}}
		}
		e.Revision = revision
		if err := e.merge(req); err != nil {
			return err
		}
		// It is parsed as a login will.
		if _, err := e.ready(req.Name); err != nil {
			return err
		}
		written = e
		return record.Put(tx, entryKey(req.Name), e)
	})
	if err == nil {
		warnOfLimits(c, written)
	}
	return nil, err
}

// merge puts what was sent into e and judges the result.
func (e *entryRecord) merge(req *entryRequest) error {
	set(&e.Certificate, req.Certificate)
	set(&e.DisplayName, req.DisplayName)
	for _, list := range []struct {
		field *[]string
		sent  *backend.CommaList
	}{
		{&e.Constraints.Names, req.AllowedNames}, {&e.Constraints.CommonNames, req.AllowedCommonNames},
		{&e.Constraints.DNSNames, req.AllowedDNSSANs}, {&e.Constraints.Emails, req.AllowedEmailSANs},
		{&e.Constraints.URIs, req.AllowedURISANs}, {&e.Constraints.Units, req.AllowedOrganizationalUnits},
		{&e.Constraints.Extensions, req.RequiredExtensions}, {&e.MetadataExtensions, req.AllowedMetadataExtensions},
		{&e.OCSP.Servers, req.OCSPServersOverride},
	} {
		if list.sent != nil {
			*list.field = slices.DeleteFunc(slices.Clone([]string(*list.sent)), func(s string) bool { return s == "" })
		}
	}
	set(&e.OCSP.Enabled, req.OCSPEnabled)
	set(&e.OCSP.CAs, req.OCSPCACertificates)
	set(&e.OCSP.FailOpen, req.OCSPFailOpen)
	set(&e.OCSP.QueryAll, req.OCSPQueryAllServers)
	set(&e.OCSP.Retries, req.OCSPMaxRetries)
	if req.OCSPThisUpdateMaxAge != nil {
		e.OCSP.MaxAge = req.OCSPThisUpdateMaxAge.Duration().Truncate(time.Second)
	}
	if e.OCSP.MaxAge < 0 {
		return backend.Invalidf("ocsp_this_update_max_age cannot be a negative duration")
	}
	if e.OCSP.Retries < 0 || e.OCSP.Retries > 10 {
		return backend.Invalidf("ocsp_max_retries must be from 0 to 10")
	}
	ttl := req.TTL
	if ttl == nil {
		ttl = req.Lease
	}
	old := auth.Synonyms{Policies: req.Policies, TTL: ttl, MaxTTL: req.MaxTTL, Period: req.Period, BoundCIDRs: req.BoundCIDRs}
	if err := e.Apply(req.TokenParams, old); err != nil {
		return err
	}
	if (ttl != nil || req.MaxTTL != nil) && e.MaxTTL > 0 && e.TTL > e.MaxTTL {
		return backend.Invalidf("ttl should be shorter than max_ttl")
	}
	return e.Validate()
}

func warnOfLimits(c *backend.Call, e *entryRecord) {
	for _, limit := range []struct {
		name string
		d    time.Duration
	}{{"token_ttl", e.TTL}, {"token_max_ttl", e.MaxTTL}} {
		if c.Mount.MaxTTL > 0 && limit.d > c.Mount.MaxTTL {
			c.Warn(limit.name + " is greater than the mount's maximum of " + backend.FormatDuration(c.Mount.MaxTTL) + " and will be capped to it at login")
		}
	}
}

// deleteEntry removes an entry. Its tokens live until they are renewed.
func (m *Method) deleteEntry(ctx context.Context, _ *backend.Call, req *named) (*backend.None, error) {
	return nil, m.area.Update(ctx, func(tx store.Tx) error { return tx.Delete(entryKey(req.Name)) })
}

// serves says whether a certificate may be used by a client, as it says itself.
func serves(c *x509.Certificate) bool {
	return slices.ContainsFunc(c.ExtKeyUsage, func(u x509.ExtKeyUsage) bool {
		return u == x509.ExtKeyUsageClientAuth || u == x509.ExtKeyUsageAny
	})
}

// isAuthority says whether a certificate may issue others.
func isAuthority(c *x509.Certificate) bool { return c.BasicConstraintsValid && c.IsCA }

func oidOf(text string) (string, bool) {
	for part := range strings.SplitSeq(text, ".") {
		if part == "" || strings.Trim(part, "0123456789") != "" {
			return "", false
		}
	}
	return text, strings.Contains(text, ".")
}
