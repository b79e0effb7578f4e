package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"sync/atomic"
)

// operation is one row of the table: what each client does, again and again.
type operation struct {
	name string
	// peerOps and peerCPU (µs) are those of an OpenBao 2.6.2 with raft storage on a machine of
	// the same size; 0 where there is no figure.
	peerOps, peerCPU float64
	// cpuTimesBare and opsTimesPeer are the targets; 0 for none.
	cpuTimesBare, opsTimesPeer float64
	// keys is how many a durable operation puts into the store, the position of the commit
	// included; 0 where no floor is under it.
	keys int
	// prepare makes what one client needs; run is one operation of it.
	prepare func(b *bench, client int) (run func(c *connection) error, err error)
}

func operations() []operation {
	return []operation{
		{name: "token lookup-self", peerOps: 2920, peerCPU: 561, cpuTimesBare: 2, opsTimesPeer: 6, prepare: lookupSelf},
		{name: "KV v2 read", peerOps: 2830, peerCPU: 604, cpuTimesBare: 2.5, opsTimesPeer: 6, prepare: kvRead},
		{name: "token create", peerOps: 906, peerCPU: 1231, cpuTimesBare: 5, opsTimesPeer: 8, keys: 10, prepare: tokenCreate},
		{name: "token renew-self", peerOps: 1424, peerCPU: 961, cpuTimesBare: 4, opsTimesPeer: 8, keys: 4, prepare: renewSelf},
		{name: "one life", peerOps: 206, peerCPU: 6158, opsTimesPeer: 10, prepare: oneLife},
		{name: "AppRole login", peerOps: 921, peerCPU: 1325, cpuTimesBare: 5, opsTimesPeer: 8, keys: 10, prepare: appRoleLogin},
		{name: "JWT login", peerOps: 921, cpuTimesBare: 5, opsTimesPeer: 8, keys: 10, prepare: jwtLogin},
		{name: "KV v2 write", peerOps: 1226, peerCPU: 1132, cpuTimesBare: 5, opsTimesPeer: 8, keys: 4, prepare: kvWrite},
		{name: "batch token create", peerOps: 6359, peerCPU: 231, cpuTimesBare: 2.5, prepare: batchCreate},
	}
}

// expect sends a request and fails on any other status.
func expect(c *connection, r request, status int) (response, error) {
	out, err := c.do(r)
	if err == nil && out.status != status {
		err = fmt.Errorf("%s %s: status %d: %.200s", r.method, r.path, out.status, out.body)
	}
	return out, err
}

type authReply struct {
	Auth struct {
		Token string `json:"client_token"`
	} `json:"auth"`
}

// newToken makes a token for one client, with the policy of the benchmark.
func (b *bench) newToken() (string, error) {
	var out authReply
	err := b.server.call("POST", "/v1/auth/token/create", `{"policies":["bench"],"ttl":"1h"}`, &out)
	return out.Auth.Token, err
}

func lookupSelf(b *bench, _ int) (func(*connection) error, error) {
	token, err := b.newToken()
	r := request{method: "GET", path: "/v1/auth/token/lookup-self", token: token}
	return func(c *connection) error { _, err := expect(c, r, 200); return err }, err
}

func kvRead(b *bench, client int) (func(*connection) error, error) {
	token, err := b.newToken()
	r := request{method: "GET", path: "/v1/secret/data/bench/" + strconv.Itoa(client), token: token}
	return func(c *connection) error { _, err := expect(c, r, 200); return err }, err
}

func kvWrite(b *bench, client int) (func(*connection) error, error) {
	token, err := b.newToken()
	r := request{method: "POST", path: "/v1/secret/data/write/" + strconv.Itoa(client), token: token,
		body: []byte(`{"data":{"username":"app","password":"correct-horse-battery-staple"}}`)}
	return func(c *connection) error { _, err := expect(c, r, 200); return err }, err
}

func tokenCreate(b *bench, _ int) (func(*connection) error, error) {
	r := request{method: "POST", path: "/v1/auth/token/create", token: b.server.token,
		body: []byte(`{"policies":["bench"],"ttl":"1h","display_name":"bench"}`)}
	return func(c *connection) error { _, err := expect(c, r, 200); return err }, nil
}

func batchCreate(b *bench, _ int) (func(*connection) error, error) {
	r := request{method: "POST", path: "/v1/auth/token/create", token: b.server.token,
		body: []byte(`{"policies":["bench"],"ttl":"1h","type":"batch"}`)}
	return func(c *connection) error { _, err := expect(c, r, 200); return err }, nil
}

