package contract_test

import (
	"context"
	"testing"

	"jeton/internal/backend"
	"jeton/internal/mount"
	"jeton/internal/node"
	"jeton/internal/store/embedded"
)

// spy is an engine that tells which of some request headers it was given.
type spy struct{}

func spiedHeaders() []string {
	return []string{"X-Vault-Token", "x-vault-token", "Authorization", "X-Wanted", "X-Unwanted"}
}

func (spy) Routes() []backend.Route {
	return []backend.Route{{Pattern: "headers", Read: backend.Handle(func(_ context.Context, c *backend.Call, _ *backend.None) (*map[string]string, error) {
		seen := map[string]string{}
		for _, name := range spiedHeaders() {
			if value := c.Header(name); value != "" {
				seen[name] = value
			}
		}
		return &seen, nil
	})}}
}

// CVE-2026-4525: the caller's token reaches no engine by a header, though the mount is tuned to
// be given it; other headers reach it where it is tuned so, and only there.
func TestCVE_2026_4525_NoEngineIsHandedTheToken(t *testing.T) {
	raw, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, wall: &wall{}, store: raw, log: &lockedBuffer{}, audit: &recorder{}, kinds: []mount.Kind{{Name: "spy", Class: mount.SecretClass,
		New: func(context.Context, backend.Env) (backend.Backend, error) { return spy{}, nil }}}}
	h.start(raw)
	dev, err := h.node.StartDev(t.Context(), node.DevOptions{NoKV: true})
	if err != nil {
		t.Fatal(err)
	}
	h.root = dev.RootToken
	h.do("POST", "sys/mounts/spy", h.root, m{"type": "spy"}).empty()
	sent := []with{header("X-Wanted", "yes"), header("X-Unwanted", "no")}
	h.do("GET", "spy/headers", h.root, nil, sent...).is(200).has(m{}, "data")
	h.do("POST", "sys/mounts/spy/tune", h.root, m{"passthrough_request_headers": []string{"X-Vault-Token", "Authorization", "x-wanted"}})
	h.do("GET", "spy/headers", h.root, nil, sent...).is(200).has(m{"X-Wanted": "yes"}, "data")
	bearer := append(sent, header("Authorization", "Bearer "+h.root))
	h.do("GET", "spy/headers", "", nil, bearer...).is(200).has(m{"X-Wanted": "yes"}, "data")
}
