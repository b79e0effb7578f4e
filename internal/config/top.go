package config

import (
	"fmt"
	"strings"
	"time"
)

// topGrammar is what may stand outside every stanza (contract: config §2).
func topGrammar() grammar[Config] {
	g := grammar[Config]{
		repeatable: []string{"storage", "backend", "ha_storage", "ha_backend", "listener", "seal", "hsm", "kms", "audit", "user_lockout"},
		keys: map[string]setter[Config]{
			"storage":      parseStorage,
			"backend":      parseStorage,
			"ha_storage":   ignoreHA,
			"ha_backend":   ignoreHA,
			"listener":     parseListeners,
			"seal":         parseSeals,
			"hsm":          parseSeals,
			"kms":          parseSeals,
			"audit":        parseAudit,
			"telemetry":    parseTelemetry,
			"user_lockout": parseLockouts,

			"api_addr":           text(func(c *Config) *string { return &c.Addresses.API }),
			"redirect_addr":      text(func(c *Config) *string { return &c.Addresses.API }),
			"cluster_addr":       text(func(c *Config) *string { return &c.Addresses.Cluster }),
			"cluster_name":       text(func(c *Config) *string { return &c.Addresses.ClusterName }),
			"disable_clustering": switchOn(func(c *Config) *bool { return &c.Addresses.DisableClustering }),

			"default_lease_ttl":            longest(func(c *Config) *time.Duration { return &c.Leases.DefaultTTL }),
			"max_lease_ttl":                longest(func(c *Config) *time.Duration { return &c.Leases.MaxTTL }),
			"default_max_request_duration": period(func(c *Config) *time.Duration { return &c.Leases.MaxRequestDuration }),
			"cache_size":                   count(func(c *Config) *int64 { return &c.Cache.Size }),
			"disable_cache":                switchOn(func(c *Config) *bool { return &c.Cache.Disable }),

			"ui":                                  switchOn(func(c *Config) *bool { return &c.Features.UI }),
			"raw_storage_endpoint":                switchOn(func(c *Config) *bool { return &c.Features.RawStorageEndpoint }),
			"introspection_endpoint":              switchOn(func(c *Config) *bool { return &c.Features.IntrospectionEndpoint }),
			"enable_response_header_hostname":     switchOn(func(c *Config) *bool { return &c.Features.ResponseHeaderHostname }),
			"enable_response_header_raft_node_id": switchOn(func(c *Config) *bool { return &c.Features.ResponseHeaderNodeID }),
			"disable_mlock":                       mlock,

			"log_level":            judged(logLevel, func(c *Config) *string { return &c.Log.Level }),
			"log_format":           judged(logFormat, func(c *Config) *string { return &c.Log.Format }),
			"log_requests_level":   judged(requestsLevel, func(c *Config) *string { return &c.Log.Requests }),
			"log_file":             text(func(c *Config) *string { return &c.Log.File.Path }),
			"log_rotate_bytes":     count(func(c *Config) *int64 { return &c.Log.File.RotateBytes }),
			"log_rotate_duration":  period(func(c *Config) *time.Duration { return &c.Log.File.RotateDuration }),
			"log_rotate_max_files": number(func(c *Config) *int64 { return &c.Log.File.RotateMaxFiles }),
			"pid_file":             text(func(c *Config) *string { return &c.PIDFile }),

			"allowed_audit_directories": allowedDirectories,
			"allow_audit_log_prefixing": switchOn(func(c *Config) *bool { return &c.Audit.AllowPrefixing }),
		},
		ignored: ignoredAtTop(),
		refused: map[string]string{
			"entropy":    "random numbers come from the operating system alone",
			"initialize": "initialise with `operator init`, which shows the keys to the one who keeps them",
		},
	}
	return g
}

