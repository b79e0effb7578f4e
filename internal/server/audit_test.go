package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"jeton/internal/audit"
	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/config"
	"jeton/internal/mount"
	"jeton/internal/node"
	"jeton/internal/policy"
	"jeton/internal/store/embedded"
	"jeton/internal/token"
)

// watched is a server whose audit device "probe" shows each line to look, when it is set, before
// taking it.
type watched struct {
	server *Server
	node   *node.Node
	root   string

	mu    sync.Mutex
	look  func(line map[string]any) error
	lines [][]byte
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	raw, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{}
	log := slog.New(slog.DiscardHandler)
	w.node = node.New(raw, nil, clock.NewSteady(time.Now, time.Time{}), node.Settings{
		Limits: mount.Limits{DefaultTTL: time.Hour, MaxTTL: time.Hour}, Log: log,
		AuditTypes: map[string]audit.Factory{"probe": func(context.Context, audit.Opening) (audit.Device, error) { return w, nil }},
	})
	dev, err := w.node.StartDev(t.Context(), node.DevOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.node.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	w.server, w.root = New(w.node, config.Listener{}, time.Minute, About{}, log), dev.RootToken
	return w
}

func (w *watched) Write(_ context.Context, line []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var v map[string]any
	if err := json.Unmarshal(line, &v); err != nil {
		return err
	}
	if w.look != nil {
		if err := w.look(v); err != nil {
			return err
		}
	}
	w.lines = append(w.lines, bytes.Clone(line))
	return nil
}

func (*watched) Reopen() error { return nil }
func (*watched) Close() error  { return nil }

// ask serves one request and returns its status, its answer and the lines that it wrote.
func (w *watched) ask(t *testing.T, method, path, token, body string, headers ...string) (status int, answer map[string]any, lines []map[string]any) {
	t.Helper()
	w.mu.Lock()
	before := len(w.lines)
	w.mu.Unlock()
	r := httptest.NewRequest(method, "/v1/"+path, strings.NewReader(body))
	r.Header.Set("X-Vault-Token", token)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	w.server.ServeHTTP(recorder, r)
	_ = json.Unmarshal(recorder.Body.Bytes(), &answer) // some have no body
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, line := range w.lines[before:] {
		var v map[string]any
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, v)
	}
	return recorder.Code, answer, lines
}

func (w *watched) enable(t *testing.T) {
	t.Helper()
	if status, answer, _ := w.ask(t, "PUT", "sys/audit/probe", w.root, `{"type":"probe"}`); status != http.StatusNoContent {
		t.Fatalf("%d %v", status, answer)
	}
}

// Contract: audit §1: the request's line is with the device before anything is done, and the
// answer's before anything leaves, in this order.
func TestLinesComeBeforeWhatTheyTellOf(t *testing.T) {
	w := newWatched(t)
	w.enable(t)
	there := func() bool {
		house := w.node.Enter()
		if house == nil {
			return false
		}
		defer house.Leave()
		ok, err := house.Policies.Exists(t.Context(), "made")
		if err != nil {
			t.Error(err)
		}
		return ok
	}
	var seen []string
	w.look = func(line map[string]any) error {
		seen = append(seen, fmt.Sprint(line["type"], " ", there()))
		return nil
	}
	status, _, _ := w.ask(t, "PUT", "sys/policies/acl/made", w.root, `{"policy":"path \"a\" { capabilities = [\"read\"] }"}`)
	if status != http.StatusNoContent || fmt.Sprint(seen) != "[request false response true]" {
		t.Errorf("%d %v", status, seen)
	}
	// What no device has taken is not done.
	w.look = func(map[string]any) error { return errors.New("refused") }
	status, _, _ = w.ask(t, "DELETE", "sys/policies/acl/made", w.root, "")
	if status != http.StatusInternalServerError || !there() {
		t.Errorf("%d, the policy is there: %v", status, there())
	}
}

