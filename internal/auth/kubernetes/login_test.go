package kubernetes_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"jeton/internal/auth/authtest"
	"jeton/internal/auth/kubernetes"
	"jeton/internal/auth/kubernetes/kubetest"
	"jeton/internal/backend"
)

type object = map[string]any

// house is a mounted method that asks a cluster, with a role "r" for the account app of default and
// a reviewer.
type house struct {
	*authtest.Bench
	cluster  *kubetest.Cluster
	app      *kubetest.Account
	reviewer *kubetest.Account
	token    string
}

// bench mounts the method; nothing is configured.
func bench(t *testing.T) *authtest.Bench {
	t.Helper()
	b := authtest.New(t, kubernetes.InPod(t.TempDir()))
	t.Cleanup(func() {
		if err := b.Backend.(backend.Closer).Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func open(t *testing.T) *house {
	t.Helper()
	b := bench(t)
	h := &house{Bench: b, cluster: kubetest.Start(t, b.Clock.Now)}
	h.app, h.reviewer = h.cluster.AddAccount("default", "app"), h.cluster.AddAccount("kube-system", "reviewer")
	h.configure(t, object{})
	h.write(t, object{"bound_service_account_names": "app", "bound_service_account_namespaces": "default", "token_policies": "p", "token_ttl": 60})
	h.token = h.cluster.Token(h.app)
	return h
}

// configure writes the settings: the cluster's, and what is given.
func (h *house) configure(t *testing.T, more object) {
	t.Helper()
	year := func(m map[string]any) { m["exp"] = h.Clock.Now().Add(365 * 24 * time.Hour).Unix() }
	data := object{"kubernetes_host": h.cluster.URL, "kubernetes_ca_cert": h.cluster.CA, "token_reviewer_jwt": h.cluster.Token(h.reviewer, year)}
	maps.Copy(data, more)
	h.Must(t, backend.Update, "config", data)
}

func (h *house) write(t *testing.T, data object) {
	t.Helper()
	h.Must(t, backend.Update, "role/r", data)
}

func (h *house) login(t *testing.T, token string) (*backend.Login, error) {
	t.Helper()
	return h.Login(t.Context(), "login", object{"role": "r", "jwt": token})
}

func (h *house) in(t *testing.T, token string) *backend.Login {
	t.Helper()
	login, err := h.login(t, token)
	if err != nil {
		t.Fatalf("login: %v", err)
	}
	return login
}

// told checks what a client is told: kind and text without the cause, which is for the log.
func told(t *testing.T, err error, kind backend.Kind, text string) {
	t.Helper()
	e := new(backend.Error)
	if !errors.As(err, &e) || e.Kind != kind || e.Text != text {
		t.Fatalf("%v; want kind %d: %s", err, kind, text)
	}
}

const bare = "permission denied"

func (h *house) out(t *testing.T, token, text string) {
	t.Helper()
	_, err := h.login(t, token)
	told(t, err, backend.Denied, text)
}

// Contract: auth-methods §6, result.
func TestLogin(t *testing.T) {
	h := open(t)
	login := h.in(t, h.token)
	account := map[string]string{
		"service_account_uid": h.app.UID, "service_account_name": "app", "service_account_namespace": "default", "service_account_secret_name": "",
	}
	if !maps.Equal(login.Alias.Metadata, account) || login.Alias.Name != h.app.UID {
		t.Errorf("alias %+v", login.Alias)
	}
	account["role"] = "r"
	if !maps.Equal(login.Metadata, account) || login.DisplayName != "default-app" || !slices.Equal(login.Policies, []string{"p"}) || login.Terms.TTL != time.Minute {
		t.Errorf("%+v", login)
	}
	// The alias's source makes another entity, and the role's name is folded.
	h.write(t, object{"alias_name_source": "serviceaccount_name"})
	login, err := h.Login(t.Context(), "login", object{"role": "R", "jwt": "\n" + h.token + "\n"})
	if err != nil || login.Alias.Name != "default/app" {
		t.Errorf("%+v, %v", login, err)
	}
	old := h.in(t, h.cluster.OldToken(h.app))
	if old.Metadata["service_account_secret_name"] != "app-token-x1" {
		t.Errorf("an old token: %v", old.Metadata)
	}
	if asked := h.cluster.Asked(); len(asked) != 3 || asked[0] != "POST /apis/authentication.k8s.io/v1/tokenreviews" {
		t.Errorf("asked %v: every login is reviewed", asked)
	}
}

// Contract: auth-methods §6, what is refused before anybody is asked.
func TestLoginErrors(t *testing.T) {
	h := open(t)
	for name, row := range map[string]struct {
		data object
		text string
	}{
		"no role":            {object{"jwt": h.token}, "missing role"},
		"no jwt":             {object{"role": "r"}, "missing jwt"},
		"unknown role":       {object{"role": "nobody", "jwt": h.token}, `invalid role name "nobody"`},
		"a JWT for a role":   {object{"role": h.token, "jwt": h.token}, "invalid role name"},
		"a path for a role":  {object{"role": "../config", "jwt": h.token}, "invalid role name"},
		"line for a role":    {object{"role": "a\nb", "jwt": h.token}, "invalid role name"},
		"blanks for a token": {object{"role": "r", "jwt": " \n"}, "missing jwt"},
	} {
		t.Run(name, func(t *testing.T) {
			h.Refused(t, backend.Update, "login", row.data, backend.Invalid, row.text)
		})
	}
	if asked := h.cluster.Asked(); len(asked) != 0 {
		t.Errorf("asked %v", asked)
	}
	b := bench(t)
	b.Must(t, backend.Update, "role/r", object{"bound_service_account_names": "a", "bound_service_account_namespaces": "b"})
	b.Refused(t, backend.Update, "login", object{"role": "r", "jwt": h.token}, backend.Invalid, "could not load backend configuration")
}

// Contract: auth-methods §6, what a JWT says of itself; CVE-2021-3024's neighbours: issuer, audience, exact names.
func TestClaims(t *testing.T) {
	const audience = "the JWT is for another audience (aud) than the role's"
	set := func(key string, value any) kubetest.Members {
		return func(m map[string]any) {
			if m[key] = value; value == nil {
				delete(m, key)
			}
		}
	}
	at := func(d time.Duration) int64 { return authtest.Start.Add(d).Unix() }
	kubernetes := func(namespace, name, uid string) kubetest.Members {
		return set("kubernetes.io", map[string]any{"namespace": namespace, "serviceaccount": map[string]any{"name": name, "uid": uid}})
	}
	rows := []struct {
		name   string
		config object
		role   object
		change kubetest.Members
		text   string // "" gets in
	}{
		{"expired", nil, nil, set("exp", at(-time.Minute)), "the JWT has expired"},
		{"expired within the leeway is the API server's to judge", nil, nil, set("exp", at(-5*time.Second)), bare},
		{"not valid yet", nil, nil, set("nbf", at(time.Minute)), "the JWT is not valid yet"},
		{"issued in the future", nil, nil, set("iat", at(time.Minute)), "the JWT was issued in the future"},
		{"no exp", nil, nil, set("exp", nil), ""},
		{"no times", nil, nil, func(m map[string]any) { delete(m, "exp"); delete(m, "nbf"); delete(m, "iat") }, ""},
		{"a time that is none", nil, nil, set("exp", "tomorrow"), bare},
		{"audience", nil, object{"audience": "jeton"}, set("aud", []string{"other", "jeton"}), ""},
		{"audience as text", nil, object{"audience": "jeton"}, set("aud", "jeton"), ""},
		{"another audience", nil, object{"audience": "jeton"}, nil, audience},
		{"another audience by its beginning", nil, object{"audience": "jeton"}, set("aud", "jeton2"), audience},
		{"no audience where one is wanted", nil, object{"audience": "jeton"}, set("aud", nil), audience},
		{"any issuer by default", nil, nil, set("iss", "somebody"), ""},
		{"the default issuer, which is enforced [!]", object{"disable_iss_validation": false}, nil, nil, "the JWT names another issuer (iss) than the configured one"},
		{"the default issuer", object{"disable_iss_validation": false}, nil, set("iss", "kubernetes/serviceaccount"), ""},
		{"the configured issuer", object{"disable_iss_validation": false, "issuer": kubetest.Issuer}, nil, nil, ""},
		{"another issuer than the configured", object{"disable_iss_validation": false, "issuer": "x"}, nil, nil, "the JWT names another issuer (iss) than the configured one"},
		{"another subject than the account", nil, nil, set("sub", "system:serviceaccount:default:admin"), bare},
		{"no service account's", nil, nil, set("kubernetes.io", nil), bare},
		{"a name that is a pattern", nil, nil, kubernetes("default", "*", "u"), bare},
		{"a name that is a path", nil, nil, kubernetes("default/../kube-system", "app", "u"), bare},
		{"no UID", nil, nil, kubernetes("default", "app", ""), bare},
		{"another UID than the account's", nil, nil, kubernetes("default", "app", "00000000-0000-0000-0000-000000000000"), bare},
		{"another name than the role's", nil, object{"bound_service_account_names": "ap,apps"}, nil, "service account name not authorized"},
		{"another namespace than the role's", nil, object{"bound_service_account_namespaces": "defaul"}, nil, "namespace not authorized"},
		{"a glob app-*", nil, object{"bound_service_account_names": "app-*"}, nil, "service account name not authorized"},
		{"a glob ap*", nil, object{"bound_service_account_names": "x,ap*", "bound_service_account_namespaces": "d*t"}, nil, ""},
		{"any", nil, object{"bound_service_account_names": "*", "bound_service_account_namespaces": "*"}, nil, ""},
		{"from elsewhere", nil, object{"token_bound_cidrs": "10.0.0.0/8"}, nil, bare},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			h := open(t)
			if row.config != nil {
				h.configure(t, row.config)
			}
			if row.role != nil {
				h.write(t, row.role)
			}
			token := h.token
			if row.change != nil {
				token = h.cluster.Token(h.app, row.change)
			}
			if row.text == "" {
				h.in(t, token)
			} else {
				h.out(t, token, row.text)
			}
		})
	}
}

// A token that nobody signed, or another, or in another way, is refused, with pem_keys before anybody is
// asked and without them by the API server.
func TestSignature(t *testing.T) {
	h := open(t)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]any{"sub": h.app.User(), "aud": kubetest.Audience, "kubernetes.io": map[string]any{
		"namespace": "default", "serviceaccount": map[string]any{"name": "app", "uid": h.app.UID},
	}}
	parts := strings.Split(h.token, ".")
	forged := map[string]string{
		"another key":                   kubetest.Sign(t, jose.ES256, stranger, members),
		"HS256 with the public key":     kubetest.Sign(t, jose.HS256, []byte(h.cluster.PublicKey()), members),
		"no algorithm":                  "eyJhbGciOiJub25lIn0." + parts[1] + ".",
		"no signature":                  parts[0] + "." + parts[1] + ".",
		"another's signature":           parts[0] + "." + strings.Split(h.cluster.Token(h.reviewer), ".")[1] + "." + parts[2],
		"two parts":                     parts[0] + "." + parts[1],
		"nonsense":                      "nonsense",
		"nonsense of three parts":       "a.b.c",
		"longer than a token ever gets": h.token + strings.Repeat("A", 40<<10),
	}
	for name, token := range forged {
		t.Run("without keys: "+name, func(t *testing.T) { h.out(t, token, bare) })
	}
	asked := len(h.cluster.Asked())
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h.configure(t, object{"pem_keys": []string{publicPEM(t, other), h.cluster.PublicKey()}})
	for name, token := range forged {
		t.Run("with keys: "+name, func(t *testing.T) { h.out(t, token, bare) })
	}
	if n := len(h.cluster.Asked()); n != asked {
		t.Errorf("the API server was asked %d times about tokens that no key signed", n-asked)
	}
	h.in(t, h.token)
	if n := len(h.cluster.Asked()); n != asked+1 {
		t.Error("a token that a key signed was not reviewed")
	}
	h.cluster.DeleteAccount(h.app)
	h.out(t, h.token, bare)
}

