package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Load makes the broker at unseal: it reads the table and opens the devices. A device that
// cannot be opened stays in the table and is tried again with every entry; if that holds for
// all of them, Load fails with ErrTable. Contract: audit §2.
func Load(ctx context.Context, deps Deps) (*Broker, error) {
	b := &Broker{area: deps.Area, types: deps.Types, clock: deps.Clock, log: deps.Log, settings: deps.Settings}
	if b.settings.DeviceLimit <= 0 {
		b.settings.DeviceLimit = defaultLimit
	}
	devices, headers, err := b.readTable(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the audit table: %w", err)
	}
	opened := 0
	for _, d := range devices {
		// With one whose record is damaged the server opens, so that it can be mended; without
		// another device nothing that has to be audited is done.
		if b.openStored(ctx, d) || d.unreadable != nil {
			opened++
		}
	}
	b.state.Store(&state{devices: devices, headers: newHeaderTable(headers)})
	if len(devices) > 0 && opened == 0 {
		b.Close()
		return nil, ErrTable
	}
	return b, nil
}

// readTable reads the stored devices and adds the configured ones, whose salts it makes where
// they are new.
func (b *Broker) readTable(ctx context.Context) (devices []*enabled, headers map[string]bool, err error) {
	err = b.area.Update(ctx, func(tx store.Tx) error {
		devices, headers = nil, nil
		err := record.Each(tx, store.PrefixRange(devicePrefix), func(key []byte, r *deviceRecord, err error) error {
			d := &enabled{path: string(key[len(devicePrefix):]), salt: uuid.NewString(), unreadable: err}
			if r != nil {
				d.spec, d.salt = Spec{Type: r.Type, Description: r.Description, Options: r.Options, Local: r.Local}, r.Salt
			}
			devices = append(devices, d)
			return nil
		})
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(b.settings.Configured)) {
			path, err := devicePath(name)
			if err == nil {
				err = collision(devices, path)
			}
			if err != nil {
				return fmt.Errorf("configured audit device %q: %w", name, err)
			}
			salt, err := configuredSalt(tx, path)
			if err != nil {
				return err
			}
			devices = append(devices, &enabled{path: path, spec: b.settings.Configured[name], salt: salt, configured: true})
		}
		h, err := record.Readable[headersRecord](tx, headersKey, func(_ []byte, err error) {
			b.log.Error("which request headers are audited cannot be read: none are beyond those that always are", "error", err)
		})
		if err == nil && h != nil {
			headers = h.Headers
		}
		return err
	})
	return devices, headers, err
}

// openStored gives a device of the table its outlet, and says whether the device is open.
func (b *Broker) openStored(ctx context.Context, d *enabled) bool {
	if d.unreadable != nil {
		// It is there and takes no line: nobody switches auditing off by damaging a record.
		d.outlet = newOutlet(d.path, &format{salt: d.salt, hashAccessors: true}, closedDevice{d.unreadable}, b.settings.DeviceLimit, b.log)
		b.log.Error("the record of an audit device cannot be read; it takes no entries: disable it and enable it anew", "path", d.path, "error", d.unreadable)
		return false
	}
	f, err := d.spec.format(d.salt, b.settings.AllowPrefix || d.configured)
	if err != nil {
		// Whatever comes of the device later, its lines are hashed.
		f = &format{salt: d.salt, hashAccessors: true}
		d.outlet = newOutlet(d.path, f, closedDevice{err}, b.settings.DeviceLimit, b.log)
		b.log.Error("audit device has options that are not allowed", "path", d.path, "error", err)
		return false
	}
	device, err := b.open(ctx, d.spec, d.configured)
	if err != nil {
		b.log.Error("audit device cannot be opened; it is tried again with every entry", "path", d.path, "error", err)
		spec, configured := d.spec, d.configured
		device = &lateDevice{open: func(ctx context.Context) (Device, error) { return b.open(ctx, spec, configured) }}
	}
	d.outlet = newOutlet(d.path, f, device, b.settings.DeviceLimit, b.log)
	return err == nil
}

