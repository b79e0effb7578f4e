package token

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Request is what a client asked for at auth/token/create. Contract: tokens §4.1.
type Request struct {
	ID              string
	Policies        []string
	Meta            map[string]string
	NoParent        bool
	NoDefaultPolicy bool
	Renewable       bool
	// TTL, Lease (its old name), ExplicitMaxTTL and Period are durations as written.
	TTL, Lease, ExplicitMaxTTL, Period string
	// Type is "", "service" or "batch".
	Type        string
	DisplayName string
	NumUses     int
	EntityAlias string
}

// Ask is a Request and who asked it where.
type Ask struct {
	Request
	Caller *backend.Caller
	// Mount is the token method's own, with the limits that now hold.
	Mount backend.Mount
	// Path is the whole request path ("auth/token/create").
	Path string
	// Role is the role of the path, "" for none.
	Role string
	// Orphan is the create-orphan route.
	Orphan bool
}

// Issued is a new token. Text goes to the client and nowhere else.
type Issued struct {
	Token *Token
	Text  string
	// TTL is the life from now; 0 is without end.
	TTL      time.Duration
	Warnings []string
}

// Create issues a child (or an orphan) of the caller's token. Errors are *backend.Error with
// the contract's texts, in the contract's order of checks (tokens §4.2).
func (s *Store) Create(ctx context.Context, ask Ask) (*Issued, error) {
	random := newRandomness()
	var out *Issued
	var until int64
	run := func(r store.Reader) (err error) {
		var role *Role
		if ask.Role != "" {
			if role, err = record.Get[Role](r, roleRecord(ask.Role)); err != nil {
				return err
			}
			if role == nil {
				return backend.Invalidf("unknown role %s", ask.Role)
			}
		}
		var parent *Token
		if parent, until, err = s.parentOf(r, ask.Caller); err != nil {
			return err
		}
		if out, err = ask.resolve(parent, role, s.clock.Now()); err != nil {
			return err
		}
		out.warnOfParent(until)
		return nil
	}
	switch {
	case ask.Role != "":
		if err := s.area.View(ctx, func(r store.Reader) error { return run(r) }); err != nil {
			return nil, err
		}
	case ask.Type == "batch":
		// Nothing is stored: that the parent lives now is enough.
		var err error
		if out, err = s.resolveUnstored(ctx, &ask); err != nil {
			return nil, err
		}
	}
	if out != nil && out.Token.Batch {
		return out.unless(s.createBatch(ctx, &ask, out))
	}
	var proof written
	err := s.issuing(ctx, func(tx store.Tx) error {
		area := s.area.Within(tx)
		proof = s.writing(tx)
		// Everything is asked again where it counts: the parent may have died since.
		if err := run(area); err != nil {
			return err
		}
		if err := s.takeAlias(tx, &ask, out.Token); err != nil {
			return err
		}
		return s.insert(tx, out, ask.ID, random)
	})
	if err == nil {
		s.keep(out.Token, proof, until)
	}
	return out.unless(err)
}

// createBatch gives a batch token its text. Nothing of it is stored but its alias, if it has one.
func (s *Store) createBatch(ctx context.Context, ask *Ask, out *Issued) error {
	if err := s.roomForBatch(ctx, out.Token); err != nil {
		return err
	}
	if ask.EntityAlias != "" {
		err := s.whole.Update(ctx, func(tx store.Tx) error { return s.takeAlias(tx, ask, out.Token) })
		if err != nil {
			return err
		}
	}
	var err error
	out.Text, err = s.texts.sealBatch(out.Token)
	return err
}

// resolveUnstored is what a request for a batch token without a role gets.
func (s *Store) resolveUnstored(ctx context.Context, ask *Ask) (*Issued, error) {
	proof, err := s.prove(ctx, ask.Caller.ID)
	if err != nil {
		return nil, err
	}
	parent, until, err := asParent(ask.Caller, proof)
	if err != nil {
		return nil, err
	}
	out, err := ask.resolve(parent, nil, s.clock.Now())
	if err == nil {
		out.warnOfParent(until)
	}
	return out, err
}

// unless returns the token, or the error alone: what was not stored, or may not have been, is
// given to nobody.
func (i *Issued) unless(err error) (*Issued, error) {
	if err != nil {
		return nil, err
	}
	return i, nil
}

