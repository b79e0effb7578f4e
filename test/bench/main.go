// Command bench measures a durable Jeton against a bare net/http server of the same answer
// size, with the same closed-loop clients in one run. Absolute figures move with the machine;
// the ratios hold.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

type bench struct {
	binary  string
	clients int
	seconds time.Duration
	only    string
	// ways are those in which the server is run, of plain, audit and tls.
	ways string
	// profiles is where the server's CPU profile of each operation goes; "" for none. variant is
	// the way in which the server is run at present, of ways.
	profiles, variant string
	// soak is how long the mixed load runs; 0 is no such run. overload asks for the run beyond
	// capacity.
	soak     time.Duration
	overload bool
	// sizes are the numbers of stored tokens at which growth is measured, ascending.
	sizes  []int
	settle time.Duration
	// stored is how many tokens the server holds already.
	stored int
	server *process
	// signer signs what clients log in with.
	signer *signer
}

// measured is all that a run found.
type measured struct {
	Variants []variant `json:"variants"`
	Disk     disk      `json:"disk"`
	Growth   []growth  `json:"growth"`
	// Soak and Overload are of runs that were asked for by name.
	Soak     *soak     `json:"soak,omitempty"`
	Overload *overload `json:"overload,omitempty"`
}

// variant is all operations in one way of running the server.
type variant struct {
	Name       string   `json:"name"`
	Operations []result `json:"operations"`
	// Floors are what lies under durable operations; measured in the clear alone.
	Floors []result `json:"floors,omitempty"`
}

// result is one measured row.
type result struct {
	Name      string  `json:"name"`
	OpsPerSec float64 `json:"ops_per_second"`
	P50       float64 `json:"p50_us"`
	P99       float64 `json:"p99_us"`
	P999      float64 `json:"p999_us"`
	CPU       float64 `json:"cpu_us_per_op"`
	Failures  int64   `json:"failures"`
	// CPUTimesBare and OpsTimesPeer are ratios; 0 where there is nothing to compare with.
	CPUTimesBare float64 `json:"cpu_times_bare,omitempty"`
	// CPUTimesFloor is cpu against a net/http server that puts as many keys into the same store.
	CPUTimesFloor float64 `json:"cpu_times_floor,omitempty"`
	OpsTimesPeer  float64 `json:"ops_times_peer,omitempty"`
	Verdict       string  `json:"verdict,omitempty"`
}

func main() {
	b := &bench{}
	bare := flag.String("bare", "", "serve as the bare server on this address")
	bareSize := flag.Int("bare-size", 600, "the size of the bare server's answer")
	bareCert := flag.String("bare-cert", "", "the bare server's certificate; empty for no TLS")
	bareData := flag.String("bare-data", "", "put keys into a store in this directory, too")
	bareKey := flag.String("bare-key", "", "and its key")
	out := flag.String("json", "", "write the results to this file as JSON")
	flag.StringVar(&b.binary, "binary", "bin/jeton", "the server")
	flag.IntVar(&b.clients, "clients", 32, "closed-loop clients")
	flag.DurationVar(&b.seconds, "time", 5*time.Second, "how long each operation is measured")
	flag.StringVar(&b.only, "only", "", "measure only operations whose name contains this, or with \"growth\" no operations")
	flag.StringVar(&b.ways, "ways", "plain,audit,tls", "how the server is run: in the clear, with a file audit device, over TLS")
	flag.StringVar(&b.profiles, "profiles", "", "write the server's CPU profile of each operation into this directory (costs a little)")
	sizes := flag.String("sizes", "10000,100000", "numbers of stored tokens at which growth is measured, ascending; empty for none")
	flag.DurationVar(&b.settle, "settle", 10*time.Second, "how long the server is watched after a restart")
	flag.DurationVar(&b.soak, "soak", 0, "run a mixed load with churn for this long instead")
	flag.BoolVar(&b.overload, "overload", false, "drive the server beyond its capacity instead")
	flag.Parse()
	if *bare != "" {
		fail(serveBare(*bare, *bareSize, *bareCert, *bareKey, *bareData))
	}
	fail(b.setSizes(*sizes))
	var err error
	b.signer, err = newSigner()
	fail(err)
	results, err := b.run()
	report(results)
	fail(err)
	if *out != "" {
		data, err := json.MarshalIndent(results, "", "  ")
		fail(err)
		fail(os.WriteFile(*out, append(data, '\n'), 0o644))
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// serveBare answers JSON of a size and does nothing else; with a data directory it is a floor.
func serveBare(address string, size int, certFile, keyFile, data string) error {
	if data != "" {
		f, err := newFloor(data)
		if err != nil {
			return err
		}
		return http.ListenAndServe(address, f)
	}
	body := bareAnswer(size)
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeBare(w, body) })
	if certFile != "" {
		return http.ListenAndServeTLS(address, certFile, keyFile, answer)
	}
	return http.ListenAndServe(address, answer)
}

