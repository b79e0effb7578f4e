package ldap

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

type loginRequest struct {
	Username string `json:"username" doc:"Name of the user."`
	Password string `json:"password" doc:"The password."`
}

// login proves a password to the directory. Contract: auth-methods §4.3, and §8 for the lockout.
func (m *Method) login(ctx context.Context, c *backend.Call, req *loginRequest) (*backend.Response, error) {
	until := time.NewTimer(m.refusedAfter)
	defer until.Stop()
	response, err := m.tryLogin(ctx, c, req)
	return response, held(ctx, until, err)
}

func (m *Method) tryLogin(ctx context.Context, c *backend.Call, req *loginRequest) (*backend.Response, error) {
	config, err := m.config(ctx)
	if err != nil {
		return nil, err
	}
	bound, err := auth.ParsePrefixes(config.BoundCIDRs)
	if err != nil {
		return nil, err
	}
	if !auth.Within(bound, c.Remote.Addr()) {
		return nil, backend.Errorf(backend.Denied, "permission denied")
	}
	if err := config.ready(req.Password); err != nil {
		return nil, err
	}
	name, err := fold(req.Username, config.Names.CaseSensitive)
	if err != nil {
		return nil, errRefused
	}
	p, err := m.prove(ctx, config, name, req.Password, true)
	if err != nil {
		return nil, err
	}
	if len(p.groups) == 0 {
		c.Warn("no LDAP groups found in groupDN \"" + config.Groups.DN + "\"; only policies from locally-defined groups available")
	}
	state, err := record.Encode(&loginState{Name: name, Password: req.Password})
	if err != nil {
		return nil, err
	}
	login := config.Login(bound)
	login.Policies = p.policies
	login.DisplayName = name
	login.Metadata = map[string]string{"username": name}
	login.Alias = &backend.Alias{Name: p.alias, Metadata: map[string]string{"name": name}}
	login.GroupAliases = p.groups
	login.State = state
	login.Consume = func(tx store.Tx) error { return m.confirm(m.area.Within(tx), config, name, p) }
	return &backend.Response{Login: login}, nil
}

// ready refuses what is not to be sent to a directory.
func (c *configRecord) ready(password string) error {
	switch {
	case !c.written():
		return backend.Invalidf("ldap backend not configured")
	case c.Users.DenyNullBind && strings.TrimLeft(password, "\x00") == "", c.Users.DenyNullBind && strings.HasPrefix(password, "\x00"):
		// A directory that reads passwords as C does takes one that begins with NUL for empty.
		return backend.Invalidf("password cannot be of zero length when passwordless binds are being denied")
	}
	return nil
}

// confirm runs in the transaction that stores the token: a configuration that was changed while
// the old directory was asked gives no token, nor does a mapping that was taken away meanwhile.
func (m *Method) confirm(tx store.Tx, asked *configRecord, name string, p *proof) error {
	now, err := readConfig(tx)
	if err != nil {
		return err
	}
	if now.Revision != asked.Revision {
		return backend.Errorf(backend.Conflict, "the configuration was changed during the login")
	}
	if !asked.searches() {
		if err := remember(tx, name); err != nil {
			return err
		}
	}
	if m.mappings.Load() == p.mappings {
		return nil // The many groups of a person are not to be read twice, and here others wait.
	}
	policies, err := policiesOf(tx, asked, name, p.groups)
	if err == nil && !slices.Equal(policies, p.policies) {
		err = backend.Errorf(backend.Conflict, "the policies were changed during the login: try again")
	}
	return err
}

// proof is what a login or renewal found out.
type proof struct {
	alias string
	// groups are the directory's, never nil; policies those that all groups and the user have.
	groups, policies []string
	// mappings is the number of changes that policies were read after.
	mappings uint64
}

// prove asks the directory. A guess is counted; the proof at a renewal is none, since whoever
// renews does not choose the password. Contract: auth-methods §8.
func (m *Method) prove(ctx context.Context, config *configRecord, name, password string, guess bool) (*proof, error) {
	d, err := m.open(config)
	if err != nil {
		return nil, err
	}
	leave, err := m.crowd.Enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	within, cancel := context.WithTimeout(ctx, d.budget())
	defer cancel()
	t := &try{method: m, directory: d, guess: guess}
	defer t.end()
	found, groups, err := t.run(within, name, password)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			err = broken("failed to ask for a bind as user", err)
		}
		return nil, err
	}
	if strings.TrimSpace(found.alias) == "" {
		return nil, backend.Invalidf("missing entity alias attribute value")
	}
	p := &proof{alias: found.alias, groups: append([]string{}, groups...)}
	// Before the mappings are read: a change meanwhile is seen twice rather than never.
	p.mappings = m.mappings.Load()
	err = m.area.View(ctx, func(r store.Reader) (err error) {
		p.policies, err = policiesOf(r, config, name, groups)
		return err
	})
	return p, err
}

