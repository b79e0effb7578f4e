// Package userpass owns the login method of user names and passwords.
package userpass

import (
	"bytes"
	"context"
	"crypto/rand"

	"golang.org/x/crypto/bcrypt"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Method is the login method of one mount. User names are in lower case everywhere: the
// routes see to it before the policies are asked (CVE-2026-89322).
type Method struct {
	area    *store.Area
	clock   clock.Clock
	lockout *auth.Lockout
	// cost is bcrypt's, for the hashes made here; no login works less.
	cost int
}

var (
	_ backend.Factory = New
	_ backend.Renewer = (*Method)(nil)
	_ auth.Lockable   = (*Method)(nil)
	_ backend.Locker  = (*Method)(nil)
)

// New opens the method that lives in env.Area.
func New(ctx context.Context, env backend.Env) (backend.Backend, error) {
	return AtCost(defaultCost)(ctx, env)
}

// AtCost is New with another cost of bcrypt: the time of a login doubles with each step.
func AtCost(cost int) backend.Factory {
	return func(_ context.Context, env backend.Env) (backend.Backend, error) {
		lockout := auth.NewLockout(auth.DefaultLockout(), env.Area, env.Clock)
		return &Method{area: env.Area, clock: env.Clock, lockout: lockout, cost: cost}, nil
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

// Routes is the method's table. Contract: auth-methods §3.
func (m *Method) Routes() []backend.Route {
	return []backend.Route{
		{
			Pattern: "login/{username|lower}", Open: true,
			Summary: "Log in with a password.",
			Write:   backend.Handle(m.login),
		},
		{
			Pattern: "users",
			Summary: "Names of the users.",
			List:    backend.Handle(m.list),
		},
		{
			Pattern: "users/{username|lower}",
			Summary: "One user.",
			Exists:  m.exists,
			Read:    backend.Handle(m.read),
			Write:   backend.Handle(m.write),
			Delete:  backend.Handle(m.remove),
		},
		{
			Pattern: "users/{username|lower}/password",
			Summary: "Change a user's password.",
			Write:   backend.Handle(m.setPassword),
		},
		{
			Pattern: "users/{username|lower}/policies",
			Summary: "Change the policies of a user's tokens.",
			Write:   backend.Handle(m.setPolicies),
		},
	}
}

// The area of a mount:
//
//	user/NAME    userRecord
//	work         one byte, the highest bcrypt cost among the hashes, where above our own
//	lock/NAME    auth.Lockout's
const userPrefix = "user/"

var workKey = []byte("work")

func userKey(name string) []byte { return []byte(userPrefix + name) }

// userRecord is a user as it is stored. Fields 1 to 19 are the TokenRecord's.
type userRecord struct {
	auth.TokenRecord
	// UID tells the user from a later one of the same name.
	UID []byte `cbor:"20,keyasint"`
	// Hash is bcrypt's.
	Hash []byte `cbor:"21,keyasint"`
}

func getUser(r store.Reader, name string) (*userRecord, error) {
	return record.Get[userRecord](r, userKey(name))
}

// putUser judges the user whole and writes it.
func (m *Method) putUser(tx store.Tx, name string, u *userRecord) error {
	if err := u.Validate(); err != nil {
		return err
	}
	dear, err := bcrypt.Cost(u.Hash)
	if err != nil {
		return err
	}
	known, err := m.work(tx)
	if err != nil {
		return err
	}
	if dear > known {
		if err := tx.Put(workKey, []byte{byte(dear)}); err != nil {
			return err
		}
	}
	return record.Put(tx, userKey(name), u)
}

// work is the cost at which every login of the mount works, see verify.
func (m *Method) work(r store.Reader) (int, error) {
	b, err := r.Get(workKey)
	if isNotFound(err) {
		return m.cost, nil
	}
	if err != nil || len(b) != 1 {
		return m.cost, err
	}
	return max(m.cost, int(b[0])), nil
}

// named carries the capture of every path below users/ and login/.
type named struct {
	Username string `json:"username" doc:"Name of the user."`
}

type userRequest struct {
	named
	credentials
	auth.TokenParams
	Policies   *backend.CommaList     `json:"policies" doc:"Old name of token_policies."`
	TTL        *backend.SignedSeconds `json:"ttl" doc:"Old name of token_ttl."`
	MaxTTL     *backend.SignedSeconds `json:"max_ttl" doc:"Old name of token_max_ttl."`
	BoundCIDRs *backend.CommaList     `json:"bound_cidrs" doc:"Old name of token_bound_cidrs."`
}

func (m *Method) exists(ctx context.Context, c *backend.Call) (bool, error) {
	u, err := m.user(ctx, c.Capture("username"))
	return u != nil, err
}

func (m *Method) user(ctx context.Context, name string) (*userRecord, error) {
	var found *userRecord
	err := m.area.View(ctx, func(r store.Reader) (err error) {
		found, err = getUser(r, name)
		return err
	})
	return found, err
}

// write creates or updates a user; an update without a password keeps the old one.
func (m *Method) write(ctx context.Context, c *backend.Call, req *userRequest) (*backend.None, error) {
	hash, err := req.hash(m.cost)
	if err != nil {
		return nil, err
	}
	uid := make([]byte, 16)
	rand.Read(uid)
	old := auth.Synonyms{Policies: req.Policies, TTL: req.TTL, MaxTTL: req.MaxTTL, BoundCIDRs: req.BoundCIDRs}
	return nil, m.area.Update(ctx, func(tx store.Tx) error {
		u, err := getUser(tx, req.Username)
		if err != nil {
			return err
		}
		switch {
		case u == nil && c.Operation != backend.Create:
			return backend.Errorf(backend.NotFound, "username does not exist")
		case u != nil && c.Operation == backend.Create:
			// The caller was allowed to create, not to change what another just made.
			return backend.Errorf(backend.Conflict, "username was created by another request")
		case u == nil && hash == nil:
			return errNoCredentials()
		case u == nil:
			u = &userRecord{UID: uid}
		}
		if hash != nil {
			u.Hash = hash
		}
		if err := u.Apply(req.TokenParams, old); err != nil {
			return err
		}
		return m.putUser(tx, req.Username, u)
	})
}

func (m *Method) read(ctx context.Context, _ *backend.Call, req *named) (*auth.TokenView, error) {
	u, err := m.user(ctx, req.Username)
	if u == nil || err != nil {
		return nil, err
	}
	view := u.View()
	return &view, nil
}

// remove deletes the user with its lock. Its tokens live until they are renewed.
func (m *Method) remove(ctx context.Context, _ *backend.Call, req *named) (*backend.None, error) {
	err := m.area.Update(ctx, func(tx store.Tx) error {
		if err := m.lockout.Erase(tx, req.Username); err != nil {
			return err
		}
		return tx.Delete(userKey(req.Username))
	})
	if err == nil {
		m.lockout.Forget(req.Username)
	}
	return nil, err
}

type listRequest struct {
	After string `json:"after" doc:"List what comes after this name."`
	Limit int    `json:"limit" doc:"List no more than this many; 0 is all."`
}

func (m *Method) list(ctx context.Context, _ *backend.Call, req *listRequest) (*backend.Keys, error) {
	names, err := auth.ListNames(ctx, m.area, userPrefix, req.After, req.Limit)
	return backend.Listing(names), err
}

type passwordRequest struct {
	named
	credentials
}

func (m *Method) setPassword(ctx context.Context, _ *backend.Call, req *passwordRequest) (*backend.None, error) {
	hash, err := req.hash(m.cost)
	if err != nil {
		return nil, err
	}
	if hash == nil {
		return nil, errNoCredentials()
	}
	return nil, m.change(ctx, req.Username, func(u *userRecord) error {
		u.Hash = hash
		return nil
	})
}

type policiesRequest struct {
	named
	TokenPolicies *backend.CommaList `json:"token_policies" doc:"Policies of the user's tokens."`
	Policies      *backend.CommaList `json:"policies" doc:"Old name of token_policies."`
}

func (m *Method) setPolicies(ctx context.Context, _ *backend.Call, req *policiesRequest) (*backend.None, error) {
	if req.TokenPolicies == nil && req.Policies == nil {
		return nil, backend.Invalidf("missing token_policies")
	}
	return nil, m.change(ctx, req.Username, func(u *userRecord) error {
		return u.Apply(auth.TokenParams{TokenPolicies: req.TokenPolicies}, auth.Synonyms{Policies: req.Policies})
	})
}

// change rewrites a user that must be there.
func (m *Method) change(ctx context.Context, name string, change func(*userRecord) error) error {
	return m.area.Update(ctx, func(tx store.Tx) error {
		u, err := getUser(tx, name)
		if err != nil {
			return err
		}
		if u == nil {
			return backend.Errorf(backend.NotFound, "username does not exist")
		}
		if err := change(u); err != nil {
			return err
		}
		return m.putUser(tx, name, u)
	})
}

// same says that u is the very user, with the same password.
func (u *userRecord) same(other *userRecord) bool {
	return other != nil && bytes.Equal(u.UID, other.UID) && bytes.Equal(u.Hash, other.Hash)
}
