package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"jeton/internal/clock"
	"jeton/internal/store"
)

// defaultLimit is how long a caller waits for one device unless Settings say otherwise.
const defaultLimit = 3 * time.Second

// Spec is a device as an operator describes it. Contract: sys §10.
type Spec struct {
	Type        string            `json:"type"`
	Description string            `json:"description"`
	Options     map[string]string `json:"options"`
	// Local has no meaning on one node; it is kept and shown.
	Local bool `json:"local"`
}

// Opening is what a device type learns of the device it is to open.
type Opening struct {
	Options map[string]string
	// Configured says that the server's configuration asks for the device. Otherwise the API
	// does, and paths are confined to where the configuration allows.
	Configured bool
}

// Factory opens devices of one type. Errors about the options are of kind backend.Invalid, with
// the contract's text.
type Factory func(ctx context.Context, o Opening) (Device, error)

// Settings are the server configuration's part in auditing.
type Settings struct {
	// AllowPrefix allows the option prefix (`allow_audit_log_prefixing`): it puts bytes that
	// the caller of the API chooses into a file of the server's.
	AllowPrefix bool
	// DeviceLimit is how long a request waits for one device; 0 is three seconds.
	DeviceLimit time.Duration
	// Configured are devices that the configuration names, by path. The API cannot disable
	// them; they are the way out when all devices of the table are dead (docs/audit.md).
	Configured map[string]Spec
}

// Deps is what a broker is made of.
type Deps struct {
	// Area is audit's own part of the encrypted store.
	Area store.Store
	// Types are the device types that this server has, by name.
	Types    map[string]Factory
	Clock    clock.Clock
	Log      *slog.Logger
	Settings Settings
}

// Broker hands every entry to every enabled device. All methods are safe for concurrent use.
type Broker struct {
	area     store.Store
	types    map[string]Factory
	clock    clock.Clock
	log      *slog.Logger
	settings Settings

	// state is what entries are logged with: loaded once per entry, replaced as a whole.
	state atomic.Pointer[state]
	// changing is held by whoever replaces state, over the write to the store as well, so
	// that the two tell the same story. It may be held for as long as a device takes to open.
	changing sync.Mutex
}

// state is the table of devices and headers at one time. It is never changed.
type state struct {
	devices []*enabled
	headers *headerTable
}

// enabled is a device of the table.
type enabled struct {
	path       string
	spec       Spec
	salt       string
	configured bool
	outlet     *outlet
	// unreadable is why the record of the device cannot be read; nil where it can.
	unreadable error
}

func (s *state) find(path string) *enabled {
	for _, d := range s.devices {
		if d.path == path {
			return d
		}
	}
	return nil
}

// content is what one line is made from.
type content struct {
	kind  Type
	entry *Entry
	// event is set instead of entry.
	event *Event
	time  time.Time
	keys  clearKeys
	// ahead: nobody waits for the line yet (BeginRequest).
	ahead bool
}

// kept is where the lines of c's request are kept; nil for nowhere.
func (c *content) kept() *Kept {
	if c.entry == nil {
		return nil
	}
	return c.entry.Kept
}

// Silent says that no device is enabled: an entry made now would be written nowhere, and need
// not be made.
func (b *Broker) Silent() bool { return len(b.state.Load().devices) == 0 }

// LogRequest writes the entry of a request that is about to be acted upon. An error means that
// it must not be: ErrNoDevice when devices are enabled and none took the entry. The keys are
// the mount's tuning (contract: audit §8).
//
// ctx is not watched: a client that goes away must not cut its own line short. The call takes
// no longer than the slowest device's time limit.
func (b *Broker) LogRequest(ctx context.Context, e *Entry, nonHMACRequestKeys, nonHMACResponseKeys []string) error {
	return b.write(&content{kind: Request, entry: e, time: e.Time, keys: clearKeys{nonHMACRequestKeys, nonHMACResponseKeys}})
}