// A stranger learns nothing of whom a role takes: the reasons are for who has proved who it is.
func TestStrangersLearnNothing(t *testing.T) {
	h := open(t)
	h.write(t, object{"bound_service_account_names": "other"})
	h.out(t, h.token, "service account name not authorized")
	h.cluster.EndPod(h.token)
	h.out(t, h.token, bare)
}

// Contract: auth-methods §6, the answer of the TokenReview: what it must say.
func TestReviewCVE20213024(t *testing.T) {
	h := open(t)
	for name, change := range map[string]func(*kubetest.Review){
		"not authenticated":                  func(r *kubetest.Review) { r.Status.Authenticated = false },
		"authenticated, and an error":        func(r *kubetest.Review) { r.Status.Error = "x" },
		"another namespace":                  func(r *kubetest.Review) { r.Status.User.Username = "system:serviceaccount:other:app" },
		"another name":                       func(r *kubetest.Review) { r.Status.User.Username = "system:serviceaccount:default:app2" },
		"a user who is no account":           func(r *kubetest.Review) { r.Status.User.Username = "default:app" },
		"another UID":                        func(r *kubetest.Review) { r.Status.User.UID = "x" },
		"no UID":                             func(r *kubetest.Review) { r.Status.User.UID = "" },
		"another audience":                   func(r *kubetest.Review) { r.Status.Audiences = []string{"x"} },
		"no audience where one was asked of": func(r *kubetest.Review) { r.Status.Audiences = nil },
		"another kind":                       func(r *kubetest.Review) { r.Kind = "Status" },
	} {
		t.Run(name, func(t *testing.T) {
			h.cluster.Change(change)
			h.out(t, h.token, bare)
		})
	}
	h.cluster.Change(nil)
	h.in(t, h.token)
	t.Run("what is asked", func(t *testing.T) {
		var spec kubetest.Review
		h.cluster.Change(func(r *kubetest.Review) { spec = *r })
		h.write(t, object{"audience": "jeton"})
		token := h.cluster.Token(h.app, func(m map[string]any) { m["aud"] = []string{"jeton", "more"} })
		h.in(t, token)
		if spec.Spec.Token != token || !slices.Equal(spec.Spec.Audiences, []string{"jeton"}) {
			t.Errorf("asked %+v", spec.Spec)
		}
		h.write(t, object{"audience": ""})
		h.in(t, token)
		if !slices.Equal(spec.Spec.Audiences, []string{"jeton", "more"}) {
			t.Errorf("asked for %v: the token's own", spec.Spec.Audiences)
		}
	})
}

