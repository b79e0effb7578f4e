package server

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"

	"jeton/internal/config"
)

// TestUnixSocket is contract config §3 `listener "unix"`.
func TestUnixSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "jeton.sock")
	c := config.Listener{Network: "unix", Address: path, Socket: config.Socket{Mode: 0o600, User: fmt.Sprint(os.Getuid()), Group: fmt.Sprint(os.Getgid())}}
	l, err := openSocket(c)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode()&fs.ModeSocket == 0 {
		t.Fatalf("the socket is %v, %v", info, err)
	}
	if _, err := openSocket(c); err == nil {
		t.Error("a socket that somebody serves was taken over")
	}
	if got := l.Addr().String(); got != path {
		t.Errorf("the listener calls itself %q", got)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	// What a killed server leaves behind is in nobody's way.
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = openSocket(c); err != nil {
		t.Fatalf("a stale socket: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	c.Socket.User = "nobody-of-this-name"
	if _, err := openSocket(c); err == nil {
		t.Error("an unknown user was accepted")
	}
}
