package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jeton/internal/porttest"
)

// acknowledged is what writers were told is done, each with what it means.
type acknowledged struct {
	mu sync.Mutex // guards all below
	// ends of living tokens, after their last acknowledged renewal.
	ends map[string]span
	// revoked are tokens that must never be accepted again, children of revoked tokens among them.
	revoked []string
	// values maps KV paths to the last value written.
	values map[string]int
}

// span is when a token ends: a life counted from some moment between request and answer.
type span struct {
	earliest, latest time.Time
	renewed          bool
}

// renewal is the life that every renewal asks for, far from every life at creation.
const renewal = 2 * time.Hour

// A server that is killed while it is written to keeps every write it has acknowledged.
func TestKillKeepsWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	s := startProduction(t)
	policy := map[string]any{"policy": `path "auth/token/*" { capabilities = ["create", "update"] }`}
	if a := s.raw("PUT", "sys/policies/acl/writer", s.root, policy); a.status != 204 {
		t.Fatalf("policy: %d %s", a.status, a.text)
	}
	ack := &acknowledged{ends: map[string]span{}, values: map[string]int{}}
	const rounds = 3
	for round := range rounds {
		ctx, stop := context.WithCancel(t.Context())
		var done sync.WaitGroup
		var written atomic.Int64
		for w := range 8 {
			done.Go(func() { s.writeUntilItDies(ctx, ack, fmt.Sprintf("r%dw%d", round, w), &written) })
		}
		await(t, patience, "four hundred acknowledged writes", func() bool { return written.Load() >= 400 })
		s.kill()
		stop()
		done.Wait()
		s.start("server started!")
		if a := s.raw("GET", "auth/token/lookup-self", s.root, nil); a.status != 503 {
			t.Fatalf("before it is opened: %d %s", a.status, a.text)
		}
		s.unseal()
		ack.check(t, s)
		s.sound()
	}
	t.Logf("%d tokens alive, %d revoked, %d values", len(ack.ends), len(ack.revoked), len(ack.values))
}

// writeUntilItDies creates, renews and revokes tokens and writes secrets, and records what
// is acknowledged, until the server answers no more.
func (s *server) writeUntilItDies(ctx context.Context, ack *acknowledged, name string, written *atomic.Int64) {
	for n := 0; ; n++ {
		// Three tokens: the first is kept and renewed, the second revoked, the third its child.
		ttl := time.Duration(600+n%600) * time.Second
		before := time.Now()
		kept, ok := s.mint(ctx, s.root, ttl)
		if !ok {
			return
		}
		ends := span{earliest: before.Add(ttl), latest: time.Now().Add(ttl)}
		ack.note(func() { ack.ends[kept] = ends }, written)
		parent, ok := s.mint(ctx, s.root, ttl)
		if !ok {
			return
		}
		child, ok := s.mint(ctx, parent, ttl)
		if !ok {
			return
		}
		path := fmt.Sprintf("secret/data/%s", name)
		if status, _ := s.send(ctx, path, s.root, map[string]any{"data": map[string]any{"n": n}}); status != http.StatusOK {
			return
		}
		ack.note(func() { ack.values[path] = n }, written)
		if status, _ := s.send(ctx, "auth/token/revoke", s.root, map[string]any{"token": parent}); status != http.StatusNoContent {
			return
		}
		ack.note(func() { ack.revoked = append(ack.revoked, parent, child) }, written)
		before = time.Now()
		if status, _ := s.send(ctx, "auth/token/renew", s.root, map[string]any{"token": kept, "increment": renewal.String()}); status != http.StatusOK {
			return
		}
		ends = span{earliest: before.Add(renewal), latest: time.Now().Add(renewal), renewed: true}
		ack.note(func() { ack.ends[kept] = ends }, written)
	}
}

func (a *acknowledged) note(change func(), written *atomic.Int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
	written.Add(1)
}

// mint creates a token.
func (s *server) mint(ctx context.Context, by string, ttl time.Duration) (token string, ok bool) {
	status, body := s.send(ctx, "auth/token/create", by, map[string]any{"policies": []string{"writer"}, "ttl": ttl.String()})
	if status != http.StatusOK {
		return "", false
	}
	return body.Auth.ClientToken, true
}

// send posts JSON; status 0 is no answer. It is for goroutines, which may not end a test.
func (s *server) send(ctx context.Context, path, token string, body any) (status int, a answer) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, a
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.addr+"/v1/"+path, strings.NewReader(string(text)))
	if err != nil {
		return 0, a
	}
	req.Header.Set("X-Vault-Token", token)
	resp, err := s.web().Do(req)
	if err != nil {
		return 0, a
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
			return 0, a
		}
	}
	return resp.StatusCode, a
}

