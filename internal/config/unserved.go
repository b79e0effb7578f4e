package config

import "strings"

// Unserved is a setting that the language has and this release does not act on. A key that
// protects something is refused, as a server without it would be less safe than its
// operator believes; any other is a warning. internal/arch fails the build when a setting is
// read by nobody and has no row here, or has a row and is read: the list can only be true.
type Unserved struct {
	// Key is the path of the key; listeners' keys are below "listener" for both networks.
	Key string
	// Field is the Go field that holds it, "Type.Field", or "Type.*" for a whole group.
	Field    string
	Protects bool
}

// UnservedSettings is the list.
func UnservedSettings() []Unserved {
	return []Unserved{
		{Key: "cache_size", Field: "Cache.Size"},
		{Key: "disable_cache", Field: "Cache.Disable"},
		{Key: "ui", Field: "Features.UI"},
		{Key: "introspection_endpoint", Field: "Features.IntrospectionEndpoint"},
		{Key: "log_rotate_bytes", Field: "LogFile.RotateBytes"},
		{Key: "log_rotate_duration", Field: "LogFile.RotateDuration"},
		{Key: "log_rotate_max_files", Field: "LogFile.RotateMaxFiles"},
		{Key: "telemetry.usage_gauge_period", Field: "Telemetry.UsageGaugePeriod"},
		{Key: "telemetry.disable_hostname", Field: "Telemetry.DisableHostname"},
		{Key: "telemetry.enable_hostname_label", Field: "Telemetry.EnableHostnameLabel"},
		{Key: "telemetry.lease_metrics_epsilon", Field: "Telemetry.LeaseMetricsEpsilon"},
		{Key: "telemetry.num_lease_metrics_buckets", Field: "Telemetry.NumLeaseMetricsBuckets"},
		{Key: "listener.role", Field: "Exposure.MetricsOnly", Protects: true},
	}
}

// unservedRow finds the row of a key.
func (d *decoder) unservedRow(key string) (Unserved, bool) {
	for _, network := range []string{"tcp", "unix"} {
		if rest, ok := strings.CutPrefix(key, "listener."+network+"."); ok {
			key = "listener." + rest
		}
	}
	for _, u := range d.unserved {
		if u.Key == key {
			return u, true
		}
	}
	return Unserved{}, false
}

// checkServed complains about a key that this release does not act on, unless it switches
// something off that is off.
func (s scope) checkServed(e entry, name string) {
	u, found := s.d.unservedRow(s.key(name))
	if !found {
		return
	}
	if off, err := parseBool(e.val.text); err == nil && !off && e.val.kind != kindObject && e.val.kind != kindList {
		return
	}
	if u.Protects {
		s.fail(e.pos, name, name+" is not supported by this release; it would protect something, so it is refused rather than ignored")
		return
	}
	s.warn(e.pos, name, "%s has no effect in this release", s.key(name))
}
