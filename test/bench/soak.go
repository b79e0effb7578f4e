package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// The mixed load of a soak, in operations a second. Tokens live for a moment, so that as many end
// by expiry in a second as are made.
const (
	soakCreations = 3000
	soakLogins    = 1500
	soakKept      = 500 // made, renewed, and revoked
	soakLookups   = 2000
	soakWrites    = 300
	soakReads     = 1000
	// soakClients share each kind of work.
	soakClients = 64
	// soakTTL is the life of the tokens that are left to expire, in seconds.
	soakTTL = 10
	// soakEvery is how often the server is looked at.
	soakEvery = 10 * time.Second
)

// look is the state of the server at one moment of a soak.
type look struct {
	after      time.Duration
	residentMB int64
	diskMB     int64
	files      int
	tokens     int64
	cpu        float64
	lookups    int
	p50, p99   float64
}

// soak runs the mixed load and prints what the server takes as time goes by, and whether it has
// levelled off: the last third of the looks against the third before it.
func (b *bench) soak(length time.Duration) error {
	if err := b.server.call("POST", "/v1/auth/approle/role/bench", fmt.Sprintf(`{"token_policies":"bench","token_ttl":"%ds"}`, soakTTL), nil); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	load := &soakLoad{bench: b}
	var running sync.WaitGroup
	for _, work := range load.work() {
		run, err := work.prepare(b, 0)
		if err != nil {
			return err
		}
		running.Go(func() {
			arrivals{perSecond: work.perSecond, clients: soakClients}.drive(ctx, length, b.server.address, func(c *connection) (response, error) {
				at := time.Now()
				err := run(c)
				load.note(work.name, time.Since(at), err)
				return response{status: 200}, nil
			})
		})
	}
	fmt.Printf("%8s %7s %8s %6s %8s %6s %8s %8s %8s\n", "after", "RSS MB", "disk MB", "files", "tokens", "cores", "lookups", "p50 ms", "p99 ms")
	var looks []look
	begin := time.Now()
	pace := time.NewTicker(soakEvery)
	defer pace.Stop()
	before, err := b.server.cpu()
	for err == nil && ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-pace.C:
		}
		var l look
		if l, before, err = b.look(load, before); err != nil {
			break
		}
		l.after = time.Since(begin).Round(time.Second)
		looks = append(looks, l)
		fmt.Printf("%8s %7d %8d %6d %8d %6.2f %8d %8.2f %8.2f\n", l.after, l.residentMB, l.diskMB, l.files, l.tokens, l.cpu, l.lookups, l.p50, l.p99)
	}
	cancel()
	running.Wait()
	load.report(length)
	level(looks)
	return err
}

// look asks the server and the system how it is.
func (b *bench) look(load *soakLoad, before time.Duration) (l look, now time.Duration, err error) {
	resident, err := b.server.resident()
	if err != nil {
		return l, before, err
	}
	size, err := sizeOf(b.server.dir)
	if err != nil {
		return l, before, err
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", b.server.cmd.Process.Pid))
	if err != nil {
		return l, before, err
	}
	var counted struct {
		Data struct {
			Counters struct {
				Tokens struct{ Total int64 } `json:"service_tokens"`
			} `json:"counters"`
		} `json:"data"`
	}
	if err := b.server.call("GET", "/v1/sys/internal/counters/tokens", "", &counted); err != nil {
		return l, before, err
	}
	now, err = b.server.cpu()
	lookups := load.takeLookups()
	return look{residentMB: resident >> 20, diskMB: size >> 20, files: len(open), tokens: counted.Data.Counters.Tokens.Total,
		cpu: (now - before).Seconds() / soakEvery.Seconds(), lookups: len(lookups), p50: at(lookups, .5), p99: at(lookups, .99)}, now, err
}

// soakWork is one kind of work.
type soakWork struct {
	name      string
	perSecond float64
	prepare   func(b *bench, client int) (func(c *connection) error, error)
}

// soakLoad counts the work that is done.
type soakLoad struct {
	bench  *bench
	done   sync.Map // name to *atomic.Int64
	failed failures
	mu     sync.Mutex
	// lookups are latencies since the last look. Guarded by mu.
	lookups []time.Duration
}

const soakLookup = "lookups"

func (l *soakLoad) work() []soakWork {
	return []soakWork{
		{"creations that expire", soakCreations, soakCreate},
		{"AppRole logins that expire", soakLogins, appRoleLogin},
		{"lives that are renewed and revoked", soakKept, oneLife},
		{soakLookup, soakLookups, lookupLasting},
		{"KV writes", soakWrites, kvWriteAnywhere},
		{"KV reads", soakReads, kvRead},
	}
}

func (l *soakLoad) note(name string, took time.Duration, err error) {
	if err != nil {
		l.failed.add(err)
		return
	}
	counter, _ := l.done.LoadOrStore(name, &atomic.Int64{})
	counter.(*atomic.Int64).Add(1)
	if name == soakLookup {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lookups = append(l.lookups, took)
	}
}

func (l *soakLoad) takeLookups() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.lookups
	l.lookups = nil
	return taken
}

