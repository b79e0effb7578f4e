package daemon

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"jeton/internal/audit"
	"jeton/internal/backend"
)

// auditFiles judges the files that the API names for audit devices where the configuration
// lists no directories for them. Whoever may enable a device chooses bytes that the server then
// writes: they must not become a program, a configuration or a login (CVE-2025-6000).
// docs/decisions/0007 has the reasons.
type auditFiles struct {
	// refused are directories in which, at any depth, no audit file may lie; of reading only
	// the files of the directory itself are meant, for nothing below it is read or run.
	refused, reading []string
}

// systemDirectories hold what the system runs, reads at start, or shows as files.
func systemDirectories() []string {
	return []string{"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/sbin", "/sys", "/usr"}
}

// newAuditFiles refuses the system's directories, the store's, and those that the server's own
// files are read from.
func newAuditFiles(store string, reading ...string) auditFiles {
	f := auditFiles{refused: systemDirectories()}
	if store != "" {
		f.refused = append(f.refused, realDir(store))
	}
	for _, dir := range reading {
		f.reading = append(f.reading, realDir(dir))
	}
	return f
}

// realDir is a directory as the file system has it, or as it was written where it does not exist.
func realDir(dir string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return dir
	}
	if resolved, err := filepath.EvalSymlinks(abs); err == nil {
		return resolved
	}
	return abs
}

// guard judges each device that the API asks for before next opens it.
func (f auditFiles) guard(next audit.Factory) audit.Factory {
	return func(ctx context.Context, o audit.Opening) (audit.Device, error) {
		if !o.Configured {
			if err := f.check(o.Options); err != nil {
				return nil, err
			}
		}
		return next(ctx, o)
	}
}

const (
	// sayDirectories is what an operator can do about a refusal.
	sayDirectories = "; list its directory in allowed_audit_directories, or name the device in the server configuration"
	// lineStart begins every audit line.
	lineStart = `{"time":`
)

// check judges the options of a file device. What is wrong with them in themselves is left to
// the device.
func (f auditFiles) check(options map[string]string) error {
	path := options["file_path"]
	if path == "" {
		path = options["path"]
	}
	switch strings.ToLower(path) {
	case "", "stdout", "discard", "/dev/null", "/dev/stdout", "/dev/stderr":
		return nil
	}
	if mode, err := strconv.ParseUint(options["mode"], 8, 32); err == nil && mode&^0o600 != 0 {
		return backend.Invalidf("mode may give no more than 0600" + sayDirectories)
	}
	path, err := resolve(path)
	if err != nil {
		return backend.Invalidf("file_path cannot be judged: a part of it is not accessible" + sayDirectories)
	}
	for _, dir := range f.refused {
		if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
			return backend.Invalidf("file_path lies in a directory that audit files may not be put into" + sayDirectories)
		}
	}
	if slices.Contains(f.reading, filepath.Dir(path)) {
		return backend.Invalidf("file_path lies in a directory that audit files may not be put into" + sayDirectories)
	}
	for part := range strings.SplitSeq(path, string(filepath.Separator)) {
		if strings.HasPrefix(part, ".") {
			return backend.Invalidf("file_path has a hidden file or directory in it" + sayDirectories)
		}
	}
	return checkExisting(path, options["prefix"])
}

// resolve is the path without symbolic links, as far as it exists. What does not exist yet
// cannot be a link; a link to nowhere is an error.
func resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	missing := ""
	for {
		if _, err := os.Lstat(path); err == nil {
			resolved, err := filepath.EvalSymlinks(path)
			return filepath.Join(resolved, missing), err
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		missing = filepath.Join(filepath.Base(path), missing)
		path = filepath.Dir(path)
	}
}

// checkExisting refuses to append to anything but an audit log: to a shell's start file, say,
// where a line with $(…) in it would be run.
func checkExisting(path, prefix string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return backend.Invalidf("file_path cannot be judged: it is not accessible" + sayDirectories)
	}
	if !info.Mode().IsRegular() {
		return backend.Invalidf("file_path is not a regular file" + sayDirectories)
	}
	if info.Size() == 0 {
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return backend.Invalidf("file_path names a file that exists and cannot be read" + sayDirectories)
	}
	defer file.Close()
	start := make([]byte, len(prefix)+len(lineStart))
	n, err := io.ReadFull(file, start)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return backend.Invalidf("file_path names a file that exists and cannot be read" + sayDirectories)
	}
	if !bytes.HasPrefix(start[:n], []byte(lineStart)) && !bytes.Equal(start[:n], []byte(prefix+lineStart)) {
		return backend.Invalidf("file_path names a file that exists and is no audit log" + sayDirectories)
	}
	return nil
}