// Contract: auth-methods §6, tests: a deleted account, one made anew, and an ended pod are 403.
func TestAccountGone(t *testing.T) {
	h := open(t)
	h.in(t, h.token)
	again := h.cluster.AddAccount("default", "app")
	h.out(t, h.token, bare)
	token := h.cluster.Token(again)
	if login := h.in(t, token); login.Alias.Name != again.UID {
		t.Errorf("alias %q", login.Alias.Name)
	}
	h.cluster.EndPod(token)
	h.out(t, token, bare)
	h.cluster.DeleteAccount(again)
	h.out(t, h.cluster.Token(again), bare)
}

// Contract: auth-methods §6, tests: TokenReview 401, 500, nonsense, too much and silence are 403, no token is
// made, and the reason is in the log alone.
func TestAPIServerFaults(t *testing.T) {
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request){
		"401":                 kubetest.Status(401),
		"403":                 kubetest.Status(403),
		"404":                 kubetest.Status(404),
		"500":                 kubetest.Status(500),
		"503":                 kubetest.Status(503),
		"204":                 kubetest.Status(204),
		"nonsense":            kubetest.Text("nonsense"),
		"nothing":             kubetest.Text(""),
		"null":                kubetest.Text("null"),
		"a list":              kubetest.Text("[]"),
		"authenticated: text": kubetest.Text(`{"kind":"TokenReview","status":{"authenticated":"true"}}`),
		"half of it":          kubetest.Text(`{"kind":"TokenReview","status":{"authenticated":true,`),
		"without an end":      kubetest.Huge,
		"hung up":             kubetest.HangUp,
		"elsewhere": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://127.0.0.1:1/")
			w.WriteHeader(http.StatusTemporaryRedirect)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := open(t)
			h.in(t, h.token)
			h.cluster.Fault(fault)
			h.out(t, h.token, bare)
			h.cluster.Fault(nil)
			h.in(t, h.token)
		})
	}
	t.Run("gone", func(t *testing.T) {
		h := open(t)
		h.cluster.Stop()
		h.out(t, h.token, bare)
	})
	t.Run("another's certificate", func(t *testing.T) {
		h := open(t)
		h.configure(t, object{"kubernetes_ca_cert": otherCA(t)})
		h.out(t, h.token, bare)
		h.configure(t, object{"kubernetes_ca_cert": ""})
		h.out(t, h.token, bare)
		if asked := h.cluster.Asked(); len(asked) != 0 {
			t.Errorf("a server that could not prove itself was asked %v", asked)
		}
	})
}

