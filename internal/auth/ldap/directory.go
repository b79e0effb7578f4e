package ldap

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	ldap "github.com/go-ldap/ldap/v3"

	"jeton/internal/backend"
	"jeton/internal/clock"
)

// directory is what one configuration describes, ready to be asked. It is immutable but for its
// connections and for which password of the service account is the true one.
type directory struct {
	config  *configRecord
	filters *filters
	dialer  *dialer
	pool    *pool
	log     *slog.Logger
	// promoted is told that a spare password of the service account is the true one.
	promoted func(ctx context.Context, c *configRecord, password string) error

	mu struct {
		sync.Mutex
		// password is the service account's, as far as is known.
		password string
	}
}

func newDirectory(c *configRecord, clk clock.Clock, log *slog.Logger) (*directory, error) {
	addresses, err := parseURLs(c.urls())
	if err != nil {
		return nil, err
	}
	secure, err := tlsConfig(&c.Server)
	if err != nil {
		return nil, err
	}
	filters, err := parseFilters(c)
	if err != nil {
		return nil, err
	}
	d := &directory{config: c, filters: filters, log: log}
	d.mu.password = c.Service.Password
	d.dialer = &dialer{addresses: addresses, tls: secure, startTLS: c.Server.StartTLS,
		connect: c.Server.ConnectionTimeout, request: c.Server.RequestTimeout, clock: clk}
	d.dialer.mu.down = make([]time.Time, len(addresses))
	d.pool = &pool{clock: clk, dial: d.dialService}
	return d, nil
}

func (d *directory) close() { d.pool.close() }

// describedBy says that d is the directory of c.
func (d *directory) describedBy(c *configRecord) bool {
	return d.config.Revision == c.Revision && slices.Equal(d.config.Service.passwords(), c.Service.passwords())
}

// budget bounds all that one login or renewal does with the directory: a try of each address,
// and one wait for an answer.
func (d *directory) budget() time.Duration {
	return d.config.Server.RequestTimeout + time.Duration(len(d.dialer.addresses))*d.config.Server.ConnectionTimeout
}

// errRefused is the one answer to a wrong password and to a user whom the directory does not know,
// or knows more than once (CVE-2020-35177, CVE-2023-3462). It is what counts towards a lock.
var errRefused = backend.Invalidf("ldap operation failed: failed to bind as user")

// broken is the answer when the directory would not do what the configuration asks of it. It
// says nothing of the user.
func broken(what string, err error) error {
	var ours *backend.Error
	switch {
	case errors.As(err, &ours):
		return err
	case errors.Is(err, context.DeadlineExceeded) || away(err):
		return backend.Invalidf("ldap operation failed: %s: the directory did not answer in time, or ended the connection", what).Because(err)
	}
	text := refusalText(err)
	if ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
		text += " (set max_page_size to read in pages)"
	}
	return backend.Invalidf("ldap operation failed: %s: %s", what, text).Because(err)
}

// dialService returns a connection bound as the account that searches; as nobody where there is none.
func (d *directory) dialService(ctx context.Context) (*link, error) {
	service := &d.config.Service
	if !d.config.hasService() {
		return d.dialNobody(ctx)
	}
	known := d.truePassword()
	var first error
	for _, password := range append([]string{known}, service.passwords()...) {
		if first != nil && password == known {
			continue
		}
		l, err := d.dialer.dial(ctx, func(c *ldap.Conn) error { return c.Bind(service.BindDN, password) })
		if err == nil {
			if err := d.settle(ctx, password); err != nil {
				l.end()
				return nil, err
			}
			return l, nil
		}
		if first == nil {
			first = err
		}
		if !wrongCredentials(err) {
			return nil, broken("failed to bind with the BindDN user", err)
		}
	}
	return nil, broken("failed to bind with the BindDN user", first)
}

// truePassword is the service account's password as far as is known.
func (d *directory) truePassword() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.password
}

// settle remembers which password was the true one, durably if it was a spare one.
func (d *directory) settle(ctx context.Context, password string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.password == password {
		return nil
	}
	if err := d.promoted(ctx, d.config, password); err != nil {
		return err
	}
	d.mu.password = password
	return nil
}

// dialNobody returns a connection that is bound as nobody (RFC 4513 §5.1.1). A name without a
// password would give the same rights, where directories do not refuse it.
func (d *directory) dialNobody(ctx context.Context) (*link, error) {
	l, err := d.dialer.dial(ctx, func(c *ldap.Conn) error { return c.UnauthenticatedBind("") })
	if err != nil {
		return nil, broken("failed to bind anonymously", err)
	}
	return l, nil
}