func renewSelf(b *bench, _ int) (func(*connection) error, error) {
	token, err := b.newToken()
	r := request{method: "POST", path: "/v1/auth/token/renew-self", token: token}
	return func(c *connection) error { _, err := expect(c, r, 200); return err }, err
}

// oneLife creates a token, looks it up, renews and revokes it.
func oneLife(b *bench, _ int) (func(*connection) error, error) {
	create := request{method: "POST", path: "/v1/auth/token/create", token: b.server.token, body: []byte(`{"policies":["bench"],"ttl":"1h"}`)}
	return func(c *connection) error {
		made, err := expect(c, create, 200)
		if err != nil {
			return err
		}
		var out authReply
		if err := json.Unmarshal(made.body, &out); err != nil {
			return err
		}
		for _, step := range []struct {
			method, path string
			status       int
		}{{"GET", "lookup-self", 200}, {"POST", "renew-self", 200}, {"POST", "revoke-self", 204}} {
			if _, err := expect(c, request{method: step.method, path: "/v1/auth/token/" + step.path, token: out.Auth.Token}, step.status); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

func appRoleLogin(b *bench, _ int) (func(*connection) error, error) {
	var id struct {
		Data struct {
			RoleID   string `json:"role_id"`
			SecretID string `json:"secret_id"`
		} `json:"data"`
	}
	if err := b.server.call("GET", "/v1/auth/approle/role/bench/role-id", "", &id); err != nil {
		return nil, err
	}
	if err := b.server.call("POST", "/v1/auth/approle/role/bench/secret-id", "", &id); err != nil {
		return nil, err
	}
	r := request{method: "POST", path: "/v1/auth/approle/login",
		body: fmt.Appendf(nil, `{"role_id":%q,"secret_id":%q}`, id.Data.RoleID, id.Data.SecretID)}
	return func(c *connection) error { _, err := expect(c, r, 200); return err }, nil
}

// jwtLogin logs in with a token of the client's own. The target is AppRole's: there is no figure
// of a peer for this.
func jwtLogin(b *bench, client int) (func(*connection) error, error) {
	token, err := b.signer.token(client)
	r := request{method: "POST", path: "/v1/auth/jwt/login", body: fmt.Appendf(nil, `{"role":"bench","jwt":%q}`, token)}
	return func(c *connection) error { _, err := expect(c, r, 200); return err }, err
}

// prepareServer mounts and writes what the operations use.
func (b *bench) prepareServer() error {
	steps := []struct{ method, path, body string }{
		{"POST", "/v1/sys/mounts/secret", `{"type":"kv","options":{"version":"2"}}`},
		{"PUT", "/v1/sys/policies/acl/bench", `{"policy":"path \"secret/data/*\" { capabilities = [\"create\",\"read\",\"update\"] }"}`},
		{"PUT", "/v1/sys/policies/acl/maker", `{"policy":"path \"auth/token/create\" { capabilities = [\"create\",\"update\"] }"}`},
		{"POST", "/v1/sys/auth/approle", `{"type":"approle"}`},
		{"POST", "/v1/auth/approle/role/bench", `{"token_policies":"bench","token_ttl":"1h"}`},
		{"POST", "/v1/sys/auth/jwt", `{"type":"jwt"}`},
		{"POST", "/v1/auth/jwt/config", fmt.Sprintf(`{"jwt_validation_pubkeys":%q}`, b.signer.public)},
		{"POST", "/v1/auth/jwt/role/bench", `{"role_type":"jwt","user_claim":"sub","bound_audiences":"jeton","token_policies":"bench","token_ttl":"1h"}`},
	}
	for client := range b.clients {
		steps = append(steps, struct{ method, path, body string }{"POST", "/v1/secret/data/bench/" + strconv.Itoa(client),
			`{"data":{"username":"app","password":"correct-horse-battery-staple"}}`})
	}
	for _, s := range steps {
		if err := b.server.call(s.method, s.path, s.body, nil); err != nil {
			return err
		}
	}
	return nil
}

// failures counts what went wrong in a measurement, and keeps the first.
type failures struct {
	count atomic.Int64
	first atomic.Pointer[error]
}

func (f *failures) add(err error) {
	f.count.Add(1)
	f.first.CompareAndSwap(nil, &err)
}
