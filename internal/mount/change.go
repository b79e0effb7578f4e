package mount

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"jeton/internal/backend"
	"jeton/internal/gate"
	"jeton/internal/record"
	"jeton/internal/store"
)

// The table's keys in the whole store.
//
//	mount/e/<uuid>   Entry
//	mount/d/<uuid>/  the data of that mount's backend
const (
	entryPrefix = "mount/e/"
	dataPrefix  = "mount/d/"
)

// Load reads the table, makes the fixed mounts that are missing, and makes every backend.
// Removals that a crash interrupted wait for Resume.
func Load(ctx context.Context, c Config) (*Table, error) {
	if c.Hurry == nil {
		c.Hurry = ctx
	}
	t := &Table{
		whole: c.Store, area: store.NewArea(c.Store, []byte(entryPrefix)), kinds: map[string]*Kind{},
		system: c.System, lockouts: c.Lockouts, clock: c.Clock, log: c.Log, revoke: c.Revoker, aliases: c.Aliases, hurry: c.Hurry,
	}
	for i := range c.Kinds {
		t.kinds[c.Kinds[i].Name] = &c.Kinds[i]
	}
	entries, err := t.entries(ctx)
	if err != nil {
		return nil, fmt.Errorf("mount: read the table: %w", err)
	}
	byPath := map[string]*Mounted{}
	var interrupted []Entry
	for _, e := range entries {
		if e.Tainted {
			interrupted = append(interrupted, e)
			continue
		}
		m, err := t.bringForward(ctx, e)
		if err != nil && !t.fixed(e.Type) {
			// One mount must not keep the others from serving: it answers with its error.
			t.log.Error("a mount could not be opened; it answers with an error until the server is unsealed again", "mount", e.Path, "error", err)
			m, err = t.around(e, broken{}, backend.NewTable(broken{}.Routes()), t.newGate()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("mount: open %s: %w", e.Path, err)
		}
		byPath[e.Path] = m
	}
	leaving := map[string]*departure{}
	for _, e := range interrupted {
		leaving[e.Accessor] = t.departed(ctx, e)
	}
	t.publishAll(func(p map[string]*Mounted, l map[string]*departure) {
		maps.Copy(p, byPath)
		maps.Copy(l, leaving)
	})
	for i := range c.Kinds {
		if k := &c.Kinds[i]; k.Fixed && byPath[k.Path] == nil {
			if err := t.add(ctx, Entry{Path: k.Path, Type: k.Name, Description: k.Description, Local: k.Name == "cubbyhole",
				SealWrap: k.SealWrap, Tuning: Tuning{PassthroughHeaders: k.Passthrough}}); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

// fixed says whether the server cannot do without mounts of a kind.
func (t *Table) fixed(kind string) bool {
	k := t.kinds[kind]
	return k != nil && k.Fixed
}

func (t *Table) entries(ctx context.Context) (entries []Entry, err error) {
	err = t.area.View(ctx, func(r store.Reader) error {
		entries = nil
		return record.Each(r, store.Range{}, func(key []byte, e *Entry, err error) error {
			if err != nil {
				// Which path it was is not known. Its data stays where it is.
				t.log.Error("the entry of a mount cannot be read: the mount is not served", "mount", string(key), "error", err)
				return nil
			}
			entries = append(entries, *e)
			return nil
		})
	})
	return entries, err
}

// dataArea is where the backend of a mount keeps its data.
func (t *Table) dataArea(e *Entry) *store.Area {
	return store.NewArea(t.whole, []byte(dataPrefix+e.UUID+"/"))
}

// open makes the backend of an entry.
func (t *Table) open(ctx context.Context, e Entry) (*Mounted, error) {
	k := t.kinds[e.Type]
	if k == nil {
		return nil, backend.Invalidf("plugin not found in the catalog: %s", e.Type)
	}
	b, err := k.New(ctx, backend.Env{Area: t.dataArea(&e), Options: e.Options, Clock: t.clock, Log: t.log.With("mount", e.Path)})
	if err != nil {
		return nil, err
	}
	return t.around(e, b, backend.NewTable(b.Routes()), t.newGate()), nil
}

// around is an entry's Mounted around a backend that exists.
func (t *Table) around(e Entry, b backend.Backend, routes *backend.Table, g *gate.Gate) *Mounted {
	m := &Mounted{Entry: e, Backend: b, Routes: routes, gate: g}
	m.Info = backend.Mount{Path: e.Path, Type: e.Type, Accessor: e.Accessor, TokenType: e.Tuning.TokenType}
	m.Info.DefaultTTL, m.Info.MaxTTL = t.Effective(e.Tuning)
	m.Info.SystemMaxTTL = t.system.MaxTTL
	if locker, ok := b.(backend.Locker); ok {
		locker.ConfigureLockout(t.lockouts.effective(&m.Entry))
	}
	return m
}

// save stores an entry.
func (t *Table) save(ctx context.Context, e *Entry) error {
	return t.area.Update(ctx, func(tx store.Tx) error { return record.Put(tx, []byte(e.UUID), e) })
}

// reserved are first segments that clients cannot mount under. Contract: sys §7.
var reserved = []string{"audit/", "auth/", "sys/", "cubbyhole/", "identity/"}

// protected says whether path is at or below a reserved one.
func protected(path string) bool {
	return slices.ContainsFunc(reserved, func(r string) bool { return strings.HasPrefix(path, r) })
}

// Add mounts a backend. The entry's path ends in a slash; for a login method it begins with
// "auth/". Contract: sys §7, §8.
func (t *Table) Add(ctx context.Context, e Entry) error {
	name := strings.TrimPrefix(e.Path, AuthPrefix)
	k := t.kinds[e.Type]
	switch {
	case e.Class() == AuthClass && e.Type == "token":
		return backend.Invalidf("token credential backend cannot be instantiated")
	case e.Class() == SecretClass && protected(e.Path):
		return backend.Invalidf("cannot mount %q", e.Path)
	case name == "" || name == "/":
		return backend.Invalidf("the mount path is empty")
	case k != nil && k.Fixed:
		return backend.Invalidf("mount type of %q is not mountable", e.Type)
	case k == nil || k.Class != e.Class():
		return backend.Invalidf("plugin not found in the catalog: %s", e.Type)
	case e.Options["version"] != "" && !k.Versioned && e.Class() == AuthClass:
		return backend.Invalidf("auth method %q does not allow setting a version", e.Type)
	case e.Options["version"] != "" && (!k.Versioned || e.ShownType == "generic"):
		return backend.Invalidf("secrets engine %q does not allow setting a version", cmp.Or(e.ShownType, e.Type))
	case !slices.Contains([]string{"", "1", "2"}, e.Options["version"]):
		return backend.Invalidf("invalid version provided")
	}
	return t.add(ctx, e)
}

// add names the entry, stores it and opens it.
func (t *Table) add(ctx context.Context, e Entry) error {
	t.changing.Lock()
	defer t.changing.Unlock()
	if other := t.conflict(e.Path, ""); other != "" {
		return backend.Invalidf("path is already in use at %s", strings.TrimPrefix(other, AuthPrefix))
	}
	e.UUID = uuid.NewString()
	e.Accessor = accessorOf(&e)
	if e.Class() == AuthClass && e.Tuning.TokenType == "" {
		e.Tuning.TokenType = "default-service"
	}
	m, err := t.open(ctx, e)
	if err != nil {
		return err
	}
	if err := t.save(ctx, &e); err != nil {
		m.close(t.log)
		return err
	}
	t.publish(func(p map[string]*Mounted) { p[e.Path] = m })
	return nil
}

// conflict returns a mount that path would hide or be hidden by, "" when there is none. A
// mount may be neither above nor below another. The mount at leaving is on its way from there.
func (t *Table) conflict(path, leaving string) string {
	now := t.current.Load()
	for _, have := range now.paths {
		if have == leaving {
			continue
		}
		if strings.HasPrefix(have, path) || strings.HasPrefix(path, have) {
			return have
		}
	}
	for _, d := range now.leaving {
		// What was issued under a path is revoked by that path: it must be one mount's only.
		if have := d.mounted.Entry.Path; strings.HasPrefix(have, path) || strings.HasPrefix(path, have) {
			return have
		}
	}
	return ""
}

// accessorOf is type and eight hex digits. Contract: sys §7, §8.
func accessorOf(e *Entry) string {
	var b [4]byte
	_, _ = rand.Read(b[:])
	kind := e.Type
	if e.ShownType != "" {
		kind = e.ShownType
	}
	if e.Class() == AuthClass {
		kind = "auth_" + kind
	}
	return kind + "_" + hex.EncodeToString(b[:])
}

// Remove unmounts path: what it issued is revoked, its data erased. Nothing mounted there is
// no error. When a backend does not take its secrets back, the mount serves nothing any more
// but stays until it has, or until its leases are dropped: the error says so. Contract: sys §7 DELETE.
func (t *Table) Remove(ctx context.Context, path string) error {
	if path == AuthPrefix+"token/" {
		return backend.Invalidf("token credential backend cannot be disabled")
	}
	if protected(path) && !strings.HasPrefix(path, AuthPrefix) {
		return backend.Invalidf("cannot unmount %q", path)
	}
	d, err := t.depart(ctx, path)
	if d == nil || err != nil {
		return err
	}
	return t.finish(ctx, d)
}

// Move gives the mount at from the path to; data and accessor stay, leases and tokens under
// the old path are revoked. Contract: sys §9.
func (t *Table) Move(ctx context.Context, from, to string) error {
	t.changing.Lock()
	defer t.changing.Unlock()
	m, ok := t.At(from)
	switch {
	case protected(strings.TrimPrefix(from, AuthPrefix)) || from == AuthPrefix+"token/":
		return backend.Invalidf("cannot remount %q", from)
	case strings.HasPrefix(from, AuthPrefix) && !strings.HasPrefix(to, AuthPrefix):
		return backend.Invalidf("cannot remount auth mount to non-auth mount %q", to)
	case !strings.HasPrefix(from, AuthPrefix) && protected(to):
		return backend.Invalidf("cannot remount to destination %q", to)
	case !ok:
		return backend.Invalidf("no matching mount at %q", from)
	case from == to:
		return backend.Invalidf("path already in use at %q", to)
	case t.conflict(to, from) != "":
		return backend.Invalidf("path already in use at %q", t.conflict(to, from))
	}
	// No call may be under way when its tokens are revoked: one that logs in would leave a
	// token under the old path. The backend is still reached to take back its secrets.
	e := m.Entry
	g := t.newGate()
	away := &departure{mounted: t.around(e, m.Backend, m.Routes, g), done: true}
	t.publishAll(func(p map[string]*Mounted, leaving map[string]*departure) {
		delete(p, from)
		leaving[e.Accessor] = away
	})
	m.gate.Shut()
	err := t.revoke.RevokeMount(ctx, from)
	if err == nil {
		e.Path = to
		err = t.save(ctx, &e)
	}
	if err != nil {
		e.Path = from
	}
	moved := t.around(e, m.Backend, m.Routes, g)
	t.publishAll(func(p map[string]*Mounted, leaving map[string]*departure) {
		p[e.Path] = moved
		delete(leaving, e.Accessor)
	})
	return err
}

// Tune changes a mount's entry. change sees a copy; its error changes nothing. A kv mount
// whose version goes from 1 to 2 is upgraded before it serves again.
func (t *Table) Tune(ctx context.Context, path string, change func(e *Entry) error) error {
	t.changing.Lock()
	defer t.changing.Unlock()
	m, ok := t.At(path)
	if !ok {
		return errNoMount
	}
	e := m.Entry
	e.Options = maps.Clone(e.Options)
	if err := change(&e); err != nil {
		return err
	}
	if e.Options["version"] == m.Entry.Options["version"] {
		if err := t.save(ctx, &e); err != nil {
			return err
		}
		tuned := t.around(e, m.Backend, m.Routes, m.gate)
		t.publish(func(p map[string]*Mounted) { p[path] = tuned })
		return nil
	}
	return t.upgrade(ctx, m, e)
}

// errNoMount says that nothing is mounted at a path.
var errNoMount = errors.New("mount: nothing is mounted there")

// NotMounted says whether err means that.
func NotMounted(err error) bool { return errors.Is(err, errNoMount) }

// upgrade closes the backend, brings its data to the new version and opens it again. Calls
// meanwhile find no mount.
func (t *Table) upgrade(ctx context.Context, m *Mounted, e Entry) error {
	t.publish(func(p map[string]*Mounted) { delete(p, e.Path) })
	m.close(t.log)
	e.Upgrading = true
	if err := t.save(ctx, &e); err != nil {
		return err
	}
	fresh, err := t.bringForward(ctx, e)
	if err != nil {
		// The path stays taken, and the next start goes on with the upgrade.
		fresh = t.around(e, broken{}, backend.NewTable(broken{}.Routes()), t.newGate())
	}
	t.publish(func(p map[string]*Mounted) { p[e.Path] = fresh })
	return err
}

// bringForward opens a mount, after the upgrade that it is in the middle of, if it is in one.
func (t *Table) bringForward(ctx context.Context, e Entry) (*Mounted, error) {
	k := t.kinds[e.Type]
	if e.Upgrading && k != nil && k.Upgrade != nil {
		if err := k.Upgrade(ctx, t.dataArea(&e)); err != nil {
			return nil, fmt.Errorf("mount: upgrade %s: %w", e.Path, err)
		}
	}
	if e.Upgrading {
		e.Upgrading = false
		if err := t.save(ctx, &e); err != nil {
			return nil, err
		}
	}
	return t.open(ctx, e)
}
