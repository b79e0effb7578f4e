package cli

import (
	"fmt"
	"strings"

	"github.com/hashicorp/vault/api"
)

// loginMethod turns what the user gave into an answer with a token in it.
type loginMethod func(s *session, c *api.Client, mount string, in *loginValues) (*api.Secret, error)

// loginMethods are the methods "login" knows. approle is an addition to what
// Vault's command line has.
func loginMethods() map[string]loginMethod {
	return map[string]loginMethod{
		"token":    loginToken,
		"userpass": loginPassword,
		"ldap":     loginLDAP,
		"radius":   loginPassword,
		"okta":     loginPassword,
		"approle":  loginAppRole,
		"cert":     loginCert,
		"jwt":      loginJWT,
		"oidc":     loginOIDC,
		"github":   loginGitHub,
	}
}

// loginValues are the K=V arguments of login.
type loginValues struct{ values map[string]any }

func (v *loginValues) get(key string) string {
	if x, ok := v.values[key]; ok {
		return strings.TrimSpace(fmt.Sprint(x))
	}
	return ""
}

// secret is a value as given, but for the newline that a file ends with: spaces
// may be part of a password.
func (v *loginValues) secret(key string) string {
	if x, ok := v.values[key]; ok {
		return strings.TrimRight(fmt.Sprint(x), "\r\n")
	}
	return ""
}

// need returns a value, asking for it when it was not given.
func (v *loginValues) need(s *session, key, prompt string, hidden bool) (string, error) {
	given := v.get
	if hidden {
		given = v.secret
	}
	if got := given(key); got != "" {
		return got, nil
	}
	if s.req.nonInteractive {
		return "", local("Error authenticating: %q not specified and -non-interactive is set", key)
	}
	var got string
	var err error
	if hidden {
		got, err = s.con.askSecret(s.con.err, prompt+" (will be hidden): ")
	} else {
		got, err = s.con.ask(prompt + ": ")
	}
	if err != nil {
		return "", nothing("Error authenticating: %s. Give it as %s=..., or %s=- to read it from standard input", err, key, key)
	}
	if got == "" {
		return "", nothing("Error authenticating: %q is empty", key)
	}
	return got, nil
}

// loginToken checks a token by looking it up, unless lookup=false.
func loginToken(s *session, c *api.Client, _ string, in *loginValues) (*api.Secret, error) {
	token := in.get("token")
	if token == "" {
		if s.req.nonInteractive {
			return nil, local("Error authenticating: 'token' not supplied and -non-interactive is set")
		}
		var err error
		if token, err = s.con.askSecret(s.con.err, "Token (will be hidden): "); err != nil {
			return nil, nothing(`Error authenticating: %s. Use "login -" to read the token from standard input`, err)
		}
		token = strings.TrimSpace(token)
	}
	if token == "" {
		return nil, nothing("Error authenticating: the token is empty")
	}
	c.SetToken(token)
	s.tokenFrom = "what you gave to login"
	if in.get("lookup") == "false" {
		return &api.Secret{Auth: &api.SecretAuth{ClientToken: token}}, nil
	}
	sec, err := c.Auth().Token().LookupSelfWithContext(s.ctx)
	if err != nil {
		return nil, s.remote("authenticating", err)
	}
	if sec == nil {
		return nil, nothing("Error authenticating: the server returned nothing for the token")
	}
	if sec.WrapInfo != nil {
		return sec, nil
	}
	return authFromLookup(sec, token)
}

// authFromLookup makes a login's answer out of a lookup's.
func authFromLookup(sec *api.Secret, token string) (*api.Secret, error) {
	fail := func(what string, err error) (*api.Secret, error) {
		return nil, nothing("Error authenticating: cannot read the token's %s: %s", what, err)
	}
	policies, err := sec.TokenPolicies() // fills sec.Auth with both lists
	if err != nil {
		return fail("policies", err)
	}
	accessor, err := sec.TokenAccessor()
	if err != nil {
		return fail("accessor", err)
	}
	metadata, err := sec.TokenMetadata()
	if err != nil {
		return fail("metadata", err)
	}
	renewable, err := sec.TokenIsRenewable()
	if err != nil {
		return fail("renewability", err)
	}
	ttl, err := sec.TokenTTL()
	if err != nil {
		return fail("TTL", err)
	}
	auth := &api.SecretAuth{
		ClientToken: token, Accessor: accessor, Policies: policies, TokenPolicies: policies,
		Metadata: metadata, LeaseDuration: int(ttl.Seconds()), Renewable: renewable,
	}
	if sec.Auth != nil {
		auth.TokenPolicies, auth.IdentityPolicies = sec.Auth.TokenPolicies, sec.Auth.IdentityPolicies
	}
	return &api.Secret{RequestID: sec.RequestID, LeaseDuration: 0, Renewable: false, Warnings: sec.Warnings, Auth: auth}, nil
}