// Contract: audit §2. What only reads runs while its line is being written, and what it has read
// leaves when the line is there, or never; it can write nothing meanwhile. What writes waits.
func TestWhatIsReadLeavesWithItsLineOrNotAtAll(t *testing.T) {
	for _, c := range []struct {
		name, method, path, body string
		// ahead says that the request may be served while its line is not written.
		ahead bool
	}{
		{"lookup-self", "GET", "auth/token/lookup-self", "", true},
		{"a secret", "GET", "secret/data/known", "", true},
		{"a list", "LIST", "secret/metadata/", "", true},
		{"capabilities", "POST", "sys/capabilities-self", `{"paths":["secret/data/known"]}`, true},
		{"a search", "GET", "auth/token/search", "", true},
		{"a read elsewhere", "GET", "sys/mounts", "", false},
		{"a creation", "POST", "auth/token/create", `{"policies":["default"]}`, false},
	} {
		for _, refused := range []string{"", "request", "response"} {
			t.Run(c.name+": "+refused, func(t *testing.T) {
				w := newWatched(t)
				w.ask(t, "POST", "secret/data/known", w.root, `{"data":{"a":"canary"}}`)
				w.enable(t)
				var seen []any
				w.look = func(line map[string]any) error {
					seen = append(seen, line["type"])
					if line["type"] == refused {
						return errors.New("refused")
					}
					return nil
				}
				status, answer, _ := w.ask(t, c.method, c.path, w.root, c.body)
				want := "[request response]"
				if refused == "request" && !c.ahead {
					want = "[request]"
				}
				if fmt.Sprint(seen) != want {
					t.Errorf("lines %v, want %s", seen, want)
				}
				if ok := refused == ""; ok != (status == http.StatusOK) || !ok && (status != http.StatusInternalServerError || answer["data"] != nil || answer["auth"] != nil) {
					t.Errorf("%d %v", status, answer)
				}
			})
		}
	}
}

// A use that is a token's last, and an answer that is stored to be fetched later, are more than
// reading: they wait for their line.
func TestReadingThatEndsOrKeepsSomethingWaits(t *testing.T) {
	w := newWatched(t)
	w.enable(t)
	_, answer, _ := w.ask(t, "POST", "auth/token/create", w.root, `{"policies":["default"],"num_uses":1}`)
	once, _ := answer["auth"].(map[string]any)["client_token"].(string)
	w.look = func(line map[string]any) error { return errors.New("refused") }
	for name, headers := range map[string][]string{"wrapped": {"X-Vault-Wrap-TTL", "60"}, "last use": nil} {
		token := w.root
		if name == "last use" {
			token = once
		}
		lines := 0
		w.look = func(line map[string]any) error {
			if lines++; line["type"] != "request" {
				t.Errorf("%s: a line %v", name, line["type"])
			}
			return errors.New("refused")
		}
		if status, answer, _ := w.ask(t, "GET", "auth/token/lookup-self", token, "", headers...); status != http.StatusInternalServerError || lines != 1 {
			t.Errorf("%s: %d %v, %d lines", name, status, answer, lines)
		}
	}
}

