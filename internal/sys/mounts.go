package sys

import (
	"context"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"jeton/internal/backend"
	"jeton/internal/mount"
)

func (s *System) mountRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "mounts", Summary: "List the secrets engines.", Inject: true, Read: backend.Handle(s.listMounts(mount.SecretClass))},
		{Pattern: "mounts/{path...}", Summary: "A secrets engine, and with /tune at the end its tuning.", Inject: true,
			Read: backend.Handle(s.readMount), Write: backend.Handle(s.writeMount), Delete: backend.Handle(s.deleteMount(""))},
	}
}

func (s *System) authRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "auth", Summary: "List the auth methods.", Inject: true, Read: backend.Handle(s.listMounts(mount.AuthClass))},
		{Pattern: "auth/{path...}", Summary: "An auth method, and with /tune at the end its tuning.", Inject: true, Sudo: true,
			Read: backend.Handle(s.readAuth), Write: backend.Handle(s.writeAuth), Delete: backend.Handle(s.deleteMount(mount.AuthPrefix))},
	}
}

// mountInfo is a mount as it is listed. Contract: sys §7.
type mountInfo struct {
	Accessor              string            `json:"accessor"`
	Config                mountConfig       `json:"config"`
	DeprecationStatus     string            `json:"deprecation_status"`
	Description           string            `json:"description"`
	ExternalEntropyAccess bool              `json:"external_entropy_access"`
	Local                 bool              `json:"local"`
	Options               map[string]string `json:"options"`
	PluginVersion         string            `json:"plugin_version"`
	RunningPluginVersion  string            `json:"running_plugin_version"`
	RunningSHA256         string            `json:"running_sha256"`
	SealWrap              bool              `json:"seal_wrap"`
	Type                  string            `json:"type"`
	UUID                  string            `json:"uuid"`
	Path                  string            `json:"path,omitempty"`
}

type mountConfig struct {
	DefaultLeaseTTL           backend.Seconds `json:"default_lease_ttl"`
	MaxLeaseTTL               backend.Seconds `json:"max_lease_ttl"`
	ForceNoCache              bool            `json:"force_no_cache"`
	AuditNonHMACRequestKeys   []string        `json:"audit_non_hmac_request_keys,omitempty"`
	AuditNonHMACResponseKeys  []string        `json:"audit_non_hmac_response_keys,omitempty"`
	ListingVisibility         string          `json:"listing_visibility,omitempty"`
	PassthroughRequestHeaders []string        `json:"passthrough_request_headers,omitempty"`
	AllowedResponseHeaders    []string        `json:"allowed_response_headers,omitempty"`
	TokenType                 string          `json:"token_type,omitempty"`
	UserLockout               *lockoutConfig  `json:"user_lockout_config,omitempty"`
}

type lockoutConfig struct {
	Threshold    int             `json:"lockout_threshold"`
	Duration     backend.Seconds `json:"lockout_duration"`
	CounterReset backend.Seconds `json:"lockout_counter_reset_duration"`
	Disable      bool            `json:"lockout_disable"`
}

// describeMount shows an entry. Times are the entry's own: 0 inherits.
func describeMount(m *mount.Mounted) *mountInfo {
	e := &m.Entry
	t := &e.Tuning
	info := &mountInfo{
		Accessor: e.Accessor, Description: e.Description, Local: e.Local, SealWrap: e.SealWrap,
		ExternalEntropyAccess: e.ExternalEntropy, Options: e.Options, UUID: e.UUID, Type: shownType(e),
		DeprecationStatus: "supported", PluginVersion: t.PluginVersion,
		Config: mountConfig{
			DefaultLeaseTTL: backend.Seconds(t.DefaultTTL), MaxLeaseTTL: backend.Seconds(t.MaxTTL), ForceNoCache: t.ForceNoCache,
			AuditNonHMACRequestKeys: t.NonHMACRequestKeys, AuditNonHMACResponseKeys: t.NonHMACResponseKeys,
			ListingVisibility: t.ListingVisibility, PassthroughRequestHeaders: t.PassthroughHeaders,
			AllowedResponseHeaders: t.AllowedResponseHeaders, TokenType: t.TokenType,
		},
	}
	if l := t.Lockout; l != nil {
		info.Config.UserLockout = &lockoutConfig{Threshold: l.Threshold, Duration: backend.Seconds(l.Duration),
			CounterReset: backend.Seconds(l.CounterReset), Disable: l.Disabled != nil && *l.Disabled}
	}
	return info
}