func (l *soakLoad) report(length time.Duration) {
	fmt.Println()
	for _, work := range l.work() {
		n := int64(0)
		if counter, ok := l.done.Load(work.name); ok {
			n = counter.(*atomic.Int64).Load()
		}
		fmt.Printf("%-36s %8.0f/s of %.0f/s\n", work.name, float64(n)/length.Seconds(), work.perSecond)
	}
	fmt.Printf("%-36s %8d\n", "failures", l.failed.count.Load())
	if first := l.failed.first.Load(); first != nil {
		fmt.Printf("  the first: %v\n", *first)
	}
}

// level compares the last third of the looks with the one before it.
func level(looks []look) {
	third := len(looks) / 3
	if third == 0 {
		return
	}
	earlier, later := looks[third:2*third], looks[2*third:3*third]
	for _, row := range []struct {
		name string
		of   func(look) float64
	}{
		{"resident MB", func(l look) float64 { return float64(l.residentMB) }},
		{"disk MB", func(l look) float64 { return float64(l.diskMB) }},
		{"open files", func(l look) float64 { return float64(l.files) }},
		{"stored tokens", func(l look) float64 { return float64(l.tokens) }},
		{"cores used", func(l look) float64 { return l.cpu }},
		{"p99 of lookups, ms", func(l look) float64 { return l.p99 }},
	} {
		mean := func(part []look) (sum float64) {
			for _, l := range part {
				sum += row.of(l) / float64(len(part))
			}
			return sum
		}
		was, is := mean(earlier), mean(later)
		fmt.Printf("%-36s %8.1f then %.1f (%+.0f %%)\n", row.name, was, is, 100*(is/max(was, 1e-9)-1))
	}
}

func soakCreate(b *bench, _ int) (func(*connection) error, error) {
	r := request{method: "POST", path: "/v1/auth/token/create-orphan", token: b.server.token,
		body: fmt.Appendf(nil, `{"policies":["bench"],"ttl":"%ds","display_name":"soak"}`, soakTTL)}
	return func(c *connection) error { _, err := expect(c, r, 200); return err }, nil
}

// lookupLasting looks up a token that outlives any soak.
func lookupLasting(b *bench, _ int) (func(*connection) error, error) {
	var out authReply
	if err := b.server.call("POST", "/v1/auth/token/create", `{"policies":["bench"],"ttl":"720h"}`, &out); err != nil {
		return nil, err
	}
	r := request{method: "GET", path: "/v1/auth/token/lookup-self", token: out.Auth.Token}
	return func(c *connection) error { _, err := expect(c, r, 200); return err }, nil
}

// kvWriteAnywhere writes one of a thousand secrets, whose versions go as new ones come.
func kvWriteAnywhere(b *bench, _ int) (func(*connection) error, error) {
	body, err := json.Marshal(map[string]any{"data": map[string]string{"username": "app", "password": "correct-horse-battery-staple"}})
	return func(c *connection) error {
		r := request{method: "POST", path: "/v1/secret/data/soak/" + strconv.Itoa(rand.IntN(1000)), token: b.server.token, body: body}
		_, err := expect(c, r, 200)
		return err
	}, err
}
