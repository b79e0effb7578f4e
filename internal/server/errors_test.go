package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"jeton/internal/backend"
	"jeton/internal/wrap"
)

// TestRenderings is the table of http §5 and tokens, conventions.
func TestRenderings(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		status int
		body   string
	}{
		{"invalid", backend.Invalidf("child policies must be subset of parent"), 400, `{"errors":["child policies must be subset of parent"]}`},
		{"invalid without text", &backend.Error{Kind: backend.Invalid}, 400, `{"errors":[]}`},
		{"aggregate", backend.Errorf(backend.InvalidAggregate, "missing accessor"), 400, `{"errors":["1 error occurred:\n\t* missing accessor\n\n"]}`},
		{"denied", &backend.Error{Kind: backend.Denied}, 403, `{"errors":["permission denied"]}`},
		{"denied with a text", backend.Errorf(backend.Denied, "bad token"), 403, `{"errors":["bad token"]}`},
		{"by policy", backend.Errorf(backend.DeniedByPolicy, "of which nobody learns more"), 403, `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`},
		{"bad token", &backend.Error{Kind: backend.BadToken}, 403, `{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}`},
		{"not found", backend.Missing(), 404, `{"errors":[]}`},
		{"unsupported path", &backend.Error{Kind: backend.UnsupportedPath}, 404, `{"errors":["1 error occurred:\n\t* unsupported path\n\n"]}`},
		{"unsupported operation", backend.Errorf(backend.UnsupportedOperation, "unsupported operation"), 405, `{"errors":["1 error occurred:\n\t* unsupported operation\n\n"]}`},
		{"unknown verb", &backend.Error{Kind: backend.UnsupportedOperation}, 405, `{"errors":[]}`},
		{"failed", backend.Errorf(backend.Failed, "no token found"), 500, `{"errors":["1 error occurred:\n\t* no token found\n\n"]}`},
		{"internal says nothing", backend.Errorf(backend.Internal, "disk /dev/sda is full"), 500, `{"errors":["1 error occurred:\n\t* internal error\n\n"]}`},
		{"no kind", errors.New("disk /dev/sda is full"), 500, `{"errors":["1 error occurred:\n\t* internal error\n\n"]}`},
		{"the cause is for the log", backend.Invalidf("text").Because(errors.New("cause")), 400, `{"errors":["text"]}`},
		{"wrapped by a room", fmt.Errorf("room: %w", backend.Invalidf("text")), 400, `{"errors":["text"]}`},
		{"sealed", &backend.Error{Kind: backend.Sealed}, 503, `{"errors":["Vault is sealed"]}`},
		{"unaudited", fmt.Errorf("x: %w: %w", errUnaudited, errors.New("device")), 500, `{"errors":["internal error"]}`},
		{"with data", &backend.Error{Kind: backend.Invalid, Text: "text", Data: map[string]int{"n": 1}}, 400, `{"errors":["text"],"data":{"n":1}}`},
		{"out of time", context.DeadlineExceeded, 500, `{"errors":["context deadline exceeded"]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := fail(c.err)
			if f.status != c.status || string(f.body()) != c.body+"\n" {
				t.Errorf("%d %s, want %d %s", f.status, f.body(), c.status, c.body)
			}
			if !strings.HasSuffix(f.outer, "\n\n") && f.outer != "context deadline exceeded" {
				t.Errorf("the audit entry's error is %q", f.outer)
			}
		})
	}
}

// TestEveryKindHasAStatus keeps a new kind of error from being a 500 by oversight.
func TestEveryKindHasAStatus(t *testing.T) {
	for kind := backend.Invalid; kind <= backend.Upstream; kind++ {
		if how := renderings(kind); how.status == http.StatusInternalServerError && kind != backend.Failed {
			t.Errorf("kind %d is rendered as the server's own fault", kind)
		}
	}
}

// TestUsedWrappingTokenIsForTheLogAlone compares what the client and the log are told.
func TestUsedWrappingTokenIsForTheLogAlone(t *testing.T) {
	err := backend.Invalidf("not valid").Because(wrap.ErrUsed)
	if body := string(fail(err).body()); strings.Contains(body, "before") {
		t.Errorf("the client learns %s", body)
	}
	if text := outerError(err); !strings.Contains(text, "used before") || !strings.Contains(text, "not valid") {
		t.Errorf("the log says %q", text)
	}
}

// TestInjectable keeps the envelope's own names for the envelope.
func TestInjectable(t *testing.T) {
	for data, want := range map[string]string{
		``:                        ``,
		`null`:                    ``,
		`[1]`:                     ``,
		`{}`:                      `{}`,
		`{"b":1,"a":2}`:           `{"b":1,"a":2}`,
		`{"data":1,"a":2}`:        `{"a":2}`,
		`{"a":{"data":1}}`:        `{"a":{"data":1}}`,
		`{"request_id":"x"}`:      `{}`,
		`{"auth":1,"lease_id":2}`: `{}`,
	} {
		got, err := injectable(json.RawMessage(data))
		if err != nil || string(got) != want {
			t.Errorf("%s becomes %s (%v), want %s", data, got, err, want)
		}
	}
}
