package store

import (
	"context"
	"errors"
)

// ErrReading says that an Update was called in the name of something that promised to read only.
// It is a defect of the caller's, and nothing was written.
var ErrReading = errors.New("store: a write by what only reads")

type readingKey struct{}

// Reading returns a context with which Update fails with ErrReading: what runs with it can be run
// before it is known whether it may.
func Reading(ctx context.Context) context.Context {
	return context.WithValue(ctx, readingKey{}, true)
}

// IsReading says whether ctx comes of Reading.
func IsReading(ctx context.Context) bool { return ctx.Value(readingKey{}) != nil }