func shownType(e *mount.Entry) string {
	if e.ShownType != "" {
		return e.ShownType
	}
	return e.Type
}

func (s *System) listMounts(class mount.Class) func(context.Context, *backend.Call, *backend.None) (*map[string]*mountInfo, error) {
	return func(context.Context, *backend.Call, *backend.None) (*map[string]*mountInfo, error) {
		list := map[string]*mountInfo{}
		for _, m := range s.Mounts.All(class) {
			list[strings.TrimPrefix(m.Entry.Path, mount.AuthPrefix)] = describeMount(m)
		}
		return &list, nil
	}
}

type pathRequest struct {
	Path string `json:"path" doc:"The path of the mount."`
}

// tuneSuffix turns a mount's path into its tuning's.
const tuneSuffix = "/tune"

func (s *System) readMount(ctx context.Context, c *backend.Call, req *pathRequest) (*backend.Response, error) {
	return s.readEither(ctx, c, req, "", "No secret engine mount at %s")
}

func (s *System) readAuth(ctx context.Context, c *backend.Call, req *pathRequest) (*backend.Response, error) {
	return s.readEither(ctx, c, req, mount.AuthPrefix, "No auth engine at %s")
}

func (s *System) readEither(ctx context.Context, c *backend.Call, req *pathRequest, prefix, missing string) (*backend.Response, error) {
	if path, ok := strings.CutSuffix(req.Path, tuneSuffix); ok {
		data, err := s.readTuning(prefix)(ctx, c, &pathRequest{Path: path})
		return &backend.Response{Data: data}, err
	}
	path := mountPath(req.Path)
	m, ok := s.Mounts.At(prefix + path)
	if !ok {
		return nil, backend.Invalidf(missing, path)
	}
	return &backend.Response{Data: describeMount(m)}, nil
}

// astray says that the paths of secrets engines were used to change an auth method: those of
// auth methods need sudo, and there must be no way round it. Reading is no change: GET sys/auth
// shows all methods without sudo, and GetAuth of the official Go client reads sys/mounts/auth/NAME.
func astray(prefix, path string) bool {
	return prefix == "" && strings.HasPrefix(path, mount.AuthPrefix)
}

func (s *System) deleteMount(prefix string) func(context.Context, *backend.Call, *pathRequest) (*backend.None, error) {
	return func(ctx context.Context, _ *backend.Call, req *pathRequest) (*backend.None, error) {
		path := prefix + mountPath(req.Path)
		if astray(prefix, path) {
			return nil, backend.Invalidf("cannot unmount %q", path)
		}
		return nil, s.Mounts.Remove(ctx, path)
	}
}

// mountRequest mounts a backend. Contract: sys §7 POST.
type mountRequest struct {
	Path                  string         `json:"path" doc:"The path of the mount."`
	Type                  string         `json:"type" doc:"The type of the backend, such as kv or approle."`
	Description           string         `json:"description" doc:"What it is for."`
	Config                map[string]any `json:"config" doc:"Its tuning."`
	Options               backend.Pairs  `json:"options" doc:"The engine's own options, such as version for kv."`
	Local                 bool           `json:"local" doc:"Kept and shown; one node has nothing to replicate."`
	SealWrap              bool           `json:"seal_wrap" doc:"Kept and shown; every record is encrypted."`
	ExternalEntropyAccess bool           `json:"external_entropy_access" doc:"Kept and shown."`
	PluginName            string         `json:"plugin_name" doc:"The type, where type is plugin."`
	PluginVersion         string         `json:"plugin_version" doc:"Of what is compiled in, if anything."`
	tuneMembers
}

