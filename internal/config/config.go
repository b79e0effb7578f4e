// Package config owns the server's configuration: files in HCL 1 or JSON, merged and
// overridden by the environment, become one typed Config or a list of errors that name file,
// line and key. An unknown key is an error, so that a misspelt setting is never a setting
// silently left out; what Vault knows and Jeton has no use for is a warning with the reason.
package config

import (
	"path/filepath"
	"time"
)

// Defaults (contract: config §2, §3).
const (
	DefaultLeaseTTL           = 768 * time.Hour
	DefaultMaxRequestDuration = 90 * time.Second
	// DefaultMaxRequestSize is in bytes.
	DefaultMaxRequestSize = 32 << 20
	DefaultCacheSize      = 131072
	DefaultAddress        = "127.0.0.1:8200"
)

// Config is what the server is told before it starts.
type Config struct {
	Listeners []Listener
	Storage   Storage
	// Seal is the seal in use; OldSeal the one marked disabled that its keys are migrated
	// from, nil when there is none.
	Seal    Seal
	OldSeal *Seal
	Audit   Audit
	// Telemetry is nil when there is no stanza: then there are no metrics for Prometheus.
	Telemetry *Telemetry
	Lockouts  Lockouts
	Addresses Addresses
	Leases    Leases
	Cache     Cache
	Log       Log
	Features  Features
	PIDFile   string
	// Files are the files that were read, in order.
	Files []string
	// Warnings are to be logged once logging has begun.
	Warnings []Warning
}

// Addresses is where this server tells others to find it.
type Addresses struct {
	// API is the full URL; "" where the server has to work it out from its first listener.
	API string
	// Cluster is accepted and shown; one node needs none.
	Cluster           string
	ClusterName       string
	DisableClustering bool
}

// Leases bounds every lease of a mount that is not tuned.
type Leases struct {
	DefaultTTL, MaxTTL time.Duration
	// MaxRequestDuration is for listeners that set none.
	MaxRequestDuration time.Duration
}

// Cache sizes the bounded caches.
type Cache struct {
	Disable bool
	// Size is in entries.
	Size int64
}

// Features are switches.
type Features struct {
	UI                    bool
	RawStorageEndpoint    bool
	IntrospectionEndpoint bool
	// ResponseHeaderHostname adds X-Vault-Hostname to answers.
	ResponseHeaderHostname bool
	// ResponseHeaderNodeID adds X-Vault-Raft-Node-ID to answers.
	ResponseHeaderNodeID bool
	// DisableMlock is accepted either way, as clients set it; memory is never locked.
	DisableMlock bool
}

// Log is how the server logs.
type Log struct {
	// Level is trace, debug, info, warn or error.
	Level string
	// FileLevel is what the files alone say, "" for nothing: after a reload it wins over
	// flag and environment.
	FileLevel string
	// Format is standard or json.
	Format string
	// Requests is the level at which completed requests are logged; "off" for not at all.
	Requests string
	File     LogFile
}

// LogFile is where logs go besides standard error; none when Path is "".
type LogFile struct {
	Path string
	// RotateBytes is 0 for no bound on a file's size.
	RotateBytes    int64
	RotateDuration time.Duration
	// RotateMaxFiles is how many rotated files stay: 0 all, below 0 none.
	RotateMaxFiles int64
}

// Audit is what the configuration says about audit devices.
type Audit struct {
	// Devices are declared here and cannot be changed through the API.
	Devices []AuditDevice
	// AllowedDirectories are the absolute directories below which file devices enabled
	// through the API may write; none is the server's own default.
	AllowedDirectories []string
	// AllowPrefixing permits the devices' prefix option.
	AllowPrefixing bool
}

// AuditDevice is one `audit "TYPE" "PATH" {}` stanza.
type AuditDevice struct {
	Type string
	// Path ends in a slash, as mount paths do.
	Path        string
	Description string
	Local       bool
	// Options are as written: mode = 0600 is "0600".
	Options map[string]string
	// Source is where the stanza stands, for errors of those who open the device.
	Source string
}

// fallbacks fills in what nobody set.
func (c *Config) fallbacks() {
	if c.Leases.MaxTTL == 0 {
		c.Leases.MaxTTL = DefaultLeaseTTL
	}
	if c.Leases.DefaultTTL == 0 {
		// A max below the usual default is a wish for short leases, not a contradiction.
		c.Leases.DefaultTTL = min(DefaultLeaseTTL, c.Leases.MaxTTL)
	}
	if c.Leases.MaxRequestDuration == 0 {
		c.Leases.MaxRequestDuration = DefaultMaxRequestDuration
	}
	if c.Cache.Size == 0 {
		c.Cache.Size = DefaultCacheSize
	}
	orElse(&c.Log.Level, "info")
	orElse(&c.Log.Format, "standard")
	orElse(&c.Log.Requests, "off")
	orElse(&c.Seal.Type, SealShamir)
	if c.Log.File.Path != "" {
		if c.Log.File.RotateDuration == 0 {
			c.Log.File.RotateDuration = 24 * time.Hour
		}
		c.Log.File.Path = logPath(c.Log.File.Path)
	}
	for i := range c.Listeners {
		if c.Listeners[i].Limits.MaxDuration == 0 {
			c.Listeners[i].Limits.MaxDuration = c.Leases.MaxRequestDuration
		}
	}
}

// logPath completes a log_file that names a directory or has no extension.
func logPath(path string) string {
	dir, name := filepath.Split(path)
	if name == "" {
		name = "vault.log"
	} else if filepath.Ext(name) == "" {
		name += ".log"
	}
	return filepath.Join(dir, name)
}

func orElse(s *string, value string) {
	if *s == "" {
		*s = value
	}
}
