package embedded_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

// inUse checks that path cannot be opened and that the error says so.
func inUse(t *testing.T, path string) {
	t.Helper()
	s, err := embedded.Open(t.Context(), embedded.Options{Path: path})
	if !errors.Is(err, store.ErrInUse) {
		t.Errorf("Open = %v, want ErrInUse", err)
	} else if !strings.Contains(err.Error(), path) {
		t.Errorf("error %q does not name %s", err, path)
	}
	if s != nil {
		s.Close()
	}
}

func TestSecondOpenInThisProcess(t *testing.T) {
	path := t.TempDir()
	s := openAt(t, path)
	inUse(t, path)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	inUse(t, link)
	t.Chdir(path)
	inUse(t, ".")
	// The refused ones have not taken the lock from the first.
	inUse(t, path)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := openAt(t, path).Close(); err != nil {
		t.Error(err)
	}
}

// otherProcess is the environment variable that makes this test binary the second process, on
// the store that it names.
const otherProcess = "JETON_TEST_STORE"

func TestMain(m *testing.M) {
	if path := os.Getenv(otherProcess); path != "" {
		fmt.Println("the other process ended:", commitUntilKilled(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// commitUntilKilled commits numbers and prints each one when it is acknowledged.
func commitUntilKilled(path string) error {
	s, err := embedded.Open(context.Background(), embedded.Options{Path: path})
	if err != nil {
		return err
	}
	for n := uint64(0); ; n++ {
		err := s.Update(context.Background(), func(tx store.Tx) error {
			key := binary.BigEndian.AppendUint64(nil, n)
			return errors.Join(tx.Put(append([]byte("a/"), key...), nil), tx.Put(append([]byte("b/"), key...), nil))
		})
		if err != nil {
			return err
		}
		fmt.Println("acknowledged", n)
	}
}

// acknowledged reads the next number that the other process reports.
func acknowledged(lines *bufio.Scanner) (uint64, bool) {
	for lines.Scan() {
		if digits, ok := strings.CutPrefix(lines.Text(), "acknowledged "); ok {
			n, err := strconv.ParseUint(digits, 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// A second process cannot open the store of the first; and when the first is killed in the
// middle of its commits, each that it had acknowledged is there, whole.
func TestSecondProcess(t *testing.T) {
	path := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), otherProcess+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()

	lines := bufio.NewScanner(out)
	var last uint64
	for last < 20 {
		n, ok := acknowledged(lines)
		if !ok {
			t.Fatal("the other process ended early")
		}
		last = n
	}
	inUse(t, path)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for { // what it had said before it died
		n, ok := acknowledged(lines)
		if !ok {
			break
		}
		last = n
	}
	_, _ = io.Copy(io.Discard, out)
	_ = cmd.Wait() // killed

	s := openAt(t, path)
	defer s.Close()
	err = s.View(t.Context(), func(r store.Reader) error {
		var a, b int
		count := func(prefix string, n *int) error {
			return r.Scan(store.PrefixRange([]byte(prefix)), func(_, _ []byte) (bool, error) { *n++; return true, nil })
		}
		err := errors.Join(count("a/", &a), count("b/", &b))
		if a != b || uint64(a) <= last || r.Position() != uint64(a) {
			t.Errorf("%d and %d keys at position %d, want as many of each, and more than %d", a, b, r.Position(), last)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// checkPrivate fails when others than the owner have any right to path or what is in it.
func checkPrivate(t *testing.T, path string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed in the background
		}
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", entry.Name(), info.Mode())
		}
		files++
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if files < 5 {
		t.Errorf("only %d files seen", files)
	}
}

// CVE-2021-38553: a data file that others can read.
func TestFilesArePrivateCVE202138553(t *testing.T) {
	path := filepath.Join(t.TempDir(), "to", "data")
	s := openAt(t, path)
	// More than the memtables hold: new logs and tables are made.
	big := make([]byte, 20<<20)
	for i := range 3 {
		err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put([]byte{byte(i)}, big) })
		if err != nil {
			t.Fatal(err)
		}
	}
	checkPrivate(t, path)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	checkPrivate(t, path)
	tables, err := filepath.Glob(filepath.Join(path, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Errorf("tables %v, %v: the test has not made one", tables, err)
	}
}

// What others could read before, because it was restored from a backup say, they cannot after.
func TestOpenMakesPrivate(t *testing.T) {
	path := t.TempDir()
	if err := openAt(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if err := os.Chmod(filepath.Join(path, entry.Name()), 0o664); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, path)
	defer s.Close()
	checkPrivate(t, path)
}

// A mistyped path must not turn somebody else's directory into a store, nor lock them out of it.
func TestOpenLeavesForeignDirectories(t *testing.T) {
	path := t.TempDir()
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	theirs := filepath.Join(path, "passwd")
	if err := os.WriteFile(theirs, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := embedded.Open(t.Context(), embedded.Options{Path: path})
	if err == nil {
		s.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "passwd") || !strings.Contains(err.Error(), path) {
		t.Errorf("Open = %v, want an error that names the directory and the file", err)
	}
	for name, want := range map[string]fs.FileMode{path: 0o755, theirs: 0o644} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v, want it left at %v", name, info.Mode(), err, want)
		}
	}
	if entries, err := os.ReadDir(path); err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
}

func TestOpenErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"a file": file, "below a file": filepath.Join(file, "data"), "nothing": ""} {
		s, err := embedded.Open(t.Context(), embedded.Options{Path: path})
		if err == nil {
			s.Close()
			t.Errorf("Open of %s succeeds", name)
		} else if errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), path) {
			t.Errorf("Open of %s = %v, want an error that names it", name, err)
		}
	}
}
