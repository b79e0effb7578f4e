package oidctest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// Admin is whom the service account of a Workspace may act for, Account its address.
const (
	Admin   = "admin@example.com"
	Account = "jeton@project.example"

	groupsScope = "https://www.googleapis.com/auth/admin.directory.group.readonly"
)

// workspace is a stand-in for Google's directory. Guarded by Provider.mu.
type workspace struct {
	key *rsa.PublicKey
	// groups are those that a member, a person or a group, is in itself.
	groups map[string][]string
	// access is the token that the directory takes.
	access string
	// refusal is a status that the directory answers with; 0 for none.
	refusal int
}

// Workspace begins one, with the groups of each member, and returns the key file of its service
// account.
func (p *Provider) Workspace(t testing.TB, groups map[string][]string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": Account, "private_key_id": "1", "token_uri": p.URL + "/google/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.workspace = workspace{key: &key.PublicKey, groups: groups, access: rand.Text()}
	return string(file)
}

// RefuseDirectory has the directory answer with a status; 0 ends it.
func (p *Provider) RefuseDirectory(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.workspace.refusal = status
}

// googleToken trades the service account's assertion for an access token (RFC 7523).
func (p *Provider) googleToken(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var said struct{ Iss, Sub, Scope, Aud string }
	assertion, err := jose.ParseSignedCompact(r.PostFormValue("assertion"), []jose.SignatureAlgorithm{jose.RS256})
	if err == nil && p.mu.workspace.key != nil {
		var payload []byte
		if payload, err = assertion.Verify(p.mu.workspace.key); err == nil {
			err = json.Unmarshal(payload, &said)
		}
	}
	switch {
	case err != nil || r.PostFormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || said.Iss != Account || said.Aud != p.URL+"/google/token":
		answer(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
	case said.Sub != Admin || said.Scope != groupsScope:
		answer(w, http.StatusUnauthorized, map[string]string{"error": "unauthorized_client", "error_description": "<script>alert(5)</script>"})
	default:
		answer(w, http.StatusOK, map[string]any{"access_token": p.mu.workspace.access, "token_type": "Bearer", "expires_in": 3600})
	}
}

// directoryGroups lists a member's groups, two on a page.
func (p *Provider) directoryGroups(w http.ResponseWriter, r *http.Request) {
	const page = 2
	p.mu.Lock()
	defer p.mu.Unlock()
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case !ok || token != p.mu.workspace.access:
		answer(w, http.StatusUnauthorized, map[string]any{})
		return
	case p.mu.workspace.refusal != 0:
		answer(w, p.mu.workspace.refusal, map[string]any{"error": "canary"})
		return
	}
	all := p.mu.workspace.groups[r.URL.Query().Get("userKey")]
	from, _ := strconv.Atoi(r.URL.Query().Get("pageToken")) // None is the first page.
	from = min(from, len(all))
	to := min(from+page, len(all))
	reply := map[string]any{"kind": "admin#directory#groups"}
	var groups []map[string]string
	for _, group := range all[from:to] {
		groups = append(groups, map[string]string{"email": group, "id": "x"})
	}
	if reply["groups"] = groups; to < len(all) {
		reply["nextPageToken"] = strconv.Itoa(to)
	}
	answer(w, http.StatusOK, reply)
}
