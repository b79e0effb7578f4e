package cli

import (
	"sort"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
)

// tokenCommands manage tokens. contract: cli §6 "token".
func tokenCommands() []command {
	return []command{
		{
			name: "token", synopsis: "Interact with tokens",
			help: `Creates, looks up, renews and revokes tokens.

    $ jeton token create -policy=app -ttl=1h
    $ jeton token lookup -accessor 0Q9tC8yQ4rVnXb1xSm2vJk7Z
    $ jeton token renew -increment=2h
    $ jeton token revoke -accessor 0Q9tC8yQ4rVnXb1xSm2vJk7Z`,
		},
		{
			name: "token create", synopsis: "Create a new token",
			help: `Creates a token that is a child of the token in use: it is revoked with it,
unless -orphan is given.

    $ jeton token create -policy=app -ttl=24h -display-name=my-app
    $ jeton token create -orphan -policy=batch-job -period=1h
    $ jeton token create -role=app -field=token`,
			arity: exactly(0), surface: shows, build: buildTokenCreate,
		},
		{
			name: "token lookup", args: "[TOKEN | ACCESSOR]", synopsis: "Display information about a token",
			help: `Shows a token: the one in use, the one given, or the one that an accessor
belongs to. "-" reads it from standard input.

    $ jeton token lookup
    $ jeton token lookup -accessor 0Q9tC8yQ4rVnXb1xSm2vJk7Z
    $ jeton token lookup - < token.txt`,
			arity: between(0, 1), surface: shows, build: buildTokenLookup,
		},
		{
			name: "token renew", args: "[TOKEN | ACCESSOR]", synopsis: "Renew a token lease",
			help: `Extends the life of a token: the one in use, the one given, or the one that
an accessor belongs to.

    $ jeton token renew
    $ jeton token renew -increment=30m -accessor 0Q9tC8yQ4rVnXb1xSm2vJk7Z
    $ jeton token renew -increment=30m -fail-if-not-fulfilled || jeton login -method=userpass`,
			arity: between(0, 1), surface: shows, build: buildTokenRenew,
		},
		{
			name: "token revoke", args: "[TOKEN | ACCESSOR]", synopsis: "Revoke a token and its children",
			help: `Revokes a token with all its children and their leases. With -mode=orphan the
children stay, as orphans. With -mode=path the argument is a path, and every token
that was created there is revoked.

With filters it revokes every token that all of them select, with all below. They
are dead when the server answers; a job cleans up behind: see "jeton token jobs". A
terminal is shown what would go, and asked; -force does not ask.

    $ jeton token revoke -accessor 0Q9tC8yQ4rVnXb1xSm2vJk7Z
    $ jeton token revoke -self
    $ jeton token revoke -mode=path auth/userpass/login/ann
    $ jeton token revoke -policy=compromised-app -dry-run
    $ jeton token revoke -role=ci -created-before=2026-01-31T12:00:00Z -force`,
			arity: between(0, 1), surface: talks, build: buildTokenRevoke,
		},
		{
			name: "token capabilities", args: "[TOKEN | ACCESSOR] PATH", synopsis: "Print capabilities of a token on a path",
			help: `Prints what a token may do at PATH: the one in use, the one given, or, with
-accessor, the one that an accessor belongs to.

    $ jeton token capabilities secret/data/app
    $ jeton token capabilities -accessor 0Q9tC8yQ4rVnXb1xSm2vJk7Z secret/data/app`,
			arity: between(1, 2), surface: talks, build: buildTokenCapabilities,
		},
	}
}

// createFlags are the parameters of a new token.
type createFlags struct {
	id, displayName, role, kind, entityAlias string
	ttl, explicitMax, period                 time.Duration
	renewable, orphan, noDefault             bool
	uses                                     int
	metadata                                 map[string]string
	policies                                 []string
}

