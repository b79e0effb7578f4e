package outbound_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"jeton/internal/outbound"
	"jeton/internal/outbound/outboundtest"
)

const most = 1 << 10

func get(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

func bounded() *http.Client {
	return &http.Client{Transport: outbound.Bound(outbound.Stay(outbound.Transport(nil)), most)}
}

// An answer may have the most bytes and not one more, however it is packed.
func TestAnswersAreBounded(t *testing.T) {
	packed := func(n int) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(make([]byte, n))
		_ = w.Close()
		return b.Bytes()
	}
	for _, row := range []struct {
		name   string
		body   []byte
		gzip   bool
		length int
		want   error
	}{
		{"the most", make([]byte, most), false, most, nil},
		{"one more", make([]byte, most+1), false, most, outbound.ErrTooLarge},
		{"nothing", nil, false, 0, nil},
		{"a bomb", packed(1 << 20), true, most, outbound.ErrTooLarge},
		{"packed", packed(most), true, most, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if row.gzip {
					w.Header().Set("Content-Encoding", "gzip")
				}
				_, _ = w.Write(row.body)
			}))
			defer server.Close()
			got, err := get(t.Context(), bounded(), server.URL)
			if !errors.Is(err, row.want) || len(got) != row.length {
				t.Errorf("%d bytes, %v; want %d, %v", len(got), err, row.length, row.want)
			}
		})
	}
	t.Run("without end", func(t *testing.T) {
		if got, err := get(t.Context(), bounded(), outboundtest.Endless(t).URL); !errors.Is(err, outbound.ErrTooLarge) || len(got) != most {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}

// The caller's context ends an answer that does not.
func TestTheContextEndsAnAnswer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	client := bounded()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, outboundtest.Silent(t).URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	cancel()
	if _, err := io.ReadAll(response.Body); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestRedirectsStayOnTheHost(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		h := outboundtest.Elsewhere(t, status)
		if _, err := get(t.Context(), bounded(), h.URL+"/a"); !errors.Is(err, outbound.ErrElsewhere) || h.Reached() != 0 {
			t.Errorf("%d: %v, the other host was asked %d times", status, err, h.Reached())
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/a" {
			http.Redirect(w, r, "/b", http.StatusFound)
			return
		}
		_, _ = w.Write([]byte("here"))
	}))
	defer server.Close()
	if got, err := get(t.Context(), bounded(), server.URL+"/a"); err != nil || string(got) != "here" {
		t.Errorf("on the same host: %q, %v", got, err)
	}
}

// Connections that are kept can be ended, through all that is put around them.
func TestIdleConnectionsAreEnded(t *testing.T) {
	ended := make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			close(ended)
		}
	}
	server.Start()
	defer server.Close()
	client := bounded()
	if _, err := get(t.Context(), client, server.URL); err != nil {
		t.Fatal(err)
	}
	client.CloseIdleConnections()
	<-ended
}

// A header without end is no way around.
func TestHeadersAreBounded(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", string(bytes.Repeat([]byte("x"), 1<<20)))
	}))
	defer server.Close()
	if _, err := get(t.Context(), bounded(), server.URL); err == nil {
		t.Error("a header of 1 MiB is taken")
	}
}