func bareAnswer(size int) []byte { return []byte(`{"data":"` + strings.Repeat("x", size) + "\"}\n") }

func writeBare(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(body)
}

// setSizes reads a list of numbers.
func (b *bench) setSizes(list string) error {
	for _, text := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		size, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		b.sizes = append(b.sizes, size)
	}
	return nil
}

// run measures everything. On an error it returns what it has.
func (b *bench) run() (out measured, err error) {
	dir, err := os.MkdirTemp("", "jeton-bench")
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	defer func() {
		if b.server != nil {
			err = errors.Join(err, b.server.stop())
		}
	}()
	switch {
	case b.soak > 0:
		out.Soak, err = b.runSoak(dir)
		return out, err
	case b.overload:
		out.Overload, err = b.runOverload(dir)
		return out, err
	}
	if b.only != onlyGrowth {
		if err := b.runVariants(dir, &out); err != nil || b.only != "" {
			return out, err
		}
	}
	if len(b.sizes) == 0 {
		return out, nil
	}
	// Growth begins with no tokens.
	if err := b.open(filepath.Join(dir, "growth"), nil); err != nil {
		return out, err
	}
	for _, size := range b.sizes {
		g, err := b.grow(size, b.settle)
		if err != nil {
			return out, fmt.Errorf("at %d tokens: %w", size, err)
		}
		out.Growth = append(out.Growth, g)
	}
	return out, nil
}

// runVariants measures all operations in the clear, with a file audit device, and over TLS.
func (b *bench) runVariants(dir string, out *measured) error {
	var plain *variant
	if b.goes("plain") {
		if err := b.open(filepath.Join(dir, "operations"), nil); err != nil {
			return err
		}
		b.variant = "plain"
		v, err := b.runOperations("TLS off, audit off", nil, nil)
		out.Variants = append(out.Variants, v)
		if err != nil {
			return err
		}
		plain = &v
	}
	if b.goes("plain") && b.only == "" {
		var err error
		if out.Disk, err = b.measureDisk(dir); err != nil {
			return err
		}
	}
	if b.goes("audit") {
		// A server of its own: one that has done all the operations before merges and collects
		// more, and what that costs would be put down to the device.
		if err := b.open(filepath.Join(dir, "audited"), nil); err != nil {
			return err
		}
		options := fmt.Sprintf(`{"type":"file","options":{"file_path":%q}}`, filepath.Join(dir, "audit.log"))
		if err := b.server.call("PUT", "/v1/sys/audit/file", options, nil); err != nil {
			return err
		}
		b.variant = "audit"
		v, err := b.runOperations("TLS off, audit on (file)", nil, plain)
		out.Variants = append(out.Variants, v)
		if err != nil {
			return err
		}
	}
	if !b.goes("tls") {
		return nil
	}
	secure, err := newCertificate(dir)
	if err != nil {
		return err
	}
	if err := b.open(filepath.Join(dir, "secure"), secure); err != nil {
		return err
	}
	b.variant = "tls"
	v, err := b.runOperations("TLS on, audit off", secure, nil)
	out.Variants = append(out.Variants, v)
	return err
}

