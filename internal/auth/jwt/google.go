package jwt

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"
)

// Google puts no groups into its tokens. A Workspace's are asked of its directory, by a service
// account that may act for an administrator.

const (
	usualDirectory = "https://admin.googleapis.com/admin/directory/v1"
	groupsScope    = "https://www.googleapis.com/auth/admin.directory.group.readonly"
	// mostDepth bounds how far groups are followed into the groups that they are in, mostQuestions
	// how often one login asks for that.
	mostDepth     = 10
	mostQuestions = 50
)

// googleRecord is provider_config with the provider gsuite.
type googleRecord struct {
	Email    string `cbor:"1,keyasint"`
	Key      string `cbor:"2,keyasint"`
	KeyID    string `cbor:"3,keyasint,omitempty"`
	TokenURL string `cbor:"4,keyasint"`
	// Admin is whom the service account acts for.
	Admin        string `cbor:"5,keyasint"`
	Depth        int    `cbor:"6,keyasint,omitempty"`
	DirectoryURL string `cbor:"7,keyasint,omitempty"`
}

func (g *googleRecord) directory() string {
	if g.DirectoryURL == "" {
		return usualDirectory
	}
	return g.DirectoryURL
}

// parseGoogle reads the settings, by the names that they have in Vault.
func parseGoogle(settings map[string]any) (*googleRecord, error) {
	g := &googleRecord{}
	fetch := false
	for name, value := range settings {
		text, isText := value.(string)
		switch {
		case name == "provider":
		case name == "gsuite_service_account" && isText:
			if err := g.readKey(text); err != nil {
				return nil, err
			}
		case name == "gsuite_admin_impersonate" && isText:
			g.Admin = text
		case name == "fetch_groups":
			fetch = value == true || text == "true"
		case name == "fetch_user_info" && (value == false || text == "false"):
		case name == "groups_recurse_max_depth":
			depth, ok := scalar(value).(int64)
			if !ok || depth < 0 || depth > mostDepth {
				return nil, errors.New("groups_recurse_max_depth: want a number from 0 to 10")
			}
			g.Depth = int(depth)
		case name == "directory_url" && isText:
			u, err := checkAddress(text)
			if err != nil || u.RawQuery != "" {
				return nil, errors.New("directory_url: want a URL that begins with https://, and has no query")
			}
			g.DirectoryURL = strings.TrimSuffix(text, "/")
		default:
			return nil, errors.New("of gsuite only gsuite_service_account, gsuite_admin_impersonate, fetch_groups, groups_recurse_max_depth and directory_url are taken")
		}
	}
	switch {
	case g.Key == "" || g.Admin == "":
		return nil, errors.New("gsuite needs gsuite_service_account and gsuite_admin_impersonate")
	case !fetch:
		return nil, errors.New("fetch_groups is not true, and gsuite is for nothing else here")
	}
	return g, nil
}

// readKey takes a service account's key file. It never says what is in it.
func (g *googleRecord) readKey(text string) error {
	if !strings.HasPrefix(strings.TrimSpace(text), "{") {
		return errors.New("gsuite_service_account: want the content of the key file (@FILE on the command line): the server reads no files for it")
	}
	var file struct {
		Email    string `json:"client_email"`
		Key      string `json:"private_key"`
		KeyID    string `json:"private_key_id"`
		TokenURL string `json:"token_uri"`
	}
	if json.Unmarshal([]byte(text), &file) != nil || file.Email == "" {
		return errors.New("gsuite_service_account: it is no key file of a service account")
	}
	block, _ := pem.Decode([]byte(file.Key))
	if block == nil {
		return errors.New("gsuite_service_account: its private_key is no key in PEM")
	}
	if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
		return errors.New("gsuite_service_account: its private_key cannot be read")
	} else if _, ok := key.(*rsa.PrivateKey); !ok {
		return errors.New("gsuite_service_account: its private_key is no RSA key")
	}
	if _, err := checkAddress(file.TokenURL); err != nil {
		return errors.New("gsuite_service_account: its token_uri is no address")
	}
	g.Email, g.Key, g.KeyID, g.TokenURL = file.Email, file.Key, file.KeyID, file.TokenURL
	return nil
}

// view leaves the key out.
func (g *googleRecord) view() map[string]any {
	v := map[string]any{"provider": "gsuite", "gsuite_admin_impersonate": g.Admin, "fetch_groups": true, "groups_recurse_max_depth": g.Depth}
	if g.DirectoryURL != "" {
		v["directory_url"] = g.DirectoryURL
	}
	return v
}

// workspaceGroups asks the directory for the groups of a person, and for those that these are in.
func (m *Method) workspaceGroups(ctx context.Context, p *provider, g *googleRecord, person string) ([]any, error) {
	account := jwt.Config{
		Email: g.Email, PrivateKey: []byte(g.Key), PrivateKeyID: g.KeyID, TokenURL: g.TokenURL, Subject: g.Admin, Scopes: []string{groupsScope},
	}
	access, err := account.TokenSource(within(ctx, p.clients.questions)).Token()
	var refusal *oauth2.RetrieveError
	if errors.As(err, &refusal) && refusal.Response != nil && refusal.Response.StatusCode < 500 {
		return nil, refusalIn(refusal.Body)
	}
	if err != nil {
		return nil, err
	}
	groups, seen := []any{}, map[string]bool{}
	left := mostQuestions
	members := []string{person}
	for depth := 0; depth <= g.Depth && len(members) > 0; depth++ {
		var found []string
		for _, member := range members {
			more, err := m.directGroups(ctx, p, g, access.AccessToken, member, &left)
			if err != nil {
				return nil, err
			}
			for _, group := range more {
				if !seen[group] {
					seen[group] = true
					groups, found = append(groups, group), append(found, group)
				}
			}
		}
		members = found
	}
	return groups, nil
}

// directGroups are those that a member is in itself, by address. left is how many questions may
// still be asked.
func (m *Method) directGroups(ctx context.Context, p *provider, g *googleRecord, access, member string, left *int) ([]string, error) {
	var found []string
	for next := ""; ; {
		if *left--; *left < 0 {
			return nil, errTooMany
		}
		query := url.Values{"userKey": {member}, "maxResults": {"200"}}
		if next != "" {
			query.Set("pageToken", next)
		}
		var answer struct {
			Groups []struct {
				Email string `json:"email"`
			} `json:"groups"`
			Next string `json:"nextPageToken"`
		}
		if err := m.bearing(ctx, p, access, http.MethodGet, g.directory()+"/groups?"+query.Encode(), nil, &answer); err != nil {
			return nil, err
		}
		for _, group := range answer.Groups {
			if group.Email == "" {
				return nil, errForm
			}
			found = append(found, group.Email)
		}
		if next = answer.Next; next == "" {
			return found, nil
		}
	}
}
