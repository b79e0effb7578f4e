package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// profile asks p for its CPU profile of the measurement that begins now. The channel gives one
// value, when the profile is on disk or was not asked for.
func (b *bench) profile(name string, p *process) <-chan error {
	done := make(chan error, 1)
	if b.profiles == "" || p != b.server {
		done <- nil
		return done
	}
	go func() {
		c := p.connection()
		path := fmt.Sprintf("/v1/sys/pprof/profile?seconds=%d", max(1, int(b.seconds/time.Second)))
		out, err := expect(c, request{method: "GET", path: path, token: p.token}, 200)
		if err == nil {
			// The same operation is measured in several variants.
			file := strings.TrimPrefix(b.variant+"-", "-") + strings.ReplaceAll(name, " ", "-") + ".pprof"
			err = os.WriteFile(filepath.Join(b.profiles, file), out.body, 0o600)
		}
		if c.conn != nil {
			_ = c.conn.Close()
		}
		done <- err
	}()
	return done
}