// try is one attempt to prove a password.
type try struct {
	method    *Method
	directory *directory
	guess     bool

	attempt *auth.Attempt
	done    func()
}

// count begins to count the attempt under a name, in place of one that it was counted under.
func (t *try) count(ctx context.Context, name string) (err error) {
	if !t.guess {
		return nil
	}
	if t.attempt != nil {
		t.attempt.Release()
		t.attempt = nil
	}
	if t.attempt, err = t.method.lockout.Begin(ctx, auth.Canonical(name)); err != nil {
		return err
	}
	return t.method.area.View(ctx, t.attempt.Check)
}

// talk takes a place among those who ask the directory.
func (t *try) talk(ctx context.Context) (err error) {
	t.done, err = t.method.crowd.talk(ctx)
	return err
}

// hush gives the place back.
func (t *try) hush() {
	if t.done != nil {
		t.done()
		t.done = nil
	}
}

// end gives everything back.
func (t *try) end() {
	t.hush()
	if t.attempt != nil {
		t.attempt.Release()
	}
}

func (t *try) run(ctx context.Context, name, password string) (*candidate, []string, error) {
	if err := t.count(ctx, name); err != nil {
		return nil, nil, err
	}
	if err := t.talk(ctx); err != nil {
		return nil, nil, err
	}
	found, err := t.directory.identify(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	if t.guess && auth.Canonical(found.own) != auth.Canonical(name) {
		// Nobody may wait for the lockout while holding what others need to get out of it.
		t.hush()
		if err := t.count(ctx, found.own); err != nil {
			return nil, nil, err
		}
		if err := t.talk(ctx); err != nil {
			return nil, nil, err
		}
	}
	groups, err := t.directory.prove(ctx, found, password)
	if t.attempt != nil {
		switch {
		case errors.Is(err, errRefused):
			if failed := t.failed(ctx, found); failed != nil {
				return nil, nil, failed
			}
		case err == nil:
			t.attempt.Succeeded()
		}
	}
	return found, groups, err
}

// failed counts a wrong guess: as a user's where there is such a user, as far as anybody can know.
func (t *try) failed(ctx context.Context, found *candidate) error {
	known := found.known
	if !t.directory.config.searches() {
		var err error
		if known, err = t.method.knows(ctx, found.own); err != nil {
			return err
		}
	}
	if known {
		return t.attempt.Failed(ctx)
	}
	return t.attempt.FailedStranger(ctx)
}

// policiesOf are the policies of the configuration, of the directory's groups, of the groups that
// the user has here, and the user's own. Contract: auth-methods §4.3 step 9.
func policiesOf(r store.Reader, config *configRecord, name string, groups []string) ([]string, error) {
	policies := slices.Clone(config.Policies)
	user, err := record.Get[userRecord](r, userKey(name))
	if err != nil {
		return nil, err
	}
	mine := slices.Clone(groups)
	if user != nil {
		policies = append(policies, user.Policies...)
		mine = append(mine, user.Groups...)
	}
	for _, group := range mine {
		folded, err := fold(group, config.Names.CaseSensitive)
		if err != nil {
			continue // no mapping can have such a name
		}
		mapped, err := record.Get[groupRecord](r, groupKey(folded))
		if err != nil {
			return nil, err
		}
		if mapped != nil {
			policies = append(policies, mapped.Policies...)
		}
	}
	slices.Sort(policies)
	return slices.Compact(policies), nil
}

// loginState stays with a token (encrypted), to prove its user again at renewal.
type loginState struct {
	Name     string `cbor:"1,keyasint"`
	Password string `cbor:"2,keyasint,omitempty"`
}

// RenewLogin binds as the user again and asks for the groups again. Contract: auth-methods §1.3
// and §4.3.
func (m *Method) RenewLogin(ctx context.Context, renewal backend.Renewal) (*backend.Login, error) {
	var state loginState
	if err := record.Decode(renewal.State, &state); err != nil {
		return nil, err
	}
	config, err := m.config(ctx)
	if err != nil {
		return nil, err
	}
	if err := config.ready(state.Password); err != nil {
		return nil, err
	}
	p, err := m.prove(ctx, config, state.Name, state.Password, false)
	if err != nil {
		return nil, err
	}
	if !auth.SamePolicies(p.policies, renewal.Policies) {
		return nil, backend.Invalidf("failed to renew entry: policies have changed, not renewing")
	}
	return &backend.Login{Terms: config.Terms(), GroupAliases: p.groups}, nil
}
