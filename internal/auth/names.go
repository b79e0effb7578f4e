package auth

import (
	"context"

	"jeton/internal/store"
)

// ListNames returns what follows prefix in the keys of area, in order: at most limit names (all
// when limit is not positive) that come after the given one, which need not exist.
// Contract: auth-methods §0.
func ListNames(ctx context.Context, area *store.Area, prefix, after string, limit int) ([]string, error) {
	span := store.PrefixRange([]byte(prefix))
	span.KeysOnly = true
	span.Limit = max(limit, 0)
	if after != "" {
		span.From = store.After([]byte(prefix + after))
	}
	var names []string
	err := area.View(ctx, func(r store.Reader) error {
		names = nil
		return r.Scan(span, func(key, _ []byte) (bool, error) {
			names = append(names, string(key[len(prefix):]))
			return true, nil
		})
	})
	return names, err
}