// check asks the restarted server about everything that was acknowledged.
func (a *acknowledged) check(t *testing.T, s *server) {
	t.Helper()
	lost, wrong := 0, 0
	for token, want := range a.ends {
		before := time.Now()
		got := s.raw("GET", "auth/token/lookup-self", token, nil)
		seconds, ok := got.Data["ttl"].(float64)
		if got.status != 200 || !ok {
			lost++
			continue
		}
		// What is left is rounded down to the second.
		ttl := time.Duration(seconds) * time.Second
		earliest, latest := before.Add(ttl), time.Now().Add(ttl+time.Second)
		right := !latest.Before(want.earliest) && !earliest.After(want.latest)
		// A renewal that was under way when the server died may have happened.
		if underWay := !want.renewed && ttl > time.Hour; !right && !underWay {
			wrong++
			t.Logf("ends between %s and %s, acknowledged were %s to %s", earliest, latest, want.earliest, want.latest)
		}
	}
	if lost > 0 || wrong > 0 {
		t.Errorf("of %d acknowledged tokens %d are lost and %d have another end", len(a.ends), lost, wrong)
	}
	back := 0
	for _, token := range a.revoked {
		if got := s.raw("GET", "auth/token/lookup-self", token, nil); got.status != 403 || !strings.Contains(got.text, "invalid token") {
			back++
		}
	}
	if back > 0 {
		t.Errorf("%d of %d revoked tokens are back", back, len(a.revoked))
	}
	for path, n := range a.values {
		got := s.raw("GET", path, s.root, nil)
		data, _ := got.Data["data"].(map[string]any)
		value, ok := data["n"].(float64)
		// The write after the last acknowledged one may have happened.
		if got.status != 200 || !ok || int(value) != n && int(value) != n+1 {
			t.Errorf("%s: want %d, got %d %s", path, n, got.status, got.text)
		}
	}
}

// A second server on the same data ends with 1, says why, and leaves the first alone.
func TestSecondServerOnTheSameData(t *testing.T) {
	t.Parallel()
	s := startProduction(t)
	// Its own listener and certificates, the first one's data.
	other := &server{t: t, dir: t.TempDir()}
	other.args = []string{"server", "-config=" + writeConfig(t, other.dir, filepath.Join(s.dir, "data"), porttest.Free(t), writeCertificates(t, other.dir))}
	p, err := other.launch("")
	if err != nil {
		t.Fatal(err)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
		p.cmd.Process.Kill()
		<-p.exited
		t.Fatalf("a second server runs on the same data\n%s", p.output())
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(p.output(), "in use by another process") {
		t.Errorf("exit code %d\n%s", code, p.output())
	}
	if !alive(t, s, s.root) {
		t.Error("the first server is not what it was")
	}
}

// Time goes on while the server is down, however it went down: what ends meanwhile has
// ended, and the rest has that much less left.
func TestTimeGoesOnWhileTheServerIsDown(t *testing.T) {
	for name, end := range map[string]func(*server){"stopped": (*server).stop, "killed": (*server).kill} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startProduction(t)
			short := auth(t, s, map[string]any{"policies": []string{"default"}, "ttl": "3s"})
			long := auth(t, s, map[string]any{"policies": []string{"default"}, "ttl": "1h"})
			begin := time.Now()
			end(s)
			await(t, patience, "the end of the short token", func() bool { return time.Since(begin) > 3*time.Second })
			s.start("server started!")
			s.unseal()
			if alive(t, s, short.ClientToken) {
				t.Error("a token came back to life")
			}
			a := s.raw("GET", "auth/token/lookup-self", long.ClientToken, nil)
			if ttl, ok := a.Data["ttl"].(float64); !ok || ttl > 3597 || ttl < 3500 {
				t.Errorf("ttl after the pause: %v", a.Data["ttl"])
			}
			if a := s.raw("POST", "auth/token/lookup-accessor", s.root, map[string]any{"accessor": short.Accessor}); a.status != 400 {
				t.Errorf("accessor of the ended token: %d %s", a.status, a.text)
			}
		})
	}
}

// A tree that is revoked the moment before the server dies is dead when it comes back, all
// of it and at once, and is swept out of the list of accessors.
func TestKilledWhileARevokedTreeIsSwept(t *testing.T) {
	t.Parallel()
	s := startProduction(t)
	policy := map[string]any{"policy": `path "auth/token/*" { capabilities = ["create", "update"] }`}
	if a := s.raw("PUT", "sys/policies/acl/writer", s.root, policy); a.status != 204 {
		t.Fatalf("policy: %d %s", a.status, a.text)
	}
	bystander, ok := s.mint(t.Context(), s.root, time.Hour)
	if !ok {
		t.Fatal("no token")
	}
	accessors := func() int {
		a := s.raw("LIST", "auth/token/accessors", s.root, nil)
		keys, _ := a.Data["keys"].([]any)
		return len(keys)
	}
	before := accessors()
	trunk, ok := s.mint(t.Context(), s.root, time.Hour)
	if !ok {
		t.Fatal("no token")
	}
	// Eight branches of sixty tokens, each the child of the one before or of the trunk.
	var mu sync.Mutex // guards tree
	tree := []string{trunk}
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			parent := trunk
			for n := range 60 {
				child, ok := s.mint(t.Context(), parent, time.Hour)
				if !ok {
					return
				}
				mu.Lock()
				tree = append(tree, child)
				mu.Unlock()
				if n%3 == 0 {
					parent = child
				}
			}
		})
	}
	done.Wait()
	if len(tree) != 481 || accessors() != before+481 {
		t.Fatalf("%d tokens, %d accessors", len(tree), accessors()-before)
	}
	if a := s.raw("POST", "auth/token/revoke", s.root, map[string]any{"token": trunk}); a.status != 204 {
		t.Fatalf("revoke: %d %s", a.status, a.text)
	}
	s.kill()
	s.start("server started!")
	s.unseal()
	for _, token := range tree {
		if alive(t, s, token) {
			t.Fatal("a token of a revoked tree is accepted")
		}
	}
	if _, ok := s.mint(t.Context(), tree[len(tree)-1], time.Hour); ok {
		t.Error("a token of a revoked tree has a new child")
	}
	if !alive(t, s, bystander) {
		t.Error("a bystander is dead")
	}
	await(t, patience, "the tree is swept", func() bool { return accessors() == before })
}
