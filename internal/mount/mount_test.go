package mount

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
	"jeton/internal/store/storetest"
)

// engine is a backend that keeps one key and counts its closings.
type engine struct {
	env    backend.Env
	closed atomic.Int64
}

func (e *engine) Routes() []backend.Route { return []backend.Route{{Pattern: "x"}} }

func (e *engine) Close() error {
	e.closed.Add(1)
	return nil
}

func (e *engine) put(t *testing.T) {
	t.Helper()
	err := e.env.Area.Update(t.Context(), func(tx store.Tx) error { return tx.Put([]byte("data"), []byte("1")) })
	if err != nil {
		t.Fatal(err)
	}
}

// issuer is a Revoker that remembers what it was asked.
type issuer struct {
	mu      sync.Mutex
	revoked []string // guarded by mu
	fails   error
	left    bool
}

func (i *issuer) RevokeMount(_ context.Context, path string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.revoked = append(i.revoked, path)
	return i.fails
}

func (i *issuer) EndMount(context.Context, string) (bool, error) { return i.left, i.fails }

// desk is a table over a store, and what surrounds it.
type desk struct {
	*Table
	t      *testing.T
	store  store.Store
	issued *issuer
	// upgrades counts upgrades of kv; upgradeFails makes them fail.
	upgrades     int
	upgradeFails error
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	s, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return deskOver(t, s)
}

func deskOver(t *testing.T, s store.Store) *desk {
	t.Helper()
	d := &desk{t: t, store: s, issued: &issuer{}}
	d.load()
	t.Cleanup(func() { d.Close() })
	return d
}

// load opens the table as a start does.
func (d *desk) load() {
	d.t.Helper()
	factory := func(_ context.Context, env backend.Env) (backend.Backend, error) {
		if env.Options["broken"] != "" {
			return nil, errors.New("broken")
		}
		return &engine{env: env}, nil
	}
	upgrade := func(context.Context, *store.Area) error {
		d.upgrades++
		return d.upgradeFails
	}
	table, err := Load(d.t.Context(), Config{Store: d.store, System: Limits{DefaultTTL: time.Hour, MaxTTL: 2 * time.Hour},
		Clock: clock.NewManual(time.Unix(0, 0)), Log: slog.New(slog.DiscardHandler), Revoker: d.issued,
		Kinds: []Kind{
			{Name: "kv", Class: SecretClass, New: factory, Versioned: true, Upgrade: upgrade},
			{Name: "transit", Class: SecretClass, New: factory},
			{Name: "userpass", Class: AuthClass, New: factory},
			{Name: "token", Class: AuthClass, New: factory, Fixed: true, Path: "auth/token/", Description: "token based credentials"},
			{Name: "cubbyhole", Class: SecretClass, New: factory, Fixed: true, Path: "cubbyhole/"},
		}})
	if err != nil {
		d.t.Fatal(err)
	}
	d.Table = table
}

func (d *desk) add(path, kind string) *Mounted {
	d.t.Helper()
	if err := d.Add(d.t.Context(), Entry{Path: path, Type: kind}); err != nil {
		d.t.Fatal(err)
	}
	m, ok := d.At(path)
	if !ok {
		d.t.Fatalf("%s is not there", path)
	}
	return m
}

