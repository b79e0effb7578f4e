package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// growth is what a server costs that holds many tokens. Times are in milliseconds, costs of
// operations in microseconds of processor time.
type growth struct {
	Tokens int `json:"tokens"`
	// ResidentMB is after all were made, RestartedMB after a restart and some seconds.
	ResidentMB   int64   `json:"resident_mb"`
	RestartedMB  int64   `json:"restarted_resident_mb"`
	BytesOnDisk  float64 `json:"disk_bytes_per_token"`
	CreateCPU    float64 `json:"create_cpu_us"`
	LookupCPU    float64 `json:"lookup_cpu_us"`
	SearchPage   float64 `json:"search_page_ms"`
	SearchPage99 float64 `json:"search_page_p99_ms"`
	// Children hung below the token whose revocation took RevokeTree to be acknowledged.
	Children   int     `json:"children"`
	RevokeTree float64 `json:"revoke_tree_ms"`
	// Survivors are children that were accepted after it. There must be none.
	Survivors int `json:"survivors"`
	// RestP99 and SweepP99 are those of lookup-self in µs, before the tree was revoked and
	// while its children were swept.
	RestP99  float64 `json:"rest_p99_us"`
	SweepP99 float64 `json:"sweep_p99_us"`
	// FirstAnswer is from the last unseal share to the first answered request.
	FirstAnswer float64 `json:"unseal_to_first_answer_ms"`
	// RestoreCPU is what the server used in the time of settle after it was unsealed. SweptCPU is the
	// same at the restart before that, which follows the sweep of the tree: the store then also
	// merges what was deleted.
	RestoreCPU float64 `json:"cpu_seconds_after_unseal"`
	SweptCPU   float64 `json:"cpu_seconds_after_unseal_after_sweep"`
}

// onlyGrowth is the name by which -only asks for growth alone.
const onlyGrowth = "growth"

// searchPages is how many pages are asked for.
const searchPages = 50

// grow measures at one size, and leaves the tree's children revoked.
func (b *bench) grow(size int, settle time.Duration) (g growth, err error) {
	g = growth{Tokens: size, Children: min(size/5, 100_000)}
	before, err := b.server.cpu()
	if err != nil {
		return g, err
	}
	if err := b.fill(b.server.token, size-b.stored-g.Children, nil); err != nil {
		return g, err
	}
	profiled := b.profile(fmt.Sprintf("filling %d", size), b.server)
	top, children, err := b.tree(g.Children)
	if err := errors.Join(err, <-profiled); err != nil {
		return g, err
	}
	after, err := b.server.cpu()
	if err != nil {
		return g, err
	}
	g.CreateCPU = float64(after-before) / 1e3 / float64(max(size-b.stored, 1))
	b.stored = size - g.Children
	if err := b.search(&g); err != nil {
		return g, err
	}
	if err := b.sweep(&g, top, children); err != nil {
		return g, err
	}
	resident, err := b.server.resident()
	if err != nil {
		return g, err
	}
	bytes, err := sizeOf(filepath.Join(b.server.dir, "data"))
	g.ResidentMB, g.BytesOnDisk = resident>>20, float64(bytes)/float64(size)
	if err != nil {
		return g, err
	}
	if err := b.swept(); err != nil {
		return g, err
	}
	if err := b.restart(&g, settle, "after sweep and unseal"); err != nil {
		return g, err
	}
	g.SweptCPU = g.RestoreCPU
	return g, b.restart(&g, settle, "after unseal")
}

// fill makes n tokens below maker. made learns of each, from many goroutines; nil for nobody.
func (b *bench) fill(maker string, n int, made func(token string)) error {
	var left atomic.Int64
	left.Store(int64(n))
	var clients sync.WaitGroup
	var failed failures
	create := request{method: "POST", path: "/v1/auth/token/create", token: maker,
		body: []byte(`{"policies":["bench"],"ttl":"24h","display_name":"growth"}`)}
	for range commitClients {
		clients.Go(func() {
			c := b.server.connection()
			for left.Add(-1) >= 0 && failed.count.Load() == 0 {
				out, err := expect(c, create, 200)
				var reply authReply
				if err == nil && made != nil {
					err = json.Unmarshal(out.body, &reply)
				}
				if err != nil {
					failed.add(err)
					break
				}
				if made != nil {
					made(reply.Auth.Token)
				}
			}
			if c.conn != nil {
				_ = c.conn.Close()
			}
		})
	}
	clients.Wait()
	if first := failed.first.Load(); first != nil {
		return *first
	}
	return nil
}

