package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// overload is what the server does beyond its capacity.
type overload struct {
	Stages []overloadStage `json:"stages"`
}

// overloadStage is one number of clients.
type overloadStage struct {
	Name    string `json:"name"`
	Clients int    `json:"clients"`
	// OpsPerSec counts the answers that were not shed, P99 (ms) is theirs.
	OpsPerSec float64 `json:"ops_per_second"`
	P99       float64 `json:"p99_ms"`
	// Shed counts the 503 with Retry-After, ShedP99 (ms) is theirs. Failures are all else.
	Shed     int64   `json:"shed"`
	ShedP99  float64 `json:"shed_p99_ms"`
	Failures int64   `json:"failures"`
}

// admitted is how many writes may wait for the store (internal/server, mostQueued).
const admitted = 1024

// runOverload drives token creation with as many clients as the server lets in, with twice as
// many, and again with few.
func (b *bench) runOverload(dir string) (*overload, error) {
	if err := b.open(filepath.Join(dir, "overload"), nil); err != nil {
		return nil, err
	}
	out := &overload{}
	for _, stage := range []overloadStage{
		{Name: "usual", Clients: b.clients}, {Name: "at capacity", Clients: admitted}, {Name: "twice the capacity", Clients: 2 * admitted},
		{Name: "at once afterwards", Clients: b.clients},
	} {
		out.Stages = append(out.Stages, b.press(stage))
	}
	return out, nil
}

// press runs closed-loop clients. One that is shed comes back when it is told to.
func (b *bench) press(stage overloadStage) overloadStage {
	create := request{method: "POST", path: "/v1/auth/token/create", token: b.server.token,
		body: []byte(`{"policies":["bench"],"ttl":"1h","display_name":"bench"}`)}
	var (
		mu           sync.Mutex
		served, shed []time.Duration // guarded by mu
		failed       atomic.Int64
		clients      sync.WaitGroup
		begin        = time.Now()
		// Connecting so many takes a while, and is no part of it.
		counted = begin.Add(2 * time.Second)
		end     = counted.Add(b.seconds)
	)
	for range stage.Clients {
		clients.Go(func() {
			c := b.server.connection()
			for time.Now().Before(end) {
				at := time.Now()
				out, err := c.do(create)
				took, now := time.Since(at), time.Now()
				counts := now.After(counted) && now.Before(end)
				switch {
				case err != nil || out.status != 200 && out.status != 503:
					failed.Add(1)
				case out.status == 503:
					if counts {
						mu.Lock()
						shed = append(shed, took)
						mu.Unlock()
					}
					<-time.After(time.Second) // Retry-After
				case counts:
					mu.Lock()
					served = append(served, took)
					mu.Unlock()
				}
			}
			if c.conn != nil {
				_ = c.conn.Close()
			}
		})
	}
	profiled := b.profile(stage.Name, b.server)
	clients.Wait()
	if err := <-profiled; err != nil {
		failed.Add(1)
	}
	p99 := func(all []time.Duration) float64 {
		if len(all) == 0 {
			return 0
		}
		slices.Sort(all)
		return float64(all[len(all)*99/100]) / 1e6
	}
	stage.OpsPerSec, stage.P99 = float64(len(served))/b.seconds.Seconds(), p99(served)
	stage.Shed, stage.ShedP99, stage.Failures = int64(len(shed)), p99(shed), failed.Load()
	return stage
}

func (o *overload) report() {
	if o == nil {
		return
	}
	fmt.Printf("%-20s %8s %9s %9s %9s %11s %5s\n", "stage", "clients", "ops/s", "p99 ms", "shed", "shed p99 ms", "fail")
	for _, s := range o.Stages {
		fmt.Printf("%-20s %8d %9.0f %9.1f %9d %11.1f %5d\n", s.Name, s.Clients, s.OpsPerSec, s.P99, s.Shed, s.ShedP99, s.Failures)
	}
}