// ignoredAtTop are Vault's keys that mean nothing here.
func ignoredAtTop() map[string]string {
	const (
		oneNode    = "the server is one node"
		noPlugins  = "there are no external plugins"
		noLicence  = "there is no licence"
		alwaysEncr = "all data is encrypted in the same way"
	)
	return map[string]string{
		"service_registration":            oneNode + " and registers with nobody",
		"cluster_cipher_suites":           oneNode,
		"disable_performance_standby":     oneNode,
		"disable_standby_reads":           oneNode,
		"replication":                     oneNode,
		"plugin_directory":                noPlugins,
		"plugin_tmpdir":                   noPlugins,
		"plugin_file_uid":                 noPlugins,
		"plugin_file_permissions":         noPlugins,
		"plugin_auto_download":            noPlugins,
		"plugin_auto_register":            noPlugins,
		"plugin_download_behavior":        noPlugins,
		"plugin":                          noPlugins,
		"license_path":                    noLicence,
		"license_entitlement":             noLicence,
		"reporting":                       noLicence,
		"disable_sealwrap":                alwaysEncr,
		"enable_multiseal":                "one seal is in use, and one to migrate from",
		"disable_printable_check":         "names are checked on every request",
		"disable_indexing":                "the index is part of the data",
		"disable_sentinel_trace":          "there is no Sentinel",
		"sentinel":                        "there is no Sentinel",
		"experiments":                     "there are no experiments",
		"enable_post_unseal_trace":        "profiles are read at sys/pprof",
		"post_unseal_trace_directory":     "profiles are read at sys/pprof",
		"detect_deadlocks":                "there is no such detector",
		"imprecise_lease_role_tracking":   "leases are counted exactly",
		"enable_unauthenticated_access":   "the contract's unauthenticated endpoints are always there",
		"allow_unauthenticated_workflows": "there are no such workflows",
		"unsafe_allow_api_audit_creation": "audit devices can be enabled through the API, within allowed_audit_directories",
		"unsafe_relative_paths":           "paths are relative to the working directory",
		"unsafe_cross_namespace_identity": "there are no namespaces",
		"administrative_namespace_path":   "there are no namespaces",
		"request_limiter":                 "there is no such limiter; rate-limit quotas are",
		"adaptive_overload_protection":    "there is no such limiter; rate-limit quotas are",
		"remove_irrevocable_lease_after":  "a lease that cannot be revoked stays until it is forced",
		"observations":                    "there are no observations",
		"kms_library":                     "seals are shamir, static or transit",
	}
}

// mlock accepts either value: clients set true, and no memory is locked.
func mlock(s scope, c *Config, e entry) error {
	b, err := boolean(e)
	if err != nil {
		return err
	}
	c.Features.DisableMlock = c.Features.DisableMlock || b
	if !b {
		s.warn(e.pos, e.key, "disable_mlock = false has no effect here: memory is not locked; switch swap off, or encrypt it")
	}
	return nil
}

// judged takes a word that judge accepts, in the form it gives back.
func judged(judge func(string) (string, error), field func(*Config) *string) setter[Config] {
	return func(_ scope, c *Config, e entry) error {
		got, err := e.val.scalar()
		if err != nil {
			return fmt.Errorf("error parsing %s: %w", e.key, err)
		}
		if got == "" {
			return nil
		}
		word, err := judge(got)
		if err != nil {
			return fmt.Errorf("invalid value for %s: %w", e.key, err)
		}
		*field(c) = word
		return nil
	}
}

// LogLevel is the canonical name of a log level; the error is `unknown log level: x`. The
// server's flags use it too.
func LogLevel(name string) (string, error) { return logLevel(name) }

func logLevel(name string) (string, error) {
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "trace":
		return "trace", nil
	case "debug":
		return "debug", nil
	case "info", "notice":
		return "info", nil
	case "warn", "warning":
		return "warn", nil
	case "err", "error":
		return "error", nil
	}
	return "", fmt.Errorf("unknown log level: %s", name)
}

func requestsLevel(name string) (string, error) {
	if strings.EqualFold(name, "off") {
		return "off", nil
	}
	return logLevel(name)
}

func logFormat(name string) (string, error) {
	switch name = strings.ToLower(strings.TrimSpace(name)); name {
	case "standard", "json":
		return name, nil
	}
	return "", fmt.Errorf("unknown log format: %s", name)
}
