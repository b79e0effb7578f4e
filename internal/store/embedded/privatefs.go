package embedded

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The modes of the data directory and of the files in it.
const (
	privateDir  fs.FileMode = 0o700
	privateFile fs.FileMode = 0o600
)

// privateFS is the disk, where every file is readable and writable by its owner only. Pebble
// would make them as open as the umask lets it, so each file is made here, closed to others
// from its first moment, and only then opened by Pebble.
type privateFS struct{ vfs.FS }

// touch makes name an empty file that is only the owner's; flag may hold os.O_EXCL.
func touch(name string, flag int) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|flag, privateFile)
	if err != nil {
		return err
	}
	return file.Close()
}

// Create implements vfs.FS: a file of that name is replaced, not written over.
func (p privateFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := touch(name, os.O_EXCL); err != nil {
		return nil, err
	}
	return p.FS.OpenReadWrite(name, category)
}

// OpenReadWrite implements vfs.FS.
func (p privateFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if err := touch(name, 0); err != nil {
		return nil, err
	}
	return p.FS.OpenReadWrite(name, category, opts...)
}

// Lock implements vfs.FS. The file is empty, and its mode is set by name afterwards: to open
// and close it here would release a lock that this process holds already.
func (p privateFS) Lock(name string) (io.Closer, error) {
	lock, err := p.FS.Lock(name)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(name, privateFile); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// Unwrap implements vfs.FS.
func (p privateFS) Unwrap() vfs.FS { return p.FS }

// preparePrivateDir makes sure that path is a directory for the store alone, and that only its
// owner may open the files in it. It returns the directory's canonical name, so that two ways
// to spell it meet at the same lock.
func preparePrivateDir(path string, logger *slog.Logger) (string, error) {
	if err := os.MkdirAll(path, privateDir); err != nil {
		return "", err
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", err
	}
	// Before anything is changed: a mistyped path must not lock others out of what is theirs.
	for _, entry := range entries {
		if !isOurs(entry.Name()) {
			return "", fmt.Errorf("the directory holds %q, which is no file of a store: give the store a directory of its own", entry.Name())
		}
	}
	if err := makePrivate(path); err != nil {
		// A mounted volume may belong to somebody else; the files in it do not.
		logger.Warn("store: others may enter the data directory, and that cannot be changed", "path", path, "error", err)
	}
	for _, entry := range entries {
		// A process that holds the directory may be removing files.
		if err := makePrivate(filepath.Join(path, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("others may read the data, and that cannot be changed: %w", err)
		}
	}
	return path, nil
}

// isOurs knows the names of Pebble's files, and what a new file system has in its root.
func isOurs(name string) bool {
	switch filepath.Ext(name) {
	case ".log", ".sst", ".blob", ".dbtmp":
		return true
	}
	for _, prefix := range []string{"LOCK", "CURRENT", "MANIFEST-", "OPTIONS-", "marker.", "temporary.", "lost+found"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// makePrivate takes from path what others than its owner may do (CVE-2021-38553).
func makePrivate(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	mode := info.Mode()
	if mode&fs.ModeSymlink != 0 || mode.Perm()&0o077 == 0 {
		return nil
	}
	return os.Chmod(path, mode.Perm()&privateDir)
}
