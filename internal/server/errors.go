package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"jeton/internal/backend"
	"jeton/internal/store"
)

// rendering is how the edge answers one kind of error. Contract: http §5.
type rendering struct {
	status int
	// aggregate puts the text into the form "1 error occurred: …".
	aggregate bool
	// fixed replaces the error's own text.
	fixed []string
	// bare shows no text when the error has none.
	bare bool
}

// renderings is the one table from error to status.
func renderings(kind backend.Kind) rendering {
	switch kind {
	case backend.Invalid, backend.Conflict:
		return rendering{status: http.StatusBadRequest, bare: true}
	case backend.InvalidAggregate:
		return rendering{status: http.StatusBadRequest, aggregate: true}
	case backend.Denied:
		return rendering{status: http.StatusForbidden}
	case backend.DeniedByPolicy:
		return rendering{status: http.StatusForbidden, aggregate: true, fixed: []string{"permission denied"}}
	case backend.BadToken:
		return rendering{status: http.StatusForbidden, aggregate: true, fixed: []string{"permission denied", "invalid token"}}
	case backend.NotFound:
		return rendering{status: http.StatusNotFound, bare: true}
	case backend.UnsupportedPath:
		return rendering{status: http.StatusNotFound, aggregate: true, fixed: []string{"unsupported path"}}
	case backend.UnsupportedOperation:
		return rendering{status: http.StatusMethodNotAllowed, aggregate: true, bare: true}
	case backend.TooLarge:
		return rendering{status: http.StatusRequestEntityTooLarge}
	case backend.UnsupportedMedia:
		return rendering{status: http.StatusUnsupportedMediaType}
	case backend.TooMany:
		return rendering{status: http.StatusTooManyRequests}
	case backend.Failed:
		return rendering{status: http.StatusInternalServerError, aggregate: true}
	case backend.Sealed:
		return rendering{status: http.StatusServiceUnavailable, fixed: []string{"Vault is sealed"}}
	case backend.Overloaded:
		return rendering{status: http.StatusServiceUnavailable}
	case backend.Upstream:
		return rendering{status: http.StatusBadGateway}
	}
	return rendering{status: http.StatusInternalServerError, aggregate: true, fixed: []string{"internal error"}}
}

// failure is an error as the client sees it.
type failure struct {
	status int
	texts  []string
	data   any
	// outer is the audit entry's error.
	outer string
}

// fail renders err. Errors without a kind are the server's own faults: their text is for the
// log alone.
func fail(err error) failure {
	var e *backend.Error
	if errors.Is(err, errUnaudited) && !errors.As(err, &e) {
		return failure{status: http.StatusInternalServerError, texts: []string{"internal error"}, outer: aggregate([]string{"internal error"})}
	}
	if !errors.As(err, &e) {
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			return failure{status: http.StatusInternalServerError, texts: []string{"context deadline exceeded"}, outer: "context deadline exceeded"}
		}
		e = &backend.Error{Kind: backend.Internal}
		if errors.Is(err, store.ErrReadOnly) {
			e = &backend.Error{Kind: backend.Failed, Text: "the storage takes no writes: its disk is full or has failed; see the server's log"}
		}
	}
	how := renderings(e.Kind)
	f := failure{status: how.status, data: e.Data, texts: how.fixed}
	if f.texts == nil {
		switch {
		case e.Text != "":
			f.texts = []string{e.Text}
		case e.Kind == backend.Denied:
			f.texts = []string{"permission denied"}
		}
	}
	f.outer = aggregate(f.texts)
	if len(f.texts) == 0 {
		f.outer = aggregate([]string{http.StatusText(f.status)})
	}
	if how.aggregate && len(f.texts) > 0 {
		f.texts = []string{f.outer}
	}
	return f
}

// aggregate is the text form of several errors that clients know. Contract: tokens, conventions.
func aggregate(texts []string) string {
	var b strings.Builder
	if len(texts) == 1 {
		b.WriteString("1 error occurred:\n")
	} else {
		fmt.Fprintf(&b, "%d errors occurred:\n", len(texts))
	}
	for _, text := range texts {
		b.WriteString("\t* " + text + "\n")
	}
	b.WriteString("\n")
	return b.String()
}

// body is the error's JSON.
func (f failure) body() []byte {
	reply := struct {
		Errors []string `json:"errors"`
		Data   any      `json:"data,omitempty"`
	}{Errors: f.texts, Data: f.data}
	if reply.Errors == nil {
		reply.Errors = []string{}
	}
	body, err := json.Marshal(reply)
	if err != nil {
		return []byte(`{"errors":["internal error"]}`)
	}
	return append(body, '\n')
}