// dialUser returns a connection bound as a user, which the caller ends. It must never be kept:
// whoever got it next would ask with this user's rights.
func (d *directory) dialUser(ctx context.Context, name, password string) (*link, error) {
	l, err := d.dialer.dial(ctx, func(c *ldap.Conn) error {
		if password == "" {
			return c.UnauthenticatedBind(name)
		}
		return c.Bind(name, password)
	})
	switch {
	case err == nil:
		return l, nil
	case wrongCredentials(err):
		return nil, errRefused
	}
	return nil, broken("failed to ask for a bind as user", err)
}

// candidate is whom a name stands for, before any password was looked at.
type candidate struct {
	// name is what the user logs in by, in its one spelling.
	name string
	// bind is what to bind as: a DN, or a user principal name.
	bind string
	// dn is the entry's DN, empty when it is not known yet.
	dn string
	// alias names the user's entity, own the user to the lockout: whatever the user was found
	// by, guesses are counted under one name.
	alias, own string
	// known is false for a user who was searched for and not found. Such a one is bound as all
	// the same, in vain, so that the directory's answers take as many turns. Without a search it is
	// true, and says nothing.
	known bool
}

// identify finds whom name stands for. Contract: auth-methods §4.3 step 4.
func (d *directory) identify(ctx context.Context, name string) (*candidate, error) {
	users := &d.config.Users
	composed := users.Attribute + "=" + escapeDN(name)
	if users.DN != "" {
		composed += "," + users.DN
	}
	c := &candidate{name: name, own: name, known: true}
	switch {
	case d.config.searches():
		c.bind = composed
		if err := d.search(ctx, c); err != nil {
			return nil, broken("failed to search for the user", err)
		}
	case users.UPNDomain != "":
		c.bind = escapeDN(name) + "@" + users.UPNDomain
		c.alias = c.bind
	default:
		c.bind, c.dn, c.alias = composed, composed, composed
	}
	if d.config.Names.UsernameAsAlias {
		c.alias = name
	}
	return c, nil
}

// userFilter is the filter that finds a user. Without one, the attribute's value does.
func (d *directory) userFilter(name string) (string, error) {
	value := escapeFilter(name)
	if d.principals() {
		value += "@" + escapeFilter(d.config.Users.UPNDomain)
	}
	if d.filters.user == nil {
		return "(" + d.config.Users.Attribute + "=" + value + ")", nil
	}
	return render(d.filters.user, userName{d.config.Users.Attribute, value})
}

// upnAttribute holds a user principal name (Active Directory).
const upnAttribute = "userprincipalname"

// search finds the entry of c.name. Anything but exactly one entry is an unknown user.
func (d *directory) search(ctx context.Context, c *candidate) error {
	filter, err := d.userFilter(c.name)
	if err != nil {
		return backend.Invalidf("ldap operation failed: the userfilter makes no filter of this name").Because(err)
	}
	var entries []*ldap.Entry
	err = d.pool.use(ctx, func(l *link) (err error) {
		entries, err = l.find(d.config, d.config.Users.DN, filter, d.config.Users.Attribute)
		return err
	})
	if err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
		return err
	}
	if c.known = err == nil && len(entries) == 1 && d.isThatOne(entries[0], c.name); !c.known {
		return nil
	}
	c.bind, c.dn = entries[0].DN, entries[0].DN
	c.alias = d.ownName(entries[0])
	if own, err := fold(d.withoutDomain(c.alias), false); err == nil {
		c.own = own
	}
	return nil
}

// principals says that users are found by their user principal names, of which the names that
// people log in by are the part before the domain.
func (d *directory) principals() bool {
	return d.config.Users.UPNDomain != "" && strings.EqualFold(d.config.Users.Attribute, upnAttribute)
}

func (d *directory) withoutDomain(name string) string {
	at := len(name) - len(d.config.Users.UPNDomain) - 1
	if d.principals() && at > 0 && name[at] == '@' && strings.EqualFold(name[at+1:], d.config.Users.UPNDomain) {
		return name[:at]
	}
	return name
}

// find searches for at most two entries: one is the answer, two are none.
func (l *link) find(c *configRecord, base, filter, attribute string) ([]*ldap.Entry, error) {
	result, err := l.Search(ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, dereferences[c.Server.Dereference],
		2, wholeSeconds(c.Server.RequestTimeout), false, filter, []string{attribute}, nil))
	if err != nil {
		return nil, err
	}
	return result.Entries, nil
}

// dereferences is a constant: when the directory follows its aliases, by name.
var dereferences = map[string]int{"never": ldap.NeverDerefAliases, "finding": ldap.DerefFindingBaseObj,
	"searching": ldap.DerefInSearching, "always": ldap.DerefAlways}

func wholeSeconds(d time.Duration) int { return int(d / time.Second) }

