package sys

import (
	"context"
	"slices"
	"time"

	"jeton/internal/backend"
	"jeton/internal/mount"
)

// tuneRequest changes what it names. Contract: sys §7 tune.
type tuneRequest struct {
	DefaultLeaseTTL           *string            `json:"default_lease_ttl" doc:"The life of leases that ask for none; system inherits."`
	MaxLeaseTTL               *string            `json:"max_lease_ttl" doc:"The bound on every lease; system inherits."`
	Description               *string            `json:"description" doc:"What the mount is for."`
	ForceNoCache              *bool              `json:"force_no_cache" doc:"Kept and shown."`
	AuditNonHMACRequestKeys   *backend.CommaList `json:"audit_non_hmac_request_keys" doc:"Request members that the audit log shows in clear."`
	AuditNonHMACResponseKeys  *backend.CommaList `json:"audit_non_hmac_response_keys" doc:"Response members that the audit log shows in clear."`
	ListingVisibility         *string            `json:"listing_visibility" doc:"unauth shows the mount to those without a token."`
	PassthroughRequestHeaders *backend.CommaList `json:"passthrough_request_headers" doc:"Request headers that the backend sees."`
	AllowedResponseHeaders    *backend.CommaList `json:"allowed_response_headers" doc:"Response headers that the backend may set."`
	TokenType                 *string            `json:"token_type" doc:"The type of tokens that an auth method's logins get."`
	Options                   *backend.Pairs     `json:"options" doc:"The engine's own options."`
	PluginName                *string            `json:"plugin_name" doc:"Kept out: every backend is compiled in."`
	PluginVersion             *string            `json:"plugin_version" doc:"Of what is compiled in, if anything."`
	UserLockout               map[string]any     `json:"user_lockout_config" doc:"When wrong passwords lock a user out."`
}

type lockoutRequest struct {
	Threshold    *int             `json:"lockout_threshold" doc:"Wrong passwords until the lock."`
	Duration     *backend.Seconds `json:"lockout_duration" doc:"How long the lock holds."`
	CounterReset *backend.Seconds `json:"lockout_counter_reset_duration" doc:"How long a wrong password is remembered."`
	Disable      *bool            `json:"lockout_disable" doc:"Never lock."`
}

// tuningReply is a mount's tuning with the limits that hold. Contract: sys §7 GET tune.
type tuningReply struct {
	AuditNonHMACRequestKeys   []string          `json:"audit_non_hmac_request_keys,omitempty"`
	AuditNonHMACResponseKeys  []string          `json:"audit_non_hmac_response_keys,omitempty"`
	DefaultLeaseTTL           backend.Seconds   `json:"default_lease_ttl"`
	Description               string            `json:"description"`
	ForceNoCache              bool              `json:"force_no_cache"`
	ListingVisibility         string            `json:"listing_visibility,omitempty"`
	MaxLeaseTTL               backend.Seconds   `json:"max_lease_ttl"`
	Options                   map[string]string `json:"options,omitempty"`
	PassthroughRequestHeaders []string          `json:"passthrough_request_headers,omitempty"`
	AllowedResponseHeaders    []string          `json:"allowed_response_headers,omitempty"`
	PluginVersion             string            `json:"plugin_version,omitempty"`
	TokenType                 string            `json:"token_type,omitempty"`
	LockoutThreshold          *int              `json:"user_lockout_threshold,omitempty"`
	LockoutDuration           *backend.Seconds  `json:"user_lockout_duration,omitempty"`
	LockoutCounterReset       *backend.Seconds  `json:"user_lockout_counter_reset_duration,omitempty"`
	LockoutDisable            *bool             `json:"user_lockout_disable,omitempty"`
}