// tree makes a token with n children and returns some of them.
func (b *bench) tree(n int) (top string, some []string, err error) {
	var out authReply
	if err := b.server.call("POST", "/v1/auth/token/create", `{"policies":["bench","maker"],"ttl":"48h"}`, &out); err != nil {
		return "", nil, err
	}
	var mu sync.Mutex
	err = b.fill(out.Auth.Token, n, func(token string) {
		mu.Lock()
		defer mu.Unlock()
		if len(some) < searchPages {
			some = append(some, token)
		}
	})
	return out.Auth.Token, some, err
}

// search asks for pages of a hundred tokens with details.
func (b *bench) search(g *growth) error {
	c := b.server.connection()
	page := request{method: "GET", path: "/v1/auth/token/search?limit=100&policy=bench", token: b.server.token}
	var took []float64
	for range searchPages {
		at := time.Now()
		if _, err := expect(c, page, 200); err != nil {
			return err
		}
		took = append(took, milliseconds(at))
	}
	slices.Sort(took)
	g.SearchPage, g.SearchPage99 = took[len(took)/2], took[len(took)-1]
	return c.conn.Close()
}

// sweep revokes the tree, asks for its children, and measures while they are swept.
func (b *bench) sweep(g *growth, top string, children []string) error {
	lookup := operation{name: "lookup-self", prepare: lookupSelf}
	rest, err := b.measure(lookup, b.server)
	if err != nil {
		return err
	}
	g.RestP99, g.LookupCPU = rest.P99, rest.CPU
	c := b.server.connection()
	at := time.Now()
	if _, err := expect(c, request{method: "POST", path: "/v1/auth/token/revoke-self", token: top}, 204); err != nil {
		return err
	}
	g.RevokeTree = milliseconds(at)
	for _, child := range children {
		out, err := c.do(request{method: "GET", path: "/v1/auth/token/lookup-self", token: child})
		if err != nil {
			return err
		}
		if out.status != 403 {
			g.Survivors++
		}
	}
	if err := c.conn.Close(); err != nil {
		return err
	}
	during, err := b.measure(lookup, b.server)
	g.SweepP99 = during.P99
	return err
}

// swept waits until the number of tokens stands still: what a restart costs must not have a
// sweep in it that was under way before. A busy machine makes a sweep look like rest.
func (b *bench) swept() error {
	before, err := b.tokens()
	for same := 0; err == nil && same < 3; {
		<-time.After(time.Second)
		var now int64
		if now, err = b.tokens(); now == before {
			same++
		} else {
			same, before = 0, now
		}
	}
	return err
}

// restart stops the server, once it is at rest, and starts it on the same data.
func (b *bench) restart(g *growth, settle time.Duration, what string) error {
	old := b.server
	if err := old.quiet(time.Second); err != nil {
		return err
	}
	if err := old.stop(); err != nil {
		return err
	}
	fresh, err := startJeton(b.binary, old.dir, nil)
	if err != nil {
		return err
	}
	fresh.token, fresh.share = old.token, old.share
	b.server = fresh
	sealed, err := fresh.cpu()
	if err != nil {
		return err
	}
	at := time.Now()
	if err := fresh.unseal(); err != nil {
		return err
	}
	if err := fresh.call("GET", "/v1/auth/token/lookup-self", "", nil); err != nil {
		return err
	}
	g.FirstAnswer = milliseconds(at)
	watched := *b
	watched.seconds = settle
	profiled := watched.profile(fmt.Sprintf("%s %d", what, g.Tokens), fresh)
	<-time.After(settle)
	if err := <-profiled; err != nil {
		return err
	}
	used, err := fresh.cpu()
	if err != nil {
		return err
	}
	g.RestoreCPU = (used - sealed).Seconds()
	resident, err := fresh.resident()
	g.RestartedMB = resident >> 20
	return err
}

func milliseconds(since time.Time) float64 { return float64(time.Since(since)) / 1e6 }

// reportGrowth prints one line for each size.
func reportGrowth(list []growth) {
	if len(list) == 0 {
		return
	}
	fmt.Printf("\n%9s %7s %9s %8s %8s %8s %8s %8s %9s %9s %5s %8s %8s %9s %6s %11s\n", "tokens", "RSS MB", "RSS again", "B/token", "create", "lookup",
		"page ms", "page max", "children", "revoke ms", "alive", "rest p99", "swept", "answer ms", "CPU s", "after sweep")
	for _, g := range list {
		fmt.Printf("%9d %7d %9d %8.0f %8.1f %8.1f %8.2f %8.2f %9d %9.2f %5d %8.0f %8.0f %9.1f %6.2f %11.2f\n", g.Tokens, g.ResidentMB, g.RestartedMB,
			g.BytesOnDisk, g.CreateCPU, g.LookupCPU, g.SearchPage, g.SearchPage99, g.Children, g.RevokeTree, g.Survivors, g.RestP99, g.SweepP99,
			g.FirstAnswer, g.RestoreCPU, g.SweptCPU)
	}
}
