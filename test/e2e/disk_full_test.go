package e2e

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Issue 4.2 on a real file system that is really full: writes fail and say why, reads go on, and
// when space returns the process goes on by itself, without a restart and without being unsealed.
func TestDiskFullAndSpaceReturns(t *testing.T) {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("mounting a small file system takes Linux and root")
	}
	t.Parallel()
	s := newProduction(t)
	data := filepath.Join(s.dir, "data")
	if err := syscall.Mount("tmpfs", data, "tmpfs", 0, "size=160m,mode=0700"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(data, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	s.begin()
	write := func(n int) answer {
		return s.raw("POST", "secret/data/a", s.root, object{"data": object{"n": n, "filling": strings.Repeat("x", 100<<10)}})
	}
	if a := write(0); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.text)
	}
	filler := filepath.Join(data, "filler")
	fill(t, filler)
	last := 0
	for n := 1; ; n++ {
		a := write(n)
		if a.status == 500 && strings.Contains(a.text, "the storage takes no writes: its disk is full or has failed") {
			break
		}
		if a.status != 200 || n > 2000 {
			t.Fatalf("write %d: %d %s", n, a.status, a.text)
		}
		last = n
	}
	read := func() int {
		var got struct {
			Data struct{ Data struct{ N int } }
		}
		s.jsonOf(&got, "jeton", "read", "-format=json", "secret/data/a")
		return got.Data.Data.N
	}
	read() // that it answers; what is not acknowledged may show until then
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	waitFor(t, s, "the store takes writes again")
	if n := read(); n != last && n != last+1 {
		t.Errorf("it has write %d, and %d was acknowledged last", n, last)
	}
	if a := write(-1); a.status != 200 {
		t.Errorf("a write afterwards: %d %s", a.status, a.text)
	}
}

// fill takes all room that is left.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 512; size /= 2 {
		for chunk := make([]byte, size); err == nil; {
			_, err = f.Write(chunk)
		}
		err = nil
	}
}

// waitFor waits until the server's output has text.
func waitFor(t *testing.T, s *server, text string) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for !strings.Contains(s.proc.output(), text) {
		select {
		case <-deadline.C:
			t.Fatalf("the server does not say %q:\n%s", text, tail(s.proc.output()))
		case <-look.C:
		}
	}
}
