package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/hashicorp/vault/api"

	"jeton/internal/outbound"
	"jeton/internal/outbound/outboundtest"
)

// evil is a name that clears a screen, forges a line of the report, turns text round, and would be a
// command of its own in a shell.
const evil = "evil\x1b[2J\r\n  secret forged: moved\x07\u202e\u009b31m'; touch /tmp/forged; '"

// evilSource is a server where everything is called evil.
func evilSource(t *testing.T) *httptest.Server {
	t.Helper()
	names := func(list ...string) map[string]any { return map[string]any{"data": map[string]any{"keys": list}} }
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.Path, "/v1/")
		list := r.URL.Query().Get("list") == "true"
		var answer any
		switch {
		case path == "sys/seal-status":
			answer = map[string]any{"sealed": false, "initialized": true, "cluster_id": "source"}
		case path == "auth/token/lookup-self":
			answer = map[string]any{"data": map[string]any{"id": "x"}}
		case path == "sys/mounts":
			answer = map[string]any{"data": map[string]any{evil + "/": map[string]any{"type": "aws", "accessor": "a"}, "kv/": map[string]any{"type": "kv", "accessor": "k"}}}
		case path == "sys/auth":
			answer = map[string]any{"data": map[string]any{
				"approle/": map[string]any{"type": "approle", "accessor": "b"}, "userpass/": map[string]any{"type": "userpass", "accessor": "c"},
				"ldap" + evil + "/": map[string]any{"type": "ldap", "accessor": "d"}}}
		case path == "sys/audit":
			answer = map[string]any{"data": map[string]any{evil + "/": map[string]any{"type": "file", "options": map[string]any{"file_path": "/" + evil}}}}
		case list && strings.HasSuffix(path, "/secret-id"):
			answer = names("accessor")
		case list && (path == "sys/policies/acl" || strings.HasPrefix(path, "auth/") || strings.HasPrefix(path, "kv")):
			answer = names(evil, "denied"+evil, "..")
		case list:
		case strings.Contains(path, "denied"):
			w.WriteHeader(http.StatusBadRequest)
			answer = map[string]any{"errors": []string{"no " + evil}}
		case path == "sys/policies/acl/"+evil:
			answer = map[string]any{"data": map[string]any{"policy": "x"}}
		case strings.HasPrefix(path, "auth/"):
			answer = map[string]any{"data": map[string]any{"role_id": evil, "token_ttl": 1, "strange" + evil: true}}
		}
		if answer == nil {
			w.WriteHeader(http.StatusNotFound)
			answer = map[string]any{"errors": []string{}}
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(s.Close)
	return s
}

// mildDestination takes whatever is written, warns of it in its own words, and has nothing.
func mildDestination(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.Path, "/v1/")
		var answer any
		switch {
		case path == "sys/seal-status":
			answer = map[string]any{"sealed": false, "initialized": true, "cluster_id": "destination"}
		case path == "auth/token/lookup-self":
			answer = map[string]any{"data": map[string]any{"id": "y"}}
		case path == "sys/mounts" || path == "sys/auth" || path == "sys/plugins/catalog":
			answer = map[string]any{"data": map[string]any{"auth": []string{"approle", "userpass", "ldap"}, "secret": []string{"kv"}}}
		case r.Method != http.MethodGet:
			answer = map[string]any{"data": map[string]any{}, "warnings": []string{"odd: " + path}}
		default:
			w.WriteHeader(http.StatusNotFound)
			answer = map[string]any{"errors": []string{}}
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(s.Close)
	return s
}

func importing(t *testing.T, source string, args ...string) result {
	t.Helper()
	sh := newShell(t, nil)
	sh.vars["VAULT_ADDR"] = mildDestination(t).URL
	sh.vars["JETON_SOURCE_TOKEN"] = "s"
	return sh.run(append([]string{"operator", "import", "-source-address=" + source, "-state=" + filepath.Join(t.TempDir(), "state")}, args...)...)
}

// What a source calls its things is shown, and never obeyed.
func TestNamesOfTheSourceAreShownNotObeyed(t *testing.T) {
	r := importing(t, evilSource(t).URL)
	for _, kind := range []string{"secrets engine evil", "auth method ldapevil", "policy ", "userpass/evil", "approle/evil", "audit device evil", "role of an auth method ldapevil"} {
		if !strings.Contains(r.out, kind) {
			t.Errorf("the report does not tell of %q", kind)
		}
	}
	for stream, text := range map[string]string{"out": r.out, "err": r.err} {
		for line := range strings.SplitSeq(text, "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "secret forged") {
				t.Errorf("std%s: a name forges the line %q", stream, line)
			}
			for _, c := range line {
				if !unicode.IsPrint(c) {
					t.Errorf("std%s: %q reaches the terminal in %q", stream, c, line)
					break
				}
			}
		}
	}
	if t.Failed() {
		t.Logf("%q", r.out)
	}
	for line := range strings.SplitSeq(r.out, "\n") {
		if strings.Contains(line, "jeton ") && strings.Contains(line, evil[:4]) && !strings.Contains(line, `'\''; touch /tmp/forged; '\''`) {
			t.Errorf("a command to copy runs another: %s", line)
		}
	}
}

// A machine gets the names as they are, in JSON that no terminal obeys.
func TestMachinesGetTheNamesOfTheSource(t *testing.T) {
	r := importing(t, evilSource(t).URL, "-format=json")
	var report struct {
		Rows []struct{ Name string } `json:"not_moved"`
	}
	if err := json.Unmarshal([]byte(r.out), &report); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, row := range report.Rows {
		found = found || strings.Contains(row.Name, evil)
	}
	if !found {
		t.Errorf("no name as it is: %s", r.out)
	}
	for _, c := range r.out {
		if c != '\n' && !unicode.IsPrint(c) {
			t.Fatalf("%q reaches the terminal", c)
		}
	}
}

// A source that leads elsewhere does not get its token sent there, one that answers without end fills no
// memory, and neither is asked again.
func TestHostileSource(t *testing.T) {
	h := outboundtest.Elsewhere(t, http.StatusTemporaryRedirect)
	importing(t, h.URL).wantErr(t, exitRemote, "redirects to another host")
	if h.Reached() != 0 {
		t.Error("the other host was asked, with the source's token")
	}
	h = outboundtest.Endless(t)
	c, err := api.NewClient(boundedSource(&api.Config{Address: h.URL, HttpClient: &http.Client{Transport: outbound.Transport(nil)}}, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	view := &importView{out: &strings.Builder{}}
	bePatient(c, "source", view)
	view.answered("source", true)
	if _, err := c.Logical().List("x"); !errors.Is(err, outbound.ErrTooLarge) {
		t.Error(err)
	}
	// One that begins an answer and never ends it is given up with the run.
	c, err = api.NewClient(boundedSource(&api.Config{Address: outboundtest.Silent(t).URL, HttpClient: &http.Client{Transport: outbound.Transport(nil)}}, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	bePatient(c, "source", view)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Logical().ListWithContext(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	h = outboundtest.Elsewhere(t, http.StatusTemporaryRedirect)
	c, err = api.NewClient(boundedSource(&api.Config{Address: h.URL, HttpClient: &http.Client{Transport: outbound.Transport(nil)}}, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	bePatient(c, "source", view)
	if _, err := c.Logical().List("x"); !errors.Is(err, outbound.ErrElsewhere) || fmt.Sprint(view.waited) != "map[]" {
		t.Errorf("%v, waited for: %v", err, view.waited)
	}
}