// BeginRequest is LogRequest for a request that only reads: the lines are on their way when it
// returns, and whether they were written is asked later (RequestWritten). An error means that no
// device takes them. Nothing of the answer may leave before the outcome is known: what was read
// meanwhile has then been seen by nobody, and has changed nothing. The entry needs a Kept.
func (b *Broker) BeginRequest(ctx context.Context, e *Entry, nonHMACRequestKeys, nonHMACResponseKeys []string) error {
	return b.write(&content{kind: Request, entry: e, time: e.Time, keys: clearKeys{nonHMACRequestKeys, nonHMACResponseKeys}, ahead: true})
}

// RequestWritten waits until a device has the line of the request that BeginRequest gave k, and
// releases k. An error is LogRequest's. It is nil at once where nothing is on its way.
func (b *Broker) RequestWritten(k *Kept) error {
	if k == nil || !k.ahead {
		return nil
	}
	took, c, s := k.settle(), k.content(), k.state
	k.release()
	switch {
	case took:
		return nil
	case b.state.Load() == s:
		return ErrNoDevice
	}
	// As in write: the devices that failed are not those that are enabled now.
	return b.write(c)
}

// LogResponse writes the entry of an answer that is about to leave. An error means that it must
// not leave, though what the request asked for has been done. Otherwise as LogRequest.
func (b *Broker) LogResponse(ctx context.Context, e *Entry, nonHMACRequestKeys, nonHMACResponseKeys []string) error {
	defer e.Kept.release()
	return b.write(&content{kind: Response, entry: e, time: e.Time, keys: clearKeys{nonHMACRequestKeys, nonHMACResponseKeys}})
}

// LogEvent writes what the server did of its own accord. The caller decides what an error
// means: nothing, for a token that has expired whether or not anyone could write it down.
func (b *Broker) LogEvent(ctx context.Context, e *Event) error {
	return b.write(&content{event: e, time: e.Time})
}

// write offers c to all devices.
func (b *Broker) write(c *content) error {
	if c.time.IsZero() {
		c.time = b.clock.Now()
	}
	for {
		s := b.state.Load()
		if len(s.devices) == 0 {
			return nil
		}
		err := b.offer(s, c)
		// A device that was disabled meanwhile takes nothing: that is no failure of the
		// devices that are enabled now.
		if err == nil || !errors.Is(err, ErrNoDevice) || b.state.Load() == s {
			return err
		}
	}
}

// offer formats c for the devices of s, hands all lines over, and waits for the outcomes unless
// c goes ahead. The devices work at the same time. All lines are made before the first is handed
// over: an entry that cannot be formatted is written nowhere.
func (b *Broker) offer(s *state, c *content) error {
	var few [4]*task
	tasks := few[:0]
	kept := c.kept()
	if c.kind == Request {
		kept.begin(s, c)
	}
	for i, d := range s.devices {
		t := d.outlet.take()
		if err := t.line.compose(c, s.headers, kept.line(s, c, i)); err != nil {
			b.log.Error("failed to format an audit entry", "error", err)
			return fmt.Errorf("%w: %w", ErrNoDevice, err)
		}
		tasks = append(tasks, t)
	}
	sent := 0
	for i, t := range tasks {
		if o := s.devices[i].outlet; o.submit(t) != nil {
			o.give(t)
			tasks[i] = nil
			continue
		}
		sent++
	}
	if c.ahead && kept != nil && sent > 0 {
		kept.hold(tasks)
		return nil
	}
	took := 0
	for i, t := range tasks {
		if t == nil {
			continue
		}
		o := s.devices[i].outlet
		if err := o.wait(t); err == nil {
			took++
			if c.kind == Request && kept.keep(i, t) {
				continue
			}
		}
		o.give(t)
	}
	if took == 0 {
		return ErrNoDevice
	}
	return nil
}

// compose makes the line of c. A panic counts as a failure. Contract: audit §2.
func (l *line) compose(c *content, headers *headerTable, like *line) (err error) {
	defer func() {
		if recover() != nil {
			err = errPanicked
		}
	}()
	if c.event != nil {
		l.event(c.event, c.time)
		return nil
	}
	return l.entry(c, headers, like)
}
