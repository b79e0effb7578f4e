package config

import (
	"net/netip"
	"time"
)

// Sanitized is what sys/config/state/sanitized shows (contract: sys §13). It is a list of
// what may be seen: a setting that is added to Config is hidden until it is added here too.
type Sanitized struct {
	APIAddr                   string              `json:"api_addr"`
	CacheSize                 int64               `json:"cache_size"`
	ClusterAddr               string              `json:"cluster_addr"`
	ClusterCipherSuites       string              `json:"cluster_cipher_suites"`
	ClusterName               string              `json:"cluster_name"`
	DefaultLeaseTTL           int64               `json:"default_lease_ttl"` // seconds, as all durations here
	DefaultMaxRequestDuration int64               `json:"default_max_request_duration"`
	DisableCache              bool                `json:"disable_cache"`
	DisableClustering         bool                `json:"disable_clustering"`
	DisableIndexing           bool                `json:"disable_indexing"`
	DisableMlock              bool                `json:"disable_mlock"`
	DisablePerformanceStandby bool                `json:"disable_performance_standby"`
	DisablePrintableCheck     bool                `json:"disable_printable_check"`
	DisableSealwrap           bool                `json:"disable_sealwrap"`
	EnableUI                  bool                `json:"enable_ui"`
	IntrospectionEndpoint     bool                `json:"introspection_endpoint"`
	Listeners                 []SanitizedListener `json:"listeners"`
	LogFormat                 string              `json:"log_format"`
	LogLevel                  string              `json:"log_level"`
	LogRequestsLevel          string              `json:"log_requests_level"`
	MaxLeaseTTL               int64               `json:"max_lease_ttl"`
	PIDFile                   string              `json:"pid_file"`
	PluginDirectory           string              `json:"plugin_directory"`
	RawStorageEndpoint        bool                `json:"raw_storage_endpoint"`
	Seals                     []SanitizedSeal     `json:"seals"`
	Storage                   SanitizedStorage    `json:"storage"`
	Telemetry                 *SanitizedTelemetry `json:"telemetry,omitempty"`
}

// SanitizedListener is one listener.
type SanitizedListener struct {
	Type   string                  `json:"type"`
	Config SanitizedListenerConfig `json:"config"`
}

// SanitizedListenerConfig is what of a listener's stanza may be seen: the paths of its
// certificate and key are, as operators look for them here.
type SanitizedListenerConfig struct {
	Address          string         `json:"address"`
	ClusterAddress   string         `json:"cluster_address,omitempty"`
	TLSDisable       bool           `json:"tls_disable"`
	TLSCertFile      string         `json:"tls_cert_file,omitempty"`
	TLSKeyFile       string         `json:"tls_key_file,omitempty"`
	TLSClientCAFile  string         `json:"tls_client_ca_file,omitempty"`
	MaxRequestSize   int64          `json:"max_request_size"`
	MaxDuration      int64          `json:"max_request_duration"`
	ForwardedTrusted []netip.Prefix `json:"x_forwarded_for_authorized_addrs,omitempty"`
	CertHeader       string         `json:"x_forwarded_for_client_cert_header,omitempty"`
	CertDecoders     []string       `json:"x_forwarded_for_client_cert_header_decoders,omitempty"`
}

// SanitizedSeal is one seal without its options.
type SanitizedSeal struct {
	Type     string `json:"type"`
	Disabled bool   `json:"disabled"`
}

// SanitizedStorage is the storage without its options.
type SanitizedStorage struct {
	Type              string `json:"type"`
	RedirectAddr      string `json:"redirect_addr"`
	ClusterAddr       string `json:"cluster_addr"`
	DisableClustering bool   `json:"disable_clustering"`
}

// SanitizedTelemetry is the telemetry stanza.
type SanitizedTelemetry struct {
	UsageGaugePeriod        int64    `json:"usage_gauge_period"`
	MaximumGaugeCardinality int64    `json:"maximum_gauge_cardinality"`
	DisableHostname         bool     `json:"disable_hostname"`
	EnableHostnameLabel     bool     `json:"enable_hostname_label"`
	MetricsPrefix           string   `json:"metrics_prefix"`
	LeaseMetricsEpsilon     int64    `json:"lease_metrics_epsilon"`
	NumLeaseMetricsBuckets  int64    `json:"num_lease_metrics_buckets"`
	PrefixFilter            []string `json:"prefix_filter"`
	FilterDefault           bool     `json:"filter_default"`
	PrometheusRetentionTime int64    `json:"prometheus_retention_time"`
}

// Sanitized is what may be shown of c to who may read it through the API.
func (c *Config) Sanitized() Sanitized {
	s := Sanitized{
		APIAddr:                   c.Addresses.API,
		CacheSize:                 c.Cache.Size,
		ClusterAddr:               c.Addresses.Cluster,
		ClusterName:               c.Addresses.ClusterName,
		DefaultLeaseTTL:           seconds(c.Leases.DefaultTTL),
		DefaultMaxRequestDuration: seconds(c.Leases.MaxRequestDuration),
		DisableCache:              c.Cache.Disable,
		DisableClustering:         c.Addresses.DisableClustering,
		DisableMlock:              c.Features.DisableMlock,
		EnableUI:                  c.Features.UI,
		IntrospectionEndpoint:     c.Features.IntrospectionEndpoint,
		LogFormat:                 c.Log.Format,
		LogLevel:                  c.Log.Level,
		LogRequestsLevel:          c.Log.Requests,
		MaxLeaseTTL:               seconds(c.Leases.MaxTTL),
		PIDFile:                   c.PIDFile,
		RawStorageEndpoint:        c.Features.RawStorageEndpoint,
		Seals:                     []SanitizedSeal{{Type: c.Seal.Type}},
		Storage:                   SanitizedStorage{Type: c.Storage.Declared, ClusterAddr: c.Addresses.Cluster, RedirectAddr: c.Addresses.API, DisableClustering: c.Addresses.DisableClustering},
	}
	if c.OldSeal != nil {
		s.Seals = append(s.Seals, SanitizedSeal{Type: c.OldSeal.Type, Disabled: true})
	}
	for _, l := range c.Listeners {
		s.Listeners = append(s.Listeners, SanitizedListener{Type: l.Network, Config: SanitizedListenerConfig{
			Address: l.Address, ClusterAddress: l.ClusterAddress, TLSDisable: l.TLS.Disable, TLSCertFile: l.TLS.CertFile, TLSKeyFile: l.TLS.KeyFile,
			TLSClientCAFile: l.TLS.ClientCAFile, MaxRequestSize: l.Limits.MaxSize, MaxDuration: seconds(l.Limits.MaxDuration), ForwardedTrusted: l.Forwarded.Authorized,
			CertHeader: l.Forwarded.Certificate.Header, CertDecoders: l.Forwarded.Certificate.Decoders,
		}})
	}
	if t := c.Telemetry; t != nil {
		s.Telemetry = &SanitizedTelemetry{
			UsageGaugePeriod: seconds(t.UsageGaugePeriod), MaximumGaugeCardinality: t.MaxGaugeCardinality, DisableHostname: t.DisableHostname,
			EnableHostnameLabel: t.EnableHostnameLabel, MetricsPrefix: t.MetricsPrefix, LeaseMetricsEpsilon: seconds(t.LeaseMetricsEpsilon),
			NumLeaseMetricsBuckets: t.NumLeaseMetricsBuckets, PrefixFilter: t.PrefixFilter, FilterDefault: t.FilterDefault,
			PrometheusRetentionTime: seconds(t.PrometheusRetention),
		}
	}
	return s
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }
