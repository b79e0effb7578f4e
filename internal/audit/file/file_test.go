//go:build unix

package file

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"jeton/internal/audit"
	"jeton/internal/backend"
)

func write(t *testing.T, d audit.Device, text string) {
	t.Helper()
	if err := d.Write(context.Background(), []byte(text+"\n")); err != nil {
		t.Fatalf("write %q: %v", text, err)
	}
}

func wantFile(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s holds %q, want %q", filepath.Base(path), got, want)
	}
}

func wantMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != want {
		t.Errorf("mode %v, want %v", info.Mode(), want)
	}
}

func enable(t *testing.T, allowed []string, options map[string]string) (audit.Device, error) {
	t.Helper()
	d, err := Factory(allowed)(t.Context(), audit.Opening{Options: options})
	if err == nil {
		t.Cleanup(func() { d.Close() })
	}
	return d, err
}

// Contract: audit §4, sys §10.
func TestOptions(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.log")
	for name, c := range map[string]struct {
		options map[string]string
		want    string // "" for none
	}{
		"file_path is required":      {map[string]string{}, "file_path is required"},
		"path is an alias":           {map[string]string{"path": path}, ""},
		"file_path":                  {map[string]string{"file_path": path}, ""},
		"mode not octal":             {map[string]string{"path": path, "mode": "0999"}, `strconv.ParseUint: parsing "0999": invalid syntax`},
		"mode with setuid":           {map[string]string{"path": path, "mode": "4600"}, "file mode does not represent a regular file"},
		"CVE-2025-6000: executable":  {map[string]string{"path": path, "mode": "0700"}, "file mode must not be executable"},
		"executable for others":      {map[string]string{"path": path, "mode": "0601"}, "file mode must not be executable"},
		"mode 0000 needs the file":   {map[string]string{"path": filepath.Join(dir, "none"), "mode": "0000"}, "sanity check failed; unable to open "},
		"a directory":                {map[string]string{"path": dir}, "sanity check failed; unable to open "},
		"below a file":               {map[string]string{"path": filepath.Join(path, "x")}, "sanity check failed; unable to open "},
		"stdout in any case":         {map[string]string{"path": "STDOUT"}, ""},
		"discard":                    {map[string]string{"path": "Discard"}, ""},
		"the null device":            {map[string]string{"path": os.DevNull}, ""},
		"parent directories as well": {map[string]string{"path": filepath.Join(dir, "x", "y", "z.log")}, ""},
		"a zero byte":                {map[string]string{"path": "a\x00b"}, "file_path is not a path"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.options["path"] == filepath.Join(path, "x") {
				os.WriteFile(path, nil, 0o600)
			}
			d, err := enable(t, nil, c.options)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if c.options["path"] != "STDOUT" {
					write(t, d, "x")
				}
				if err := d.Reopen(); err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || backend.KindOf(err) != backend.Invalid {
				t.Errorf("%v", err)
			}
		})
	}
}

// Contract: audit §10.2 and §4.
func TestModes(t *testing.T) {
	for name, c := range map[string]struct {
		before fs.FileMode // 0 for no file
		option string
		want   fs.FileMode
	}{
		"0600 by default":            {0, "", 0o600},
		"a given mode":               {0, "0640", 0o640},
		"an existing file gets it":   {0o644, "", 0o600},
		"0000 leaves it alone":       {0o644, "0000", 0o644},
		"a mode the umask would cut": {0, "0666", 0o666},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.log")
			if c.before != 0 {
				if err := os.WriteFile(path, nil, c.before); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := enable(t, nil, map[string]string{"path": path, "mode": c.option}); err != nil {
				t.Fatal(err)
			}
			wantMode(t, path, c.want)
		})
	}
}

// CVE-2025-6000: the API must not choose where the server writes, nor write into programs.
func TestPathsAreConfined(t *testing.T) {
	allowed, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(allowed, "way-out")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "f"), filepath.Join(allowed, "link")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path string
		ok   bool
	}{
		"inside":               {filepath.Join(allowed, "a.log"), true},
		"inside, deeper":       {filepath.Join(allowed, "x", "y", "a.log"), true},
		"outside":              {filepath.Join(outside, "a.log"), false},
		"dots":                 {allowed + "/../" + filepath.Base(outside) + "/a.log", false},
		"a sibling's prefix":   {allowed + "-not/a.log", false},
		"the directory itself": {allowed, false},
		"linked directory":     {filepath.Join(allowed, "way-out", "a.log"), false},
		"linked file":          {filepath.Join(allowed, "link"), false},
		"stdout":               {"stdout", true},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := enable(t, []string{allowed}, map[string]string{"path": c.path})
			if (err == nil) != c.ok {
				t.Errorf("%v", err)
			}
			if left, _ := os.ReadDir(outside); len(left) != 0 {
				t.Errorf("something was made outside: %v", left)
			}
		})
	}
	t.Run("a configured device goes anywhere", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "a.log")
		d, err := Factory([]string{allowed})(t.Context(), audit.Opening{Options: map[string]string{"path": path}, Configured: true})
		if err != nil {
			t.Fatal(err)
		}
		d.Close()
	})
	t.Run("an existing program is left alone", func(t *testing.T) {
		program := filepath.Join(t.TempDir(), "plugin")
		if err := os.WriteFile(program, []byte("#!"), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := enable(t, nil, map[string]string{"path": program}); err == nil {
			t.Error("it was opened")
		}
		wantMode(t, program, 0o755)
	})
}