func (s *System) readTuning(prefix string) func(context.Context, *backend.Call, *pathRequest) (*tuningReply, error) {
	return func(_ context.Context, _ *backend.Call, req *pathRequest) (*tuningReply, error) {
		path := mountPath(req.Path)
		m, ok := s.Mounts.At(prefix + path)
		if !ok {
			return nil, backend.Invalidf("cannot fetch sysview for path %q", path)
		}
		t := &m.Entry.Tuning
		reply := &tuningReply{
			AuditNonHMACRequestKeys: t.NonHMACRequestKeys, AuditNonHMACResponseKeys: t.NonHMACResponseKeys,
			DefaultLeaseTTL: backend.Seconds(m.Info.DefaultTTL), MaxLeaseTTL: backend.Seconds(m.Info.MaxTTL),
			Description: m.Entry.Description, ForceNoCache: t.ForceNoCache, ListingVisibility: t.ListingVisibility,
			Options: m.Entry.Options, PassthroughRequestHeaders: t.PassthroughHeaders,
			AllowedResponseHeaders: t.AllowedResponseHeaders, PluginVersion: t.PluginVersion, TokenType: t.TokenType,
		}
		if l := t.Lockout; l != nil {
			duration, reset, disabled := backend.Seconds(l.Duration), backend.Seconds(l.CounterReset), l.Disabled != nil && *l.Disabled
			reply.LockoutThreshold, reply.LockoutDuration, reply.LockoutCounterReset, reply.LockoutDisable =
				&l.Threshold, &duration, &reset, &disabled
		}
		return reply, nil
	}
}

type tuneEndpoint struct {
	system *System
	prefix string
}

func (s *System) tuneEndpoint(prefix string) tuneEndpoint { return tuneEndpoint{s, prefix} }

// serve tunes the mount at path, all of what was asked or nothing of it.
func (t tuneEndpoint) serve(ctx context.Context, c *backend.Call, path string) (*backend.Response, error) {
	path = mountPath(path)
	req, err := backend.Decode[tuneRequest](c.Data)
	if err != nil {
		return nil, err
	}
	full := t.prefix + path
	if slices.Contains([]string{"cubbyhole/", "sys/", "audit/", "identity/"}, full) && !req.onlyAuditKeys() {
		return nil, backend.Invalidf("cannot tune %q", full)
	}
	upgraded := false
	err = t.system.Mounts.Tune(ctx, full, func(e *mount.Entry) error {
		before := e.Options["version"]
		if err := req.apply(e); err != nil {
			return err
		}
		upgraded = e.Options["version"] == "2" && before != "2" && e.Type == "kv"
		return checkTuned(t.system.Mounts, e, before)
	})
	if mount.NotMounted(err) {
		return nil, backend.Invalidf("tune of path %q failed: no mount entry found", full)
	}
	if err != nil {
		return nil, err
	}
	if req.UserLockout != nil && t.neverLocks(full) {
		c.Warn("Nobody is ever locked out of this method: its secrets are random and cannot be guessed, and a lock would let strangers keep services out.")
	}
	if upgraded {
		c.Warn("Upgrading mount from version 1 to version 2. The mount was unavailable for a brief period and serves again.")
	}
	return nil, nil
}

// neverLocks says whether the mount promises a lockout that its method does not have: AppRole's,
// whose lock would bear the name of the role id, which is no secret (contract: auth-methods §8 [!]).
func (t tuneEndpoint) neverLocks(path string) bool {
	m, ok := t.system.Mounts.At(path)
	if !ok || m.Entry.Tuning.Lockout == nil {
		return false
	}
	_, locks := m.Backend.(backend.Locker)
	off := m.Entry.Tuning.Lockout.Disabled
	return !locks && (off == nil || !*off)
}

// checkTuned judges the whole entry as it would become.
func checkTuned(mounts *mount.Table, e *mount.Entry, versionBefore string) error {
	if d, m := e.Tuning.DefaultTTL, e.Tuning.MaxTTL; m > 0 && d > m {
		return backend.Invalidf("backend max lease TTL of %s would be less than backend default lease TTL of %s", secondsText(m), secondsText(d))
	} else if defaultTTL, maxTTL := mounts.Effective(e.Tuning); m > 0 && defaultTTL > maxTTL && d == 0 {
		return backend.Invalidf("backend max lease TTL of %s would be less than backend default lease TTL of %s", secondsText(m), secondsText(defaultTTL))
	}
	version := e.Options["version"]
	switch {
	case version == versionBefore || e.Type != "kv":
		return nil
	case versionBefore == "2":
		return backend.Invalidf("cannot downgrade mount from version 2")
	case version != "1" && version != "2":
		return backend.Invalidf("invalid version provided")
	}
	return nil
}

