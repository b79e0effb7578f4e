// Package file owns the audit device that appends lines to a file, to standard output or to
// nowhere. Contract: audit §4.
package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"jeton/internal/audit"
	"jeton/internal/backend"
)

// defaultMode is the mode of a new audit file.
const defaultMode = 0o600

// checkEvery is how often, at most, a write looks whether the file is still where it should be.
const checkEvery = time.Second

// Factory opens file devices. Paths that the API chooses must lie in one of allowedDirs, by the
// file system's own account: a symbolic link does not lead out of them. With none given the API
// may choose any path that the server's user may write.
func Factory(allowedDirs []string) audit.Factory {
	return func(_ context.Context, o audit.Opening) (audit.Device, error) {
		path, mode, err := parse(o.Options)
		if err != nil {
			return nil, err
		}
		switch strings.ToLower(path) {
		case "stdout":
			return stream{os.Stdout}, nil
		case "discard":
			return stream{io.Discard}, nil
		}
		dirs := allowedDirs
		if o.Configured {
			dirs = nil
		}
		d, err := open(path, mode, dirs, checkEvery)
		if err != nil {
			return nil, err
		}
		return d, nil
	}
}

// parse reads the options. Contract: audit §4.
func parse(options map[string]string) (path string, mode fs.FileMode, err error) {
	path, ok := options["file_path"]
	if !ok || path == "" {
		path = options["path"]
	}
	if path == "" {
		return "", 0, backend.Invalidf("file_path is required")
	}
	if strings.ContainsRune(path, 0) {
		return "", 0, backend.Invalidf("file_path is not a path")
	}
	mode = defaultMode
	if text, ok := options["mode"]; ok && text != "" {
		m, err := strconv.ParseUint(text, 8, 32)
		if err != nil {
			return "", 0, backend.Invalidf("%s", err)
		}
		mode = fs.FileMode(m)
	}
	switch {
	case mode&^fs.ModePerm != 0:
		return "", 0, backend.Invalidf("file mode does not represent a regular file")
	case mode&0o111 != 0:
		return "", 0, backend.Invalidf("file mode must not be executable")
	}
	return path, mode, nil
}

// stream is a device that is always open and never reopened. It does not join lines: standard
// output may be a pipe that others write to.
type stream struct{ w io.Writer }

func (s stream) Write(_ context.Context, line []byte) error {
	_, err := s.w.Write(line)
	return err
}

func (stream) Reopen() error { return nil }
func (stream) Close() error  { return nil }

// Device appends lines to one file. Its methods are called by one goroutine (audit.Device).
//
// A line is one write, or part of one with others that waited with it (WriteLines); in anything but
// a regular file, where writes of several programs could mix, it is always one of its own. The
// file is opened afresh when it is asked to be (SIGHUP), when a
// write fails (once, and the line is tried again), and when it is no longer what its path names.
// The last is looked at no more than once a second: a log that was deleted or renamed would
// otherwise go on swallowing lines that nobody will ever read, which Vault does. A rotation
// that renames and then signals loses nothing by it.
type Device struct {
	path string
	mode fs.FileMode
	// dir is the allowed directory that the path lies in, and rel the path within; both are
	// empty without confinement.
	dir, rel string

	// file is nil while the file could not be opened.
	file *os.File
	// kind is what the file is, as of its opening.
	kind fs.FileMode
	// torn says that the last line in the file may lack its end.
	torn bool
	// due is set by timer when the next write is to look whether the file is still there.
	// A timer costs an idle device nothing, and a clock that stands still does not stop it.
	due   atomic.Bool
	timer *time.Timer
	every time.Duration
}

func open(path string, mode fs.FileMode, allowedDirs []string, every time.Duration) (*Device, error) {
	d := &Device{path: filepath.Clean(path), mode: mode, every: every}
	if len(allowedDirs) > 0 {
		if err := d.confine(allowedDirs); err != nil {
			return nil, err
		}
	}
	if err := d.openFile(); err != nil {
		return nil, backend.Invalidf("sanity check failed; unable to open %q for writing: %s", d.path, err)
	}
	d.timer = time.AfterFunc(every, func() { d.due.Store(true) })
	return d, nil
}

// confine finds the allowed directory that the path lies in.
func (d *Device) confine(allowedDirs []string) error {
	abs, err := filepath.Abs(d.path)
	if err != nil {
		return err
	}
	for _, dir := range allowedDirs {
		dir, err := filepath.Abs(dir)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, abs)
		if err == nil && rel != "." && filepath.IsLocal(rel) {
			d.dir, d.rel = dir, rel
			return nil
		}
	}
	return backend.Invalidf("file_path is outside the directories that the server configuration allows for audit files")
}

// Write appends line.
func (d *Device) Write(ctx context.Context, line []byte) error {
	fresh, err := d.ready()
	if err != nil {
		return err
	}
	_, err = d.append(ctx, line)
	if err == nil || fresh || ctx.Err() != nil {
		return err
	}
	if openErr := d.Reopen(); openErr != nil {
		return errors.Join(err, openErr)
	}
	_, err = d.append(ctx, line)
	return err
}

