package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"jeton/internal/config"
	"jeton/internal/node"
)

// patience is how long a test waits for what must not take long.
const patience = time.Minute

// sealSoon seals the server, and is false when that does not come to an end.
func sealSoon(t *testing.T, n *node.Node) bool {
	t.Helper()
	sealed := make(chan error, 1)
	go func() { sealed <- n.Seal(context.Background()) }()
	select {
	case err := <-sealed:
		if err != nil {
			t.Error(err)
		}
		return true
	case <-time.After(patience):
		return false
	}
}

// TestStrangerSealsNothing: a sealed server answers a request to seal without asking who sends
// it. Were it passed on, it would seal the server that operators unseal in the same moment.
func TestStrangerSealsNothing(t *testing.T) {
	s, at, _ := serving(t, config.Listener{}, nil, About{})
	stranger := func() *http.Request { return httptest.NewRequest("PUT", at+"/v1/sys/seal", nil) }
	if refused := s.maySeal(t.Context(), stranger()); refused == nil || refused.status != http.StatusForbidden {
		t.Fatalf("while unsealed: %+v", refused)
	}
	if err := s.node.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if answered := s.maySeal(t.Context(), stranger()); answered == nil || answered.status != http.StatusNoContent {
		t.Errorf("while sealed a stranger may go on to seal: %+v", answered)
	}
	if status, _, body := send(t, "PUT", at+"/v1/sys/seal", nil); status != http.StatusNoContent {
		t.Errorf("sealing what is sealed: %d %s", status, body)
	}
}

// hesitant is a body whose sender takes its time.
type hesitant struct {
	begun, goOn chan struct{}
}

func (h hesitant) Read([]byte) (int, error) {
	close(h.begun)
	<-h.goOn
	return 0, io.EOF
}

func (h hesitant) Close() error { return nil }

// TestSlowBodyDoesNotDelaySealing: nobody is in the house while a body is still on its way.
func TestSlowBodyDoesNotDelaySealing(t *testing.T) {
	for _, path := range []string{"sys/seal", "sys/step-down", "sys/generate-root/attempt", "sys/rekey/init", "sys/unseal", "auth/userpass/login/a"} {
		t.Run(path, func(t *testing.T) {
			s, at, _ := serving(t, config.Listener{}, nil, About{})
			body := hesitant{make(chan struct{}), make(chan struct{})}
			r := httptest.NewRequest("PUT", at+"/v1/"+path, body)
			done := make(chan struct{})
			go func() {
				defer close(done)
				s.ServeHTTP(httptest.NewRecorder(), r)
			}()
			<-body.begun
			if !sealSoon(t, s.node) {
				t.Error("sealing waits for a stranger's body")
			}
			close(body.goOn)
			<-done
		})
	}
}

// TestStalledStreamDoesNotDelaySealing: a client that reads no more of a snapshot is cut off.
func TestStalledStreamDoesNotDelaySealing(t *testing.T) {
	s, _, _ := serving(t, config.Listener{}, nil, About{})
	begun := make(chan struct{})
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.write(w, r, s.streaming("text/plain", func(_ context.Context, _ *node.House, w io.Writer) error {
			close(begun)
			for {
				if _, err := io.WriteString(w, strings.Repeat("x", 64<<10)); err != nil {
					return err
				}
			}
		}))
	}))
	defer ts.Close()
	conn, err := net.Dial("tcp", ts.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-begun
	if !sealSoon(t, s.node) {
		_ = conn.Close() // or the test would not end
		t.Error("sealing waits for a client that does not read")
	}
}

// hanging is a directory that takes connections and never says a word. asked is told of each.
func hanging(t *testing.T) (address string, asked chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked = make(chan struct{}, 16)
	var held sync.WaitGroup
	held.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			asked <- struct{}{}
			held.Go(func() {
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		held.Wait()
	})
	return l.Addr().String(), asked
}

