package embedded

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// failStop is the file system that Pebble writes through. The first write that fails freezes
// the files: from then on nothing on disk changes, and what Pebble writes is accepted and
// forgotten. That is safe because Update asks for the failure after every sync, so nothing
// forgotten is ever acknowledged, and what was acknowledged was written before.
//
// It exists because of what Pebble does with a failed write: it panics when the log cannot be
// written, in places where it does not hold the lock that it is about to release (which no
// recover survives); it calls Logger.Fatalf when the MANIFEST cannot be; and it retries a
// flush at once and for ever.
//
// Tables are the exception to forgetting, since Pebble reads them back: creating one on frozen
// files waits until the store closes, then fails. This parks the flush or compaction that
// wants it; what it would have written stays readable in memory.
type failStop struct {
	vfs.FS
	logger *slog.Logger
	// cause is the first failure, wrapped for the callers of Update; nil before it.
	cause atomic.Pointer[error]
	// armed says that Open is over. Before, a table that cannot be created fails at once.
	armed atomic.Bool
	// released is closed when the store closes.
	released chan struct{}
	once     sync.Once
}

func newFailStop(inner vfs.FS, logger *slog.Logger) *failStop {
	return &failStop{FS: inner, logger: logger, released: make(chan struct{})}
}

func (d *failStop) arm() { d.armed.Store(true) }

func (d *failStop) release() { d.once.Do(func() { close(d.released) }) }

// failure is why nothing can be written; nil when it can.
func (d *failStop) failure() error {
	if cause := d.cause.Load(); cause != nil {
		return *cause
	}
	return nil
}

// freeze notes the failure of an operation, unless one is known already, and returns the
// error that callers of Update get.
func (d *failStop) freeze(operation string, err error) error {
	cause := fmt.Errorf("store: write failed, no more writes until the server restarts: %s: %w", operation, err)
	if d.cause.CompareAndSwap(nil, &cause) {
		d.logger.Error("store: write failed, data is read-only until the server restarts",
			"operation", operation, "error", err)
		return cause
	}
	return d.failure()
}

// settle turns the outcome of a write into what Pebble is told: always success.
func (d *failStop) settle(operation string, err error) error {
	if err != nil {
		d.freeze(operation, err)
	}
	return nil
}

// isTable says that Pebble may read the file back while it runs.
func isTable(name string) bool {
	ext := filepath.Ext(name)
	return ext == ".sst" || ext == ".blob"
}

// open opens a file for writing by way of do.
func (d *failStop) open(name string, do func() (vfs.File, error)) (vfs.File, error) {
	if d.failure() == nil {
		file, err := do()
		if err == nil {
			return &failStopFile{File: file, disk: d, name: name}, nil
		}
		d.freeze("create "+filepath.Base(name), err)
		if isTable(name) {
			return nil, err
		}
	}
	if isTable(name) {
		if d.armed.Load() {
			<-d.released
		}
		return nil, d.failure()
	}
	return forgetfulFile{name: filepath.Base(name)}, nil
}

// Create implements vfs.FS.
func (d *failStop) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return d.open(name, func() (vfs.File, error) { return d.FS.Create(name, category) })
}

// OpenReadWrite implements vfs.FS.
func (d *failStop) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return d.open(name, func() (vfs.File, error) { return d.FS.OpenReadWrite(name, category, opts...) })
}

// ReuseForWrite implements vfs.FS.
func (d *failStop) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return d.open(newname, func() (vfs.File, error) { return d.FS.ReuseForWrite(oldname, newname, category) })
}

// OpenDir implements vfs.FS; directories are opened to be synced.
func (d *failStop) OpenDir(name string) (vfs.File, error) {
	file, err := d.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &failStopFile{File: file, disk: d, name: name}, nil
}

// Link implements vfs.FS.
func (d *failStop) Link(oldname, newname string) error {
	if d.failure() != nil {
		return nil
	}
	return d.settle("link", d.FS.Link(oldname, newname))
}

// Rename implements vfs.FS.
func (d *failStop) Rename(oldname, newname string) error {
	if d.failure() != nil {
		return nil
	}
	return d.settle("rename", d.FS.Rename(oldname, newname))
}

// Remove implements vfs.FS. A file that cannot be removed costs space, not data: Pebble hears
// of it and goes on. Frozen files are kept, since the last durable state may need them.
func (d *failStop) Remove(name string) error {
	if d.failure() != nil {
		return nil
	}
	return d.FS.Remove(name)
}