// Contract: auth-methods §6, a slow API server: refused within the configured time, others unhindered.
func TestSlowAPIServer(t *testing.T) {
	h := open(t)
	entered := make(chan struct{})
	h.cluster.Fault(kubetest.Slow(entered))
	h.configure(t, object{"api_timeout": "1s"})
	done := make(chan error, 1)
	login := func() { // Ends with the timeout.
		_, err := h.Login(t.Context(), "login", object{"role": "r", "jwt": h.token})
		done <- err
	}
	go login()
	for waits := false; !waits; {
		select {
		case <-entered:
			waits = true
		case err := <-done: // On a busy machine the second was over before the question was asked.
			told(t, err, backend.Denied, bare)
			go login()
		}
	}
	// While it waits, the mount serves what needs no API server.
	if h.Must(t, backend.Read, "role/r", nil) == nil {
		t.Error("no role")
	}
	h.write(t, object{"token_ttl": 120})
	told(t, <-done, backend.Denied, bare)
}

// Contract: auth-methods §6, the bearer: the reviewer's JWT, the pod's own (re-read), or the login's.
func TestBearer(t *testing.T) {
	h := open(t)
	last := func() string { b := h.cluster.Bearers(); return b[len(b)-1] }
	reviewer := h.cluster.Token(h.reviewer)
	h.configure(t, object{"token_reviewer_jwt": reviewer + "\n"})
	h.in(t, h.token)
	if last() != reviewer {
		t.Error("the reviewer's JWT was not used")
	}
	h.configure(t, object{"token_reviewer_jwt": ""})
	h.in(t, h.token)
	if last() != h.token {
		t.Error("the login's JWT was not used")
	}

	dir := t.TempDir()
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pod := authtest.New(t, kubernetes.InPod(dir))
	t.Cleanup(func() { _ = pod.Backend.(backend.Closer).Close() })
	h.Bench = pod
	own := h.cluster.Token(h.reviewer)
	put("token", own+"\n")
	put("ca.crt", h.cluster.CA)
	h.configure(t, object{"token_reviewer_jwt": "", "kubernetes_ca_cert": ""})
	h.write(t, object{"bound_service_account_names": "app", "bound_service_account_namespaces": "default"})
	h.in(t, h.token)
	if last() != own {
		t.Error("the pod's JWT was not used")
	}
	newer := h.cluster.Token(h.reviewer)
	put("token", newer)
	h.in(t, h.token)
	if last() != own {
		t.Error("the pod's JWT was read again at once")
	}
	pod.Clock.Add(time.Minute)
	h.in(t, h.token)
	if last() != newer {
		t.Error("the pod's JWT was not read again")
	}
	h.configure(t, object{"token_reviewer_jwt": reviewer, "kubernetes_ca_cert": ""})
	h.in(t, h.token)
	if last() != reviewer {
		t.Error("the configured reviewer's JWT comes before the pod's")
	}
	h.configure(t, object{"token_reviewer_jwt": "", "disable_local_ca_jwt": true})
	h.in(t, h.token)
	if last() != h.token {
		t.Error("disable_local_ca_jwt, and the pod's JWT was used")
	}
}

