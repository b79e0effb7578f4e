// Package logging owns how much each room of the server logs, which can be changed while it
// runs, and who reads along.
package logging

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// RoomKey is the attribute that tells a logger's room; loggers without one are Main's.
const (
	RoomKey = "room"
	Main    = "core"
)

// Levels are the levels of all rooms. All methods are safe for concurrent use.
type Levels struct {
	// readers get every line before its room's level is asked, see Follow.
	readers atomic.Pointer[[]*Reader]

	mu         sync.Mutex // guards what follows
	configured slog.Level
	rooms      map[string]*room
}

type room struct {
	level slog.LevelVar
	// changed says that the level is not the configured one by an operator's wish.
	changed bool
}

// New starts with every room at the configured level.
func New(configured slog.Level) *Levels {
	l := &Levels{configured: configured, rooms: map[string]*room{}}
	l.room(Main)
	return l
}

// room finds or makes a room.
func (l *Levels) room(name string) *room {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.rooms[name]
	if r == nil {
		r = &room{}
		r.level.Set(l.configured)
		l.rooms[name] = r
	}
	return r
}

// Configure sets the level that the configuration asks for; rooms that an operator has set keep
// theirs.
func (l *Levels) Configure(level slog.Level) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.configured = level
	for _, r := range l.rooms {
		if !r.changed {
			r.level.Set(level)
		}
	}
}

// All are the levels by room.
func (l *Levels) All() map[string]slog.Level {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[string]slog.Level, len(l.rooms))
	for name, r := range l.rooms {
		all[name] = r.level.Level()
	}
	return all
}

// Set changes the level of the named rooms, of all when there are none; it says false where
// there is no such room. It holds until Revert or the end of the process.
func (l *Levels) Set(level slog.Level, names ...string) bool {
	return l.each(names, func(r *room) { r.changed = true; r.level.Set(level) })
}

// Revert gives the named rooms, or all, the configured level again.
func (l *Levels) Revert(names ...string) bool {
	return l.each(names, func(r *room) { r.changed = false; r.level.Set(l.configured) })
}

func (l *Levels) each(names []string, act func(*room)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(names) == 0 {
		names = slices.Collect(maps.Keys(l.rooms))
	}
	for _, name := range names {
		r, ok := l.rooms[name]
		if !ok {
			return false
		}
		act(r)
	}
	return true
}

// Handler puts the levels in front of out, which must let everything through.
func (l *Levels) Handler(out slog.Handler) slog.Handler {
	return &handler{levels: l, out: out, room: l.room(Main)}
}

// handler asks its room's level.
type handler struct {
	levels *Levels
	out    slog.Handler
	room   *room
	// with replays what the logger carries onto a reader's own handler.
	with []func(slog.Handler) slog.Handler
}

// Enabled says whether anyone wants a line of this level.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	if level >= h.room.level.Level() {
		return true
	}
	if readers := h.levels.readers.Load(); readers != nil {
		for _, r := range *readers {
			if level >= r.level {
				return true
			}
		}
	}
	return false
}

// Handle writes the line where it is wanted.
func (h *handler) Handle(ctx context.Context, record slog.Record) error {
	if readers := h.levels.readers.Load(); readers != nil {
		for _, r := range *readers {
			if record.Level >= r.level {
				r.take(ctx, record, h.with)
			}
		}
	}
	if record.Level < h.room.level.Level() {
		return nil
	}
	return h.out.Handle(ctx, record)
}

// WithAttrs finds the room among what a logger is given.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	for _, a := range attrs {
		if a.Key == RoomKey {
			next.room = h.levels.room(a.Value.String())
		}
	}
	next.out = h.out.WithAttrs(attrs)
	next.with = append(slices.Clip(h.with), func(to slog.Handler) slog.Handler { return to.WithAttrs(attrs) })
	return &next
}

// WithGroup is slog's.
func (h *handler) WithGroup(name string) slog.Handler {
	next := *h
	next.out = h.out.WithGroup(name)
	next.with = append(slices.Clip(h.with), func(to slog.Handler) slog.Handler { return to.WithGroup(name) })
	return &next
}

// Parse reads a level as operators write it. Contract: sys §18 loggers.
func Parse(name string) (slog.Level, bool) {
	switch name {
	case "trace", "debug":
		return slog.LevelDebug, true
	case "info", "notice":
		return slog.LevelInfo, true
	case "warn", "warning":
		return slog.LevelWarn, true
	case "error", "err":
		return slog.LevelError, true
	}
	return 0, false
}

// Name is the level as it is shown.
func Name(level slog.Level) string {
	for _, named := range []struct {
		level slog.Level
		name  string
	}{{slog.LevelError, "error"}, {slog.LevelWarn, "warn"}, {slog.LevelInfo, "info"}} {
		if level >= named.level {
			return named.name
		}
	}
	return "debug"
}