// tuneMembers are what a write to /tune takes besides. The two share a pattern, and are told
// apart by the path's end: tuneRequest reads them.
type tuneMembers struct {
	DefaultLeaseTTL           any `json:"default_lease_ttl" doc:"With /tune: the life of leases that ask for none; system inherits."`
	MaxLeaseTTL               any `json:"max_lease_ttl" doc:"With /tune: the bound on every lease; system inherits."`
	ForceNoCache              any `json:"force_no_cache" doc:"With /tune: kept and shown."`
	AuditNonHMACRequestKeys   any `json:"audit_non_hmac_request_keys" doc:"With /tune: request members that the audit log shows in clear."`
	AuditNonHMACResponseKeys  any `json:"audit_non_hmac_response_keys" doc:"With /tune: response members that the audit log shows in clear."`
	ListingVisibility         any `json:"listing_visibility" doc:"With /tune: unauth shows the mount to those without a token."`
	PassthroughRequestHeaders any `json:"passthrough_request_headers" doc:"With /tune: request headers that the backend sees."`
	AllowedResponseHeaders    any `json:"allowed_response_headers" doc:"With /tune: response headers that the backend may set."`
	TokenType                 any `json:"token_type" doc:"With /tune: the type of tokens that an auth method's logins get."`
	UserLockout               any `json:"user_lockout_config" doc:"With /tune: when wrong passwords lock a user out."`
}

func (s *System) writeMount(ctx context.Context, c *backend.Call, req *mountRequest) (*backend.Response, error) {
	return s.writeEither(ctx, c, req, "")
}

func (s *System) writeAuth(ctx context.Context, c *backend.Call, req *mountRequest) (*backend.Response, error) {
	return s.writeEither(ctx, c, req, mount.AuthPrefix)
}

// writeEither mounts, or tunes where the path says so. The two share a pattern because a
// mount's path may have any number of segments.
func (s *System) writeEither(ctx context.Context, c *backend.Call, req *mountRequest, prefix string) (*backend.Response, error) {
	if path, ok := strings.CutSuffix(req.Path, tuneSuffix); ok {
		return s.tuneEndpoint(prefix).serve(ctx, c, path)
	}
	entry := mount.Entry{
		Path: prefix + mountPath(req.Path), Type: req.Type, Description: req.Description, Options: req.Options,
		Local: req.Local, SealWrap: req.SealWrap, ExternalEntropy: req.ExternalEntropyAccess,
	}
	if req.Type == "" {
		return nil, backend.Invalidf("backend type must be specified as a string")
	}
	if astray(prefix, entry.Path) {
		return nil, backend.Invalidf("cannot mount %q", entry.Path)
	}
	if req.Type == "plugin" {
		if entry.Type = req.PluginName; entry.Type == "" {
			return nil, backend.Invalidf("plugin_name must be provided for plugin backend")
		}
	}
	versionedType(&entry)
	if err := s.firstTuning(&entry, req.Config); err != nil {
		return nil, err
	}
	if req.SealWrap || req.ExternalEntropyAccess {
		c.Warn("seal_wrap and external_entropy_access are kept and have no effect: every record is encrypted with the keyring, by this machine's randomness")
	}
	if err := setPluginVersion(&entry, req.PluginVersion); err != nil {
		return nil, err
	}
	return nil, s.Mounts.Add(ctx, entry)
}

// versionedType resolves the names under which kv is also known. Contract: sys §7, secrets §1.
func versionedType(e *mount.Entry) {
	version := ""
	switch e.Type {
	case "kv-v1":
		e.Type, version = "kv", "1"
	case "kv-v2":
		e.Type, version = "kv", "2"
	case "generic":
		e.Type, e.ShownType = "kv", "generic"
	}
	if version != "" {
		if e.Options == nil {
			e.Options = map[string]string{}
		}
		e.Options["version"] = version
	}
	if e.Type == "kv" && e.Options == nil {
		e.Options = map[string]string{}
	}
}

