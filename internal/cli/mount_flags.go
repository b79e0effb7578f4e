package cli

import (
	"strconv"
	"time"

	"github.com/hashicorp/vault/api"
)

// mountFlags are the settings that enabling and tuning have in common for
// secrets engines and auth methods.
type mountFlags struct {
	description                 string
	defaultTTL, maxTTL          time.Duration
	auditRequest, auditResponse []string
	listing                     string
	passHeaders, allowHeaders   []string
	managedKeys, delegated      []string
	options                     map[string]string
	version                     int
	pluginName, pluginVersion   string
	identityKey                 string
	tokenType                   string // auth methods only
}

func (m *mountFlags) register(f *flagSet, auth bool) {
	f.str(&m.description, flagSpec{name: "description", usage: "What it is for, in words."})
	f.span(&m.defaultTTL, flagSpec{name: "default-lease-ttl", usage: "Default time to live of what it issues; unset is the server's."})
	f.span(&m.maxTTL, flagSpec{name: "max-lease-ttl", usage: "Longest time to live of what it issues; unset is the server's."})
	f.list(&m.auditRequest, flagSpec{name: "audit-non-hmac-request-keys", usage: "Request field that audit devices may write in clear. Repeatable."})
	f.list(&m.auditResponse, flagSpec{name: "audit-non-hmac-response-keys", usage: "Response field that audit devices may write in clear. Repeatable."})
	f.str(&m.listing, flagSpec{name: "listing-visibility", usage: `"unauth" shows it to clients that have not logged in, "hidden" does not.`})
	f.list(&m.passHeaders, flagSpec{name: "passthrough-request-headers", usage: "Request header to hand to it. Repeatable."})
	f.list(&m.allowHeaders, flagSpec{name: "allowed-response-headers", usage: "Response header it may set. Repeatable."})
	f.list(&m.managedKeys, flagSpec{name: "allowed-managed-keys", usage: "Managed key it may use. Repeatable."})
	f.pairs(&m.options, flagSpec{name: "options", usage: "Option of it, as key=value. Repeatable."})
	f.number(&m.version, flagSpec{name: "version", usage: "Version of it to use; for kv, 1 or 2."})
	f.str(&m.pluginVersion, flagSpec{name: "plugin-version", usage: "Version of the plugin to run."})
	f.str(&m.identityKey, flagSpec{name: "identity-token-key", usage: "Key to sign plugin identity tokens with."})
	if auth {
		f.str(&m.tokenType, flagSpec{name: "token-type", usage: "Type of the tokens it issues: default-service, default-batch, service or batch."})
		return
	}
	f.list(&m.delegated, flagSpec{name: "delegated-auth-accessors", usage: "Auth mount it may log in through. Repeatable."})
}

// enable is the "config" of a new mount. Unset TTLs go as "0s", which the
// server reads as not given.
func (m *mountFlags) enable() api.MountConfigInput {
	cfg := api.MountConfigInput{
		DefaultLeaseTTL: m.defaultTTL.String(),
		MaxLeaseTTL:     m.maxTTL.String(),
	}
	// An empty list says "none"; a missing one says nothing.
	cfg.AuditNonHMACRequestKeys = m.auditRequest
	cfg.AuditNonHMACResponseKeys = m.auditResponse
	cfg.PassthroughRequestHeaders = m.passHeaders
	cfg.AllowedResponseHeaders = m.allowHeaders
	cfg.AllowedManagedKeys = m.managedKeys
	cfg.DelegatedAuthAccessors = m.delegated
	cfg.ListingVisibility = m.listing
	cfg.PluginVersion = m.pluginVersion
	cfg.IdentityTokenKey = m.identityKey
	cfg.TokenType = m.tokenType
	return cfg
}

// allOptions adds -version to the options.
func (m *mountFlags) allOptions() map[string]string {
	if m.version <= 0 {
		return m.options
	}
	all := map[string]string{"version": strconv.Itoa(m.version)}
	for k, v := range m.options {
		if k != "version" {
			all[k] = v
		}
	}
	return all
}

// tune holds what was given on the command line and nothing else, so that the
// server leaves the rest as it is.
func (m *mountFlags) tune(f *flagSet) api.TuneMountConfigInput {
	var in api.TuneMountConfigInput
	str := func(to **string, flag string, v string) {
		if f.given(flag) {
			*to = &v
		}
	}
	list := func(to **[]string, flag string, v []string) {
		if f.given(flag) {
			*to = &v
		}
	}
	str(&in.Description, "description", m.description)
	str(&in.DefaultLeaseTTL, "default-lease-ttl", ttlText(m.defaultTTL))
	str(&in.MaxLeaseTTL, "max-lease-ttl", ttlText(m.maxTTL))
	str(&in.ListingVisibility, "listing-visibility", m.listing)
	str(&in.PluginVersion, "plugin-version", m.pluginVersion)
	str(&in.IdentityTokenKey, "identity-token-key", m.identityKey)
	str(&in.TokenType, "token-type", m.tokenType)
	list(&in.AuditNonHMACRequestKeys, "audit-non-hmac-request-keys", m.auditRequest)
	list(&in.AuditNonHMACResponseKeys, "audit-non-hmac-response-keys", m.auditResponse)
	list(&in.PassthroughRequestHeaders, "passthrough-request-headers", m.passHeaders)
	list(&in.AllowedResponseHeaders, "allowed-response-headers", m.allowHeaders)
	list(&in.AllowedManagedKeys, "allowed-managed-keys", m.managedKeys)
	list(&in.DelegatedAuthAccessors, "delegated-auth-accessors", m.delegated)
	if f.given("options") || f.given("version") {
		o := m.allOptions()
		in.Options = &o
	}
	return in
}

// ttlText is a TTL for tuning, where a negative one means "the server's".
func ttlText(d time.Duration) string {
	if d < 0 {
		return "-1"
	}
	return d.String()
}

// mountTTL is how a listing shows a TTL of a mount in seconds.
func mountTTL(kind string, n int) string {
	switch {
	case kind == "system" || kind == "cubbyhole":
		return ""
	case n == 0:
		return "system"
	}
	return strconv.Itoa(n)
}

// replication tells replicated from local mounts in listings.
func replication(local bool) string {
	if local {
		return "local"
	}
	return "replicated"
}
