package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// soak is a mixed load with churn: what it costs must level off.
type soak struct {
	Samples []soakSample `json:"samples"`
	// Expiry is the part in which expiryRate tokens expire each second.
	Expiry soakExpiry `json:"expiry"`
	// Failures must be 0.
	Failures int64 `json:"failures"`
}

// soakSample is what the server was like at the end of one stretch.
type soakSample struct {
	Seconds   float64 `json:"seconds"`
	OpsPerSec float64 `json:"ops_per_second"`
	// P99 is that of lookups within the stretch, in µs.
	P99        float64 `json:"lookup_p99_us"`
	ResidentMB int64   `json:"resident_mb"`
	DiskMB     float64 `json:"disk_mb"`
	Files      int     `json:"files"`
	Tokens     int64   `json:"tokens"`
}

// soakExpiry is how the sweeper keeps pace.
type soakExpiry struct {
	Tokens  int     `json:"tokens"`
	RestP99 float64 `json:"rest_p99_us"`
	P99     float64 `json:"p99_us"`
	// Lag is how long after the last expiry the last token was gone, in seconds.
	Lag float64 `json:"lag_seconds"`
}

const (
	// soakStretches is how many samples are taken.
	soakStretches = 10
	// expiryRate tokens expire each second for expirySeconds.
	expiryRate    = 5000
	expirySeconds = 20
)

// churn is what a client of the soak does, again and again: a login that is used, renewed, and
// then revoked by one client, and left to expire by three.
func (b *bench) churn(client int, latencies *[]time.Duration, mu *sync.Mutex) (func(c *connection) error, error) {
	login, err := appRoleLogin(b, client)
	if err != nil {
		return nil, err
	}
	write, err := kvWrite(b, client)
	if err != nil {
		return nil, err
	}
	create := request{method: "POST", path: "/v1/auth/token/create", token: b.server.token, body: []byte(`{"policies":["bench"],"ttl":"15s"}`)}
	return func(c *connection) error {
		if err := login(c); err != nil {
			return err
		}
		made, err := expect(c, create, 200)
		if err != nil {
			return err
		}
		var out authReply
		if err := json.Unmarshal(made.body, &out); err != nil {
			return err
		}
		for range 4 {
			at := time.Now()
			if _, err := expect(c, request{method: "GET", path: "/v1/auth/token/lookup-self", token: out.Auth.Token}, 200); err != nil {
				return err
			}
			mu.Lock()
			*latencies = append(*latencies, time.Since(at))
			mu.Unlock()
		}
		if err := write(c); err != nil {
			return err
		}
		if _, err := expect(c, request{method: "POST", path: "/v1/auth/token/renew-self", token: out.Auth.Token}, 200); err != nil {
			return err
		}
		if client%4 == 0 {
			_, err = expect(c, request{method: "POST", path: "/v1/auth/token/revoke-self", token: out.Auth.Token}, 204)
		}
		return err
	}, nil
}

// churnOperations is how many requests one round of churn has, about.
const churnOperations = 8

// runSoak runs the mixed load for b.soak, and then has tokens expire at a rate.
func (b *bench) runSoak(dir string) (*soak, error) {
	if err := b.open(filepath.Join(dir, "soak"), nil); err != nil {
		return nil, err
	}
	// Logins live as long as the tokens that are left to expire, so that their number levels off.
	if err := b.server.call("POST", "/v1/auth/approle/role/bench", `{"token_policies":"bench","token_ttl":"15s"}`, nil); err != nil {
		return nil, err
	}
	out := &soak{}
	var (
		mu        sync.Mutex
		latencies []time.Duration // guarded by mu
		rounds    atomic.Int64
		failed    failures
		clients   sync.WaitGroup
		begin     = time.Now()
	)
	for client := range b.clients {
		run, err := b.churn(client, &latencies, &mu)
		if err != nil {
			return nil, err
		}
		clients.Go(func() {
			c := b.server.connection()
			for time.Since(begin) < b.soak {
				if err := run(c); err != nil {
					failed.add(err)
				}
				rounds.Add(1)
			}
			if c.conn != nil {
				_ = c.conn.Close()
			}
		})
	}
	var sampling error
	for n := range soakStretches {
		before := rounds.Load()
		at := time.Now()
		<-time.After(time.Until(begin.Add(b.soak * time.Duration(n+1) / soakStretches)))
		mu.Lock()
		stretch := latencies
		latencies = nil
		mu.Unlock()
		one, err := b.sample(begin, stretch)
		if err != nil {
			sampling = err
			break
		}
		one.OpsPerSec = float64((rounds.Load()-before)*churnOperations) / time.Since(at).Seconds()
		out.Samples = append(out.Samples, one)
	}
	clients.Wait()
	out.Failures = failed.count.Load()
	if first := failed.first.Load(); first != nil {
		fmt.Println("the first failure:", *first)
	}
	if sampling != nil {
		return out, sampling
	}
	var err error
	out.Expiry, err = b.expire()
	return out, err
}