// The two lines of a request agree on who asked and what for, whatever it is that was asked.
func TestTwoLinesOfARequestAgree(t *testing.T) {
	w := newWatched(t)
	w.enable(t)
	create := func(body string) string {
		_, answer, _ := w.ask(t, "POST", "auth/token/create", w.root, body)
		return answer["auth"].(map[string]any)["client_token"].(string)
	}
	wrapped := func() string {
		_, answer, _ := w.ask(t, "POST", "auth/token/create", w.root, `{"policies":["default"]}`, "X-Vault-Wrap-TTL", "60")
		return answer["wrap_info"].(map[string]any)["token"].(string)
	}
	limited := create(`{"policies":["default"],"num_uses":2}`)
	for _, c := range []struct {
		name, method, path, token, body string
		status                          int
		headers                         []string
	}{
		{"a lookup", "GET", "auth/token/lookup-self", w.root, "", 200, nil},
		{"a bad token", "GET", "auth/token/lookup-self", "nonsense", "", 403, nil},
		{"no token", "GET", "auth/token/lookup-self", "", "", 403, nil},
		{"a refusal", "GET", "sys/mounts", create(`{"policies":["default"]}`), "", 403, nil},
		{"the first of two uses", "GET", "auth/token/lookup-self", limited, "", 200, nil},
		{"the last use", "GET", "auth/token/lookup-self", limited, "", 200, nil},
		{"a use too many", "GET", "auth/token/lookup-self", limited, "", 403, nil},
		{"a first write", "POST", "secret/data/a", w.root, `{"data":{"a":"b"}}`, 200, nil},
		{"a second write", "POST", "secret/data/a", w.root, `{"data":{"a":"c"}}`, 200, nil},
		{"a wrapped answer", "POST", "auth/token/create", w.root, `{"policies":["default"]}`, 200, []string{"X-Vault-Wrap-TTL", "60"}},
		{"an unwrapping by the token", "POST", "sys/wrapping/unwrap", wrapped(), "", 200, nil},
		{"an unwrapping of another", "POST", "sys/wrapping/unwrap", w.root, `{"token":"` + wrapped() + `"}`, 200, nil},
		{"a list", "LIST", "auth/token/accessors", w.root, "", 200, nil},
		{"help", "GET", "auth/token/create?help=1", w.root, "", 200, nil},
		{"no such path", "GET", "nowhere/at/all", w.root, "", 404, nil},
		{"bad input", "POST", "auth/token/create", w.root, `{"ttl":"never"}`, 400, nil},
		{"the end of oneself", "POST", "auth/token/revoke-self", create(`{"policies":["default"]}`), "", 204, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, answer, lines := w.ask(t, c.method, c.path, c.token, c.body, c.headers...)
			if status != c.status {
				t.Fatalf("%d %v", status, answer)
			}
			requests, responses := map[string]string{}, map[string]string{}
			for _, line := range lines {
				into := map[any]map[string]string{"request": requests, "response": responses}[line["type"]]
				if into == nil {
					continue // an event
				}
				both, err := json.Marshal([]any{line["auth"], line["request"]})
				if err != nil {
					t.Fatal(err)
				}
				into[line["request"].(map[string]any)["id"].(string)] = string(both)
			}
			if len(requests) != 1 || len(responses) != 1 {
				t.Fatalf("%d and %d lines", len(requests), len(responses))
			}
			for id, request := range requests {
				if responses[id] != request {
					t.Errorf("request  %s\nresponse %s", request, responses[id])
				}
			}
		})
	}
}

// A request that changes what is written of requests has it in its answer's line.
func TestAnswerOfARequestThatChangesTheTable(t *testing.T) {
	w := newWatched(t)
	status, _, lines := w.ask(t, "PUT", "sys/audit/probe", w.root, `{"type":"probe"}`)
	if status != http.StatusNoContent || len(lines) != 2 || lines[1]["type"] != "response" || lines[1]["request"].(map[string]any)["path"] != "sys/audit/probe" {
		t.Errorf("enabling: %d %v", status, lines)
	}
	_, _, lines = w.ask(t, "PUT", "sys/config/auditing/request-headers/x-known", w.root, `{"hmac":false}`, "X-Known", "yes")
	if len(lines) != 2 || lines[0]["request"].(map[string]any)["headers"] != nil || fmt.Sprint(lines[1]["request"].(map[string]any)["headers"]) != "map[x-known:[yes]]" {
		t.Errorf("listing a header: %v", lines)
	}
}

// Should a step after the request entry learn to change who asks or what for, the answer's entry
// must not hide it.
func TestEntriesAreMadeAnewWhenTheyNoLongerDescribeTheRequest(t *testing.T) {
	for name, change := range map[string]func(x *exchange){
		"the token":     func(x *exchange) { x.token = &token.Token{} },
		"the operation": func(x *exchange) { x.call.Operation = backend.Create },
		"the path":      func(x *exchange) { x.path = "elsewhere" },
		"the decision":  func(x *exchange) { x.decision.Allowed = false },
		"the check":     func(x *exchange) { x.acl = nil },
		"the identity":  func(x *exchange) { x.identity = []string{"more"} },
	} {
		t.Run(name, func(t *testing.T) {
			x := &exchange{request: &request{}, path: "a", token: &token.Token{}, call: &backend.Call{Operation: backend.Update}}
			x.acl, x.decision.Allowed = &policy.ACL{}, true
			a := new(Server).describe(x)
			if !a.describes(x) {
				t.Fatal("it does not describe what it was made from")
			}
			if change(x); a.describes(x) {
				t.Error("it is said to describe it still")
			}
		})
	}
}
