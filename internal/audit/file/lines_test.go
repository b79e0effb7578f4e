//go:build linux

package file

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"jeton/internal/audit"
)

// limited has no file grow beyond size bytes until raise is called: a write then ends in the
// middle, as on a full disk.
func limited(t *testing.T, size int) (raise func()) {
	t.Helper()
	signals := make(chan os.Signal, 100)
	signal.Notify(signals, syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: uint64(size), Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	raise = func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() {
		raise()
		signal.Stop(signals)
	})
	return raise
}

func newDevice(t *testing.T, path string) *Device {
	t.Helper()
	d, err := open(path, defaultMode, nil, checkEvery)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// A joint write on a disk that fills up says how much is there, and what is torn spoils no line.
func TestLinesOnADiskThatFillsUp(t *testing.T) {
	const lines = "one\ntwo\nthree\nfour\n"
	for name, c := range map[string]struct {
		room, n int
		after   string
	}{
		"it fits":                   {100, len(lines), lines + "next\n"},
		"cut in a line":             {10, 10, "one\ntwo\nth\nnext\n"},
		"cut between lines":         {8, 8, "one\ntwo\nnext\n"},
		"cut before an end":         {7, 8, "one\ntwo\nnext\n"},
		"cut before the last end":   {len(lines) - 1, len(lines), lines + "next\n"},
		"cut in the first line":     {2, 2, "on\nnext\n"},
		"cut before the first byte": {0, 0, "next\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.log")
			d := newDevice(t, path)
			raise := limited(t, c.room)
			n, err := d.WriteLines(t.Context(), []byte(lines))
			if n != c.n || (err == nil) != (n == len(lines)) || err != nil && !errors.Is(err, syscall.EFBIG) {
				t.Errorf("%d, %v; want %d", n, err, c.n)
			}
			raise()
			write(t, d, "next")
			wantFile(t, path, c.after)
		})
	}
}

// A line that does not fit is torn once and for all: reopening, and trying again in vain, leave one
// torn piece that the next line ends.
func TestLineThatDoesNotFitIsNotTornTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	d := newDevice(t, path)
	raise := limited(t, 10)
	if _, err := d.WriteLines(t.Context(), []byte("one\ntwo\nthree\n")); err == nil {
		t.Fatal("it fits")
	}
	for range 3 {
		if err := d.Write(t.Context(), []byte("three\n")); !errors.Is(err, syscall.EFBIG) {
			t.Fatalf("%v", err)
		}
	}
	raise()
	if n, err := d.WriteLines(t.Context(), []byte("four\nfive\n")); n != 10 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	wantFile(t, path, "one\ntwo\nth\nfour\nfive\n")
}

// A joint write does not try again by itself, and Write then finds the way: here the file was
// closed under the device's hands.
func TestLinesOfAClosedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	d := newDevice(t, path)
	d.file.Close()
	if n, err := d.WriteLines(t.Context(), []byte("one\ntwo\n")); n != 0 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("%d %v", n, err)
	}
	write(t, d, "one")
	if n, err := d.WriteLines(t.Context(), []byte("two\nthree\n")); n != 10 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	wantFile(t, path, "one\ntwo\nthree\n")
}

// A joint write notices a rotation as a single line does.
func TestLinesAfterARotation(t *testing.T) {
	base := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(base, "a.log")
		d := newDevice(t, path)
		write(t, d, "before")
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * checkEvery)
		if n, err := d.WriteLines(t.Context(), []byte("one\ntwo\n")); n != 8 || err != nil {
			t.Errorf("%d %v", n, err)
		}
		wantFile(t, path+".1", "before\n")
		wantFile(t, path, "one\ntwo\n")
		d.Close()
	})
}

// In a pipe the writes of several programs mix unless each is a line: they are not joined there.
func TestLinesOfAPipeAreWritesOfTheirOwn(t *testing.T) {
	// A socket of whole packets shows each write, and is no regular file either.
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET, 0)
	if err != nil {
		t.Fatal(err)
	}
	d := newDevice(t, filepath.Join(t.TempDir(), "a.log"))
	d.closeFile()
	d.file, d.kind = os.NewFile(uintptr(fds[0]), "one end"), os.ModeNamedPipe
	other := os.NewFile(uintptr(fds[1]), "other end")
	defer other.Close()
	if n, err := d.WriteLines(context.Background(), []byte("one\ntwo\nthree\n")); n != 14 || err != nil {
		t.Fatalf("%d %v", n, err)
	}
	var got []string
	for range 3 {
		packet := make([]byte, 100)
		n, err := other.Read(packet)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(packet[:n]))
	}
	if !slices.Equal(got, []string{"one\n", "two\n", "three\n"}) {
		t.Errorf("%q", got)
	}
}

// The device is one that the broker joins lines for; standard output, which may be a pipe, is not.
func TestWhichDevicesJoin(t *testing.T) {
	if _, ok := any(newDevice(t, filepath.Join(t.TempDir(), "a.log"))).(audit.Joiner); !ok {
		t.Error("a file does not")
	}
	if _, ok := any(stream{}).(audit.Joiner); ok {
		t.Error("standard output does")
	}
}