// Contract: audit §10.11.
func TestRotation(t *testing.T) {
	for name, rotate := range map[string]func(t *testing.T, d *Device, path string){
		"rename and reopen": func(t *testing.T, d *Device, path string) {
			if err := os.Rename(path, path+".1"); err != nil {
				t.Fatal(err)
			}
			write(t, d, "between") // Until then the renamed file gets the lines.
			wantFile(t, path+".1", "before\nbetween\n")
			if err := d.Reopen(); err != nil {
				t.Fatal(err)
			}
		},
		"rename without a signal is noticed": func(t *testing.T, d *Device, path string) {
			if err := os.Rename(path, path+".1"); err != nil {
				t.Fatal(err)
			}
			<-time.After(2 * checkEvery)
		},
		"deleted": func(t *testing.T, d *Device, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			<-time.After(2 * checkEvery)
		},
		"directory deleted": func(t *testing.T, d *Device, path string) {
			if err := os.RemoveAll(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
			<-time.After(2 * checkEvery)
		},
		"another file in its place": func(t *testing.T, d *Device, path string) {
			if err := os.Rename(path, path+".1"); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			<-time.After(2 * checkEvery)
		},
	} {
		for _, confined := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				base := t.TempDir()
				synctest.Test(t, func(t *testing.T) {
					var allowed []string
					if confined {
						allowed = []string{base}
					}
					path := filepath.Join(base, "logs", "a.log")
					d, err := open(path, defaultMode, allowed, checkEvery)
					if err != nil {
						t.Fatal(err)
					}
					defer d.Close()
					write(t, d, "before")
					rotate(t, d, path)
					write(t, d, "after")
					wantFile(t, path, "after\n")
					wantMode(t, path, 0o600)
				})
			})
		}
	}
}

// Contract: audit §10.11: the process survives a reopening that fails, and fails closed.
func TestReopenIntoNothingFailsUntilItWorksAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	path := filepath.Join(dir, "a.log")
	d, err := open(path, defaultMode, nil, checkEvery)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	write(t, d, "one")
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // A file where the directory should be.
		t.Fatal(err)
	}
	if err := d.Reopen(); err == nil {
		t.Fatal("reopened")
	}
	if err := d.Write(t.Context(), []byte("lost\n")); err == nil {
		t.Fatal("a line was taken by a device without a file")
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	write(t, d, "two")
	wantFile(t, path, "two\n")
}

// A failing write reopens and tries once more (contract: audit §4), with the new handle: the old
// one is closed under the device's hands here.
func TestFailedWriteIsTriedAgainOnTheReopenedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	d, err := open(path, defaultMode, nil, checkEvery)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	write(t, d, "one")
	d.file.Close()
	write(t, d, "two")
	wantFile(t, path, "one\ntwo\n")
}

// A full disk (pains 11): the write fails, the server is told, nothing hangs.
func TestDiskFull(t *testing.T) {
	const full = "/dev/full"
	if _, err := os.Stat(full); err != nil {
		t.Skip("this system has no " + full)
	}
	d, err := open(full, 0, nil, checkEvery)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Write(t.Context(), []byte("x\n")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v", err)
	}
}

// A line that was cut short (full disk, crash) must not spoil the next one.
func TestTornLineIsEndedFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	if err := os.WriteFile(path, []byte("{\"whole\":1}\n{\"torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := open(path, defaultMode, nil, checkEvery)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	write(t, d, "next")
	write(t, d, "more")
	wantFile(t, path, "{\"whole\":1}\n{\"torn\nnext\nmore\n")
}

// Opening a pipe that nobody reads must not hang the request that enables the device.
func TestPipeWithoutReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := enable(t, nil, map[string]string{"path": path}); err == nil {
		t.Error("it was opened")
	}
}

// Disabling the device ends a write to a pipe that its reader does not empty.
func TestFullPipeLetsGo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	d, err := enable(t, nil, map[string]string{"path": path})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- d.Write(ctx, []byte(strings.Repeat("x", 1<<20)+"\n")) }()
	if _, err := reader.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
}