// onlyAuditKeys says whether nothing but the audit keys is asked for.
func (r *tuneRequest) onlyAuditKeys() bool {
	rest := *r
	rest.AuditNonHMACRequestKeys, rest.AuditNonHMACResponseKeys = nil, nil
	return rest.DefaultLeaseTTL == nil && rest.MaxLeaseTTL == nil && rest.Description == nil && rest.ForceNoCache == nil &&
		rest.ListingVisibility == nil && rest.PassthroughRequestHeaders == nil && rest.AllowedResponseHeaders == nil &&
		rest.TokenType == nil && rest.Options == nil && rest.PluginVersion == nil && rest.UserLockout == nil
}

// apply writes what was asked onto an entry.
func (r *tuneRequest) apply(e *mount.Entry) error {
	if err := setTTL(&e.Tuning.DefaultTTL, r.DefaultLeaseTTL, "default"); err != nil {
		return err
	}
	if err := setTTL(&e.Tuning.MaxTTL, r.MaxLeaseTTL, "max"); err != nil {
		return err
	}
	if v := r.ListingVisibility; v != nil {
		if !slices.Contains([]string{"", "hidden", "unauth"}, *v) {
			return backend.Invalidf("invalid listing_visibility")
		}
		e.Tuning.ListingVisibility = *v
	}
	if err := r.applyTokenType(e); err != nil {
		return err
	}
	setText(&e.Description, r.Description)
	if v := r.PluginVersion; v != nil {
		if err := setPluginVersion(e, *v); err != nil {
			return err
		}
	}
	if r.ForceNoCache != nil {
		e.Tuning.ForceNoCache = *r.ForceNoCache
	}
	setList(&e.Tuning.NonHMACRequestKeys, r.AuditNonHMACRequestKeys)
	setList(&e.Tuning.NonHMACResponseKeys, r.AuditNonHMACResponseKeys)
	setList(&e.Tuning.PassthroughHeaders, r.PassthroughRequestHeaders)
	setList(&e.Tuning.AllowedResponseHeaders, r.AllowedResponseHeaders)
	if r.Options != nil {
		if e.Options == nil {
			e.Options = map[string]string{}
		}
		for name, value := range *r.Options {
			if value == "" {
				delete(e.Options, name)
			} else {
				e.Options[name] = value
			}
		}
	}
	return r.applyLockout(e)
}

func (r *tuneRequest) applyTokenType(e *mount.Entry) error {
	v := r.TokenType
	switch {
	case v == nil || *v == "":
		return nil
	case e.Class() != mount.AuthClass:
		return backend.Invalidf("'token_type' can only be modified on auth mounts")
	case e.Type == "token":
		return backend.Invalidf("'token_type' cannot be set for 'token' or 'ns_token' auth mounts")
	case !slices.Contains([]string{"default-service", "default-batch", "service", "batch"}, *v):
		return backend.Invalidf("invalid value for 'token_type'")
	}
	e.Tuning.TokenType = *v
	return nil
}

func (r *tuneRequest) applyLockout(e *mount.Entry) error {
	if r.UserLockout == nil {
		return nil
	}
	if !slices.Contains([]string{"userpass", "ldap", "approle"}, e.Type) {
		return backend.Invalidf("tuning of user lockout configuration for auth type %q not allowed", e.Type)
	}
	req, err := backend.Decode[lockoutRequest](r.UserLockout)
	if err != nil {
		return err
	}
	next := mount.Lockout{}
	if e.Tuning.Lockout != nil {
		next = *e.Tuning.Lockout
	}
	if req.Threshold != nil {
		if *req.Threshold < 0 {
			return backend.Invalidf("invalid value for lockout_threshold")
		}
		next.Threshold = *req.Threshold
	}
	if req.Duration != nil {
		next.Duration = req.Duration.Duration()
	}
	if req.CounterReset != nil {
		next.CounterReset = req.CounterReset.Duration()
	}
	if req.Disable != nil {
		next.Disabled = req.Disable
	}
	e.Tuning.Lockout = &next
	return nil
}

// setTTL reads a limit: "" and absent leave it, "system" inherits. Contract: sys §7.
func setTTL(field *time.Duration, text *string, name string) error {
	if text == nil || *text == "" {
		return nil
	}
	if *text == "system" {
		*field = 0
		return nil
	}
	d, err := backend.ParseDuration(*text)
	if err != nil || d < 0 {
		return backend.Invalidf("unable to parse %s TTL", name)
	}
	*field = d
	return nil
}

func setText(field, to *string) {
	if to != nil {
		*field = *to
	}
}

func setList(field *[]string, to *backend.CommaList) {
	if to != nil {
		*field = *to
	}
}
