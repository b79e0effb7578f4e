package kubernetes

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"jeton/internal/clock"
)

// rereadEvery is how long what was read from the pod's volume is used: Kubernetes replaces the JWT there
// well before it expires.
const rereadEvery = time.Minute

// pod is the service account of the pod that the server runs in, if it runs in one.
type pod struct {
	dir   string
	clock clock.Clock

	mu        sync.Mutex
	at        time.Time // guarded by mu, as are the others
	token, ca string
}

// read returns the pod's JWT and CA, each "" when there is none.
func (p *pod) read() (token, ca string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.clock.Now(); p.at.IsZero() || now.Sub(p.at) >= rereadEvery {
		p.at = now
		p.token = strings.TrimSpace(readSmall(filepath.Join(p.dir, "token"), longestJWT))
		p.ca = readSmall(filepath.Join(p.dir, "ca.crt"), mostAnswer)
	}
	return p.token, p.ca
}

// readSmall is the content of a file, "" where it is missing or larger than it may be.
func readSmall(path string, most int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil || int64(len(data)) > most {
		return ""
	}
	return string(data)
}
