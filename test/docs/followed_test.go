package docs_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"jeton/internal/porttest"
)

// TestOperationsFollowed follows docs/operations.md from an empty machine to a server with TLS, an
// audit log, a backup, its restore and metrics: the blocks marked "follow" as they are printed, but for
// the paths, which lie below a directory of the test's, and the address.
func TestOperationsFollowed(t *testing.T) {
	for _, program := range []string{"curl", "jq", "openssl"} {
		need(t, program)
	}
	dir := t.TempDir()
	for _, sub := range []string{"etc/jeton", "var/lib/jeton", "var/log/jeton", "var/backups", "home"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	address := porttest.Free(t)
	here := strings.NewReplacer("/etc/jeton", dir+"/etc/jeton", "/var/lib/jeton", dir+"/var/lib/jeton", "/var/log/jeton", dir+"/var/log/jeton",
		"/var/backups", dir+"/var/backups", "0.0.0.0:8200", address, "jeton.example.com:8200", address, "DNS:jeton.example.com", "IP:127.0.0.1",
		// The machine has no group of that name.
		" && chgrp jeton "+"/etc/jeton/key.pem", "").Replace
	env := append(cleanEnvironment(), "HOME="+filepath.Join(dir, "home"), "PATH="+binFirst(t))
	const name = "docs/operations.md"
	blocks := fences(t, name)
	configured, started, ran := false, false, 0
	for i, b := range blocks {
		switch b.mark {
		case "config":
			configured = true
			if err := os.WriteFile(filepath.Join(dir, "etc/jeton/jeton.hcl"), []byte(here(b.text)), 0o600); err != nil {
				t.Fatal(err)
			}
		case "start":
			started = true
			serveConfigured(t, filepath.Join(dir, "etc/jeton/jeton.hcl"), env)
		case "follow":
			ran++
			if i+1 == len(blocks) || blocks[i+1].mark != "output" {
				t.Fatalf("%s:%d: no output block follows", name, b.line)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", here(b.text))
			cmd.Env = env
			out, err := cmd.CombinedOutput()
			cancel()
			if err != nil {
				t.Fatalf("%s:%d: %v\n%s", name, b.line, err, out)
			}
			if want := strings.TrimSpace(blocks[i+1].text); strings.TrimSpace(string(out)) != want {
				t.Fatalf("%s:%d: it prints\n%s\nand should print\n%s", name, b.line, out, want)
			}
		}
	}
	if !configured || !started || ran < 5 {
		t.Errorf("%s has too little to run: configured %v, started %v, %d blocks", name, configured, started, ran)
	}
}

// serveConfigured starts the server of a configuration, as the unit does, and ends it with the test.
func serveConfigured(t *testing.T, config string, env []string) {
	t.Helper()
	program, err := filepath.Abs(filepath.Join(root, "bin", "jeton"))
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "s")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	var log strings.Builder
	cmd := exec.Command(program, "server", "-config="+config)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(env, "NOTIFY_SOCKET="+socket), &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Logf("stopping the server: %v", err)
		}
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("the server ended: %v\n%s", err, log.String())
		}
	})
	deadline, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	until, _ := deadline.Deadline()
	if err := manager.SetReadDeadline(until); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 1024)
	n, err := manager.Read(said)
	if err != nil || !strings.HasPrefix(string(said[:n]), "READY=1") {
		t.Fatalf("the server is not ready: %q %v", said[:n], err)
	}
}
