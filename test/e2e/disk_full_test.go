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
	t.Parallel()
	s := newProduction(t)
	data := smallDisk(t, s)
	s.begin()
	last := s.writeUntilFull(data)
	s.version() // that it answers; what is not acknowledged may show until then
	if err := os.Remove(filepath.Join(data, filler)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, s, "the store takes writes again")
	s.goesOnFrom(last)
}

// A disk that fails again in the moment in which the store is opened anew (here a file of the store is
// not where it was) costs the process its keys. Its seal opens by itself, so it comes back without
// anybody, as soon as the disk is well.
func TestDiskFailsTwiceAndTheSealOpensByItself(t *testing.T) {
	t.Parallel()
	s, _ := withSeal(t, "seal \"static\" {\n current_key_id = \"a\"\n current_key = \""+strings.Repeat("ab", 32)+"\"\n}\n")
	data := smallDisk(t, s)
	s.start("server started!")
	t.Cleanup(s.stop)
	s.initAuto()
	s.awaitUnsealed()
	s.must("jeton", "secrets", "enable", "-path=secret", "-version=2", "kv")
	last := s.writeUntilFull(data)

	manifests, err := filepath.Glob(filepath.Join(data, "MANIFEST-*"))
	if err != nil || len(manifests) == 0 {
		t.Fatalf("manifests %v, %v", manifests, err)
	}
	move := func(from, to string) {
		t.Helper()
		for _, name := range manifests {
			if err := os.Rename(name+from, name+to); err != nil {
				t.Fatal(err)
			}
		}
	}
	move("", ".away")
	if err := os.Remove(filepath.Join(data, filler)); err != nil {
		t.Fatal(err)
	}
	s.awaitLog("failed to unseal core")
	if a := s.raw("GET", "secret/data/a", s.root, nil); a.status != 503 || !strings.Contains(a.text, "Vault is sealed") {
		t.Errorf("without its store: %d %s", a.status, a.text)
	}
	move(".away", "")
	s.awaitUnsealed()
	s.goesOnFrom(last)
}

// smallDisk mounts a small file system where the server's data will be.
func smallDisk(t *testing.T, s *server) (data string) {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("mounting a small file system takes Linux and root")
	}
	data = filepath.Join(s.dir, "data")
	if err := syscall.Mount("tmpfs", data, "tmpfs", 0, "size=160m,mode=0700"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(data, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return data
}

// filler is the file that takes the room.
const filler = "filler"

// write writes a version that says n.
func (s *server) write(n int) answer {
	s.t.Helper()
	return s.raw("POST", "secret/data/a", s.root, object{"data": object{"n": n, "filling": strings.Repeat("x", 100<<10)}})
}

// version is what the newest version says.
func (s *server) version() int {
	s.t.Helper()
	var got struct {
		Data struct{ Data struct{ N int } }
	}
	s.jsonOf(&got, "jeton", "read", "-format=json", "secret/data/a")
	return got.Data.Data.N
}

// writeUntilFull takes the room and writes until a write is refused; last is the newest that was acknowledged.
func (s *server) writeUntilFull(data string) (last int) {
	s.t.Helper()
	if a := s.write(0); a.status != 200 {
		s.t.Fatalf("%d %s", a.status, a.text)
	}
	fill(s.t, filepath.Join(data, filler))
	for n := 1; ; n++ {
		a := s.write(n)
		if a.status == 500 && strings.Contains(a.text, "the storage takes no writes: its disk is full or has failed") {
			return last
		}
		if a.status != 200 || n > 2000 {
			s.t.Fatalf("write %d: %d %s", n, a.status, a.text)
		}
		last = n
	}
}

// goesOnFrom says that all that was acknowledged is there, and that writes are taken.
func (s *server) goesOnFrom(last int) {
	s.t.Helper()
	if n := s.version(); n != last && n != last+1 {
		s.t.Errorf("it has write %d, and %d was acknowledged last", n, last)
	}
	if a := s.write(-1); a.status != 200 {
		s.t.Errorf("a write afterwards: %d %s", a.status, a.text)
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
