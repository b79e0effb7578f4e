package logging

import (
	"context"
	"io"
	"log/slog"
	"slices"
)

// waiting is how many lines a reader may lag behind before it loses some: the server never
// waits for who reads along.
const waiting = 512

// Reader reads along from a level on.
type Reader struct {
	// Lines are complete lines, each with its newline.
	Lines chan []byte

	levels *Levels
	level  slog.Level
	json   bool
}

// Follow begins to read along, in text or in JSON. Close ends it.
func (l *Levels) Follow(level slog.Level, asJSON bool) *Reader {
	r := &Reader{Lines: make(chan []byte, waiting), levels: l, level: level, json: asJSON}
	l.replace(func(all []*Reader) []*Reader { return append(all, r) })
	return r
}

// Close ends reading. Lines stays open: a line may be on its way.
func (r *Reader) Close() {
	r.levels.replace(func(all []*Reader) []*Reader {
		return slices.DeleteFunc(all, func(o *Reader) bool { return o == r })
	})
}

// replace changes the list of readers, of which loggers see a whole one at any time.
func (l *Levels) replace(change func([]*Reader) []*Reader) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*Reader
	if old := l.readers.Load(); old != nil {
		all = slices.Clone(*old)
	}
	all = change(all)
	l.readers.Store(&all)
}

// line is where a reader's handler writes one line.
type line struct{ text []byte }

func (l *line) Write(p []byte) (int, error) {
	l.text = append(l.text, p...)
	return len(p), nil
}

// take formats a line for the reader and hands it over, unless the reader is behind.
func (r *Reader) take(ctx context.Context, record slog.Record, with []func(slog.Handler) slog.Handler) {
	out := &line{}
	h := r.handler(out)
	for _, add := range with {
		h = add(h)
	}
	if h.Handle(ctx, record) != nil {
		return
	}
	select {
	case r.Lines <- out.text:
	default:
	}
}

func (r *Reader) handler(out io.Writer) slog.Handler {
	options := &slog.HandlerOptions{Level: slog.LevelDebug}
	if r.json {
		return slog.NewJSONHandler(out, options)
	}
	return slog.NewTextHandler(out, options)
}
