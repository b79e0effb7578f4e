package embedded

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The modes of the data directory and of the files in it.
const (
	privateDir  fs.FileMode = 0o700
	privateFile fs.FileMode = 0o600
)

// privateFS is the disk, where every file is readable and writable by its owner only. Pebble's
// files are as open as the umask lets them be; the directory is closed to others before the
// first of them is made, so there is no moment in which one could be opened.
type privateFS struct{ vfs.FS }

// narrow sets the mode of a file just opened.
func narrow(name string, file vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(name, privateFile); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Create implements vfs.FS.
func (p privateFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := p.FS.Create(name, category)
	return narrow(name, file, err)
}

// OpenReadWrite implements vfs.FS.
func (p privateFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	file, err := p.FS.OpenReadWrite(name, category, opts...)
	return narrow(name, file, err)
}

// ReuseForWrite implements vfs.FS.
func (p privateFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := p.FS.ReuseForWrite(oldname, newname, category)
	return narrow(newname, file, err)
}

// Lock implements vfs.FS. The mode is set by name: closing a second descriptor of the file
// would release the lock.
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

// preparePrivateDir makes sure that path is a directory that only its owner may enter, with
// files in it that only its owner may open. It returns the directory's canonical name, so that
// two ways to spell it meet at the same lock.
func preparePrivateDir(path string) (string, error) {
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
	if err := makePrivate(path); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		// Another process that holds the directory may be removing files.
		if err := makePrivate(filepath.Join(path, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return path, nil
}

// makePrivate takes from path what others than its owner may do; it fails when it cannot
// (CVE-2021-38553).
func makePrivate(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	mode := info.Mode()
	if mode&fs.ModeSymlink != 0 || mode.Perm()&0o077 == 0 {
		return nil
	}
	if err := os.Chmod(path, mode.Perm()&0o700); err != nil {
		return fmt.Errorf("others than its owner may access it, and that cannot be changed: %w", err)
	}
	return nil
}