func (b *Broker) open(ctx context.Context, spec Spec, configured bool) (Device, error) {
	factory, ok := b.types[spec.Type]
	if !ok {
		return nil, invalid("unknown backend type: %q", spec.Type)
	}
	d, err := factory(ctx, Opening{Options: spec.Options, Configured: configured})
	if err != nil && backend.KindOf(err) != backend.Invalid {
		err = invalid("%s", err)
	}
	return d, err
}

// closedDevice takes no line.
type closedDevice struct{ why error }

func (d closedDevice) Write(context.Context, []byte) error { return d.why }
func (d closedDevice) Reopen() error                       { return d.why }
func (d closedDevice) Close() error                        { return nil }

// lateDevice is a device that could not be opened at unseal. Each line tries to open it: the
// directory, the disk or the collector may be back.
type lateDevice struct {
	open   func(context.Context) (Device, error)
	device Device
}

func (d *lateDevice) Write(ctx context.Context, line []byte) error {
	if d.device == nil {
		device, err := d.open(ctx)
		if err != nil {
			return fmt.Errorf("%w: %w", errNotOpen, err)
		}
		d.device = device
	}
	return d.device.Write(ctx, line)
}

func (d *lateDevice) Reopen() error {
	if d.device == nil {
		device, err := d.open(context.Background())
		if err != nil {
			return err
		}
		d.device = device
		return nil
	}
	return d.device.Reopen()
}

func (d *lateDevice) Close() error {
	if d.device == nil {
		return nil
	}
	return d.device.Close()
}

// devicePath is the path as the table has it, with its slash.
func devicePath(name string) (string, error) {
	name = strings.Trim(name, "/")
	if name == "" {
		return "", invalid("backend path must be specified")
	}
	for _, c := range name {
		if c < ' ' || c == 0x7f {
			return "", invalid("backend path must be printable")
		}
	}
	return name + "/", nil
}

// collision refuses a path that lies below an enabled one or above it.
func collision(devices []*enabled, path string) error {
	for _, d := range devices {
		if strings.HasPrefix(d.path, path) || strings.HasPrefix(path, d.path) {
			return invalid("path already in use")
		}
	}
	return nil
}

// Enable opens a device, sends it a test message unless the option skip_test is "true", stores
// it and puts it to use: the enabling request's response entry is its first real line. Errors
// have the contract's texts and nothing is enabled. Contract: audit §3, sys §10.
func (b *Broker) Enable(ctx context.Context, name string, spec Spec) error {
	path, err := devicePath(name)
	if err != nil {
		return err
	}
	b.changing.Lock()
	defer b.changing.Unlock()
	now := b.state.Load()
	if err := collision(now.devices, path); err != nil {
		return err
	}
	d := &enabled{path: path, spec: spec, salt: uuid.NewString()}
	d.spec.Options = maps.Clone(spec.Options)
	f, err := d.spec.format(d.salt, b.settings.AllowPrefix)
	if err != nil {
		return err
	}
	device, err := b.open(ctx, d.spec, false)
	if err != nil {
		return err
	}
	d.outlet = newOutlet(path, f, device, b.settings.DeviceLimit, b.log)
	if spec.Options["skip_test"] != "true" {
		if err := b.test(d.outlet); err != nil {
			d.outlet.close()
			return invalid("audit backend failed test message: %s", err)
		}
	}
	err = b.area.Update(ctx, func(tx store.Tx) error {
		return record.Put(tx, deviceKey(path), &deviceRecord{
			Type: spec.Type, Description: spec.Description, Options: d.spec.Options, Local: spec.Local, Salt: d.salt,
		})
	})
	if err != nil {
		d.outlet.close()
		return backend.Errorf(backend.Internal, "store audit device %s", path).Because(err)
	}
	next := *now
	next.devices = append(slices.Clone(now.devices), d)
	b.state.Store(&next)
	return nil
}

