package store

import "context"

// Replacer is a Store whose whole content can be exchanged for another in one step: the
// restoring of a snapshot.
type Replacer interface {
	// Stage begins a new content. It is written beside the old one, which stays in service.
	Stage(ctx context.Context) (Staged, error)
}

// Staged is a content that nobody sees yet. It belongs to one goroutine, and ends with Commit
// or Discard.
type Staged interface {
	// Put adds a pair. Keys must come in ascending order, each once.
	Put(key, value []byte) error
	// Commit exchanges the contents: after a crash the store holds either the old one or the
	// new one, whole. Its position is above the store's and above least. Subscribers are told
	// that every key may have changed. Nothing may be reading the store but for what can bear to
	// find it empty. The outcome of a failed Commit is unknown, as that of an Update.
	Commit(ctx context.Context, least uint64) error
	// Discard forgets the new content; after Commit it does nothing.
	Discard() error
}
