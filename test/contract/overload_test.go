package contract_test

import (
	"sync/atomic"
	"testing"

	"jeton/internal/node"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

// queue is a store that says how many writes wait for it.
type queue struct {
	store.Store
	waiting atomic.Int64
}

func (q *queue) Queued() int { return int(q.waiting.Load()) }

// Issue 7.5: beyond what the store can do, writes are turned away at once and told when to come
// back; reads, and what an operator needs, go on; afterwards all is as before.
func TestWritesAreShedWhereTheStoreIsBehind(t *testing.T) {
	raw, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	q := &queue{Store: raw}
	h := sealed(t, q)
	dev, err := h.node.StartDev(t.Context(), node.DevOptions{})
	if err != nil {
		t.Fatal(err)
	}
	h.unseal, h.root = dev.UnsealKey, dev.RootToken
	h.do("POST", "secret/data/a", h.root, m{"data": m{"b": "c"}}).is(200)
	q.waiting.Store(1 << 20)
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
		a := h.do(method, "secret/data/a", h.root, m{"data": m{"b": "d"}}).fails(503, "the server is busy: try again shortly")
		if a.header.Get("Retry-After") != "1" {
			t.Errorf("%s: Retry-After %q", method, a.header.Get("Retry-After"))
		}
	}
	h.do("GET", "secret/data/a", h.root, nil).is(200).has("c", "data", "data", "b")
	h.do("LIST", "secret/metadata", h.root, nil).is(200)
	h.do("GET", "sys/health", "", nil).is(200)
	q.waiting.Store(0)
	h.do("POST", "secret/data/a", h.root, m{"data": m{"b": "d"}}).is(200)
}