// warnOfParent says when the parent will cut the token short. until is the earliest end of the
// parent and its ancestors, 0 for never.
func (i *Issued) warnOfParent(until int64) {
	t := i.Token
	if t.Orphan() || until == 0 || (t.Life.Expires != 0 && t.Life.Expires <= until) {
		return
	}
	i.Warnings = append(i.Warnings, fmt.Sprintf("The parent token ends at %s and takes this token with it; renew the parent in time, or create an orphan",
		time.Unix(0, until).UTC().Format(time.RFC3339)))
}

// parentOf is the caller's token as a parent: alive, with its ancestry, in this very state.
// until is the earliest end among them, 0 for never.
func (s *Store) parentOf(r store.Reader, caller *backend.Caller) (parent *Token, until int64, err error) {
	if caller.Batch {
		return asParent(caller, nil)
	}
	proof, err := s.proveNow(r, caller.ID, s.clock.Now())
	if err != nil {
		return nil, 0, err
	}
	return asParent(caller, proof)
}

// asParent says whether the caller's token, of which proof is what is known, may be a parent.
func asParent(caller *backend.Caller, proof *cached) (parent *Token, until int64, err error) {
	switch {
	case caller.Batch:
		return nil, 0, backend.Invalidf("batch tokens cannot create more tokens")
	case proof == nil:
		return nil, 0, backend.Invalidf("parent token lookup failed: no parent found")
	}
	parent, until = proof.token, proof.until
	switch {
	case parent.Uses > 0:
		return nil, 0, backend.Invalidf("restricted use token cannot generate child tokens")
	case parent.Depth >= MaxDepth:
		return nil, 0, backend.Invalidf("a token hierarchy has at most %d levels", MaxDepth)
	}
	if e := parent.Life.Expires; e != 0 && (until == 0 || e < until) {
		until = e
	}
	return parent, until, nil
}

// insert names the token and stores it, inside tx, a transaction of the whole store. custom is
// the id that the request gave, or "".
func (s *Store) insert(tx store.Tx, out *Issued, custom string, random randomness) error {
	if err := s.countIn(tx, out.Token); err != nil {
		return err
	}
	area := s.area.Within(tx)
	if custom == "" {
		out.Text = s.texts.service(random, tx.Position())
		out.Token.ID = s.texts.id(out.Text)
		out.Token.Accessor = s.texts.accessor(out.Token.ID)
		return s.put(area, nil, out.Token)
	}
	if err := checkCustomID(custom); err != nil {
		return err
	}
	out.Text, out.Token.ID = custom, s.texts.id(custom)
	old, err := load(area, out.Token.ID)
	if err != nil {
		return err
	}
	if old != nil {
		return backend.Invalidf("cannot create a token with a duplicate ID")
	}
	out.Token.Accessor = s.texts.accessor(out.Token.ID)
	return s.put(area, nil, out.Token)
}

// checkCustomID refuses what could be taken for a token made here. Contract: tokens §1.
func checkCustomID(id string) error {
	switch {
	case strings.HasPrefix(id, servicePrefix):
		return backend.Invalidf("custom token ID cannot have the 'hvs.' prefix")
	case strings.HasPrefix(id, "s."):
		return backend.Invalidf("custom token ID cannot have the 's.' prefix")
	case strings.Contains(id, "."):
		return backend.Invalidf("custom token ID cannot have a '.' in the value")
	case len(id) > 512:
		return backend.Invalidf("custom token ID is longer than 512 bytes")
	}
	for _, r := range id {
		if r <= ' ' || r == 0x7f || r > 0xff {
			return backend.Invalidf("custom token ID has a character that no header can carry")
		}
	}
	return nil
}

const customIDWarning = "Supplying a custom ID for the token uses the weaker SHA1 hashing instead of the more secure SHA2-256 HMAC for token obfuscation. SHA1 hashed tokens on the wire leads to less secure lookups."

