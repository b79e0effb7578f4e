package contract_test

import (
	"context"
	"encoding/hex"
	"runtime"
	"testing"
	"time"

	"jeton/internal/audit"
)

func TestSystemConfiguredAudit(t *testing.T) {
	ctx := context.Background()
	wanted := map[string]audit.Spec{"cfg/": {Type: "recorder", Description: "of the configuration"}}
	rows(t, []row{
		{"audit §3 devices of the configuration come and go while the server runs", func(t *testing.T, h *house) {
			if err := h.node.ConfigureAudit(ctx, wanted); err != nil {
				t.Fatal(err)
			}
			h.do("GET", "sys/audit", h.root, nil).is(200).has("of the configuration", "data", "cfg/", "description")
			if len(h.audit.all(t)) == 0 {
				t.Fatal("the device has no entry")
			}
			h.do("DELETE", "sys/audit/cfg", h.root, nil).failsLike(400, "part of the server configuration")
			if err := h.node.ConfigureAudit(ctx, nil); err != nil {
				t.Fatal(err)
			}
			h.do("GET", "sys/audit", h.root, nil).is(200).has(m{}, "data")
		}},
		{"audit §3 a sealed server remembers them for its next unseal", func(t *testing.T, h *house) {
			h.do("PUT", "sys/seal", h.root, nil).empty()
			if err := h.node.ConfigureAudit(ctx, wanted); err != nil {
				t.Fatal(err)
			}
			h.do("PUT", "sys/unseal", "", m{"key": hex.EncodeToString(h.unseal)}).is(200)
			h.do("GET", "sys/audit", h.root, nil).is(200).has("recorder", "data", "cfg/", "type")
		}},
		{"audit §3 one that cannot be opened is an error, and the others go on", func(t *testing.T, h *house) {
			both := map[string]audit.Spec{"cfg/": wanted["cfg/"], "bad/": {Type: "carrier pigeon"}}
			if err := h.node.ConfigureAudit(ctx, both); err == nil {
				t.Fatal("no error")
			}
			h.do("GET", "sys/audit", h.root, nil).has("recorder", "data", "cfg/", "type").lacks("data", "bad/")
		}},
	})
}

// Contract: sys §14. The keyring rotates by itself once its newest term is old enough.
func TestSystemRotationWhenDue(t *testing.T) {
	h := open(t)
	h.do("POST", "sys/rotate/config", h.root, m{"interval": "24h"}).empty()
	h.do("GET", "sys/key-status", h.root, nil).has(1, "data", "term")
	h.do("PUT", "sys/seal", h.root, nil).empty()
	h.wall.advance(25 * time.Hour)
	h.do("PUT", "sys/unseal", "", m{"key": hex.EncodeToString(h.unseal)}).is(200)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for h.do("GET", "sys/key-status", h.root, nil).is(200).number("data", "term") != 2 {
		if ctx.Err() != nil {
			t.Fatal("the keyring did not rotate")
		}
		runtime.Gosched()
	}
}