// dataKeys counts what backends keep.
func (d *desk) dataKeys() (n int) {
	d.t.Helper()
	all := store.PrefixRange([]byte(dataPrefix))
	all.KeysOnly = true
	err := d.store.View(d.t.Context(), func(r store.Reader) error {
		n = 0
		return r.Scan(all, func(_, _ []byte) (bool, error) { n++; return true, nil })
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return n
}

func refused(t *testing.T, err error, text string) {
	t.Helper()
	var e *backend.Error
	if !errors.As(err, &e) || e.Kind != backend.Invalid || !strings.HasPrefix(e.Text, text) {
		t.Errorf("error %v, want %q", err, text)
	}
}

// The longest path wins, whole segments only, and a mount's own path is found without its slash.
func TestFind(t *testing.T) {
	d := newDesk(t)
	for _, path := range []string{"secret/", "team/a/kv/", "secrets/"} {
		d.add(path, "kv")
	}
	d.add("auth/userpass/", "userpass")
	for _, tt := range []struct{ path, mount, below string }{
		{"secret/data/a", "secret/", "data/a"}, {"secret/", "secret/", ""}, {"secret", "secret/", ""},
		{"secrets/x", "secrets/", "x"}, {"secre", "", ""}, {"secretx/a", "", ""},
		{"team/a/kv/x/y", "team/a/kv/", "x/y"}, {"team/a/x", "", ""}, {"team", "", ""},
		{"auth/userpass/login/a", "auth/userpass/", "login/a"}, {"auth/token/create", "auth/token/", "create"},
		{"auth/x", "", ""}, {"", "", ""}, {"/", "", ""}, {"cubbyhole/a", "cubbyhole/", "a"},
	} {
		m, below, ok := d.Find(tt.path)
		if ok != (tt.mount != "") || below != tt.below || (ok && m.Entry.Path != tt.mount) {
			t.Errorf("%q: %t, below %q", tt.path, ok, below)
		}
	}
}

// Contract: sys §7, §8: what cannot be mounted.
func TestAddRefuses(t *testing.T) {
	d := newDesk(t)
	d.add("a/b/", "kv")
	for _, tt := range []struct {
		entry Entry
		text  string
	}{
		{Entry{Path: "auth/x/", Type: "token"}, "token credential backend cannot be instantiated"},
		{Entry{Path: "sys/x/", Type: "kv"}, `cannot mount "sys/x/"`},
		{Entry{Path: "identity/", Type: "kv"}, `cannot mount "identity/"`},
		{Entry{Path: "/", Type: "kv"}, "the mount path is empty"},
		{Entry{Path: "auth/", Type: "userpass"}, "the mount path is empty"},
		{Entry{Path: "x/", Type: "cubbyhole"}, `mount type of "cubbyhole" is not mountable`},
		{Entry{Path: "x/", Type: "nothing"}, "plugin not found in the catalog: nothing"},
		{Entry{Path: "x/", Type: "userpass"}, "plugin not found in the catalog: userpass"},
		{Entry{Path: "auth/x/", Type: "kv"}, "plugin not found in the catalog: kv"},
		{Entry{Path: "x/", Type: "transit", Options: map[string]string{"version": "2"}}, `secrets engine "transit" does not allow setting a version`},
		{Entry{Path: "auth/x/", Type: "userpass", Options: map[string]string{"version": "2"}}, `auth method "userpass" does not allow setting a version`},
		{Entry{Path: "a/b/", Type: "kv"}, "path is already in use at a/b/"},
		{Entry{Path: "a/", Type: "kv"}, "path is already in use at a/b/"},
		{Entry{Path: "a/b/c/", Type: "kv"}, "path is already in use at a/b/"},
		{Entry{Path: "auth/token/", Type: "userpass"}, "path is already in use at token/"},
	} {
		refused(t, d.Add(t.Context(), tt.entry), tt.text)
	}
	if err := d.Add(t.Context(), Entry{Path: "bad/", Type: "kv", Options: map[string]string{"broken": "1"}}); err == nil {
		t.Error("a backend that does not open was mounted")
	}
	d.load()
	if n := len(d.All(SecretClass)); n != 2 {
		t.Errorf("%d secret mounts after refusals", n)
	}
}

// What is mounted is there after a restart, the same one.
func TestTableIsKept(t *testing.T) {
	d := newDesk(t)
	m := d.add("secret/", "kv")
	user := d.add("auth/userpass/", "userpass")
	if !strings.HasPrefix(m.Entry.Accessor, "kv_") || !strings.HasPrefix(user.Entry.Accessor, "auth_userpass_") || user.Info.TokenType != "default-service" {
		t.Errorf("accessors %q, %q; token type %q", m.Entry.Accessor, user.Entry.Accessor, user.Info.TokenType)
	}
	m.Backend.(*engine).put(t)
	tokens, _ := d.At("auth/token/")
	d.load()
	for _, was := range []*Mounted{m, user, tokens} {
		now, ok := d.ByAccessor(was.Entry.Accessor)
		if !ok || now.Entry.UUID != was.Entry.UUID || now.Entry.Path != was.Entry.Path {
			t.Errorf("%s is not what it was", was.Entry.Path)
		}
	}
	if d.dataKeys() != 1 {
		t.Error("the data is gone")
	}
	var paths []string
	for _, m := range d.All(AuthClass) {
		paths = append(paths, m.Entry.Path)
	}
	if !slices.Equal(paths, []string{"auth/token/", "auth/userpass/"}) || !slices.Equal(d.Kinds(SecretClass), []string{"kv", "transit"}) {
		t.Errorf("%q, kinds %q", paths, d.Kinds(SecretClass))
	}
}

// Contract: sys §7 DELETE: what a mount issued is revoked, its data erased, nobody else's.
func TestRemove(t *testing.T) {
	d := newDesk(t)
	m, other := d.add("secret/", "kv"), d.add("other/", "kv")
	m.Backend.(*engine).put(t)
	other.Backend.(*engine).put(t)
	if err := d.Remove(t.Context(), "secret/"); err != nil {
		t.Fatal(err)
	}
	if _, ok := d.At("secret/"); ok || d.dataKeys() != 1 || m.Backend.(*engine).closed.Load() != 1 || !slices.Equal(d.issued.revoked, []string{"secret/"}) {
		t.Errorf("there %t, %d keys, closed %d, revoked %q", ok, d.dataKeys(), m.Backend.(*engine).closed.Load(), d.issued.revoked)
	}
	if m.Enter() {
		t.Error("a removed mount lets calls in")
	}
	if err := d.Remove(t.Context(), "nothing/"); err != nil {
		t.Errorf("removing nothing: %v", err)
	}
	refused(t, d.Remove(t.Context(), "auth/token/"), "token credential backend cannot be disabled")
	refused(t, d.Remove(t.Context(), "sys/"), `cannot unmount "sys/"`)
	refused(t, d.Remove(t.Context(), "cubbyhole/"), `cannot unmount "cubbyhole/"`)
}

// A removal whose revocations fail leaves a mount that serves nothing, whose path nobody gets,
// and which goes when they succeed, after a restart too.
func TestRemovalThatWaits(t *testing.T) {
	d := newDesk(t)
	m := d.add("secret/", "kv")
	m.Backend.(*engine).put(t)
	d.issued.fails = errors.New("away")
	if err := d.Remove(t.Context(), "secret/"); !errors.Is(err, d.issued.fails) {
		t.Fatalf("remove: %v", err)
	}
	check := func() {
		t.Helper()
		if _, _, ok := d.Find("secret/a"); ok {
			t.Error("it still serves")
		}
		if d.dataKeys() != 1 {
			t.Error("its data is gone before what it issued")
		}
		refused(t, d.Add(t.Context(), Entry{Path: "secret/", Type: "kv"}), "path is already in use at secret/")
		if _, ok := d.Leaving(m.Entry.Accessor); !ok {
			t.Error("it is not known to be leaving")
		}
	}
	check()
	d.load()
	check()
	d.issued.fails, d.issued.left = nil, true
	if err := d.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	check()
	d.issued.left = false
	if err := d.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d.dataKeys() != 0 {
		t.Error("its data is left")
	}
	d.add("secret/", "kv")
}

// Contract: sys §9.
func TestMove(t *testing.T) {
	d := newDesk(t)
	m := d.add("secret/", "kv")
	d.add("auth/userpass/", "userpass")
	d.add("taken/", "kv")
	m.Backend.(*engine).put(t)
	for _, tt := range []struct{ from, to, text string }{
		{"sys/", "x/", `cannot remount "sys/"`}, {"cubbyhole/", "x/", `cannot remount "cubbyhole/"`}, {"auth/token/", "auth/x/", `cannot remount "auth/token/"`},
		{"auth/userpass/", "x/", `cannot remount auth mount to non-auth mount "x/"`}, {"secret/", "sys/x/", `cannot remount to destination "sys/x/"`},
		{"secret/", "auth/x/", `cannot remount to destination "auth/x/"`}, {"none/", "x/", `no matching mount at "none/"`}, {"secret/", "taken/", `path already in use at "taken/"`},
	} {
		refused(t, d.Move(t.Context(), tt.from, tt.to), tt.text)
	}
	// Its own old path is no conflict, its neighbour's is: what is issued under a path is one mount's.
	d.add("pair/a/", "kv")
	d.add("pair/b/", "kv")
	refused(t, d.Move(t.Context(), "pair/a/", "pair/"), `path already in use at "pair/b/"`)
	refused(t, d.Move(t.Context(), "pair/b/", "pair/"), `path already in use at "pair/a/"`)
	if err := d.Move(t.Context(), "secret/", "team/secret/"); err != nil {
		t.Fatal(err)
	}
	moved, ok := d.At("team/secret/")
	if !ok || moved.Entry.Accessor != m.Entry.Accessor || moved.Backend != m.Backend || !slices.Equal(d.issued.revoked, []string{"secret/"}) {
		t.Errorf("moved %t, revoked %q", ok, d.issued.revoked)
	}
	if _, _, ok := d.Find("secret/a"); ok {
		t.Error("it is still at its old path")
	}
	d.load()
	if now, ok := d.At("team/secret/"); !ok || now.Entry.UUID != m.Entry.UUID || d.dataKeys() != 1 {
		t.Error("it is not there after a restart")
	}
}

// Tuning changes the limits at once; what it refuses changes nothing; inherited limits follow
// the system's.
func TestTune(t *testing.T) {
	d := newDesk(t)
	m := d.add("secret/", "kv")
	if m.Info.DefaultTTL != time.Hour || m.Info.MaxTTL != 2*time.Hour {
		t.Errorf("inherited %s, %s", m.Info.DefaultTTL, m.Info.MaxTTL)
	}
	tune := func(change func(*Entry) error) error { return d.Tune(t.Context(), "secret/", change) }
	if err := tune(func(e *Entry) error { e.Tuning.MaxTTL = time.Minute; return nil }); err != nil {
		t.Fatal(err)
	}
	if now, _ := d.At("secret/"); now.Info.MaxTTL != time.Minute || now.Info.DefaultTTL != time.Minute || now.Backend != m.Backend {
		t.Errorf("tuned to %s, %s", now.Info.DefaultTTL, now.Info.MaxTTL)
	}
	no := errors.New("no")
	if err := tune(func(e *Entry) error { e.Description = "x"; return no }); !errors.Is(err, no) {
		t.Errorf("refused: %v", err)
	}
	if now, _ := d.At("secret/"); now.Entry.Description != "" {
		t.Error("a refused change was kept")
	}
	if err := d.Tune(t.Context(), "none/", func(*Entry) error { return nil }); !NotMounted(err) {
		t.Errorf("nothing there: %v", err)
	}
	err := tune(func(e *Entry) error { e.Options = map[string]string{"version": "2"}; return nil })
	if now, _ := d.At("secret/"); err != nil || d.upgrades != 1 || now.Backend == m.Backend || m.Backend.(*engine).closed.Load() != 1 {
		t.Errorf("upgrade: %v, %d upgrades, closed %d", err, d.upgrades, m.Backend.(*engine).closed.Load())
	}
}

// A backend is closed after its last call, and no call begins after that.
func TestGate(t *testing.T) {
	d := newDesk(t)
	m := d.add("secret/", "kv")
	b := m.Backend.(*engine)
	var calls sync.WaitGroup
	var late atomic.Int64
	for range 8 {
		calls.Go(func() {
			for range 200 {
				if !m.Enter() {
					return
				}
				if b.closed.Load() > 0 {
					late.Add(1)
				}
				m.Leave()
			}
		})
	}
	if err := d.Remove(t.Context(), "secret/"); err != nil {
		t.Error(err)
	}
	calls.Wait()
	if late.Load() != 0 || b.closed.Load() != 1 {
		t.Errorf("%d calls in a closed backend, closed %d times", late.Load(), b.closed.Load())
	}
}

// Every durable step of a change fails, fails but was persisted, or is the process's last: the
// table opens again, and the mount is at one path with its data, or gone with it.
func TestChangesUnderFaults(t *testing.T) {
	for name, change := range map[string]func(*desk) error{
		"add":    func(d *desk) error { return d.Add(context.Background(), Entry{Path: "new/", Type: "kv"}) },
		"remove": func(d *desk) error { return d.Remove(context.Background(), "secret/") },
		"move":   func(d *desk) error { return d.Move(context.Background(), "secret/", "moved/") },
		"tune": func(d *desk) error {
			return d.Tune(context.Background(), "secret/", func(e *Entry) error { e.Description = "x"; return nil })
		},
		"upgrade": func(d *desk) error {
			return d.Tune(context.Background(), "secret/", func(e *Entry) error { e.Options = map[string]string{"version": "2"}; return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
				inner, err := embedded.OpenMemory()
				if err != nil {
					t.Fatal(err)
				}
				defer inner.Close()
				faulty := storetest.Faulty(inner)
				d := deskOver(t, faulty)
				d.add("secret/", "kv").Backend.(*engine).put(t)
				inject(faulty)
				done := change(d) == nil
				d.store = inner
				d.load()
				if err := d.Resume(t.Context()); err != nil {
					t.Fatal(err)
				}
				there := 0
				for _, path := range []string{"secret/", "moved/"} {
					if m, ok := d.At(path); ok {
						there++
						if done && (name == "move") != (path == "moved/") {
							t.Errorf("at %s after a change that succeeded", m.Entry.Path)
						}
					}
				}
				if there > 1 || d.dataKeys() != there || (done && there == 0 && name != "remove") {
					t.Errorf("at %d paths, %d keys", there, d.dataKeys())
				}
			})
		})
	}
}
