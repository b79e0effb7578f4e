// Package outboundtest owns servers that mean harm to who asks them: answers without end, answers
// that never come, redirects that would carry a credential to somebody else.
package outboundtest

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// Hostile is a server that misbehaves in one way, and another host that it would like to have asked.
type Hostile struct {
	// URL is the server's, in plain HTTP.
	URL string
	// sent counts bytes of answers, reached the requests to the other host.
	sent, reached atomic.Int64
}

// Sent is how many bytes of answers somebody has taken so far.
func (h *Hostile) Sent() int64 { return h.sent.Load() }

// Reached is how many requests came to the other host.
func (h *Hostile) Reached() int64 { return h.reached.Load() }

func (h *Hostile) serve(t testing.TB, how http.HandlerFunc) *Hostile {
	server := httptest.NewServer(how)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	h.URL = server.URL
	return h
}

// Endless answers every request with JSON that never ends.
func Endless(t testing.TB) *Hostile {
	h := &Hostile{}
	return h.serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		h.sent.Add(int64(write(w, `{"data":{"keys":["`)))
		chunk := string(make([]byte, 64<<10))
		for {
			n := write(w, chunk)
			if n == 0 {
				return
			}
			h.sent.Add(int64(n))
		}
	})
}

// Silent answers with a status and the beginning of a body, and then nothing more.
func Silent(t testing.TB) *Hostile {
	h := &Hostile{}
	return h.serve(t, func(w http.ResponseWriter, r *http.Request) {
		write(w, `{"data":`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
}

// Elsewhere redirects every request to another host with a status such as 307.
func Elsewhere(t testing.TB, status int) *Hostile {
	h := &Hostile{}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h.reached.Add(1)
		write(w, `{"data":{"keys":["a"]}}`)
	}))
	t.Cleanup(other.Close)
	return h.serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, status)
	})
}

func write(w http.ResponseWriter, text string) int {
	n, err := w.Write([]byte(text))
	if err != nil {
		return 0
	}
	return n
}
