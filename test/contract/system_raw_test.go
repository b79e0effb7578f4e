package contract_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"jeton/internal/config"
	"jeton/internal/metrics"
)

func TestSystemRaw(t *testing.T) {
	t.Run("sys §20 without the setting there is no such path", func(t *testing.T) {
		h := open(t)
		h.do("GET", "sys/raw/policy/x", h.root, nil).fails(404, wrap1("unsupported path"))
		h.do("LIST", "sys/raw", h.root, nil).fails(404, wrap1("unsupported path"))
	})
	on := func(t *testing.T) *process {
		return configured(t, config.Sanitized{RawStorageEndpoint: true}, metrics.Settings{}, config.Listener{})
	}
	t.Run("sys §20 write, read, list, delete", func(t *testing.T) {
		h := on(t)
		h.do("PUT", "sys/raw/mine/a", h.root, m{"value": "text"}).empty()
		h.do("PUT", "sys/raw/mine/b/c", h.root, m{"value": base64.StdEncoding.EncodeToString([]byte{0xff, 0}), "encoding": "base64"}).empty()
		h.do("GET", "sys/raw/mine/a", h.root, nil).is(200).has(m{"value": "text"}, "data")
		h.do("GET", "sys/raw/mine/a?encoding=base64", h.root, nil).has("dGV4dA==", "data", "value")
		h.do("GET", "sys/raw/mine/b/c", h.root, nil).failsLike(400, "encoding=base64")
		h.do("GET", "sys/raw/mine/b/c?encoding=base64", h.root, nil).has("/wA=", "data", "value")
		h.do("LIST", "sys/raw/mine", h.root, nil).is(200).has([]string{"a", "b/"}, "data", "keys")
		h.do("DELETE", "sys/raw/mine/a", h.root, nil).empty()
		h.do("GET", "sys/raw/mine/a", h.root, nil).fails(404)
		h.do("LIST", "sys/raw/nothing", h.root, nil).fails(404)
		h.do("PUT", "sys/raw/mine/a", h.root, m{}).fails(400, "missing value")
		h.do("PUT", "sys/raw/mine/a", h.root, m{"value": "x", "compression_type": "gzip"}).failsLike(400, "compress")
	})
	t.Run("sys §20 the rooms' keys are there, bytes that cannot be printed as %XX", func(t *testing.T) {
		h := on(t)
		top := texts(t, h.do("LIST", "sys/raw", h.root, nil).is(200).at("data", "keys"))
		for _, want := range []string{"token/", "policy/", "system/"} {
			if !slices.Contains(top, want) {
				t.Errorf("%s is missing in %v", want, top)
			}
		}
		h.do("PUT", "sys/raw/odd/%2501%25FFx", h.root, m{"value": "v"}).empty()
		h.do("LIST", "sys/raw/odd", h.root, nil).has([]string{"%01%FFx"}, "data", "keys")
		h.do("GET", "sys/raw/odd/%2501%25FFx", h.root, nil).is(200).has("v", "data", "value")
	})
	t.Run("sys §20 the seal's own keys are refused", func(t *testing.T) {
		h := on(t)
		for _, path := range []string{"core/keyring", "core/cluster/local/info", "seal/keyring", "seal/config"} {
			h.do("GET", "sys/raw/"+path, h.root, nil).fails(400, `cannot access "`+path+`"`)
			h.do("PUT", "sys/raw/"+path, h.root, m{"value": "x"}).fails(400, `cannot access "`+path+`"`)
			h.do("DELETE", "sys/raw/"+path, h.root, nil).fails(400, `cannot access "`+path+`"`)
		}
		h.do("LIST", "sys/raw/seal", h.root, nil).fails(404)
	})
	t.Run("sys §0.7 needs sudo", func(t *testing.T) {
		h := on(t)
		plain := h.holder("plain", `path "sys/raw/*" { capabilities = ["read", "create", "update", "delete", "list"] }`)
		h.do("GET", "sys/raw/policy/x", plain, nil).fails(403, denied)
		h.do("PUT", "sys/raw/policy/x", plain, m{"value": "x"}).fails(403, denied)
	})
	t.Run("what is written past the rooms is seen by them", func(t *testing.T) {
		h := on(t)
		h.policy("p", `path "secret/*" { capabilities = ["read"] }`)
		who := h.create(h.root, m{"policies": []string{"p"}})
		h.do("GET", "secret/data/x", who, nil).is(404)
		for _, key := range texts(t, h.do("LIST", "sys/raw/policy", h.root, nil).is(200).at("data", "keys")) {
			if !strings.HasSuffix(key, "/") {
				h.do("DELETE", "sys/raw/policy/"+strings.ReplaceAll(key, "%", "%25"), h.root, nil).empty()
				continue
			}
			for _, below := range texts(t, h.do("LIST", "sys/raw/policy/"+key, h.root, nil).is(200).at("data", "keys")) {
				h.do("DELETE", "sys/raw/policy/"+key+strings.ReplaceAll(below, "%", "%25"), h.root, nil).empty()
			}
		}
		h.do("GET", "secret/data/x", who, nil).is(403)
	})
}