// resolve decides what token the request gets, as a function of its parent and role. It does
// no I/O. Contract: tokens §4.2, from step 6.
func (a *Ask) resolve(parent *Token, role *Role, now time.Time) (*Issued, error) {
	sudo := a.Caller.Sudo
	kind, err := a.tokenType(role)
	if err != nil {
		return nil, err
	}
	batch := kind == backend.BatchType
	if batch {
		if err := a.refuseForBatch(); err != nil {
			return nil, err
		}
	}
	if a.NumUses < 0 {
		return nil, backend.Invalidf("number of uses cannot be negative")
	}
	if err := a.checkAlias(role); err != nil {
		return nil, err
	}
	if a.ID != "" && !sudo {
		return nil, backend.Invalidf("root or sudo privileges required to specify token id")
	}
	t := &Token{Batch: batch, Meta: a.Meta, Depth: parent.Depth + 1}
	out := &Issued{Token: t}
	if t.Policies, err = grant(a.Policies, len(a.Policies) > 0, a.NoDefaultPolicy, sudo, parent, role); err != nil {
		return nil, err
	}
	if len(t.Policies) == 1 && t.Policies[0] == rootPolicy {
		if !parent.Root {
			return nil, backend.Invalidf("root tokens may not be created without parent token being root")
		}
		if batch {
			return nil, backend.Invalidf("batch tokens cannot be root tokens")
		}
		t.Root = true
	}
	if err := a.setParent(t, parent, role, sudo); err != nil {
		return nil, err
	}
	t.Origin = Origin{Path: a.Path, DisplayName: displayName(a.DisplayName)}
	t.Uses = a.NumUses
	t.Life = Life{Created: now.UnixNano(), Leased: !batch, Renewable: a.Renewable && !batch}
	if role != nil {
		role.apply(t)
	}
	if err := a.setLife(out, parent, role, now); err != nil {
		return nil, err
	}
	if a.ID != "" {
		out.Warnings = append(out.Warnings, customIDWarning)
	}
	return out, nil
}

// tokenType is the role's type where it forces one, else the request's. Contract: tokens §4.2-6.
func (a *Ask) tokenType(role *Role) (backend.TokenType, error) {
	fallback := backend.ServiceType
	if role != nil {
		switch role.TokenType {
		case "service":
			return backend.ServiceType, nil
		case "batch":
			return backend.BatchType, nil
		case "default-batch":
			fallback = backend.BatchType
		}
	}
	switch a.Type {
	case "":
		return fallback, nil
	case "service":
		return backend.ServiceType, nil
	case "batch":
		return backend.BatchType, nil
	}
	return 0, backend.Invalidf("invalid 'token_type' value")
}

// refuseForBatch refuses what needs storage. Contract: tokens §4.2-7.
func (a *Ask) refuseForBatch() error {
	explicit, err := backend.ParseDuration(a.ExplicitMaxTTL)
	if err != nil {
		return backend.Invalidf("'explicit_max_ttl' value could not be parsed")
	}
	period, err := backend.ParseDuration(a.Period)
	switch {
	case explicit != 0:
		return backend.Invalidf(`batch tokens cannot have "explicit_max_ttl" set`)
	case a.NumUses != 0:
		return backend.Invalidf(`batch tokens cannot have "num_uses" set`)
	case err != nil:
		return backend.Invalidf("'period' value could not be parsed")
	case period != 0:
		return backend.Invalidf(`batch tokens cannot have "period" set`)
	}
	return nil
}

// checkAlias holds an entity alias against the role. Contract: tokens §4.7.
func (a *Ask) checkAlias(role *Role) error {
	if a.EntityAlias == "" {
		return nil
	}
	if role == nil {
		return backend.Invalidf("'entity_alias' is only allowed in combination with token role")
	}
	if !matchesAny(role.AllowedEntityAliases, strings.ToLower(a.EntityAlias)) {
		return backend.Invalidf("invalid 'entity_alias' value")
	}
	return nil
}

// setParent decides whether the token hangs below its maker. Contract: tokens §4.5.
func (a *Ask) setParent(t, parent *Token, role *Role, sudo bool) error {
	orphan := a.Orphan
	switch {
	case role != nil:
		orphan = role.Orphan
	case a.NoParent && !sudo:
		return backend.Invalidf("root or sudo privileges required to create orphan token")
	case a.NoParent:
		orphan = true
	}
	if orphan {
		t.Depth = 0
	} else {
		t.Parent = parent.ID
		t.EntityID = parent.EntityID
	}
	switch {
	case role != nil:
		t.BoundCIDRs = role.BoundCIDRs
	case !orphan:
		t.BoundCIDRs = parent.BoundCIDRs
	}
	return nil
}

