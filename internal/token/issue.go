package token

import (
	"context"
	"slices"
	"strings"
	"time"

	"jeton/internal/backend"
	"jeton/internal/store"
)

// IssueLogin stores the token that a login earned. path is the request path, mount the login
// method's. What the login consumes is consumed in the same transaction, or the login fails.
// Contract: auth-methods §1.1.
func (s *Store) IssueLogin(ctx context.Context, login *backend.Login, mount backend.Mount, path, entityID string) (*Issued, error) {
	now := s.clock.Now()
	t := &Token{
		Meta:       login.Metadata,
		EntityID:   entityID,
		Uses:       login.NumUses,
		BoundCIDRs: login.BoundCIDRs,
		Batch:      loginType(mount.TokenType, login.Type) == backend.BatchType,
		Origin:     Origin{Path: path, DisplayName: loginName(mount.Path, login.DisplayName), Mount: mount.Accessor, State: login.State},
	}
	names := login.Policies
	if !login.NoDefaultPolicy {
		names = append(slices.Clip(names), defaultPolicy)
	}
	var err error
	if t.Policies, err = canonicalPolicies(names); err != nil {
		return nil, err
	}
	if slices.Contains(t.Policies, rootPolicy) {
		return nil, backend.Invalidf("auth methods cannot create root tokens")
	}
	if err := assignable(t.Policies); err != nil {
		return nil, err
	}
	out := &Issued{Token: t}
	terms := login.Terms
	bounds := span{now: now, issued: now, asked: terms.TTL, period: terms.Period,
		explicitMax: terms.ExplicitMaxTTL, maxTTL: terms.MaxTTL, mount: mount}
	if t.Batch {
		// Nobody renews it: what the method wants back at renewal (a password, say) must not
		// travel in the token.
		bounds.period, t.Uses, t.Origin.State = 0, 0, nil
	}
	if out.TTL, out.Warnings, err = bounds.resolve(); err != nil {
		return nil, err
	}
	t.Life = Life{Created: now.UnixNano(), CreationTTL: secondsOf(out.TTL), Renewable: terms.Renewable && !t.Batch, Leased: !t.Batch,
		ExplicitMax: secondsOf(terms.ExplicitMaxTTL), AskedExplicitMax: secondsOf(terms.ExplicitMaxTTL),
		Period: secondsOf(bounds.period), MaxTTL: secondsOf(terms.MaxTTL)}
	t.expireAfter(now, out.TTL)
	return out.unless(s.storeLogin(ctx, out, login))
}

// storeLogin stores the login's token and consumes what it cost, in one transaction.
func (s *Store) storeLogin(ctx context.Context, out *Issued, login *backend.Login) error {
	random := newRandomness()
	if out.Token.Batch {
		if err := s.roomForBatch(ctx, out.Token); err != nil {
			return err
		}
		text, err := s.texts.sealBatch(out.Token)
		if err != nil || login.Consume == nil {
			out.Text = text
			return err
		}
		out.Text = text
		return s.whole.Update(ctx, login.Consume)
	}
	var proof written
	err := s.issuing(ctx, func(tx store.Tx) error {
		proof = s.writing(tx)
		if login.Consume != nil {
			if err := login.Consume(tx); err != nil {
				return err
			}
		}
		return s.insert(tx, out, "", random)
	})
	if err == nil {
		s.keep(out.Token, proof, 0)
	}
	return err
}

// loginType settles the token's type between the mount's tuning and the method's role.
// Contract: auth-methods §1.1, token type resolution.
func loginType(tuned string, asked backend.TokenType) backend.TokenType {
	switch tuned {
	case "service":
		return backend.ServiceType
	case "batch":
		return backend.BatchType
	case "default-batch":
		if asked != backend.ServiceType {
			return backend.BatchType
		}
		return backend.ServiceType
	}
	if asked == backend.BatchType {
		return backend.BatchType
	}
	return backend.ServiceType
}

// loginName is the mount's path with dashes, and the method's name for the user behind it.
func loginName(mountPath, name string) string {
	path := strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(mountPath, "auth/"), "/"), "/", "-")
	if name == "" {
		return path
	}
	return path + "-" + name
}

// rootPath is the issuing path of root tokens without a lease.
const rootPath = "auth/token/root"

// IssueRoot stores a root token without end: that of init and of generate-root. custom is the
// id that a development server was told to use, or "". also runs in the same transaction.
func (s *Store) IssueRoot(ctx context.Context, custom string, also func(tx store.Tx) error) (*Issued, error) {
	t := &Token{
		Policies: []string{rootPolicy},
		Root:     true,
		Origin:   Origin{Path: rootPath, DisplayName: "root"},
		Life:     Life{Created: s.clock.Now().UnixNano()},
	}
	out := &Issued{Token: t, Text: newRootText()}
	if custom != "" {
		if err := checkCustomID(custom); err != nil {
			return nil, err
		}
		// Contract: observed, tokens §6: such a root has a lease, and no end.
		t.Origin.Path, t.Origin.DisplayName, t.Life.Leased = "auth/token/create", "token", true
		out.Text = custom
	}
	t.ID = s.texts.id(out.Text)
	t.Accessor = s.texts.accessor(t.ID)
	err := s.whole.Update(ctx, func(tx store.Tx) error {
		if also != nil {
			if err := also(tx); err != nil {
				return err
			}
		}
		area := s.area.Within(tx)
		old, err := load(area, t.ID)
		if err != nil {
			return err
		}
		if old != nil {
			return backend.Invalidf("cannot create a token with a duplicate ID")
		}
		if err := s.countIn(tx, t); err != nil {
			return err
		}
		return s.put(area, nil, t)
	})
	return out.unless(err)
}

// IssueWrapping stores a token that stands for a wrapped answer; fill puts the answer into its
// cubbyhole, in the same transaction. Contract: wrapping §3.
func (s *Store) IssueWrapping(ctx context.Context, ttl time.Duration, path string, fill func(tx store.Tx, id ID) error) (*Issued, error) {
	now := s.clock.Now()
	random := newRandomness()
	ttl = max(ttl.Truncate(time.Second), time.Second)
	t := &Token{
		Policies: []string{WrappingPolicy},
		Uses:     1,
		Origin:   Origin{Path: path},
		Life: Life{Created: now.UnixNano(), CreationTTL: secondsOf(ttl), ExplicitMax: secondsOf(ttl),
			AskedExplicitMax: secondsOf(ttl), Leased: true},
	}
	t.expireAfter(now, ttl)
	out := &Issued{Token: t, TTL: ttl}
	err := s.issuing(ctx, func(tx store.Tx) error {
		if err := s.insert(tx, out, "", random); err != nil {
			return err
		}
		return fill(tx, t.ID)
	})
	return out.unless(err)
}
