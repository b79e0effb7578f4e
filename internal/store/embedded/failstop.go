package embedded

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"jeton/internal/store"
)

// failStop is the file system that Pebble works on. The first write that fails freezes the
// disk: from then on nothing on it changes. Files that Pebble has open for writing swallow
// what comes, files that it creates live in memory, and it never hears of a failure. That is
// safe because Update asks for the failure after every sync, so that nothing swallowed is ever
// acknowledged, and what was acknowledged before is on the frozen disk. It is bounded because
// Updates are refused: at most the memtables are flushed to memory, and a compaction that
// wants to write is parked until the store closes.
//
// It exists because of what Pebble does with a failed write. It panics when the log cannot be
// written, in places where it does not hold the lock that it is about to release (which no
// recover survives); it calls Logger.Fatalf when the MANIFEST cannot be; and it retries a
// flush at once and for ever, while writers wait for it.
type failStop struct {
	vfs.FS            // the disk
	memory *vfs.MemFS // what was created since the disk is frozen
	logger *slog.Logger

	// cause is the first failure, wrapped for the callers of Update; nil before it.
	cause atomic.Pointer[error]

	// running is set between Open and Close. Outside of it a compaction fails instead of being
	// parked, since Open waits for compactions too.
	running atomic.Bool
	// released is closed by release, which lets parked compactions fail.
	released chan struct{}
	release  func()
}

// flushes is the category under which Pebble writes a memtable to a table.
const flushes vfs.DiskWriteCategory = "pebble-memtable-flush"

// newFailStop wraps disk, where Pebble's files are in dir.
func newFailStop(disk vfs.FS, dir string, logger *slog.Logger) (*failStop, error) {
	d := &failStop{FS: disk, memory: vfs.NewMem(), logger: logger, released: make(chan struct{})}
	d.release = sync.OnceFunc(func() { close(d.released) })
	return d, d.memory.MkdirAll(dir, privateDir)
}

// failure is why nothing can be written; nil when it can.
func (d *failStop) failure() error {
	if cause := d.cause.Load(); cause != nil {
		return *cause
	}
	return nil
}

// freeze notes that operation failed, unless a failure is known already, and returns the error
// that callers of Update get.
func (d *failStop) freeze(operation string, err error) error {
	cause := fmt.Errorf("%w: %s: %w", store.ErrReadOnly, operation, err)
	if d.cause.CompareAndSwap(nil, &cause) {
		d.logger.Error(store.ErrReadOnly.Error(), "operation", operation, "error", err)
	}
	return d.failure()
}

// change does something to the disk's files, or instead to those in memory on a frozen disk,
// where it matters to nobody whether it succeeds.
func (d *failStop) change(operation string, onDisk, inMemory func() error) error {
	if d.failure() == nil {
		err := onDisk()
		if err == nil {
			return nil
		}
		d.freeze(operation, err)
	}
	_ = inMemory()
	return nil
}

// isTable says that Pebble reads the file back while it runs.
func isTable(name string) bool {
	ext := filepath.Ext(name)
	return ext == ".sst" || ext == ".blob"
}

// open opens a file for writing by way of onDisk, or in memory on a frozen disk.
func (d *failStop) open(name string, category vfs.DiskWriteCategory, onDisk func() (vfs.File, error)) (vfs.File, error) {
	if d.failure() == nil {
		file, err := onDisk()
		if err == nil {
			return &failStopFile{File: file, disk: d, name: name}, nil
		}
		d.freeze("create "+filepath.Base(name), err)
	}
	if isTable(name) && category != flushes {
		if d.running.Load() {
			<-d.released
		}
		return nil, d.failure()
	}
	return d.memory.Create(name, category)
}

// Create implements vfs.FS.
func (d *failStop) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return d.open(name, category, func() (vfs.File, error) { return d.FS.Create(name, category) })
}

// OpenReadWrite implements vfs.FS.
func (d *failStop) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return d.open(name, category, func() (vfs.File, error) { return d.FS.OpenReadWrite(name, category, opts...) })
}

// ReuseForWrite implements vfs.FS.
func (d *failStop) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return d.open(newname, category, func() (vfs.File, error) { return d.FS.ReuseForWrite(oldname, newname, category) })
}

// Open implements vfs.FS.
func (d *failStop) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if d.failure() != nil {
		if file, err := d.memory.Open(name, opts...); err == nil {
			return file, nil
		}
	}
	return d.FS.Open(name, opts...)
}

// Stat implements vfs.FS.
func (d *failStop) Stat(name string) (vfs.FileInfo, error) {
	if d.failure() != nil {
		if info, err := d.memory.Stat(name); err == nil {
			return info, nil
		}
	}
	return d.FS.Stat(name)
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
	return d.change("link "+filepath.Base(newname),
		func() error { return d.FS.Link(oldname, newname) },
		func() error { return d.memory.Link(oldname, newname) })
}

// Rename implements vfs.FS.
func (d *failStop) Rename(oldname, newname string) error {
	return d.change("rename "+filepath.Base(newname),
		func() error { return d.FS.Rename(oldname, newname) },
		func() error { return d.memory.Rename(oldname, newname) })
}

// Remove implements vfs.FS. A file that cannot be removed costs space, not data: Pebble hears
// of it and goes on. A frozen disk keeps its files, since its last durable state needs them.
func (d *failStop) Remove(name string) error {
	if d.failure() == nil {
		return d.FS.Remove(name)
	}
	_ = d.memory.Remove(name)
	return nil
}

// RemoveAll implements vfs.FS as Remove does.
func (d *failStop) RemoveAll(name string) error {
	if d.failure() == nil {
		return d.FS.RemoveAll(name)
	}
	_ = d.memory.RemoveAll(name)
	return nil
}

// MkdirAll implements vfs.FS.
func (d *failStop) MkdirAll(dir string, perm os.FileMode) error {
	return d.change("mkdir "+filepath.Base(dir),
		func() error { return d.FS.MkdirAll(dir, perm) },
		func() error { return d.memory.MkdirAll(dir, perm) })
}

// Unwrap implements vfs.FS.
func (d *failStop) Unwrap() vfs.FS { return d.FS }

// failStopFile is a file on disk that is open for writing, or a directory open for syncing.
type failStopFile struct {
	vfs.File
	disk *failStop
	name string
}

// attempt does one write to the disk and hides that it failed. Only of a table is the truth
// told, since it will be read: the flush that writes it begins anew, in memory.
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
func (f *failStopFile) Write(p []byte) (int, error) {
	err := f.attempt("write", func() error {
		n, err := f.File.Write(p)
		if err == nil && n < len(p) {
			err = io.ErrShortWrite
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
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

// Preallocate implements vfs.File. It is a hint, whose failure says nothing yet.
func (f *failStopFile) Preallocate(offset, length int64) error {
	if f.disk.failure() == nil {
		_ = f.File.Preallocate(offset, length)
	}
	return nil
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

// Close implements vfs.File. It is attempted on a frozen disk too: it frees the descriptor.
func (f *failStopFile) Close() error {
	err := f.File.Close()
	if err == nil {
		return nil
	}
	return f.attempt("close", func() error { return err })
}
