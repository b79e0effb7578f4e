package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/posener/complete"
)

// debugCommands collect what somebody who has to help will ask for.
func debugCommands() []command {
	return []command{{
		name: "debug", synopsis: "Collect what is needed to find a fault",
		help: `Collects the server's configuration (without secrets), status, host, metrics,
requests in flight, log and profiles, over some time, into one archive to hand to
whoever helps. What the token may not read is left out and named in index.json.

    $ jeton debug
    $ jeton debug -duration=30s -interval=10s -target=metrics -target=log -output=slow.tar.gz`,
		arity: exactly(0), surface: takesHTTP, build: buildDebug,
	}}
}

// debugTargets are what can be collected, with the paths that are read for each. profile and log
// last as long as the command does.
func debugTargets() map[string][]string {
	return map[string][]string{
		"config":        {"sys/config/state/sanitized"},
		"host":          {"sys/host-info"},
		"metrics":       {"sys/metrics"},
		"requests":      {"sys/in-flight-req"},
		"server-status": {"sys/seal-status", "sys/leader", "sys/ha-status"},
		"pprof":         {"sys/pprof/goroutine", "sys/pprof/heap"},
		"log":           nil,
	}
}

type debugFlags struct {
	duration, interval time.Duration
	output             string
	targets            []string
}

func buildDebug(f *flagSet) runFunc {
	p := &debugFlags{duration: 2 * time.Minute, interval: 30 * time.Second}
	names := sortedKeys(debugTargets())
	f.span(&p.duration, flagSpec{name: "duration", usage: "How long to collect. The default is 2m."})
	f.span(&p.interval, flagSpec{name: "interval", usage: "How often to look. The default is 30s."})
	f.str(&p.output, flagSpec{name: "output", usage: "File to write; the default is jeton-debug-<time>.tar.gz here.", predict: complete.PredictFiles("*.tar.gz")})
	f.list(&p.targets, flagSpec{name: "target", usage: "What to collect: " + strings.Join(names, ", ") + ". Repeatable; the default is all.", predict: complete.PredictSet(names...)})
	return func(s *session, _ []string) error {
		if p.duration <= 0 || p.interval <= 0 {
			return local("-duration and -interval must be longer than nothing")
		}
		if p.targets = splitCommas(p.targets); len(p.targets) == 0 {
			p.targets = names
		}
		for _, t := range p.targets {
			if !slices.Contains(names, t) {
				return local("Unknown target %q%s. There are: %s", t, didYouMean(t, names), strings.Join(names, ", "))
			}
		}
		return s.debug(p)
	}
}

// collection is an archive in the making. One goroutine adds to it.
type collection struct {
	files  *tar.Writer
	at     func() time.Time
	failed map[string]string // path → why it is missing
}

func (c *collection) add(name string, body []byte) error {
	err := c.files.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(body)), ModTime: c.at(), Format: tar.FormatPAX})
	if err == nil {
		_, err = c.files.Write(body)
	}
	return err
}

func (s *session) debug(p *debugFlags) error {
	ctx, stop := signal.NotifyContext(s.ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	c, err := s.client()
	if err != nil {
		return err
	}
	// The server's clock names the archive and its files: it is what its log is written by.
	health, err := c.Sys().HealthWithContext(ctx)
	if err != nil {
		return s.remote("reaching the server", err)
	}
	began := time.Unix(health.ServerTimeUTC, 0).UTC()
	if p.output == "" {
		p.output = "jeton-debug-" + began.Format("2006-01-02T15-04-05Z") + ".tar.gz"
	}
	// O_EXCL: an archive from before is evidence and stays.
	file, err := os.OpenFile(p.output, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return local("Error creating the archive: %s", err)
	}
	packed := gzip.NewWriter(file)
	all := &collection{files: tar.NewWriter(packed), at: func() time.Time { return began }, failed: make(map[string]string)}
	s.con.warn("Collecting %s for %s; interrupting ends it early and keeps what is there.", strings.Join(p.targets, ", "), p.duration)
	err = s.collect(ctx, c, p, all)
	for _, closing := range []io.Closer{all.files, packed, file} {
		if cerr := closing.Close(); err == nil {
			err = cerr
		}
	}
	if err != nil {
		return local("Error writing the archive: %s", err)
	}
	for _, path := range sortedKeys(all.failed) {
		s.con.warn("left out: %s: %s", path, all.failed[path])
	}
	return s.success("Success! Wrote %s. It holds no secrets and no tokens, but addresses and names: look before you publish it.", p.output)
}

// collect looks at once, at every interval, and ends with what lasts.
func (s *session) collect(ctx context.Context, c *api.Client, p *debugFlags, all *collection) error {
	ctx, cancel := context.WithTimeout(ctx, p.duration)
	defer cancel()
	var lines chan string
	if slices.Contains(p.targets, "log") {
		follower, err := c.CloneWithHeaders()
		if err == nil {
			follower.SetToken(c.Token())
			follower.SetClientTimeout(0)
			lines, err = follower.Sys().Monitor(ctx, "debug", "standard")
		}
		if err != nil {
			all.failed["sys/monitor"] = firstLine(err)
		}
	}
	var logged bytes.Buffer
	tick := time.NewTicker(p.interval)
	defer tick.Stop()
	for round := 0; ; {
		if err := s.look(ctx, c, p.targets, round, all); err != nil {
			return err
		}
		round++
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return finishCollection(all, p, round, logged.Bytes())
			case <-tick.C:
				waiting = false
			case line, more := <-lines:
				if !more {
					lines = nil
				}
				logged.WriteString(line + "\n")
			}
		}
	}
}

func finishCollection(all *collection, p *debugFlags, rounds int, logged []byte) error {
	if len(logged) > 0 {
		if err := all.add("server.log", logged); err != nil {
			return err
		}
	}
	index, err := json.MarshalIndent(map[string]any{
		"began": all.at(), "duration": p.duration.String(), "interval": p.interval.String(),
		"rounds": rounds, "targets": p.targets, "left_out": all.failed,
	}, "", "  ")
	if err != nil {
		return err
	}
	return all.add("index.json", index)
}

// look reads every path of the targets once.
func (s *session) look(ctx context.Context, c *api.Client, targets []string, round int, all *collection) error {
	for _, target := range targets {
		for _, path := range debugTargets()[target] {
			body, err := readWhole(ctx, c, path)
			if ctx.Err() != nil {
				return nil // the time is over
			}
			if err != nil {
				all.failed[path] = firstLine(err)
				continue
			}
			name := fmt.Sprintf("%02d/%s.json", round, strings.TrimPrefix(path, "sys/"))
			if target == "pprof" {
				name = strings.TrimSuffix(name, ".json") + ".prof"
			}
			if err := all.add(name, body); err != nil {
				return err
			}
		}
	}
	return nil
}

func readWhole(ctx context.Context, c *api.Client, path string) ([]byte, error) {
	resp, err := c.Logical().ReadRawWithContext(ctx, path)
	if resp != nil && resp.Body != nil {
		defer resp.Body.Close()
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(resp.Body)
}

// firstLine is what an error comes to in one line: the client's have many.
func firstLine(err error) string {
	if code := statusOf(err); code != 0 {
		return fmt.Sprintf("the server answered %d", code)
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}