// isThatOne says that an entry found by the usual filter has the very name that was looked for.
// A directory may take more for the same than we do (letters with and without accents); by
// such a name a user would have further guesses, and another entity.
func (d *directory) isThatOne(e *ldap.Entry, name string) bool {
	values := e.GetEqualFoldAttributeValues(d.config.Users.Attribute)
	if d.config.Users.Filter != defaultUserFilter || len(values) == 0 {
		return true
	}
	looked, err := fold(name, false)
	return err == nil && slices.ContainsFunc(values, func(value string) bool {
		folded, err := fold(d.withoutDomain(value), false)
		return err == nil && folded == looked
	})
}

// ownName is the entry's value of the users' attribute. Where there are several, it is the one in
// the entry's DN, or else the first in order: directories promise no order, and a user must not
// have an entity for each.
func (d *directory) ownName(e *ldap.Entry) string {
	values := slices.Clone(e.GetEqualFoldAttributeValues(d.config.Users.Attribute))
	if len(values) == 0 {
		return ""
	}
	if dn, err := ldap.ParseDN(e.DN); err == nil && len(dn.RDNs) > 0 {
		for _, a := range dn.RDNs[0].Attributes {
			if strings.EqualFold(a.Type, d.config.Users.Attribute) && slices.Contains(values, a.Value) {
				return a.Value
			}
		}
	}
	slices.Sort(values)
	return values[0]
}

// prove binds as the candidate and returns the groups. Contract: auth-methods §4.3 steps 5 to 8.
func (d *directory) prove(ctx context.Context, c *candidate, password string) ([]string, error) {
	user, err := d.dialUser(ctx, c.bind, password)
	if err != nil {
		return nil, err
	}
	defer user.end()
	if !c.known {
		return nil, errRefused
	}
	if d.config.hasService() {
		return d.groupsByService(ctx, c)
	}
	release := user.during(ctx)
	defer release()
	if err := d.completeDN(user, c); err != nil {
		return nil, err
	}
	if d.config.Groups.Anonymous {
		nobody, err := d.dialNobody(ctx)
		if err != nil {
			return nil, err
		}
		defer nobody.end()
		defer nobody.during(ctx)()
		user = nobody
	}
	names, err := d.groups(user, c)
	if err != nil {
		return nil, broken("failed to search for groups", err)
	}
	return names, nil
}

// groupsByService asks for the groups with the service account's rights, or with nobody's.
func (d *directory) groupsByService(ctx context.Context, c *candidate) (names []string, err error) {
	ask := func(l *link) (err error) {
		names, err = d.groups(l, c)
		return err
	}
	if !d.config.Groups.Anonymous {
		err = d.pool.use(ctx, ask)
	} else {
		nobody, dialed := d.dialNobody(ctx)
		if dialed != nil {
			return nil, dialed
		}
		defer nobody.end()
		defer nobody.during(ctx)()
		err = ask(nobody)
	}
	if err != nil {
		return nil, broken("failed to search for groups", err)
	}
	return names, nil
}

// completeDN finds the DN of a user who was bound by a user principal name. Contract:
// auth-methods §4.3 step 6.
func (d *directory) completeDN(l *link, c *candidate) error {
	if c.dn != "" || d.config.Users.DN == "" {
		return nil
	}
	filter := "(userPrincipalName=" + escapeFilter(c.name+"@"+d.config.Users.UPNDomain) + ")"
	if d.config.Users.AlsoSAMName {
		filter = "(|" + filter + "(sAMAccountName=" + escapeFilter(c.name) + "))"
	}
	entries, err := l.find(d.config, d.config.Users.DN, filter, upnAttribute)
	if err != nil {
		return broken("failed to search for the user's entry", err)
	}
	if len(entries) != 1 {
		return backend.Invalidf("ldap operation failed: userdn has not exactly one entry with the user's principal name")
	}
	c.dn = entries[0].DN
	if !d.config.Names.UsernameAsAlias {
		c.alias = d.principal(entries[0], c.alias)
	}
	return nil
}

// principal is the user principal name of an entry, composed as by who logs in by it. Who may log in by
// sAMAccountName too has one entity by both names (CVE-2025-6013).
func (d *directory) principal(e *ldap.Entry, composed string) string {
	own, err := fold(e.GetEqualFoldAttributeValue(upnAttribute), false)
	if err != nil {
		return composed // There is none.
	}
	if name, ok := strings.CutSuffix(own, "@"+strings.ToLower(d.config.Users.UPNDomain)); ok {
		own = escapeDN(name) + "@" + d.config.Users.UPNDomain
	}
	if strings.EqualFold(own, composed) {
		return composed
	}
	return own
}