// test sends the test message. Its salt is thrown away: the message tells nothing of the
// device's own. Contract: audit §3.
func (b *Broker) test(o *outlet) error {
	throwaway := *o.format
	throwaway.salt = uuid.NewString()
	t := o.newTask()
	t.line = newLine(&throwaway)
	e := &Entry{Request: &RequestPart{ID: uuid.NewString(), Operation: "update", Path: "sys/audit/test"}}
	if err := t.line.entry(&content{kind: Request, entry: e, time: b.clock.Now()}, nil, nil); err != nil {
		return err
	}
	if err := o.submit(t); err != nil {
		return err
	}
	return o.wait(t)
}

// Disable forgets a device and its salt. An absent one is no error. Lines that were on their
// way to it are still written. Contract: audit §3, sys §10.
func (b *Broker) Disable(ctx context.Context, name string) error {
	path, err := devicePath(name)
	if err != nil {
		return err
	}
	b.changing.Lock()
	defer b.changing.Unlock()
	now := b.state.Load()
	d := now.find(path)
	if d == nil {
		return nil
	}
	if d.configured {
		return invalid("audit device %q is part of the server configuration", path)
	}
	err = b.area.Update(ctx, func(tx store.Tx) error { return tx.Delete(deviceKey(path)) })
	if err != nil {
		return backend.Errorf(backend.Internal, "remove audit device %s", path).Because(err)
	}
	next := *now
	next.devices = slices.DeleteFunc(slices.Clone(now.devices), func(e *enabled) bool { return e == d })
	b.state.Store(&next)
	d.outlet.close()
	return nil
}

// Info is a device as it is listed. Contract: sys §10.
type Info struct {
	Path string `json:"path"`
	Spec
}

// List returns the enabled devices by path.
func (b *Broker) List() map[string]Info {
	out := map[string]Info{}
	for _, d := range b.state.Load().devices {
		spec := d.spec
		spec.Options = map[string]string{}
		maps.Copy(spec.Options, d.spec.Options)
		out[d.path] = Info{Path: d.path, Spec: spec}
	}
	return out
}

// Hash is the hash that the device at name writes for input: what an operator looks for in its
// log. Contract: sys §10 (`sys/audit-hash`).
func (b *Broker) Hash(name, input string) (string, error) {
	if input == "" {
		return "", invalid("the %q parameter is empty", "input")
	}
	path, err := devicePath(name)
	if err != nil {
		return "", err
	}
	d := b.state.Load().find(path)
	if d == nil {
		return "", invalid("unknown audit backend %q", path)
	}
	return hashText(d.salt, input), nil
}

// Reload has every device reopen what it writes to (SIGHUP, after log rotation). Its error names
// the devices that could not; they are tried again with the next entry.
func (b *Broker) Reload(ctx context.Context) error {
	devices := b.state.Load().devices
	errs := make([]error, len(devices))
	var wg sync.WaitGroup
	for i, d := range devices {
		wg.Go(func() {
			if err := d.outlet.reopen(); err != nil {
				errs[i] = fmt.Errorf("error encountered reloading %s audit device at path %q: %w", d.spec.Type, d.path, err)
				b.log.Error("audit device cannot be reopened", "path", d.path, "error", err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Status is how a device fares.
type Status struct {
	Path, Type string
	// Written counts the lines taken since unseal, Lost those not taken since the last one was.
	Written uint64
	Lost    int
	// LastError is why the last line was lost; nil when the device works.
	LastError error
}

// Status tells how the devices fare, for whoever looks for the reason of a fail-closed server.
func (b *Broker) Status() []Status {
	var out []Status
	for _, d := range b.state.Load().devices {
		h, mu := &d.outlet.health, &d.outlet.mu
		mu.Lock()
		out = append(out, Status{Path: d.path, Type: d.spec.Type, Written: h.written, Lost: h.lost, LastError: h.lastErr})
		mu.Unlock()
	}
	return out
}

// Close lets go of the devices at seal, after the last entry. Entries that come later fail
// when any device was enabled.
func (b *Broker) Close() {
	b.changing.Lock()
	defer b.changing.Unlock()
	var wg sync.WaitGroup
	for _, d := range b.state.Load().devices {
		wg.Go(d.outlet.close)
	}
	wg.Wait()
}
