package contract_test

import (
	"encoding/hex"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestSealingUnderLoad seals and unseals a server that every kind of request comes in at. A
// request is answered or told that the server is sealed; none is a fault of the server's, and
// none holds a lock that the next sealing waits for.
func TestSealingUnderLoad(t *testing.T) {
	h := open(t)
	h.mount("kv1")
	h.devices()
	kinds := []func() *answer{
		func() *answer { return h.do("GET", "sys/health", "", nil) },
		func() *answer { return h.do("GET", "sys/seal-status", "", nil) },
		func() *answer { return h.do("GET", "sys/leader", "", nil) },
		func() *answer { return h.do("GET", "auth/token/lookup-self", h.root, nil) },
		func() *answer {
			return h.do("POST", "auth/token/create", h.root, m{"policies": "default", "ttl": "1m"})
		},
		func() *answer { return h.do("PUT", "kv1/a", h.root, m{"k": "v"}) },
		func() *answer { return h.do("GET", "kv1/a", h.root, nil, wrapped("60")) },
		func() *answer { return h.do("GET", "sys/mounts", h.root, nil) },
		func() *answer { return h.do("GET", "sys/generate-root/attempt", "", nil) },
		func() *answer { return h.do("GET", "sys/rekey/init", "", nil) },
		func() *answer { return h.do("PUT", "sys/policies/acl/p", h.root, m{"policy": "#"}) },
		func() *answer { return h.do("POST", "sys/mounts/other", h.root, m{"type": "kv"}) },
		func() *answer { return h.do("DELETE", "sys/mounts/other", h.root, nil) },
		func() *answer { return h.do("LIST", "auth/token/accessors", h.root, nil) },
	}
	var stop atomic.Bool
	var served, refused atomic.Int64
	var all sync.WaitGroup
	for i := range kinds {
		all.Go(func() {
			for n := i; !stop.Load(); n++ {
				switch a := kinds[n%len(kinds)](); {
				case a.status < 300 || a.status == 400 && strings.Contains(a.body, "already in use"):
					served.Add(1)
				case a.status == 503 || a.status == 404 && strings.Contains(a.what, "kv1"):
					refused.Add(1)
				case a.status == 500 && strings.Contains(a.body, "Vault is sealed"):
					refused.Add(1)
				default:
					t.Errorf("%s: %d %s", a.what, a.status, a.body)
					return
				}
			}
		})
	}
	cycles := make(chan struct{})
	go func() {
		defer close(cycles)
		for range 8 {
			before := served.Load()
			for served.Load() < before+20 && !t.Failed() {
				h.do("GET", "sys/seal-status", "", nil)
			}
			if a := h.do("PUT", "sys/seal", h.root, nil); a.status != 204 {
				t.Errorf("sealing: %d %s", a.status, a.body)
			}
			for before := refused.Load(); refused.Load() < before+5 && !t.Failed(); {
				h.do("GET", "sys/seal-status", "", nil)
			}
			if a := h.do("PUT", "sys/unseal", "", m{"key": h.hexKey()}); a.status != 200 {
				t.Errorf("unsealing: %d %s", a.status, a.body)
			}
		}
	}()
	select {
	case <-cycles:
	case <-time.After(60 * time.Second):
		t.Fatal("sealing and unsealing came to a stop")
	}
	stop.Store(true)
	all.Wait()
	h.lookup(h.root).is(200)
	if strings.Contains(h.log.String(), "panicked") {
		t.Error("something panicked")
	}
}

// hexKey is the one share of the server.
func (h *house) hexKey() string {
	return hex.EncodeToString(h.unseal)
}
