package main

import (
	"context"
	"fmt"
)

// crowd is how many clients are there when the server is overloaded: more than it works for at
// once.
const crowd = 8192

// overload measures what the server does at its peak, then offers twice that, and then looks at
// once how it has recovered. The operation is the making of tokens: durable, and the dearest for
// the server in proportion to what it costs the clients on the same two cores.
func (b *bench) overload() error {
	peak, err := b.measure(operation{name: "token create", prepare: tokenCreate}, b.server)
	if err != nil {
		return err
	}
	fmt.Printf("peak: %.0f/s, %d clients in a closed loop, p99 %.1f ms\n", peak.OpsPerSec, b.clients, peak.P99/1e3)
	create := creation(b)
	for _, times := range []float64{1, 2} {
		offered := arrivals{perSecond: times * peak.OpsPerSec, clients: crowd}
		out := offered.drive(context.Background(), b.seconds, b.server.address, create)
		seconds := b.seconds.Seconds()
		fmt.Printf("offered %.0f x peak: %.0f/s done (%.0f %% of peak; p50 %.1f, p99 %.1f ms), %.0f/s shed (p50 %.1f, p99 %.1f ms; %d without Retry-After), %.0f/s found no client, %d failures\n",
			times, float64(len(out.done))/seconds, 100*float64(len(out.done))/seconds/peak.OpsPerSec, at(out.done, .5), at(out.done, .99),
			float64(len(out.shed))/seconds, at(out.shed, .5), at(out.shed, .99), out.bare, float64(out.missed)/seconds, out.failed.count.Load())
		if first := out.failed.first.Load(); first != nil {
			fmt.Printf("  the first failure: %v\n", *first)
		}
	}
	after, err := b.measure(operation{name: "token create", prepare: tokenCreate}, b.server)
	if err != nil {
		return err
	}
	fmt.Printf("right after it: %.0f/s (%.0f %% of peak), p99 %.1f ms, %d failures\n", after.OpsPerSec, 100*after.OpsPerSec/peak.OpsPerSec, after.P99/1e3, after.Failures)
	return nil
}

// creation makes one token.
func creation(b *bench) func(c *connection) (response, error) {
	r := request{method: "POST", path: "/v1/auth/token/create", token: b.server.token,
		body: []byte(`{"policies":["bench"],"ttl":"1h","display_name":"bench"}`)}
	return func(c *connection) (response, error) {
		out, err := c.do(r)
		if err == nil && out.status != 200 && out.status != 503 {
			err = fmt.Errorf("status %d: %.200s", out.status, out.body)
		}
		return out, err
	}
}