// RemoveAll implements vfs.FS as Remove does.
func (d *failStop) RemoveAll(name string) error {
	if d.failure() != nil {
		return nil
	}
	return d.FS.RemoveAll(name)
}

// MkdirAll implements vfs.FS.
func (d *failStop) MkdirAll(dir string, perm os.FileMode) error {
	if d.failure() != nil {
		return nil
	}
	return d.FS.MkdirAll(dir, perm)
}

// Unwrap implements vfs.FS.
func (d *failStop) Unwrap() vfs.FS { return d.FS }

// failStopFile is a file open for writing, or a directory open for syncing.
type failStopFile struct {
	vfs.File
	disk *failStop
	name string
}

// attempt does one write and tells Pebble that it succeeded. A table is told the truth: its
// flush or compaction is given up, and tries again in vain (see failStop.open).
func (f *failStopFile) attempt(operation string, do func() error) error {
	err := f.disk.failure()
	if err == nil {
		if err = do(); err == nil {
			return nil
		}
		f.disk.freeze(operation+" "+filepath.Base(f.name), err)
	}
	if isTable(f.name) {
		return err
	}
	return nil
}

// Write implements vfs.File.
func (f *failStopFile) Write(p []byte) (n int, err error) {
	size := len(p)
	err = f.attempt("write", func() error {
		n, err := f.File.Write(p)
		if err == nil && n < size {
			err = io.ErrShortWrite
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return size, nil
}

// WriteAt implements vfs.File.
func (f *failStopFile) WriteAt(p []byte, offset int64) (int, error) {
	err := f.attempt("write", func() error {
		_, err := f.File.WriteAt(p, offset)
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// Sync implements vfs.File.
func (f *failStopFile) Sync() error { return f.attempt("sync", f.File.Sync) }

// SyncData implements vfs.File.
func (f *failStopFile) SyncData() error { return f.attempt("sync", f.File.SyncData) }

// SyncTo implements vfs.File.
func (f *failStopFile) SyncTo(length int64) (full bool, err error) {
	err = f.attempt("sync", func() error {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}

// Close implements vfs.File.
func (f *failStopFile) Close() error {
	err := f.File.Close()
	if err == nil || isTable(f.name) {
		return err
	}
	return f.disk.settle("close "+filepath.Base(f.name), err)
}

// forgetfulFile takes the place of a file that cannot be created any more.
type forgetfulFile struct{ name string }

var errForgotten = errors.New("store: file was never written")

func (forgetfulFile) Close() error                              { return nil }
func (forgetfulFile) Read([]byte) (int, error)                  { return 0, errForgotten }
func (forgetfulFile) ReadAt([]byte, int64) (int, error)         { return 0, errForgotten }
func (forgetfulFile) Write(p []byte) (int, error)               { return len(p), nil }
func (forgetfulFile) WriteAt(p []byte, _ int64) (int, error)    { return len(p), nil }
func (forgetfulFile) Preallocate(int64, int64) error            { return nil }
func (forgetfulFile) Stat() (vfs.FileInfo, error)               { return nil, errForgotten }
func (forgetfulFile) Sync() error                               { return nil }
func (forgetfulFile) SyncTo(int64) (full bool, err error)       { return true, nil }
func (forgetfulFile) SyncData() error                           { return nil }
func (forgetfulFile) Prefetch(offset int64, length int64) error { return nil }
func (forgetfulFile) Fd() uintptr                               { return vfs.InvalidFd }

// privateFS is the disk, where every file is readable and writable by its owner only. Pebble's
// files are as open as the umask lets them be; the directory is closed to others before the
// first of them is made, so there is no moment in which one could be opened.
type privateFS struct{ vfs.FS }

const private fs.FileMode = 0o600

func (p privateFS) close(name string, file vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(name, private); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Create implements vfs.FS.
func (p privateFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := p.FS.Create(name, category)
	return p.close(name, file, err)
}

// OpenReadWrite implements vfs.FS.
func (p privateFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	file, err := p.FS.OpenReadWrite(name, category, opts...)
	return p.close(name, file, err)
}

// ReuseForWrite implements vfs.FS.
func (p privateFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := p.FS.ReuseForWrite(oldname, newname, category)
	return p.close(newname, file, err)
}

// Lock implements vfs.FS. The mode is set by name: closing a second descriptor of the file
// would release the lock.
func (p privateFS) Lock(name string) (io.Closer, error) {
	lock, err := p.FS.Lock(name)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(name, private); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// Unwrap implements vfs.FS.
func (p privateFS) Unwrap() vfs.FS { return p.FS }