// setLife does the arithmetic of ttl, period and explicit max. Contract: tokens §4.4, §5.
func (a *Ask) setLife(out *Issued, parent *Token, role *Role, now time.Time) error {
	t := out.Token
	ttl, explicit, period, err := a.durations()
	if err != nil {
		return err
	}
	if period > 0 && !a.Caller.Sudo {
		return backend.Invalidf("root or sudo privileges required to create periodic token")
	}
	t.Life.AskedExplicitMax, t.Life.Period = secondsOf(explicit), secondsOf(period)
	if role != nil && !t.Batch {
		explicit = out.merge("Explicit max TTL", explicit, role.ExplicitMaxTTL)
		period = out.merge("Period", period, role.Period)
	}
	t.Life.ExplicitMax = secondsOf(explicit)
	if t.Root && ttl == 0 && period == 0 && explicit == 0 {
		if parent.Life.Expires != 0 {
			return backend.Invalidf("expiring root tokens cannot create non-expiring root tokens")
		}
		t.Life.Renewable, t.BoundCIDRs = false, nil
		return nil
	}
	if t.Root && ttl == 0 && period == 0 {
		ttl = explicit
	}
	s := span{now: now, issued: now, asked: ttl, period: period, explicitMax: explicit, mount: a.Mount}
	var warnings []string
	if out.TTL, warnings, err = s.resolve(); err != nil {
		return err
	}
	out.Warnings = append(out.Warnings, warnings...)
	t.expireAfter(now, out.TTL)
	t.Life.CreationTTL = secondsOf(out.TTL)
	return nil
}

// durations reads the request's. Contract: tokens §5.9.
func (a *Ask) durations() (ttl, explicit, period time.Duration, err error) {
	ttlName, ttlText := "ttl", a.TTL
	if ttlText == "" {
		ttlName, ttlText = "lease", a.Lease
	}
	if explicit, err = positive("explicit_max_ttl", a.ExplicitMaxTTL); err != nil {
		return 0, 0, 0, err
	}
	if period, err = positive("period", a.Period); err != nil {
		return 0, 0, 0, err
	}
	ttl, err = positive(ttlName, ttlText)
	return ttl, explicit, period, err
}

// positive reads a duration that must not be negative.
func positive(name, text string) (time.Duration, error) {
	v, err := backend.ParseDuration(text)
	if err != nil {
		return 0, backend.Invalidf("'%s' value could not be parsed", name).Because(err)
	}
	if v < 0 {
		return 0, backend.Invalidf("%s must be positive", name)
	}
	if v > 0 {
		// As with a ttl: less than a second is a second. Rounded down it would be no bound.
		v = max(v, time.Second)
	}
	return v, nil
}

// merge takes the lesser of the request's bound and the role's, and says so.
func (i *Issued) merge(what string, asked, role time.Duration) time.Duration {
	least, both := lesser(asked, role)
	if both {
		i.Warnings = append(i.Warnings, fmt.Sprintf("%s specified both during creation call and in role; using the lesser value of %d seconds",
			what, secondsOf(least)))
	}
	return least
}

// expireAfter sets the end to ttl from now.
func (t *Token) expireAfter(now time.Time, ttl time.Duration) {
	t.Life.Expires = now.UnixNano() + int64(ttl)
	if t.Life.Expires < now.UnixNano() {
		t.Life.Expires = math.MaxInt64 // Unix nanoseconds end in the year 2262
	}
	t.Life.LastTTL = secondsOf(ttl)
}

// displayName is "token", or "token-" and the name asked for with every odd character made a
// dash and one trailing dash cut. Contract: tokens §4.6.
func displayName(asked string) string {
	if asked == "" {
		return "token"
	}
	clean := strings.Map(func(r rune) rune {
		if r == '-' || (r >= '0' && r <= '9') || (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') {
			return r
		}
		return '-'
	}, asked)
	return strings.TrimSuffix("token-"+clean, "-")
}

// boundTo says whether addr may use a token bound to cidrs; no cidrs bind nothing.
func boundTo(cidrs []netip.Prefix, addr netip.Addr) bool {
	if len(cidrs) == 0 {
		return true
	}
	addr = addr.Unmap()
	for _, c := range cidrs {
		if c.Contains(addr) {
			return true
		}
	}
	return false
}
