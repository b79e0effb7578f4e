package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// disk sets durable commits against what the disk can do.
type disk struct {
	// Syncs is how many writes of half a kilobyte one thread makes durable in a second.
	Syncs float64 `json:"syncs_per_second"`
	// Commits are token creations by commitClients, and Ratio is how many share a sync.
	Commits float64 `json:"commits_per_second"`
	Ratio   float64 `json:"ratio"`
}

// commitClients is how many ask for durable commits at once.
const commitClients = 64

// syncRate appends and syncs, as the store's log does, for as long as length.
func syncRate(dir string, length time.Duration) (rate float64, err error) {
	f, err := os.CreateTemp(dir, "sync")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	block := make([]byte, 512)
	begin, n := time.Now(), 0
	for time.Since(begin) < length {
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return 0, err
		}
		n++
	}
	return float64(n) / time.Since(begin).Seconds(), nil
}

// measureDisk compares the two in one run.
func (b *bench) measureDisk(dir string) (out disk, err error) {
	if out.Syncs, err = syncRate(dir, b.seconds); err != nil {
		return out, err
	}
	many := *b
	many.clients = commitClients
	commits, err := many.measure(operation{name: "durable commits", prepare: tokenCreate}, b.server)
	out.Commits, out.Ratio = commits.OpsPerSec, commits.OpsPerSec/out.Syncs
	return out, err
}

// sizeOf is what the files below dir take, in bytes.
func sizeOf(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // merged away meanwhile
		}
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}
