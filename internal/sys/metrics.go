package sys

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"jeton/internal/backend"
	"jeton/internal/metrics"
	"jeton/internal/token"
)

// measureRoutes are what operators watch. Their answers have no envelope; a listener can be told
// to show them without a token. Contract: sys §18.
func (s *System) measureRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "metrics", Summary: "Measurements, as JSON or for Prometheus.", Read: backend.Handle(s.readMetrics)},
		{Pattern: "in-flight-req", Summary: "The requests that are being served.", Read: backend.Handle(s.inFlight)},
	}
}

type metricsRequest struct {
	Format string `json:"format" doc:"Empty for JSON, prometheus for text."`
}

// plainText is an answer of words.
func plainText(status int, text string) *backend.Response {
	return &backend.Response{Status: status, Raw: &backend.Raw{ContentType: "text/plain", Body: []byte(text)}}
}

// wantsPrometheus says whether an Accept header names a form that Prometheus asks for.
func wantsPrometheus(accept string) bool {
	return strings.Contains(accept, "application/openmetrics-text") || strings.Contains(accept, "prometheus")
}

func (s *System) readMetrics(ctx context.Context, c *backend.Call, req *metricsRequest) (*backend.Response, error) {
	format := req.Format
	if format == "" && wantsPrometheus(c.Header("Accept")) {
		format = "prometheus"
	}
	switch {
	case format != "" && format != "prometheus":
		return plainText(400, fmt.Sprintf("metric response format %q unknown", format)), nil
	case format == "prometheus" && !s.Process.Metrics.Settings().Prometheus:
		return plainText(400, "prometheus is not enabled"), nil
	}
	gauges, err := s.gauges(ctx)
	if err != nil {
		return nil, err
	}
	if format == "prometheus" {
		return &backend.Response{Raw: &backend.Raw{ContentType: "text/plain; version=0.0.4; charset=utf-8", Body: s.Process.Metrics.Text(gauges)}}, nil
	}
	return bare(s.Process.Metrics.Summary(gauges, s.Clock.Now()))
}

// bare is an answer in JSON without an envelope.
func bare(v any) (*backend.Response, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return &backend.Response{Raw: &backend.Raw{ContentType: "application/json", Body: append(body, '\n')}}, nil
}

// gauges ask the rooms for what they own. No answer costs a walk over tokens.
func (s *System) gauges(ctx context.Context) ([]metrics.Gauge, error) {
	all := []metrics.Gauge{{Name: "core.unsealed", Value: 1}, {Name: "core.active", Value: 1}}
	byPolicy, total, err := s.Tokens.Count(ctx, token.CountByPolicy)
	if err != nil {
		return nil, err
	}
	all = append(all, metrics.Gauge{Name: "token.count", Value: float64(total)})
	most := s.Process.Metrics.Settings().MaxGaugeCardinality
	for i, c := range byPolicy {
		if most > 0 && i >= most {
			break
		}
		all = append(all, metrics.Gauge{Name: "token.count.by_policy", Labels: metrics.Labels{"policy": c.Value}, Value: float64(c.Count)})
	}
	stuck, err := s.Leases.CountIrrevocable(ctx)
	if err != nil {
		return nil, err
	}
	irrevocable := 0
	for _, n := range stuck {
		irrevocable += n
	}
	all = append(all, metrics.Gauge{Name: "expire.num_irrevocable_leases", Value: float64(irrevocable)})
	quotas, err := s.Quotas.All(ctx)
	if err != nil {
		return nil, err
	}
	for _, q := range quotas {
		labels := metrics.Labels{"name": q.Name}
		all = append(all, metrics.Gauge{Name: "quota.lease_count.counter", Labels: labels, Value: float64(q.Counter)},
			metrics.Gauge{Name: "quota.lease_count.max", Labels: labels, Value: float64(q.MaxLeases)})
	}
	if unlocked := s.Keeper.Current(); unlocked != nil {
		status, err := unlocked.Keyring().Status()
		if err != nil {
			return nil, err
		}
		all = append(all, metrics.Gauge{Name: "barrier.estimated_encryptions", Value: float64(status.Encryptions)},
			metrics.Gauge{Name: "barrier.term", Value: float64(status.Term)})
	}
	return all, nil
}

func (s *System) inFlight(context.Context, *backend.Call, *backend.None) (*backend.Response, error) {
	return bare(s.Process.Metrics.InFlight())
}