func (p *createFlags) register(f *flagSet) {
	p.renewable, p.kind = true, "service"
	f.str(&p.id, flagSpec{name: "id", usage: "Value of the token. Leave it out to get a random one; needs root."})
	f.str(&p.displayName, flagSpec{name: "display-name", usage: "Name for logs; no secret."})
	f.span(&p.ttl, flagSpec{name: "ttl", usage: `First time to live, such as "30m" or "24h".`})
	f.span(&p.explicitMax, flagSpec{name: "explicit-max-ttl", usage: "Longest life, whatever is renewed."})
	f.span(&p.period, flagSpec{name: "period", usage: "Makes the token periodic: every renewal sets its time to live to this, without an end."})
	f.truth(&p.renewable, flagSpec{name: "renewable", usage: "Whether the token can be renewed. The default is true."})
	f.truth(&p.orphan, flagSpec{name: "orphan", usage: "Create the token without a parent, so that it outlives this one."})
	f.truth(&p.noDefault, flagSpec{name: "no-default-policy", usage: `Leave out the policy "default".`})
	f.number(&p.uses, flagSpec{name: "use-limit", usage: "How often the token can be used; 0 is without limit."})
	f.str(&p.role, flagSpec{name: "role", usage: "Token role to create the token with."})
	f.str(&p.kind, flagSpec{name: "type", usage: `"service" or "batch".`})
	f.pairs(&p.metadata, flagSpec{name: "metadata", usage: "key=value to keep with the token. Repeatable."})
	f.list(&p.policies, flagSpec{name: "policy", usage: "Policy of the token. Repeatable."})
	f.str(&p.entityAlias, flagSpec{name: "entity-alias", usage: "Alias to tie the token to an entity with; needs -role."})
}

func (p *createFlags) request() *api.TokenCreateRequest {
	return &api.TokenCreateRequest{
		ID:              p.id,
		Policies:        p.policies,
		Metadata:        p.metadata,
		TTL:             p.ttl.String(),
		ExplicitMaxTTL:  p.explicitMax.String(),
		Period:          p.period.String(),
		NoParent:        p.orphan,
		NoDefaultPolicy: p.noDefault,
		DisplayName:     p.displayName,
		NumUses:         p.uses,
		Renewable:       &p.renewable,
		Type:            p.kind,
		EntityAlias:     p.entityAlias,
	}
}