// Who may write the settings gets neither the stored reviewer's JWT nor the pod's own by naming a server of
// theirs: a write replaces the one, and the other goes only where the pod's own authority vouches for the
// server. Decision 0027.
func TestStoredJWTsAreSentNowhereElse(t *testing.T) {
	h := open(t)
	reviewer := h.cluster.Token(h.reviewer)
	h.configure(t, object{"token_reviewer_jwt": reviewer})
	h.in(t, h.token)
	h.Must(t, backend.Update, "config", object{"kubernetes_host": h.cluster.URL, "kubernetes_ca_cert": h.cluster.CA})
	before := len(h.cluster.Bearers())
	h.in(t, h.token)
	if slices.Contains(h.cluster.Bearers()[before:], reviewer) {
		t.Error("a write without token_reviewer_jwt kept the old one, and sent it to the host that it names")
	}

	plain := httptest.NewServer(http.HandlerFunc(h.cluster.ServeHTTP))
	defer plain.Close()
	for name, row := range map[string]struct {
		config object
		ca     string
		sent   bool
	}{
		"its own cluster":                   {object{"kubernetes_ca_cert": ""}, h.cluster.CA, true},
		"its own cluster, CA given":         {nil, h.cluster.CA, true},
		"another's, CA given with the host": {nil, otherCA(t), false},
		"in clear":                          {object{"kubernetes_host": plain.URL}, h.cluster.CA, false},
		"a pod without a CA":                {nil, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			own := h.cluster.Token(h.reviewer)
			for file, text := range map[string]string{"token": own, "ca.crt": row.ca} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			pod := *h
			pod.Bench = authtest.New(t, kubernetes.InPod(dir))
			t.Cleanup(func() { _ = pod.Backend.(backend.Closer).Close() })
			config := object{"token_reviewer_jwt": ""}
			maps.Copy(config, row.config)
			pod.configure(t, config)
			pod.write(t, object{"bound_service_account_names": "app", "bound_service_account_namespaces": "default"})
			before := len(h.cluster.Bearers())
			_, _ = pod.login(t, h.token)
			if sent := slices.Contains(h.cluster.Bearers()[before:], own); sent != row.sent {
				t.Errorf("the pod's JWT was sent: %v", sent)
			}
		})
	}
}

