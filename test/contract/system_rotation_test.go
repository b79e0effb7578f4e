package contract_test

import (
	"strings"
	"testing"
	"time"
)

func TestSystemRotation(t *testing.T) {
	rows(t, []row{
		{"sys §14 tests: rotate: a new term, older values stay readable, the count starts anew", func(t *testing.T, h *house) {
			h.do("POST", "secret/data/before", h.root, m{"data": m{"a": "b"}}).is(200)
			before := h.do("GET", "sys/key-status", h.root, nil).is(200).has(1, "term").has(1, "data", "term")
			if before.number("data", "encryptions") == 0 {
				t.Fatal("nothing was counted")
			}
			if _, err := time.Parse(time.RFC3339Nano, before.text("install_time")); err != nil {
				t.Fatal(err)
			}
			h.wall.advance(time.Minute)
			h.do("PUT", "sys/rotate", h.root, nil).empty()
			h.do("POST", "sys/rotate", h.root, nil).empty()
			after := h.do("GET", "sys/key-status", h.root, nil).is(200).has(3, "data", "term")
			if after.number("data", "encryptions") >= before.number("data", "encryptions") || after.text("data", "install_time") == before.text("data", "install_time") {
				t.Fatalf("the new term has the old one's count or time: %s", after.body)
			}
			h.do("GET", "secret/data/before", h.root, nil).is(200).has("b", "data", "data", "a")
			h.do("POST", "secret/data/after", h.root, m{"data": m{"a": "b"}}).is(200)
			if counted := h.do("GET", "sys/key-status", h.root, nil); counted.number("data", "encryptions") <= after.number("data", "encryptions") {
				t.Fatalf("a write is not counted: %s", counted.body)
			}
		}},
		{"sys §14 rotate needs sudo, key-status a right", func(t *testing.T, h *house) {
			h.do("PUT", "sys/rotate", h.holder("plain", `path "sys/rotate" { capabilities = ["update"] }`), nil).fails(403, denied)
			h.do("PUT", "sys/rotate", h.holder("sudo", `path "sys/rotate" { capabilities = ["update", "sudo"] }`), nil).empty()
			h.do("PUT", "sys/rotate", "", nil).fails(403, "permission denied")
			h.do("GET", "sys/key-status", "", nil).fails(403, "permission denied")
			h.do("GET", "sys/rotate", h.root, nil).is(405)
		}},
		{"sys §14 rotate/config: defaults, one key at a time, bounds", func(t *testing.T, h *house) {
			const path = "sys/rotate/config"
			h.do("GET", path, h.root, nil).is(200).has(m{"enabled": true, "max_operations": 3865470566, "interval": 0}, "data").lacks("enabled")
			h.do("POST", path, h.root, m{"interval": "24h"}).empty()
			h.do("GET", path, h.root, nil).has(m{"enabled": true, "max_operations": 3865470566, "interval": "24h0m0s"}, "data")
			h.do("POST", path, h.root, m{"max_operations": 1000000, "enabled": false}).empty()
			h.do("GET", path, h.root, nil).has(m{"enabled": false, "max_operations": 1000000, "interval": "24h0m0s"}, "data")
			h.do("PUT", path, h.root, m{"interval": 0}).empty()
			for _, wrong := range []m{{"interval": "23h59m59s"}, {"interval": 1}} {
				h.do("POST", path, h.root, wrong).fails(400, "interval must be greater or equal to 24h0m0s")
			}
			for _, wrong := range []int64{-1, 0, 999999, 3865470567} {
				h.do("POST", path, h.root, m{"max_operations": wrong}).fails(400, "max_operations must be in the range [1000000,3865470566]")
			}
			h.do("GET", path, h.root, nil).has(m{"enabled": false, "max_operations": 1000000, "interval": 0}, "data")
			h.do("GET", path, "", nil).fails(403, "permission denied")
		}},
		{"sys §3 a false unseal share is known when it is given", func(t *testing.T, _ *house) {
			h, keys := shares(t)
			h.do("PUT", "sys/seal", h.root, nil).empty()
			h.unsealWith(keys[0]).has(1, "progress")
			other := "ab"
			if strings.HasPrefix(keys[1], other) {
				other = "cd"
			}
			h.do("PUT", "sys/unseal", "", m{"key": other + keys[1][2:]}, from("198.51.100.7:1")).failsLike(400, "invalid key: this is not one of the current key shares")
			h.do("PUT", "sys/unseal", "", m{"key": keys[1][:64]}).failsLike(400, "invalid key: a share of these keys has 33 bytes, not 32")
			h.do("GET", "sys/seal-status", "", nil).has(1, "progress")
			h.unsealWith(keys[1], keys[2]).has(false, "sealed")
		}},
	})
}