// submit writes to a login path. A login needs no token, and one that has
// expired would only be in the way.
func (s *session) submit(c *api.Client, path string, body map[string]any) (*api.Secret, error) {
	c.ClearToken()
	s.tokenFrom = ""
	sec, err := c.Logical().WriteWithContext(s.ctx, path, body)
	if err != nil {
		return nil, s.refusedLogin(err)
	}
	if sec == nil {
		return nil, nothing("Error authenticating: the server answered with nothing")
	}
	return sec, nil
}

// refusedLogin reports a login that failed.
func (s *session) refusedLogin(err error) error {
	return &exitError{code: exitRemote, text: "Error authenticating: " + describe(err) + s.loginAdvice(err), cause: err}
}

// loginAdvice is advice without the part about tokens: none was sent, rightly.
func (s *session) loginAdvice(err error) string {
	a := s.advice(err)
	if a == "\n\n"+s.tokenAdvice() {
		return ""
	}
	return a
}

// loginPassword serves every method that takes a name and a password.
func loginPassword(s *session, c *api.Client, mount string, in *loginValues) (*api.Secret, error) {
	user, err := in.need(s, "username", "Username", false)
	if err != nil {
		return nil, err
	}
	password, err := in.need(s, "password", "Password", true)
	if err != nil {
		return nil, err
	}
	body := map[string]any{"password": password}
	for k, v := range in.values {
		if k != "username" && k != "password" {
			body[k] = v
		}
	}
	return s.submit(c, "auth/"+mount+"/login/"+user, body)
}

// loginLDAP takes the name from the environment where none is given: people's names on their
// machines are mostly those of the directory.
func loginLDAP(s *session, c *api.Client, mount string, in *loginValues) (*api.Secret, error) {
	if _, given := in.values["username"]; !given {
		name, from := s.env.variable("LDAP_USERNAME")
		for _, variable := range []string{"LOGNAME", "USER"} {
			if name == "" {
				name, from = s.env.Getenv(variable), variable
			}
		}
		if name != "" {
			in.values["username"] = name
			fmt.Fprintf(s.con.err, "Logging in as %s (from %s).\n", name, from)
		}
	}
	return loginPassword(s, c, mount, in)
}

func loginAppRole(s *session, c *api.Client, mount string, in *loginValues) (*api.Secret, error) {
	role, err := in.need(s, "role_id", "Role id", false)
	if err != nil {
		return nil, err
	}
	body := map[string]any{"role_id": role}
	// A role without bind_secret_id needs none: an explicit empty one is not asked for.
	if _, given := in.values["secret_id"]; !given {
		secret, err := in.need(s, "secret_id", "Secret id", true)
		if err != nil {
			return nil, err
		}
		body["secret_id"] = secret
	} else if secret := in.secret("secret_id"); secret != "" {
		body["secret_id"] = secret
	}
	return s.submit(c, "auth/"+mount+"/login", body)
}

// loginCert authenticates by the client certificate of the connection.
func loginCert(s *session, c *api.Client, mount string, in *loginValues) (*api.Secret, error) {
	if s.conn.clientCert == "" {
		return nil, local("Error authenticating: the cert method needs -client-cert and -client-key")
	}
	body := map[string]any{}
	if name := in.get("name"); name != "" {
		body["name"] = name
	}
	return s.submit(c, "auth/"+mount+"/login", body)
}

func loginJWT(s *session, c *api.Client, mount string, in *loginValues) (*api.Secret, error) {
	jwt, err := in.need(s, "jwt", "JWT", true)
	if err != nil {
		return nil, err
	}
	body := map[string]any{"jwt": jwt}
	if role := in.get("role"); role != "" {
		body["role"] = role
	}
	return s.submit(c, "auth/"+mount+"/login", body)
}

func loginGitHub(s *session, c *api.Client, mount string, in *loginValues) (*api.Secret, error) {
	token, err := in.need(s, "token", "GitHub Personal Access Token", true)
	if err != nil {
		return nil, err
	}
	return s.submit(c, "auth/"+mount+"/login", map[string]any{"token": token})
}
