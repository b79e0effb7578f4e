package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"jeton/internal/store"
)

// Options say where the data is and what it may cost.
type Options struct {
	// Path is the data directory, which must be the store's own. It is created when absent, and
	// it and its files are then accessible to their owner only.
	Path string
	// FS is the file system that Path is on; nil is the disk.
	FS vfs.FS
	// Logger is told of what an operator must know; nil is silence.
	Logger *slog.Logger
	// CacheBytes bounds the cache of blocks read from disk; 0 is 64 MiB. Beside it, the store
	// needs up to 64 MiB for writes that are not yet in tables.
	CacheBytes int64
	// uncompressed leaves tables as they are: what lies in memory is only read slower for it.
	uncompressed bool
}

// What Pebble is given, sized for records of some hundred bytes, written often, read by key and
// deleted in ranges; and for a process that shall stay well below 600 MiB with any number of them.
const (
	defaultCacheBytes = 64 << 20
	// memoryCacheBytes is as much: without room for a store's index and filter blocks a sweep
	// over many records spends its time reading the same ones again. It fills only by use.
	memoryCacheBytes = 64 << 20

	// memTableBytes is how much is written before it becomes a table: about 15,000 token
	// writes. It also bounds what is replayed after a crash (about 0.2 s of CPU time).
	memTableBytes = 16 << 20
	// memTables is how many of them may wait for the disk before writers do.
	memTables = 4
	// replayBytes is the length of log up to which a clean Close leaves it to the next Open
	// to replay it.
	replayBytes = 2 << 20

	// blockBytes is small since records are read one at a time, and are ciphertext, which
	// no bigger block would compress better.
	blockBytes = 4 << 10
	// indexBlockBytes is large so that the index of a table is one block.
	indexBlockBytes = 128 << 10
	// bloomBitsPerKey gives one per cent of false positives: looking for what is not there
	// (a revoked token, an unused name) reads no block.
	bloomBitsPerKey = 10

	// baseLevelBytes is how large the level grows that flushed tables are merged into, before there
	// is another below it. Up to a gigabyte (some two million tokens) there are two levels, and what is
	// deleted is merged away once.
	baseLevelBytes = 1 << 30
	// level0Tables is twice the number of flushed memtables that pile up before they are merged into
	// the tables below. Most keys are put at the ends of a few ranges, whose last tables are
	// rewritten each time: at six, merging was a quarter of what the making of a token costs among
	// a million. Reads ask the bloom filter of each.
	level0Tables = 28
	// level0Stop is out of reach: writers wait for flushes, which succeed even on a frozen
	// disk, and never for compactions, which do not.
	level0Stop = 1000
	tableBytes = 4 << 20
	// syncBytes bounds how much written data the kernel may pile up before a sync has to
	// wait for it.
	syncBytes = 512 << 10
	openFiles = 512

	// format is the newest on-disk format of Pebble 2.1. It is not FormatNewest: a newer
	// library must not move the data out of an older binary's reach by itself.
	format = pebble.FormatValueSeparation
)

// Open opens the store at opts.Path, creating it when there is none. When another Store holds
// it, here or in another process, the error wraps store.ErrInUse. ctx is only looked at
// before the work begins: recovery cannot be broken off half-way.
func Open(ctx context.Context, opts Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if opts.Path == "" {
		return nil, errors.New("store: no data directory given")
	}
	logger := opts.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	if opts.CacheBytes == 0 {
		opts.CacheBytes = defaultCacheBytes
	}
	disk, path, err := prepare(opts, logger)
	if err != nil {
		return nil, fmt.Errorf("store: open %s: %w", opts.Path, err)
	}
	s := &Store{logger: logger, rows: newRows()}
	if s.disk, err = newFailStop(disk, path, logger); err != nil {
		return nil, fmt.Errorf("store: open %s: %w", opts.Path, err)
	}
	if err := s.open(path, opts); err != nil {
		return nil, fmt.Errorf("store: open %s: %w", opts.Path, err)
	}
	return s, nil
}

// OpenMemory returns a new, empty store that lives as long as the process. It is the same code
// as a store on disk, over a file system in memory.
func OpenMemory() (*Store, error) {
	return Open(context.Background(), Options{Path: "memory", FS: vfs.NewMem(), CacheBytes: memoryCacheBytes, uncompressed: true})
}

// prepare makes the data directory and returns the file system to use, and the one name of
// the directory under which it is locked.
func prepare(opts Options, logger *slog.Logger) (vfs.FS, string, error) {
	if opts.FS != nil {
		return opts.FS, opts.Path, opts.FS.MkdirAll(opts.Path, privateDir)
	}
	path, err := preparePrivateDir(opts.Path, logger)
	return privateFS{vfs.Default}, path, err
}

// open locks the directory and starts Pebble.
func (s *Store) open(path string, how Options) (err error) {
	lock, err := pebble.LockDirectory(path, s.disk)
	if err != nil {
		if isHeld(err) {
			return store.ErrInUse
		}
		return fmt.Errorf("lock: %w", err)
	}
	s.lock, s.dir = lock, path
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Close())
		}
	}()
	if err := s.removeStaged(path); err != nil {
		return err
	}
	opts := s.engineOptions(how)
	opts.Lock = lock
	if s.db, err = pebble.Open(path, opts); err != nil {
		return errors.Join(err, s.disk.failure())
	}
	position, err := readPosition(s.db)
	// Not every failed write fails pebble.Open, since failStop hides them.
	if err = errors.Join(err, s.disk.failure()); err != nil {
		return errors.Join(err, s.db.Close())
	}
	s.begun.Store(position)
	s.done.Store(position)
	s.disk.running.Store(true)
	return nil
}

// engineOptions are Pebble's settings; the constants above say why.
func (s *Store) engineOptions(how Options) *pebble.Options {
	opts := &pebble.Options{
		FS:                          s.disk,
		FormatMajorVersion:          format,
		CacheSize:                   how.CacheBytes,
		MemTableSize:                memTableBytes,
		MemTableStopWritesThreshold: memTables,
		L0CompactionThreshold:       level0Tables,
		L0StopWritesThreshold:       level0Stop,
		LBaseMaxBytes:               baseLevelBytes,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		BytesPerSync:                syncBytes,
		WALBytesPerSync:             syncBytes,
		WALMinSyncInterval:          s.syncPause,
		MaxOpenFiles:                openFiles,
		Logger:                      engineLogger{s},
		EventListener:               s.engineEvents(),
	}
	opts.TargetFileSizes[0] = tableBytes
	for i := range opts.Levels {
		opts.Levels[i].BlockSize = blockBytes
		opts.Levels[i].IndexBlockSize = indexBlockBytes
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBitsPerKey)
	}
	// Snappy: it gives up at once on ciphertext and halves what is not.
	compression := pebble.DBCompressionFastest
	if how.uncompressed {
		compression = pebble.DBCompressionNone
	}
	opts.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return compression })
	return opts
}

// isHeld tells a lock that somebody else has from one that cannot be taken. Pebble's file
// systems answer with EAGAIN or EACCES for another process, and with an error that has no
// system error in it for this one; a *fs.PathError is about the lock's file.
func isHeld(err error) bool {
	var file *fs.PathError
	if errors.As(err, &file) {
		return false
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return true
	}
	return errno == syscall.EAGAIN || errno == syscall.EACCES
}
