package edge

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Quota is a rate limit: so many requests from one client address in each interval.
// Contract: sys §17.
type Quota struct {
	Name string `cbor:"1,keyasint"`
	// Path is "" for every path, a mount ("secret/"), or a path below one, which may end in
	// "*" ("secret/data/*").
	Path string `cbor:"2,keyasint,omitempty"`
	// Mount is the path of the mount that Path names or lies below; "" for every path.
	Mount         string        `cbor:"3,keyasint,omitempty"`
	Rate          float64       `cbor:"4,keyasint"`
	Interval      time.Duration `cbor:"5,keyasint"`
	BlockInterval time.Duration `cbor:"6,keyasint,omitempty"`
	// Inheritable is kept and shown: there are no namespaces to inherit.
	Inheritable bool `cbor:"7,keyasint,omitempty"`
}

// QuotaConfig holds for all quotas.
type QuotaConfig struct {
	// Audit writes refused requests to the audit log.
	Audit bool `cbor:"1,keyasint,omitempty"`
	// Headers tells clients how much is left.
	Headers bool `cbor:"2,keyasint,omitempty"`
	// Exempt paths have no limit. One may end in "*".
	Exempt []string `cbor:"3,keyasint"`
}

// defaultQuotaConfig holds until the first write. Contract: sys §17.
func defaultQuotaConfig() QuotaConfig {
	return QuotaConfig{Exempt: []string{
		"sys/generate-recovery-token/attempt", "sys/generate-recovery-token/update",
		"sys/generate-root/attempt", "sys/generate-root/update",
		"sys/health", "sys/seal-status", "sys/unseal",
	}}
}

// QuotaConfig is what holds for all quotas.
func (s *Settings) QuotaConfig() QuotaConfig { return s.current.Load().limits }

// SetQuotaConfig replaces what holds for all quotas.
func (s *Settings) SetQuotaConfig(ctx context.Context, c QuotaConfig) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	next := *s.current.Load()
	next.limits = c
	return s.change(ctx, &next, func(tx store.Tx) error { return record.Put(tx, quotaConfigKey, &c) })
}

// Quotas are all quotas by name.
func (s *Settings) Quotas() []Quota {
	var all []Quota
	for _, l := range s.current.Load().quotas {
		all = append(all, l.quota)
	}
	slices.SortFunc(all, func(a, b Quota) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// PutQuota makes or replaces a quota. Requests of the running interval count afresh.
func (s *Settings) PutQuota(ctx context.Context, q Quota) error {
	switch {
	case !(q.Rate > 0) || math.IsInf(q.Rate, 0):
		return backend.Invalidf("'rate' is invalid")
	case q.Interval < time.Second:
		return backend.Invalidf("'interval' is invalid")
	case q.BlockInterval < 0:
		return backend.Invalidf("'block' is invalid")
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	next := *s.current.Load()
	for _, other := range next.quotas {
		if other.quota.Name != q.Name && other.quota.Path == q.Path {
			return backend.Invalidf("quota rule with similar properties exists under the name %q", other.quota.Name)
		}
	}
	next.quotas = append(without(next.quotas, q.Name), newLimiter(q))
	return s.change(ctx, &next, func(tx store.Tx) error { return record.Put(tx, quotaKey(q.Name), &q) })
}

// DeleteQuota removes a quota. An absent one is no error.
func (s *Settings) DeleteQuota(ctx context.Context, name string) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	next := *s.current.Load()
	next.quotas = without(next.quotas, name)
	return s.change(ctx, &next, func(tx store.Tx) error { return tx.Delete(quotaKey(name)) })
}

func without(quotas []*limiter, name string) []*limiter {
	return slices.DeleteFunc(slices.Clone(quotas), func(l *limiter) bool { return l.quota.Name == name })
}

// Limited says whether there are quotas at all.
func (s *Settings) Limited() bool { return len(s.current.Load().quotas) > 0 }

// Verdict is what the quotas say of one request.
type Verdict struct {
	// Quota is the name of the one that decided.
	Quota string
	// Limited says that some quota applies; the rest is zero without.
	Limited bool
	Allowed bool
	// Limit and Remaining count requests of the interval, Reset is when the next begins.
	Limit, Remaining int64
	Reset            time.Duration
	// RetryAfter is how long the client is refused; at least Reset.
	RetryAfter time.Duration
}

// Check counts a request to path from client, an address without its port, against the most
// specific quota that holds for it: one of the path, then of its mount, then of every path.
func (s *Settings) Check(path, client string) Verdict {
	now := s.current.Load()
	if exempt(now.limits.Exempt, path) {
		return Verdict{}
	}
	var best *limiter
	bestRank := -1
	for _, l := range now.quotas {
		if rank := l.quota.rank(path); rank > bestRank {
			best, bestRank = l, rank
		}
	}
	if best == nil {
		return Verdict{}
	}
	return best.take(client, s.clock.Now())
}

// rank says how specific the quota is for path; -1 where it does not hold.
func (q *Quota) rank(path string) int {
	return backend.Scope{Path: q.Path, Mount: q.Mount}.Rank(path)
}

func exempt(paths []string, path string) bool {
	return slices.ContainsFunc(paths, func(e string) bool {
		if prefix, glob := strings.CutSuffix(e, "*"); glob {
			return strings.HasPrefix(path, prefix)
		}
		return strings.TrimSuffix(e, "/") == strings.TrimSuffix(path, "/")
	})
}
