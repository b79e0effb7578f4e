package contract_test

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"jeton/internal/store/embedded"
)

// fresh is a server that was never initialised.
func fresh(t *testing.T) *house {
	t.Helper()
	raw, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	return sealed(t, raw)
}

// initialised makes keys and returns the shares in hex.
func (h *house) initialised(shares, threshold int) []string {
	h.t.Helper()
	a := h.do("PUT", "sys/init", "", m{"secret_shares": shares, "secret_threshold": threshold, "stored_shares": 1}).is(200).lacks("request_id")
	h.root = a.text("root_token")
	return listed(h.t, a, "keys")
}

// listed is a list of strings of the body.
func listed(t *testing.T, a *answer, names ...string) []string {
	t.Helper()
	list, ok := a.at(names...).([]any)
	if !ok {
		t.Fatalf("%v is no list in %s", names, a.body)
	}
	out := make([]string, len(list))
	for i, v := range list {
		out[i], ok = v.(string)
		if !ok {
			t.Fatalf("%v is no text", v)
		}
	}
	return out
}

func (h *house) key(key string) *answer {
	h.t.Helper()
	return h.do("PUT", "sys/unseal", "", m{"key": key})
}

// inBase64 is a share in its other form.
func inBase64(t *testing.T, share string) string {
	t.Helper()
	raw, err := hex.DecodeString(share)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

func TestInit(t *testing.T) {
	t.Parallel()
	t.Run("sys §1 shares", func(t *testing.T) {
		h := fresh(t)
		h.do("GET", "sys/init", "", nil).is(200).has(false, "initialized").lacks("request_id")
		a := h.do("PUT", "sys/init", "", m{"secret_shares": 5, "secret_threshold": 3}).is(200)
		keys := listed(t, a, "keys")
		for i, text := range listed(t, a, "keys_base64") {
			if len(keys[i]) != 66 || inBase64(t, keys[i]) != text {
				t.Errorf("share %d is %q and %q", i, keys[i], text)
			}
		}
		if token := a.text("root_token"); len(token) != 28 || !strings.HasPrefix(token, "hvs.") {
			t.Errorf("the root token has %d characters", len(token))
		}
		h.do("GET", "sys/seal-status", "", nil).is(200).has(true, "sealed").has(3, "t").has(5, "n")
	})
	t.Run("sys §1 one share is the key itself", func(t *testing.T) {
		if keys := fresh(t).initialised(1, 1); len(keys) != 1 || len(keys[0]) != 64 {
			t.Errorf("keys %v", len(keys[0]))
		}
	})
	for name, c := range map[string]struct {
		body m
		want string
	}{
		"shares":        {m{"secret_threshold": 1}, "invalid seal configuration: shares must be at least one"},
		"threshold":     {m{"secret_shares": 1}, "invalid seal configuration: threshold must be at least one"},
		"one of many":   {m{"secret_shares": 5, "secret_threshold": 1}, "invalid seal configuration: threshold must be greater than one for multiple shares"},
		"too many":      {m{"secret_shares": 256, "secret_threshold": 2}, "invalid seal configuration: shares must be less than 256"},
		"larger":        {m{"secret_shares": 3, "secret_threshold": 4}, "invalid seal configuration: threshold cannot be larger than shares"},
		"recovery":      {m{"secret_shares": 1, "secret_threshold": 1, "recovery_shares": 1, "recovery_threshold": 1}, "parameters recovery_shares,recovery_threshold not applicable to seal type shamir"},
		"recovery half": {m{"secret_shares": 1, "secret_threshold": 1, "recovery_shares": 1}, "parameters recovery_shares not applicable to seal type shamir"},
	} {
		t.Run("sys §1 "+name, func(t *testing.T) {
			h := fresh(t)
			h.do("PUT", "sys/init", "", c.body).fails(400, c.want)
			h.do("GET", "sys/init", "", nil).is(200).has(false, "initialized")
		})
	}
}

func TestUnseal(t *testing.T) {
	t.Parallel()
	t.Run("sys §3 the order of hvac", func(t *testing.T) {
		h := fresh(t)
		h.key(strings.Repeat("00", 32)).fails(400, "Vault is not initialized")
		keys := h.initialised(5, 3)
		h.key(keys[0]).is(200).has(1, "progress")
		nonce := h.do("GET", "sys/seal-status", "", nil).is(200).text("nonce")
		if nonce == "" {
			t.Error("no nonce")
		}
		h.key(keys[0]).is(200).has(1, "progress").has(nonce, "nonce")
		h.key(keys[1]).is(200).has(2, "progress")
		h.do("PUT", "sys/unseal", "", m{"reset": true, "key": keys[2]}).is(200).has(0, "progress").has("", "nonce")
		h.key(keys[1]).is(200).has(1, "progress")
		h.do("POST", "sys/unseal", "", `{"KEY":"`+inBase64(t, keys[2])+`"}`).is(200).has(2, "progress")
		h.key(keys[0]).is(200).has(false, "sealed").has(0, "progress").has("contract", "cluster_name")
		h.key(keys[0]).is(200).has(false, "sealed")
		h.do("PUT", "sys/unseal", "", m{"reset": true}).fails(400, "vault is unsealed")
		h.lookup(h.root).is(200)
	})
	t.Run("sys §3 keys that are none", func(t *testing.T) {
		h := fresh(t)
		keys := h.initialised(3, 2)
		h.do("PUT", "sys/unseal", "", m{}).fails(400, "'key' must be specified in request body as JSON, or 'reset' set to true")
		h.do("PUT", "sys/unseal", "", nil).fails(400, "'key' must be specified in request body as JSON, or 'reset' set to true")
		h.key("nope!").fails(400, "'key' must be a valid hex or base64 string")
		h.key("abcd").fails(400, "key is shorter than minimum 16 bytes")
		h.key(base64.StdEncoding.EncodeToString(make([]byte, 34))).fails(400, "key is longer than maximum 33 bytes")
		h.do("PUT", "sys/unseal", "", m{"key": keys[0], "migrate": true}).failsLike(500, "can't perform a seal migration, no migration seal found")
		h.do("GET", "sys/unseal", "", nil).fails(405)
	})
	t.Run("sys §3 wrong shares", func(t *testing.T) {
		h := fresh(t)
		keys := h.initialised(3, 2)
		other := fresh(t).initialised(3, 2)
		h.key(keys[0]).is(200).has(1, "progress")
		h.key(other[1]).failsLike(400, "invalid key")
		h.do("GET", "sys/seal-status", "", nil).is(200).has(0, "progress").has("", "nonce").has(true, "sealed")
		h.key(keys[0]).is(200)
		h.key(keys[1]).is(200).has(false, "sealed")
	})
}

func TestSealStatusAndHealth(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	before := h.do("GET", "sys/seal-status", "", nil).is(200).has(0, "t").has(0, "n").has(false, "initialized").has(true, "sealed").
		has("shamir", "type").has("inmem", "storage_type").lacks("cluster_name").lacks("cluster_id")
	var last int
	for _, name := range []string{"type", "initialized", "sealed", "t", "n", "progress", "nonce", "version", "build_date", "migration", "recovery_seal", "storage_type"} {
		i := strings.Index(before.body, `"`+name+`":`)
		if i < last {
			t.Errorf("sys §2: %s is not where it belongs in %s", name, before.body)
		}
		last = i
	}
	h.do("POST", "sys/seal-status", "", nil).fails(405)
	health := func(verb, query string) *answer { return h.do(verb, "sys/health"+query, "", nil) }
	health("GET", "").is(501).has(false, "initialized").has(true, "standby").has("unknown", "replication_performance_mode")
	health("GET", "?uninitcode=299&sealedcode=298").is(299)
	keys := h.initialised(1, 1)
	health("GET", "").is(503).has(true, "initialized").has(true, "sealed").has(true, "standby").has("unknown", "replication_dr_mode").lacks("errors")
	health("GET", "?sealedcode=200").is(200)
	if a := health("HEAD", "").is(503); a.body != "" {
		t.Errorf("HEAD has a body")
	}
	h.key(keys[0]).is(200)
	health("GET", "").is(200).has(false, "sealed").has(false, "standby").has(false, "performance_standby").has("disabled", "replication_performance_mode").
		has("disabled", "replication_dr_mode").has(false, "enterprise").has(1772366400, "server_time_utc").has("contract", "cluster_name")
	health("GET", "?standbyok=true").is(200)
	health("GET", "?standbyok").is(200)
	health("GET", "?activecode=204").is(204)
	for _, bad := range []string{"?sealedcode=abc", "?activecode=", "?standbyok=maybe", "?perfstandbyok=2"} {
		health("GET", bad).fails(400)
	}
	health("GET", "?pretty=1&unknown=x").is(200)
	health("PUT", "").fails(405)
	h.do("GET", "sys/leader", "", nil).is(200).has(false, "ha_enabled").has(false, "is_self").has("", "leader_address").has("", "leader_cluster_address").
		has("0001-01-01T00:00:00Z", "active_time")
}

func TestSealing(t *testing.T) {
	rows(t, []row{
		{"sys §4 who may seal", func(t *testing.T, h *house) {
			update := h.holder("p", `path "sys/seal" { capabilities = ["update"] }`)
			h.do("PUT", "sys/seal", "", nil).fails(403, "permission denied")
			h.do("PUT", "sys/seal", "junk", nil).is(403)
			h.do("PUT", "sys/seal", update, nil).fails(403, denied)
			h.do("PUT", "sys/seal", h.holder("s", `path "sys/seal" { capabilities = ["sudo"] }`), nil).fails(403, denied)
			h.do("PUT", "sys/seal?help=1", update, nil).fails(403, denied)
			h.do("GET", "sys/seal", h.root, nil).fails(405)
			h.lookup(h.root).is(200)
			h.do("PUT", "sys/seal", h.holder("b", `path "sys/seal" { capabilities = ["update", "sudo"] }`), nil).empty()
			h.do("PUT", "sys/seal", "junk", nil).empty()
			h.lookup(h.root).fails(503, "Vault is sealed")
			h.reopen()
			h.lookup(h.root).is(200)
		}},
		{"sys §4 sealing spends a use", func(t *testing.T, h *house) {
			h.policy("p", `path "sys/seal" { capabilities = ["update"] }`)
			token := h.create(h.root, m{"policies": []string{"p"}, "num_uses": 2})
			h.do("PUT", "sys/seal", token, nil).fails(403, denied)
			h.ask(token).has(1, "data", "num_uses")
		}},
		{"sys §4 step-down", func(t *testing.T, h *house) {
			h.do("PUT", "sys/step-down", h.root, nil).empty()
			h.do("PUT", "sys/step-down", "", nil).fails(403, "permission denied")
			h.do("PUT", "sys/step-down", h.holder("p", `path "sys/step-down" { capabilities = ["update"] }`), nil).fails(403, denied)
			h.do("GET", "sys/step-down", h.root, nil).fails(405)
			h.lookup(h.root).is(200)
		}},
	})
}