// firstTuning reads the config of a new mount.
func (s *System) firstTuning(e *mount.Entry, config map[string]any) error {
	if config == nil {
		return nil
	}
	req, err := backend.Decode[tuneRequest](config)
	if err != nil {
		return backend.Invalidf("unable to convert given mount config information")
	}
	if err := req.apply(e); err != nil {
		return err
	}
	system := s.Mounts.System()
	defaultTTL, maxTTL := e.Tuning.DefaultTTL, e.Tuning.MaxTTL
	switch {
	case maxTTL > 0 && defaultTTL > maxTTL:
		return backend.Invalidf("given default lease TTL greater than given max lease TTL")
	case maxTTL == 0 && defaultTTL > system.MaxTTL:
		return backend.Invalidf("given default lease TTL greater than system max lease TTL of %d", int64(system.MaxTTL/time.Second))
	}
	return nil
}

func (s *System) remountRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "remount", Summary: "Move a mount.", Sudo: true, Inject: true, Write: backend.Handle(s.remount)},
		{Pattern: "remount/status/{migration_id}", Summary: "How a move went.", Read: backend.Handle(s.remountStatus)},
	}
}

type remountRequest struct {
	From string `json:"from" doc:"The path of the mount."`
	To   string `json:"to" doc:"Its new path."`
}

type remountReply struct {
	MigrationID string `json:"migration_id"`
}

func (s *System) remount(ctx context.Context, c *backend.Call, req *remountRequest) (*remountReply, error) {
	if req.From == "" || req.To == "" {
		return nil, backend.Invalidf("both 'from' and 'to' path must be specified as a string")
	}
	for _, p := range []struct{ name, path string }{{"from", req.From}, {"to", req.To}} {
		if strings.TrimSpace(p.path) != p.path {
			return nil, backend.Invalidf("'%s' path cannot contain leading or trailing whitespace", p.name)
		}
		if !utf8.ValidString(p.path) || strings.ContainsFunc(p.path, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return nil, backend.Invalidf("path cannot contain non-printable characters")
		}
		// What requests cannot name must not be mounted: it could be read in two ways.
		if trimmed := strings.Trim(p.path, "/"); path.Clean(trimmed) != trimmed || trimmed == "." || trimmed == ".." || strings.HasPrefix(trimmed, "../") {
			return nil, backend.Invalidf("'%s' path does not match its cleaned form", p.name)
		}
	}
	if err := s.Mounts.Move(ctx, mountPath(req.From), mountPath(req.To)); err != nil {
		return nil, err
	}
	s.moves.add(c.RequestID, migration{Source: mountPath(req.From), Target: mountPath(req.To), Status: "success"})
	// The move is done: clients list the mounts at once and expect to see it.
	c.Warn("Mount move has been queued, and is done already: sys/remount/status says how it went")
	return &remountReply{MigrationID: c.RequestID}, nil
}

type migrationRequest struct {
	ID string `json:"migration_id" doc:"What the move answered."`
}

// migration is a move that was made.
type migration struct {
	Source string `json:"source_mount"`
	Target string `json:"target_mount"`
	Status string `json:"status"`
}

type migrationReply struct {
	ID   string    `json:"migration_id"`
	Info migration `json:"migration_info"`
}

// moves remembers the last moves since unseal, for clients that poll for the outcome.
type moves struct {
	mu sync.Mutex
	// byID and order are guarded by mu; order has the oldest first.
	byID  map[string]migration
	order []string
}

// movesKept bounds what is remembered.
const movesKept = 256

func (m *moves) add(id string, move migration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byID == nil {
		m.byID = map[string]migration{}
	}
	m.byID[id] = move
	if m.order = append(m.order, id); len(m.order) > movesKept {
		delete(m.byID, m.order[0])
		m.order = m.order[1:]
	}
}

func (m *moves) get(id string) (migration, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	move, ok := m.byID[id]
	return move, ok
}

func (s *System) remountStatus(_ context.Context, _ *backend.Call, req *migrationRequest) (*migrationReply, error) {
	move, ok := s.moves.get(req.ID)
	if !ok {
		return nil, backend.Missing()
	}
	return &migrationReply{ID: req.ID, Info: move}, nil
}

// secondsText is a duration as tuning errors show it.
func secondsText(d time.Duration) string { return fmt.Sprintf("%d", int64(d/time.Second)) }
