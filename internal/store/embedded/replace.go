package embedded

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"

	"jeton/internal/store"
)

// A staged content is written as tables of Pebble's own form, which Pebble then takes over while
// it drops all that it held of the callers' keys: one edit of its MANIFEST, whatever the size.
// Rejected: one transaction, which would have to fit into memory; and a second directory, whose
// exchange would need the store to be closed under everybody's hands.

// stagedPrefix begins the names of staged tables. Pebble does not know the name, and Open removes
// what a crash left of them.
const stagedPrefix = "restore-"

// stagedTableBytes is how large a staged table becomes.
const stagedTableBytes = 64 << 20

// errStagedOrder says that pairs came out of order.
var errStagedOrder = errors.New("store: staged keys are not in ascending order")

// staged implements store.Staged.
type staged struct {
	s      *Store
	ctx    context.Context
	files  []string
	table  *sstable.Writer // nil between two tables
	last   []byte          // the stored form of the last key; nil before the first
	closed bool
}

var (
	_ store.Replacer = (*Store)(nil)
	_ store.Staged   = (*staged)(nil)
)

// Stage begins a new content. See store.Replacer. Only one may be staged at a time.
func (s *Store) Stage(ctx context.Context) (store.Staged, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	if !s.staging.CompareAndSwap(false, true) {
		s.life.calls.Done()
		return nil, errors.New("store: another content is being staged")
	}
	return &staged{s: s, ctx: ctx}, nil
}

// Put adds a pair.
func (g *staged) Put(key, value []byte) error {
	if err := g.ctx.Err(); err != nil {
		return err
	}
	stored := storedKey(nil, key)
	if g.last != nil && bytes.Compare(g.last, stored) >= 0 {
		return errStagedOrder
	}
	if g.table == nil {
		if err := g.begin(); err != nil {
			return err
		}
	}
	if err := g.table.Set(stored, value); err != nil {
		return fmt.Errorf("store: stage: %w", err)
	}
	g.last = stored
	if g.table.Raw().EstimatedSize() >= stagedTableBytes {
		return g.finish()
	}
	return nil
}

// begin opens the next table.
func (g *staged) begin() error {
	name := g.s.disk.PathJoin(g.s.dir, fmt.Sprintf("%s%06d.sst", stagedPrefix, len(g.files)))
	file, err := g.s.disk.Create(name, "jeton-restore")
	if err != nil {
		return fmt.Errorf("store: stage: %w", err)
	}
	g.files = append(g.files, name)
	opts := pebble.Options{}
	opts.EnsureDefaults()
	w := opts.MakeWriterOptions(len(opts.Levels)-1, g.s.db.TableFormat())
	w.BlockSize, w.IndexBlockSize, w.FilterPolicy = blockBytes, indexBlockBytes, bloom.FilterPolicy(bloomBitsPerKey)
	g.table = sstable.NewWriter(objstorageprovider.NewFileWritable(file), w)
	return nil
}

// finish closes the table that is open; it is durable then.
func (g *staged) finish() error {
	table := g.table
	g.table = nil
	if err := table.Close(); err != nil {
		return fmt.Errorf("store: stage: %w", err)
	}
	return g.s.disk.failure()
}

// Commit exchanges the contents. See store.Staged.
func (g *staged) Commit(ctx context.Context, least uint64) error {
	if g.closed || g.last == nil {
		return errors.New("store: there is no staged content")
	}
	if g.table != nil {
		if err := g.finish(); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return errors.Join(g.s.exchange(ctx, g.files, least), g.Discard())
}

// Discard removes the staged tables; what Commit took over is Pebble's.
func (g *staged) Discard() error {
	if g.closed {
		return nil
	}
	g.closed = true
	defer g.s.life.calls.Done()
	defer g.s.staging.Store(false)
	var problems []error
	if g.table != nil {
		problems = append(problems, g.table.Close())
	}
	return errors.Join(append(problems, g.s.removeStaged(g.s.dir))...)
}

// removeStaged removes staged tables that nobody will commit.
func (s *Store) removeStaged(dir string) error {
	names, err := s.disk.List(dir)
	if err != nil {
		return err
	}
	var problems []error
	for _, name := range names {
		if strings.HasPrefix(name, stagedPrefix) {
			problems = append(problems, s.disk.Remove(s.disk.PathJoin(dir, name)))
		}
	}
	return errors.Join(problems...)
}

// exchange has Pebble take the tables over in place of all callers' keys.
func (s *Store) exchange(ctx context.Context, files []string, least uint64) (err error) {
	defer s.alone()()
	if err := s.disk.failure(); err != nil {
		return err
	}
	s.subs.Lock()
	defer s.subs.Unlock()
	position := max(s.done.Load(), least) + 1
	s.begun.Store(position)
	s.rows.dropAll(position)
	defer func() {
		if p := recover(); p != nil {
			s.wedged.Store(true)
			err = s.disk.freeze("restore", fmt.Errorf("pebble: %v", p))
		}
	}()
	// The position first: after a crash in between it has grown for nothing, which is no harm.
	if err := s.db.Set(positionKey(), binary.BigEndian.AppendUint64(nil, position), pebble.Sync); err != nil {
		return s.disk.freeze("restore", err)
	}
	span := pebble.KeyRange{Start: []byte{callerSpace}, End: []byte{afterCaller}}
	if _, err := s.db.IngestAndExcise(ctx, files, nil, nil, span); err != nil {
		return s.disk.freeze("restore", err)
	}
	if err := s.disk.failure(); err != nil {
		return err
	}
	s.done.Store(position)
	// A state that was taken meanwhile has the new position and the old content: nobody gets it
	// from here on, and what is still read in it is not remembered as of the new content.
	s.retireLast()
	s.rows.dropAll(position + 1)
	for _, sub := range s.subs.list {
		sub.fn(store.Commit{Position: position, Ranges: []store.Range{{}}})
	}
	return nil
}