func buildTokenCreate(f *flagSet) runFunc {
	p := new(createFlags)
	p.register(f)
	return func(s *session, _ []string) error {
		for _, name := range p.policies {
			if parts := strings.Split(name, ","); len(parts) > 1 {
				s.con.warn("WARNING! %q is taken as the name of one policy. Did you mean -policy=%s ?", name, strings.Join(parts, " -policy="))
			}
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		var sec *api.Secret
		if p.role != "" {
			sec, err = c.Auth().Token().CreateWithRoleWithContext(s.ctx, p.request(), p.role)
		} else {
			sec, err = c.Auth().Token().CreateWithContext(s.ctx, p.request())
		}
		if err != nil {
			return s.remote("creating token", err)
		}
		return s.secret(sec)
	}
}

func buildTokenLookup(f *flagSet) runFunc {
	var accessor bool
	f.truth(&accessor, flagSpec{name: "accessor", usage: "The argument is an accessor; the token itself is not shown."})
	return func(s *session, args []string) error {
		if accessor && len(args) == 0 {
			return local("Not enough arguments with -accessor (expected 1, got 0)")
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		tokens := c.Auth().Token()
		var sec *api.Secret
		switch {
		case len(args) == 0:
			sec, err = tokens.LookupSelfWithContext(s.ctx)
		case accessor:
			sec, err = tokens.LookupAccessorWithContext(s.ctx, strings.TrimSpace(args[0]))
		default:
			var token string
			if token, err = s.secretArgument(args[0]); err != nil {
				return err
			}
			sec, err = tokens.LookupWithContext(s.ctx, token)
		}
		if err != nil {
			return s.remote("looking up token", err)
		}
		return s.secret(sec)
	}
}

func buildTokenRenew(f *flagSet) runFunc {
	var accessor, whole bool
	var increment time.Duration
	f.truth(&accessor, flagSpec{name: "accessor", usage: "The argument is an accessor."})
	f.span(&increment, flagSpec{name: "increment", aliases: []string{"i"}, usage: "Time to live to ask for; the server may give less."})
	f.truth(&whole, flagSpec{name: "fail-if-not-fulfilled", usage: "Exit with 2 when the server gives less than -increment, after printing what it gave."})
	return func(s *session, args []string) error {
		if accessor && len(args) == 0 {
			return local("Not enough arguments with -accessor (expected 1, got 0)")
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		tokens, more := c.Auth().Token(), int(increment/time.Second)
		var sec *api.Secret
		switch {
		case len(args) == 0:
			sec, err = tokens.RenewSelfWithContext(s.ctx, more)
		case accessor:
			sec, err = tokens.RenewAccessorWithContext(s.ctx, strings.TrimSpace(args[0]), more)
		default:
			var token string
			if token, err = s.secretArgument(args[0]); err != nil {
				return err
			}
			sec, err = tokens.RenewWithContext(s.ctx, token, more)
		}
		if err != nil {
			return s.remote("renewing token", err)
		}
		if err := s.secret(sec); err != nil {
			return err
		}
		if whole && sec != nil && sec.Auth != nil && sec.Auth.LeaseDuration < more {
			return nothing("The token was renewed for %s, which is less than the %s that was asked for", humanSeconds(int64(sec.Auth.LeaseDuration)), humanSeconds(int64(more)))
		}
		return nil
	}
}

type revokeFlags struct {
	self, accessor bool
	mode           string
}

// check refuses combinations that mean nothing.
func (p *revokeFlags) check(args []string) error {
	switch {
	case p.self && len(args) > 0:
		return local("Too many arguments with -self (expected 0, got %d)", len(args))
	case p.self && p.accessor:
		return local("Cannot use -self with -accessor!")
	case p.self && p.mode != "":
		return local("Cannot use -self with -mode!")
	case !p.self && len(args) == 0:
		return local("Not enough arguments (expected 1 or -self, got 0)")
	case p.accessor && p.mode == "orphan":
		return local("Cannot use -accessor with -mode=orphan!")
	case p.accessor && p.mode == "path":
		return local("Cannot use -accessor with -mode=path!")
	case p.mode != "" && p.mode != "orphan" && p.mode != "path":
		return local("Invalid mode: %s", p.mode)
	}
	return nil
}

func buildTokenRevoke(f *flagSet) runFunc {
	p := new(revokeFlags)
	f.truth(&p.self, flagSpec{name: "self", usage: "Revoke the token in use."})
	f.truth(&p.accessor, flagSpec{name: "accessor", usage: "The argument is an accessor."})
	f.str(&p.mode, flagSpec{name: "mode", usage: `"orphan" or "path"; see above.`})
	matching := new(matchFlags)
	matching.register(f)
	return func(s *session, args []string) error {
		if body, err := matching.given(p, args); body != nil || err != nil {
			if err != nil {
				return err
			}
			return matching.run(s, body)
		}
		if err := p.check(args); err != nil {
			return err
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		tokens := c.Auth().Token()
		arg := ""
		if len(args) > 0 {
			if arg, err = s.secretArgument(args[0]); err != nil {
				return err
			}
		}
		switch {
		case p.self:
			err = tokens.RevokeSelfWithContext(s.ctx, "")
		case p.accessor:
			err = tokens.RevokeAccessorWithContext(s.ctx, arg)
		case p.mode == "path":
			err = c.Sys().RevokePrefixWithContext(s.ctx, trimPath(arg))
		case p.mode == "orphan":
			err = tokens.RevokeOrphanWithContext(s.ctx, arg)
		default:
			err = tokens.RevokeTreeWithContext(s.ctx, arg)
		}
		if err != nil {
			return s.remote("revoking token", err)
		}
		return s.success("Success! Revoked token (if it existed)")
	}
}

func buildTokenCapabilities(f *flagSet) runFunc {
	var accessor bool
	f.truth(&accessor, flagSpec{name: "accessor", usage: "The first argument is an accessor."})
	return func(s *session, args []string) error {
		if accessor && len(args) < 2 {
			return local("Not enough arguments with -accessor (expected 2, got %d)", len(args))
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		path := trimPath(args[len(args)-1])
		var found []string
		switch {
		case len(args) == 1:
			found, err = c.Sys().CapabilitiesSelfWithContext(s.ctx, path)
		case accessor:
			found, err = c.Sys().CapabilitiesAccessorWithContext(s.ctx, args[0], path)
		default:
			var token string
			if token, err = s.secretArgument(args[0]); err != nil {
				return err
			}
			found, err = c.Sys().CapabilitiesWithContext(s.ctx, token, path)
		}
		if err != nil {
			return s.remote("listing capabilities", err)
		}
		if len(found) == 0 {
			return local("No capabilities found")
		}
		sort.Strings(found)
		if !s.out.table() {
			return s.machine(found)
		}
		s.con.print(strings.Join(found, ", "))
		return nil
	}
}