// Contract: auth-methods §6, the namespace selector needs the namespace's labels, and these a GET.
func TestNamespaceSelector(t *testing.T) {
	h := open(t)
	h.cluster.LetRead(h.reviewer, true)
	h.cluster.Label("default", map[string]string{"env": "prod", "team": "a"})
	rows := []struct {
		selector string
		in       bool
	}{
		{`{"matchLabels":{"env":"prod"}}`, true},
		{`{"matchLabels":{"env":"prod","team":"b"}}`, false},
		{`{"matchLabels":{"none":"x"}}`, false},
		{"matchLabels:\n  env: prod\n  team: a\n", true},
		{`{"matchExpressions":[{"key":"env","operator":"In","values":["test","prod"]}]}`, true},
		{`{"matchExpressions":[{"key":"env","operator":"In","values":["test"]}]}`, false},
		{`{"matchExpressions":[{"key":"none","operator":"In","values":[""]}]}`, false},
		{`{"matchExpressions":[{"key":"env","operator":"NotIn","values":["test"]}]}`, true},
		{`{"matchExpressions":[{"key":"env","operator":"NotIn","values":["prod"]}]}`, false},
		{`{"matchExpressions":[{"key":"none","operator":"NotIn","values":["x"]}]}`, true},
		{`{"matchExpressions":[{"key":"team","operator":"Exists"}]}`, true},
		{`{"matchExpressions":[{"key":"none","operator":"Exists"}]}`, false},
		{`{"matchExpressions":[{"key":"none","operator":"DoesNotExist"}]}`, true},
		{"matchLabels: {env: prod}\nmatchExpressions:\n- {key: team, operator: DoesNotExist}\n", false},
	}
	for _, row := range rows {
		t.Run(row.selector, func(t *testing.T) {
			h.write(t, object{"bound_service_account_namespaces": "", "bound_service_account_namespace_selector": row.selector})
			if row.in {
				h.in(t, h.token)
			} else {
				h.out(t, h.token, "namespace not authorized")
			}
		})
	}
	t.Run("by name or by label", func(t *testing.T) {
		h.write(t, object{"bound_service_account_namespaces": "default", "bound_service_account_namespace_selector": `{"matchLabels":{"no":"no"}}`})
		before := len(h.cluster.Asked())
		h.in(t, h.token)
		if n := len(h.cluster.Asked()) - before; n != 1 {
			t.Errorf("%d questions for a namespace that is named", n)
		}
	})
	t.Run("a stranger's token has no namespace looked up", func(t *testing.T) {
		h.write(t, object{"bound_service_account_namespaces": "", "bound_service_account_namespace_selector": `{"matchLabels":{"env":"prod"}}`})
		h.cluster.Change(func(r *kubetest.Review) { r.Status.Authenticated = false })
		before := len(h.cluster.Asked())
		h.out(t, h.token, bare)
		h.cluster.Change(nil)
		if n := len(h.cluster.Asked()) - before; n != 1 {
			t.Errorf("%d questions", n)
		}
	})
	t.Run("who may not read namespaces", func(t *testing.T) {
		h.cluster.LetRead(h.reviewer, false)
		h.out(t, h.token, bare)
	})
}

