// Package ldap owns the login method that asks an LDAP directory (OpenLDAP, Active Directory).
//
// A login is: find the user's entry (directory.go), bind as the user on a connection of its own,
// ask for the groups (groups.go), and map names to policies (mapping.go). Whatever comes from a
// user reaches a filter or a DN through names.go only.
package ldap

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Method is the login method of one mount.
type Method struct {
	area    *store.Area
	clock   clock.Clock
	log     *slog.Logger
	lockout *auth.Lockout
	crowd   *crowd
	// refusedAfter is a constant, see held.
	refusedAfter time.Duration
	// asWritten says that names differ by case. Routes ask it for every request.
	asWritten atomic.Bool
	// mappings counts the commits that changed what names stand for; a login looks whether it has
	// changed. unsubscribe ends the counting.
	mappings    atomic.Uint64
	unsubscribe func()

	// writing is held while the configuration is changed, so that asWritten follows the
	// order of the commits.
	writing sync.Mutex
	// rotating is held during a rotation, which takes several commits and asks the directory.
	rotating sync.Mutex
	current  current
}

// current is the directory as it was last asked for.
type current struct {
	sync.Mutex
	directory *directory
	closed    bool
}

var (
	_ backend.Factory = New
	_ backend.Renewer = (*Method)(nil)
	_ backend.Closer  = (*Method)(nil)
	_ backend.Checker = (*Method)(nil)
	_ auth.Lockable   = (*Method)(nil)
	_ backend.Locker  = (*Method)(nil)
)

// New opens the method that lives in env.Area. It reads one record and asks no directory.
func New(ctx context.Context, env backend.Env) (backend.Backend, error) {
	return Refusing(refusedAfter)(ctx, env)
}

// Refusing is New with another time after which refused logins are answered.
func Refusing(after time.Duration) backend.Factory {
	return func(ctx context.Context, env backend.Env) (backend.Backend, error) { return open(ctx, env, after) }
}

func open(ctx context.Context, env backend.Env, refusedAfter time.Duration) (backend.Backend, error) {
	m := &Method{area: env.Area, clock: env.Clock, log: env.Log, crowd: newCrowd(), refusedAfter: refusedAfter}
	m.lockout = auth.NewLockout(auth.DefaultLockout(), env.Area, env.Clock)
	config, err := m.config(ctx)
	if err != nil {
		return nil, err
	}
	m.asWritten.Store(config.Names.CaseSensitive)
	m.unsubscribe = env.Area.Subscribe(m.changed)
	return m, nil
}

// changed is told of every commit in the area.
func (m *Method) changed(c store.Commit) {
	isMapping := func(key []byte) bool {
		return strings.HasPrefix(string(key), groupPrefix) || strings.HasPrefix(string(key), userPrefix)
	}
	if len(c.Ranges) > 0 || slices.ContainsFunc(c.Keys, isMapping) {
		m.mappings.Add(1)
	}
}

// Close ends the connections that are kept.
func (m *Method) Close() error {
	m.unsubscribe()
	m.current.Lock()
	m.current.closed = true
	m.current.Unlock()
	m.forget()
	return nil
}

// forget ends the connections that are kept to the directory of before.
func (m *Method) forget() {
	m.current.Lock()
	defer m.current.Unlock()
	if m.current.directory != nil {
		m.current.directory.close()
		m.current.directory = nil
	}
}

// ConfigureLockout says when guessing is stopped here.
func (m *Method) ConfigureLockout(config backend.Lockout) { m.lockout.Configure(config) }

// Locked are the names of the users that are locked now, sorted.
func (m *Method) Locked(ctx context.Context) ([]string, error) { return m.lockout.Locked(ctx) }

// Unlock frees a user; one that is not locked is no error.
func (m *Method) Unlock(ctx context.Context, alias string) error {
	return m.lockout.Unlock(ctx, alias)
}

// Routes is the method's table. Names are read in lower case, also by the ACL, unless the
// configuration says that they differ by case. Contract: auth-methods §4; CVE-2026-89322.
func (m *Method) Routes() []backend.Route {
	return []backend.Route{
		{
			Pattern: "config",
			Summary: "How to ask the directory.",
			Read:    backend.Handle(m.readConfig),
			Write:   backend.Handle(m.writeConfig),
		},
		{
			Pattern: "config/rotate-root",
			Summary: "Give the account that searches a new password that only this server knows.",
			Write:   backend.Handle(m.rotate),
		},
		{
			Pattern: "groups",
			Summary: "Names of the groups that have policies.",
			List:    backend.Handle(m.listGroups),
		},
		{
			Pattern: "groups/{name|lower...}", AsWritten: m.asWritten.Load,
			Summary: "Policies of the members of a group.",
			Read:    backend.Handle(m.readGroup),
			Write:   backend.Handle(m.writeGroup),
			Delete:  backend.Handle(m.deleteGroup),
		},
		{
			Pattern: "users",
			Summary: "Names of the users that have policies or groups of their own here.",
			List:    backend.Handle(m.listUsers),
		},
		{
			Pattern: "users/{name|lower...}", AsWritten: m.asWritten.Load,
			Summary: "Policies and groups of one user.",
			Read:    backend.Handle(m.readUser),
			Write:   backend.Handle(m.writeUser),
			Delete:  backend.Handle(m.deleteUser),
		},
		{
			Pattern: "login/{username|lower...}", AsWritten: m.asWritten.Load, Open: true,
			Summary: "Log in with the password that the directory knows.",
			Write:   backend.Handle(m.login),
		},
	}
}

// The area of a mount:
//
//	config        configRecord
//	group/NAME    groupRecord
//	user/NAME     userRecord
//	known/NAME    empty: who has logged in, see remember
//	lock/NAME     auth.Lockout's
var configKey = []byte("config")

const (
	groupPrefix = "group/"
	userPrefix  = "user/"
	knownPrefix = "known/"
)

// config reads the configuration; the defaults when there is none, see configRecord.written.
func (m *Method) config(ctx context.Context) (*configRecord, error) {
	var c *configRecord
	err := m.area.View(ctx, func(r store.Reader) (err error) {
		c, err = readConfig(r)
		return err
	})
	return c, err
}

func readConfig(r store.Reader) (*configRecord, error) {
	c, err := record.Get[configRecord](r, configKey)
	if c == nil && err == nil {
		c = defaults()
	}
	return c, err
}

// open is the directory that a configuration describes: the one of the last call when that is
// the same still, so that its connections are used again.
func (m *Method) open(c *configRecord) (*directory, error) {
	m.current.Lock()
	defer m.current.Unlock()
	if d := m.current.directory; d != nil && d.describedBy(c) {
		return d, nil
	}
	d, err := newDirectory(c, m.clock, m.log)
	if err != nil {
		return nil, err
	}
	d.promoted = m.promote
	if m.current.closed {
		// A straggler: it may finish, but nothing is kept for anybody after it.
		d.pool.close()
		return d, nil
	}
	if m.current.directory != nil {
		m.current.directory.close()
	}
	m.current.directory = d
	return d, nil
}