// TestHangingUpstreamDelaysNobody: sealing is an emergency brake, and a mount is often removed
// because its other side is broken. Neither waits for a login that waits for a directory.
func TestHangingUpstreamDelaysNobody(t *testing.T) {
	address, asked := hanging(t)
	for _, brake := range []string{"seal", "sys/auth/ldap"} {
		t.Run(brake, func(t *testing.T) {
			s, at, root := serving(t, config.Listener{}, nil, About{})
			for _, write := range [][2]string{
				{"sys/auth/ldap", `{"type":"ldap"}`},
				{"auth/ldap/config", `{"url":"ldap://` + address + `","userdn":"dc=example","connection_timeout":"1h","request_timeout":"1h"}`},
			} {
				if status, _, text := send(t, "POST", at+"/v1/"+write[0], strings.NewReader(write[1]), "X-Vault-Token", root); status != http.StatusNoContent {
					t.Fatalf("%s: %d %s", write[0], status, text)
				}
			}
			over := make(chan struct{})
			go func() {
				defer close(over)
				r := httptest.NewRequest("POST", at+"/v1/auth/ldap/login/alice", strings.NewReader(`{"password":"x"}`))
				s.ServeHTTP(httptest.NewRecorder(), r)
			}()
			<-asked
			if brake == "seal" {
				if !sealSoon(t, s.node) {
					t.Error("sealing waits for a directory that hangs")
				}
			} else {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				r, err := http.NewRequestWithContext(ctx, "DELETE", at+"/v1/"+brake, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("X-Vault-Token", root)
				answer, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal("removing a mount waits for a directory that hangs")
				}
				_ = answer.Body.Close()
				if answer.StatusCode != http.StatusNoContent {
					t.Errorf("removing the mount: %d", answer.StatusCode)
				}
			}
			<-over
		})
	}
}

// TestWrappingTokenIsNotBurnt: contract wrapping: a wrapping token that is refused keeps its use,
// on the paths that no route serves too.
func TestWrappingTokenIsNotBurnt(t *testing.T) {
	_, at, root := serving(t, config.Listener{}, nil, About{})
	_, _, body := send(t, "POST", at+"/v1/sys/wrapping/wrap", strings.NewReader(`{"a":"b"}`), "X-Vault-Token", root, "X-Vault-Wrap-TTL", "60")
	_, rest, _ := strings.Cut(body, `"token":"`)
	wrapping, _, _ := strings.Cut(rest, `"`)
	for _, ask := range [][2]string{{"GET", "sys/monitor"}, {"GET", snapshotPath}, {"PUT", snapshotPath}, {"GET", checkPath}, {"PUT", "sys/seal"}, {"PUT", "sys/step-down"}} {
		if status, _, body := send(t, ask[0], at+"/v1/"+ask[1], nil, "X-Vault-Token", wrapping); status != http.StatusForbidden {
			t.Errorf("%s %s: %d %s", ask[0], ask[1], status, body)
		}
	}
	if status, _, body := send(t, "POST", at+"/v1/sys/wrapping/unwrap", nil, "X-Vault-Token", wrapping); status != http.StatusOK || !strings.Contains(body, `"a":"b"`) {
		t.Errorf("unwrap after it: %d %s", status, body)
	}
}

// TestStrangersWrapNothing: each wrapping is stored for as long as is asked. Open paths put
// nothing aside for who has no token; whoever has one may ask.
func TestStrangersWrapNothing(t *testing.T) {
	_, at, root := serving(t, config.Listener{}, nil, About{})
	for token, want := range map[string]int{"": http.StatusBadRequest, "nonsense": http.StatusForbidden, root: http.StatusOK} {
		status, _, body := send(t, "GET", at+"/v1/sys/replication/status", nil, "X-Vault-Token", token, "X-Vault-Wrap-TTL", "876000h")
		if status != want || strings.Contains(body, `"token":"hvs.`) != (want == http.StatusOK) {
			t.Errorf("with token %q: %d %s", token, status, body)
		}
	}
}