// goes says whether the server is to be run in that way.
func (b *bench) goes(way string) bool { return slices.Contains(strings.Split(b.ways, ","), way) }

// open starts a new server in dir, in place of the one before, and makes what the operations use.
func (b *bench) open(dir string, secure *certificate) (err error) {
	if b.server != nil {
		old := b.server
		b.server = nil
		if err := old.stop(); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if b.server, err = startJeton(b.binary, dir, secure); err != nil {
		return err
	}
	if err := b.server.initialise(); err != nil {
		return err
	}
	return b.prepareServer()
}

// runOperations measures a bare server and all operations of the present one. without is the
// same without an audit device; nil where there is none.
func (b *bench) runOperations(name string, secure *certificate, without *variant) (out variant, err error) {
	out.Name = name
	bareServer, err := startBare(600, secure)
	if err != nil {
		return out, err
	}
	get := operation{name: "bare net/http", prepare: func(*bench, int) (func(*connection) error, error) {
		return func(c *connection) error {
			_, err := expect(c, request{method: "GET", path: "/"}, 200)
			return err
		}, nil
	}}
	defer func() { err = errors.Join(err, bareServer.stop()) }()
	base, err := b.measure(get, bareServer)
	if err != nil {
		return out, err
	}
	out.Operations = append(out.Operations, base)
	floors := map[int]result{}
	if secure == nil && without == nil {
		if floors, err = b.measureFloors(); err != nil {
			return out, err
		}
		for _, keys := range slices.Sorted(maps.Keys(floors)) {
			r := floors[keys]
			r.CPUTimesBare = r.CPU / base.CPU
			out.Floors = append(out.Floors, r)
		}
	}
	for _, op := range operations() {
		if !strings.Contains(op.name, b.only) {
			continue
		}
		// What else runs on the machine changes by the second, and with it what everything
		// costs: the bare server is measured anew before and after each operation, and the median counts.
		brief := *b
		brief.seconds = max(b.seconds/4, 200*time.Millisecond)
		before, err := brief.measure(get, bareServer)
		if err != nil {
			return out, err
		}
		r, err := b.measure(op, b.server)
		if err != nil {
			return out, fmt.Errorf("%s: %w", op.name, err)
		}
		after, err := brief.measure(get, bareServer)
		if err != nil {
			return out, err
		}
		bare := []float64{base.CPU, before.CPU, after.CPU}
		slices.Sort(bare)
		judge(op, bare[1], &r)
		if under := floors[op.keys]; under.CPU > 0 {
			r.CPUTimesFloor = r.CPU / under.CPU
		}
		switch {
		case without != nil:
			was := without.Operations[len(out.Operations)].CPUTimesBare
			r.Verdict = fmt.Sprintf("%+.0f %% cpu by the audit device", (r.CPUTimesBare/was-1)*100)
			if op.name == "token lookup-self" {
				r.Verdict += "; wants at most +50 %"
			}
		case secure != nil:
			r.Verdict = "" // the targets are of a server in the clear
		}
		out.Operations = append(out.Operations, r)
	}
	return out, nil
}

// judge sets a row against the bare server, of which bare is the cpu, and the peer.
func judge(op operation, bare float64, r *result) {
	r.CPUTimesBare = r.CPU / bare
	if op.peerOps > 0 {
		r.OpsTimesPeer = r.OpsPerSec / op.peerOps
	}
	met := (op.cpuTimesBare == 0 || r.CPUTimesBare <= op.cpuTimesBare) && (op.opsTimesPeer == 0 || r.OpsTimesPeer >= op.opsTimesPeer)
	r.Verdict = "met"
	if !met {
		var wants []string
		if op.cpuTimesBare > 0 {
			wants = append(wants, fmt.Sprintf("cpu <= %.1f x bare", op.cpuTimesBare))
		}
		if op.opsTimesPeer > 0 {
			wants = append(wants, fmt.Sprintf("ops >= %.0f x peer", op.opsTimesPeer))
		}
		r.Verdict = "missed: wants " + strings.Join(wants, ", ")
	}
}

// measure drives p with closed-loop clients and counts what they see.
func (b *bench) measure(op operation, p *process) (result, error) {
	runs := make([]func(*connection) error, b.clients)
	for i := range runs {
		run, err := op.prepare(b, i)
		if err != nil {
			return result{}, err
		}
		runs[i] = run
	}
	latencies := make([][]time.Duration, b.clients)
	var failed failures
	drive := func(length time.Duration, keep bool) time.Duration {
		var clients sync.WaitGroup
		begin := time.Now()
		for i := range runs {
			clients.Go(func() {
				c := p.connection()
				for time.Since(begin) < length {
					at := time.Now()
					if err := runs[i](c); err != nil {
						failed.add(err)
						continue
					}
					if keep {
						latencies[i] = append(latencies[i], time.Since(at))
					}
				}
				if c.conn != nil {
					_ = c.conn.Close()
				}
			})
		}
		clients.Wait()
		return time.Since(begin)
	}
	drive(b.seconds/5, false)
	// An operation is charged with what it leaves to be merged, and with nothing that others left.
	if err := b.settled(p); err != nil {
		return result{}, err
	}
	before, err := p.cpu()
	if err != nil {
		return result{}, err
	}
	profiled := b.profile(op.name, p)
	took := drive(b.seconds, true)
	if err := b.settled(p); err != nil {
		return result{}, err
	}
	after, err := p.cpu()
	if err = errors.Join(err, <-profiled); err != nil {
		return result{}, err
	}
	all := slices.Concat(latencies...)
	if first := failed.first.Load(); len(all) == 0 && first != nil {
		return result{}, *first
	}
	slices.Sort(all)
	at := func(q float64) float64 { return float64(all[int(q*float64(len(all)-1))]) / 1e3 }
	return result{Name: op.name, OpsPerSec: float64(len(all)) / took.Seconds(), P50: at(.5), P99: at(.99), P999: at(.999),
		CPU: float64(after-before) / 1e3 / float64(len(all)), Failures: failed.count.Load()}, nil
}

// settled waits until a server that stores has nothing to do.
func (b *bench) settled(p *process) error {
	if !p.stores {
		return nil
	}
	return p.quiet(min(max(b.seconds/8, 150*time.Millisecond), 400*time.Millisecond))
}

// report prints the tables for people.
func report(m measured) {
	for _, v := range m.Variants {
		fmt.Printf("\n%s\n%-22s %10s %9s %9s %9s %9s %7s %7s %7s %5s  %s\n", v.Name, "operation", "ops/s", "p50 µs", "p99 µs", "p99.9 µs", "cpu µs", "x bare", "x floor", "x peer", "fail", "target")
		for _, r := range slices.Concat(v.Floors, v.Operations) {
			fmt.Printf("%-22s %10.0f %9.0f %9.0f %9.0f %9.1f %7.2f %7.2f %7.1f %5d  %s\n",
				r.Name, r.OpsPerSec, r.P50, r.P99, r.P999, r.CPU, r.CPUTimesBare, r.CPUTimesFloor, r.OpsTimesPeer, r.Failures, r.Verdict)
		}
	}
	if d := m.Disk; d.Syncs > 0 {
		fmt.Printf("\ndisk: %.0f syncs/s by one thread; %.0f durable commits/s by %d clients: %.2f a sync\n", d.Syncs, d.Commits, commitClients, d.Ratio)
	}
	reportGrowth(m.Growth)
	plot(m.Growth)
	m.Soak.report()
	m.Overload.report()
}