// Contract: auth-methods §6, use_annotations_as_alias_metadata.
func TestAnnotations(t *testing.T) {
	h := open(t)
	h.cluster.LetRead(h.reviewer, true)
	h.cluster.Annotate(h.app, "vault.hashicorp.com/alias-metadata-team", "a")
	h.cluster.Annotate(h.app, "vault.hashicorp.com/alias-metadata-service_account_uid", "forged")
	h.cluster.Annotate(h.app, "other/team", "b")
	if login := h.in(t, h.token); len(login.Alias.Metadata) != 4 {
		t.Errorf("unasked: %v", login.Alias.Metadata)
	}
	h.configure(t, object{"use_annotations_as_alias_metadata": true})
	login := h.in(t, h.token)
	if m := login.Alias.Metadata; len(m) != 5 || m["team"] != "a" || m["service_account_uid"] != h.app.UID || login.Metadata["team"] != "" {
		t.Errorf("alias %v, token %v", m, login.Metadata)
	}
	h.cluster.LetRead(h.reviewer, false)
	h.out(t, h.token, bare)
}

// Strangers whose logins wait for an API server that hangs take a bounded part of the server.
func TestLoginsThatWaitAreBounded(t *testing.T) {
	h := open(t)
	h.configure(t, object{"api_timeout": "60s"})
	h.cluster.Fault(kubetest.Slow(make(chan struct{})))
	if !h.Crowd(t.Context(), "login", object{"role": "r", "jwt": h.token}) {
		t.Error("all wait")
	}
	h.cluster.Fault(nil)
	h.in(t, h.token)
}

// A role or a configuration that is deleted or rewritten while the API server is asked gives no token.
func TestChangedDuringLogin(t *testing.T) {
	h := open(t)
	for name, row := range map[string]struct {
		change func()
		kind   backend.Kind
		text   string
	}{
		"rewritten": {func() { h.write(t, object{"token_policies": "q"}) }, backend.Conflict, "the role has been changed meanwhile: try again"},
		"deleted":   {func() { h.Must(t, backend.Delete, "role/r", nil) }, backend.Invalid, `invalid role name "r"`},
		"another API server": {func() {
			h.configure(t, object{"kubernetes_host": "https://127.0.0.1:1"})
		}, backend.Conflict, "the configuration has been changed meanwhile: try again"},
	} {
		t.Run(name, func(t *testing.T) {
			h.write(t, object{"bound_service_account_names": "app", "bound_service_account_namespaces": "default"})
			h.configure(t, nil)
			response, err := h.Do(t.Context(), backend.Update, "login", object{"role": "r", "jwt": h.token})
			if err != nil {
				t.Fatal(err)
			}
			row.change()
			told(t, h.Store.Update(t.Context(), response.Login.Consume), row.kind, row.text)
		})
	}
}