// tokens is how many tokens are on record.
func (b *bench) tokens() (n int64, err error) {
	var out struct {
		Data struct {
			Total int64 `json:"total"`
		} `json:"data"`
	}
	err = b.server.call("GET", "/v1/auth/token/count?by=type", "", &out)
	return out.Data.Total, err
}

// sample looks at the server and its files.
func (b *bench) sample(begin time.Time, latencies []time.Duration) (s soakSample, err error) {
	s.Seconds = time.Since(begin).Seconds()
	if len(latencies) > 0 {
		slices.Sort(latencies)
		s.P99 = float64(latencies[len(latencies)*99/100]) / 1e3
	}
	resident, err := b.server.resident()
	if err != nil {
		return s, err
	}
	data := filepath.Join(b.server.dir, "data")
	bytes, err := sizeOf(data)
	if err != nil {
		return s, err
	}
	s.ResidentMB, s.DiskMB = resident>>20, float64(bytes)/(1<<20)
	err = filepath.WalkDir(data, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			s.Files++
		}
		return nil // a file may be merged away meanwhile
	})
	if err != nil {
		return s, err
	}
	s.Tokens, err = b.tokens()
	return s, err
}

// expire makes tokens of which expiryRate expire each second, and measures lookups meanwhile.
func (b *bench) expire() (e soakExpiry, err error) {
	if err := b.server.quiet(time.Second); err != nil {
		return e, err
	}
	before, err := b.tokens()
	if err != nil {
		return e, err
	}
	e.Tokens = expiryRate * expirySeconds
	// Time enough to make them all and to measure at rest.
	first := time.Now().Add(60 * time.Second)
	var left atomic.Int64
	left.Store(int64(e.Tokens))
	var failed failures
	var clients sync.WaitGroup
	for range commitClients {
		clients.Go(func() {
			c := b.server.connection()
			for n := left.Add(-1); n >= 0 && failed.count.Load() == 0; n = left.Add(-1) {
				end := first.Add(time.Duration(n/expiryRate) * time.Second)
				body := fmt.Appendf(nil, `{"policies":["bench"],"ttl":"%ds"}`, max(1, int(time.Until(end)/time.Second)))
				if _, err := expect(c, request{method: "POST", path: "/v1/auth/token/create", token: b.server.token, body: body}, 200); err != nil {
					failed.add(err)
				}
			}
			if c.conn != nil {
				_ = c.conn.Close()
			}
		})
	}
	clients.Wait()
	if cause := failed.first.Load(); cause != nil {
		return e, *cause
	}
	lookup := operation{name: "lookup-self", prepare: lookupSelf}
	rest, err := b.measure(lookup, b.server)
	if err != nil {
		return e, err
	}
	<-time.After(time.Until(first))
	length := *b
	length.seconds = expirySeconds * time.Second * 5 / 6 // and a fifth of that to warm up
	during, err := length.measure(lookup, b.server)
	e.RestP99, e.P99 = rest.P99, during.P99
	if err != nil {
		return e, err
	}
	last := first.Add(expirySeconds * time.Second)
	for {
		now, err := b.tokens()
		if err != nil {
			return e, err
		}
		// The clients of the two measurements have tokens of their own, of an hour.
		if now <= before+int64(2*b.clients) {
			e.Lag = time.Since(last).Seconds()
			return e, nil
		}
		<-time.After(100 * time.Millisecond)
	}
}

func (s *soak) report() {
	if s == nil {
		return
	}
	fmt.Printf("%8s %9s %9s %7s %8s %6s %8s\n", "seconds", "ops/s", "p99 µs", "RSS MB", "disk MB", "files", "tokens")
	for _, one := range s.Samples {
		fmt.Printf("%8.0f %9.0f %9.0f %7d %8.0f %6d %8d\n", one.Seconds, one.OpsPerSec, one.P99, one.ResidentMB, one.DiskMB, one.Files, one.Tokens)
	}
	fmt.Printf("%d failures\n", s.Failures)
	if e := s.Expiry; e.Tokens > 0 {
		fmt.Printf("%d tokens expired, %d a second: p99 of lookup-self %.0f µs at rest, %.0f µs meanwhile; the last was gone %.1f s after its end\n",
			e.Tokens, expiryRate, e.RestP99, e.P99, e.Lag)
	}
}
