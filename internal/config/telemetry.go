package config

import (
	"fmt"
	"strings"
	"time"
)

// Telemetry is what is measured and how it is shown (contract: config §6).
type Telemetry struct {
	// PrometheusRetention is how long a metric that is no longer updated stays; 0 switches
	// Prometheus off.
	PrometheusRetention time.Duration
	// UsageGaugePeriod is how often costly gauges are collected; 0 is never.
	UsageGaugePeriod    time.Duration
	MaxGaugeCardinality int64
	MetricsPrefix       string
	DisableHostname     bool
	EnableHostnameLabel bool
	FilterDefault       bool
	// PrefixFilter entries begin with + (show) or - (hide).
	PrefixFilter           []string
	LeaseMetricsEpsilon    time.Duration
	NumLeaseMetricsBuckets int64
}

func newTelemetry() *Telemetry {
	return &Telemetry{
		PrometheusRetention: 24 * time.Hour, UsageGaugePeriod: 10 * time.Minute, MaxGaugeCardinality: 500,
		MetricsPrefix: "vault", FilterDefault: true, LeaseMetricsEpsilon: time.Hour, NumLeaseMetricsBuckets: 168,
	}
}

func parseTelemetry(s scope, c *Config, e entry) error {
	found, err := e.val.blocks(0)
	if err != nil {
		return fmt.Errorf("error parsing 'telemetry': %w", err)
	}
	if len(found) > 1 {
		return fmt.Errorf("error parsing 'telemetry': only one \"telemetry\" block is permitted")
	}
	for _, b := range found {
		c.Telemetry = newTelemetry()
		decode(scope{d: s.d, path: "telemetry", preface: "error parsing 'telemetry': "}, c.Telemetry, b.body, telemetryGrammar())
	}
	return nil
}

func telemetryGrammar() grammar[Telemetry] {
	g := grammar[Telemetry]{
		keys: map[string]setter[Telemetry]{
			"prometheus_retention_time": period(func(t *Telemetry) *time.Duration { return &t.PrometheusRetention }),
			"usage_gauge_period":        gaugePeriod,
			"maximum_gauge_cardinality": count(func(t *Telemetry) *int64 { return &t.MaxGaugeCardinality }),
			"metrics_prefix":            text(func(t *Telemetry) *string { return &t.MetricsPrefix }),
			"disable_hostname":          toggle(func(t *Telemetry) *bool { return &t.DisableHostname }),
			"enable_hostname_label":     toggle(func(t *Telemetry) *bool { return &t.EnableHostnameLabel }),
			"filter_default":            toggle(func(t *Telemetry) *bool { return &t.FilterDefault }),
			"prefix_filter":             prefixFilter,
			"lease_metrics_epsilon":     period(func(t *Telemetry) *time.Duration { return &t.LeaseMetricsEpsilon }),
			"num_lease_metrics_buckets": count(func(t *Telemetry) *int64 { return &t.NumLeaseMetricsBuckets }),
		},
		ignored: map[string]string{
			"add_lease_metrics_namespace_labels":   "there are no namespaces",
			"add_mount_point_rollback_metrics":     "there are no rollbacks",
			"rollback_metrics_include_mount_point": "there are no rollbacks",
		},
	}
	const prometheus = "metrics are for Prometheus to read at sys/metrics"
	for _, key := range []string{
		"statsd_address", "statsite_address", "dogstatsd_addr", "dogstatsd_tags", "stackdriver_project_id",
		"stackdriver_location", "stackdriver_namespace", "stackdriver_debug_logs",
		"circonus_api_token", "circonus_api_app", "circonus_api_url", "circonus_submission_interval",
		"circonus_submission_url", "circonus_check_id", "circonus_check_force_metric_activation",
		"circonus_check_instance_id", "circonus_check_search_tag", "circonus_check_display_name",
		"circonus_check_tags", "circonus_broker_id", "circonus_broker_select_tag",
	} {
		g.ignored[key] = prometheus
	}
	return g
}

func gaugePeriod(_ scope, t *Telemetry, e entry) error {
	if got, _ := e.val.scalar(); got == "none" {
		t.UsageGaugePeriod = 0
		return nil
	}
	d, err := duration(e)
	if err == nil {
		t.UsageGaugePeriod = d
	}
	return err
}

func prefixFilter(_ scope, t *Telemetry, e entry) error {
	list, err := e.val.texts()
	if err != nil {
		return fmt.Errorf("error parsing %s: %w", e.key, err)
	}
	for _, rule := range list {
		if !strings.HasPrefix(rule, "+") && !strings.HasPrefix(rule, "-") {
			return fmt.Errorf("error parsing %s: filter rule must begin with either '+' or '-': %q", e.key, rule)
		}
	}
	t.PrefixFilter = list
	return nil
}
