package e2e

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"jeton/internal/porttest"
)

// Every method of hvac that has a server side here, on a development server, and on a real one
// from init on. The scripts say which methods these are; a new one fails the test.
func TestHvacWholeHouse(t *testing.T) {
	interpreter := python(t)
	script, err := filepath.Abs("python/house.py")
	if err != nil {
		t.Fatal(err)
	}
	house := func(t *testing.T, s *server) {
		r := s.run([]string{"PYTHONDONTWRITEBYTECODE=1", "SCRATCH=" + s.dir, "VAULT_TOKEN=" + s.root}, interpreter, script)
		if r.code != 0 || r.out != "as promised\n" {
			t.Errorf("exit code %d\n%s%s", r.code, r.out, r.errOut)
		}
	}
	t.Run("dev", func(t *testing.T) { t.Parallel(); house(t, startDev(t)) })
	t.Run("production", func(t *testing.T) {
		t.Parallel()
		s := newProduction(t)
		s.start("server started!")
		t.Cleanup(s.stop)
		house(t, s)
	})
}

// The harness of hvac's own tests: it starts and kills the servers itself.
func TestHvacHarness(t *testing.T) {
	t.Parallel()
	interpreter := python(t)
	script, err := filepath.Abs("python/harness.py")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, dir: t.TempDir()}
	certificates := writeCertificates(t, s.dir)
	// The client's certificate is from an authority that the server has never heard of.
	stranger := writeCertificates(t, t.TempDir())
	for from, to := range map[string]string{stranger.cert: "client-cert.pem", stranger.key: "client-key.pem"} {
		if err := os.Rename(from, filepath.Join(s.dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	_, port, err := net.SplitHostPort(porttest.Free(t))
	if err != nil {
		t.Fatal(err)
	}
	r := s.run([]string{"PYTHONDONTWRITEBYTECODE=1", "HARNESS_PORT=" + port, "HARNESS_CA=" + certificates.ca}, interpreter, script)
	if r.code != 0 || r.out != "as promised\n" {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.errOut)
	}
}