// WriteLines appends lines, to a regular file with one call.
func (d *Device) WriteLines(ctx context.Context, lines []byte) (n int, err error) {
	if _, err := d.ready(); err != nil {
		return 0, err
	}
	if d.kind.IsRegular() {
		return d.append(ctx, lines)
	}
	for line := range bytes.Lines(lines) {
		m, err := d.append(ctx, line)
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// ready sees to it that the file is open and what its path names. fresh says that it was opened
// just now.
func (d *Device) ready() (fresh bool, err error) {
	if d.due.CompareAndSwap(true, false) {
		if d.moved() {
			d.closeFile()
		}
		d.timer.Reset(d.every)
	}
	if d.file != nil {
		return false, nil
	}
	return true, d.openFile()
}

// append writes whole lines with one call and returns how much of them is there. A line that could
// not be written whole is ended before the next one, so that a full disk costs the lines that did
// not fit and no others. One that lacks nothing but its end is whole, and its end is owed: written
// again it would be there twice.
func (d *Device) append(ctx context.Context, lines []byte) (n int, err error) {
	before := 0
	if d.torn {
		lines, before = append([]byte{'\n'}, lines...), 1
	}
	if d.kind&fs.ModeNamedPipe != 0 {
		// A full pipe that nobody empties lets go when the device is disabled: any time
		// in the past is a deadline that has passed. Regular files know no deadlines.
		file := d.file
		stop := context.AfterFunc(ctx, func() { _ = file.SetWriteDeadline(time.Unix(1, 0)) })
		defer stop()
	}
	n, err = d.file.Write(lines)
	if n > 0 {
		d.torn = lines[n-1] != '\n'
	}
	if n > before && n < len(lines) && lines[n] == '\n' {
		n++
	}
	if n == len(lines) {
		return n - before, nil
	}
	return max(n-before, 0), err
}

// moved says whether the path no longer names the open file.
func (d *Device) moved() bool {
	if d.file == nil {
		return false
	}
	is, err := d.file.Stat()
	if err != nil {
		return true
	}
	named, err := d.stat()
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	return err == nil && !os.SameFile(is, named)
}

func (d *Device) stat() (fs.FileInfo, error) {
	if d.dir == "" {
		return os.Stat(d.path)
	}
	root, err := os.OpenRoot(d.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Stat(d.rel)
}

// Reopen closes the file and opens what its path names now.
func (d *Device) Reopen() error {
	d.closeFile()
	return d.openFile()
}

// Close closes the file.
func (d *Device) Close() error {
	d.timer.Stop()
	if d.file == nil {
		return nil
	}
	f := d.file
	d.file = nil
	return f.Close()
}

// closeFile lets go of the file. Lines are written without buffering, so that an error here
// loses nothing.
func (d *Device) closeFile() {
	if d.file != nil {
		_ = d.file.Close()
		d.file = nil
	}
}

// openFile opens the file for appending and makes it, and the directories above it, if need be.
func (d *Device) openFile() error {
	flags := os.O_WRONLY | os.O_APPEND | os.O_CREATE | openFlags
	mode := d.mode
	if mode == 0 {
		// The mode of an existing file is left alone: there is none to make one with.
		flags &^= os.O_CREATE
		mode = defaultMode
	}
	f, err := d.openPath(flags, mode)
	if err != nil {
		return err
	}
	if err := d.settle(f); err != nil {
		_ = f.Close()
		return err
	}
	d.file = f
	return nil
}

// endsTorn says whether the file, size bytes long, ends within a line: the server or the disk
// stopped there. A file that may not be read is taken to be whole.
func (d *Device) endsTorn(size int64) bool {
	f, err := d.openPath(os.O_RDONLY|openFlags, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	var last [1]byte
	_, err = f.ReadAt(last[:], size-1)
	return err == nil && last[0] != '\n'
}

// openPath opens the file, inside its allowed directory where there is one.
func (d *Device) openPath(flags int, mode fs.FileMode) (*os.File, error) {
	if d.dir == "" {
		if flags&os.O_CREATE != 0 {
			if err := os.MkdirAll(filepath.Dir(d.path), 0o700); err != nil {
				return nil, err
			}
		}
		return os.OpenFile(d.path, flags, mode)
	}
	if flags&os.O_CREATE != 0 {
		if err := os.MkdirAll(d.dir, 0o700); err != nil {
			return nil, err
		}
	}
	root, err := os.OpenRoot(d.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if dir := filepath.Dir(d.rel); dir != "." && flags&os.O_CREATE != 0 {
		if err := root.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	return root.OpenFile(d.rel, flags, mode)
}

// settle checks what was opened and gives it its mode. A program must not become a log: its
// next run would read what callers of the API made the server write.
func (d *Device) settle(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	d.torn, d.kind = false, info.Mode().Type()
	if !info.Mode().IsRegular() {
		return nil
	}
	if info.Mode()&0o111 != 0 {
		return fmt.Errorf("%s is an executable file", d.path)
	}
	if info.Size() > 0 {
		d.torn = d.endsTorn(info.Size())
	}
	if d.mode == 0 || info.Mode().Perm() == d.mode {
		return nil
	}
	return f.Chmod(d.mode)
}
