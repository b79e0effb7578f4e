package ldap

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf16"

	ldap "github.com/go-ldap/ldap/v3"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// rotate gives the service account a new password. The new one is stored as a spare before the
// directory hears of it, so that whatever happens in between, one of the stored passwords is the
// true one; dialService finds out which.
func (m *Method) rotate(ctx context.Context, _ *backend.Call, _ *backend.None) (*backend.None, error) {
	if !m.rotating.TryLock() {
		return nil, backend.Errorf(backend.Conflict, "another rotation is under way")
	}
	defer m.rotating.Unlock()
	config, next, resumed, err := m.prepare(ctx)
	if err != nil {
		return nil, err
	}
	d, err := m.open(config)
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, d.budget())
	defer cancel()
	if resumed {
		// The directory may have it already, and take the old one still: Active Directory does, for an hour.
		switch err := d.takes(within, next); {
		case err == nil:
			return nil, m.promote(context.WithoutCancel(ctx), config, next)
		case !wrongCredentials(err):
			return nil, broken("failed to bind with the BindDN user", err)
		}
	}
	// A connection of its own: on one that was kept, the account may have been bound by
	// a password of long ago.
	l, err := d.dialService(within)
	if err != nil {
		return nil, err
	}
	defer l.end()
	release := l.during(within)
	defer release()
	if d.truePassword() != next {
		// Else the rotation before this one had reached the directory and was not heard of again.
		if err := d.changePassword(l, next); err != nil {
			if !away(err) && !resumed {
				m.abandon(context.WithoutCancel(ctx), next)
			}
			return nil, broken("failed to change the password of the BindDN user", err)
		}
	}
	if err := d.takes(within, next); err != nil {
		return nil, broken("the directory does not take the new password of the BindDN user; both it and the old one are kept and tried", err)
	}
	// The directory has it: whoever asked may be gone by now.
	return nil, m.promote(context.WithoutCancel(ctx), config, next)
}

// takes binds as the service account with a password.
func (d *directory) takes(ctx context.Context, password string) error {
	l, err := d.dialer.dial(ctx, func(c *ldap.Conn) error { return c.Bind(d.config.Service.BindDN, password) })
	if err == nil {
		l.end()
	}
	return err
}

// prepare stores the next password, or resumes with the one that an interrupted rotation had
// stored: the directory may have that already.
func (m *Method) prepare(ctx context.Context) (config *configRecord, next string, resumed bool, err error) {
	fresh := newPassword()
	err = m.area.Update(ctx, func(tx store.Tx) error {
		if config, err = readConfig(tx); err != nil {
			return err
		}
		if !config.written() || !config.hasService() {
			return backend.Invalidf("auth is not using authenticated search, no root to rotate")
		}
		next = fresh
		if resumed = config.Service.Pending != ""; resumed {
			next = config.Service.Pending
			return nil
		}
		config.Service.Pending = next
		return record.Put(tx, configKey, config)
	})
	return config, next, resumed, err
}

// abandon drops a next password that the directory has refused in so many words.
func (m *Method) abandon(ctx context.Context, next string) {
	err := m.area.Update(ctx, func(tx store.Tx) error {
		config, err := readConfig(tx)
		if err != nil || config.Service.Pending != next {
			return err
		}
		config.Service.Pending = ""
		return record.Put(tx, configKey, config)
	})
	if err != nil {
		m.log.Warn("a refused password of the service account stays among those to be tried", "error", err)
	}
}

// promote makes a password of a configuration the service account's, for it is known to be true.
func (m *Method) promote(ctx context.Context, asked *configRecord, password string) error {
	return m.area.Update(ctx, func(tx store.Tx) error {
		config, err := readConfig(tx)
		if err != nil {
			return err
		}
		s := &config.Service
		if s.BindDN != asked.Service.BindDN || !slices.Contains(s.passwords(), password) {
			return nil // somebody has written another meanwhile
		}
		if s.Password == password {
			return nil
		}
		*s = serviceRecord{BindDN: s.BindDN, Password: password, Rotated: true}
		return record.Put(tx, configKey, config)
	})
}

// passwords are all that may be the true one, the likeliest first.
func (s *serviceRecord) passwords() []string {
	list := []string{s.Password}
	if s.Pending != "" {
		list = append(list, s.Pending)
	}
	return append(list, s.Spare...)
}

// newPassword has the 128 bits of chance of rand.Text, and a character of each kind that
// directories ask for.
func newPassword() string { return rand.Text() + "-a1Z" }

// The parts of a directory's own description that tell how it changes passwords.
const (
	passwordModify  = "1.3.6.1.4.1.4203.1.11.1" // RFC 3062
	activeDirectory = "1.2.840.113556.1.4.800"  // MS-ADTS §3.1.1.3.4.3
)

// changePassword changes the password of the account that l is bound as.
func (d *directory) changePassword(l *link, next string) error {
	root, err := l.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1,
		wholeSeconds(d.config.Server.RequestTimeout), false, "(objectClass=*)", []string{"supportedExtension", "supportedCapabilities", "defaultNamingContext"}, nil))
	if err != nil {
		return err
	}
	values := func(attribute string) []string {
		if len(root.Entries) != 1 {
			return nil
		}
		return root.Entries[0].GetEqualFoldAttributeValues(attribute)
	}
	dn, err := d.serviceDN(l, append(values("defaultNamingContext"), d.config.Users.DN)[0])
	if err != nil {
		return err
	}
	switch {
	case slices.Contains(values("supportedCapabilities"), activeDirectory):
		return d.changeUnicode(l, dn, next)
	case slices.Contains(values("supportedExtension"), passwordModify):
		// The directory hashes it as it sees fit.
		_, err := l.PasswordModify(ldap.NewPasswordModifyRequest(dn, d.truePassword(), next))
		return err
	}
	change := ldap.NewModifyRequest(dn, nil)
	change.Replace("userPassword", []string{next})
	return l.Modify(change)
}

// changeUnicode changes the password as Active Directory has it: the old one is deleted and the next one added,
// which the account may do for itself. What it was bound by need not be the old one: the one before that is good for
// an hour more.
func (d *directory) changeUnicode(l *link, dn, next string) error {
	var first error
	for _, old := range append([]string{d.truePassword()}, d.config.Service.passwords()...) {
		if first != nil && (old == d.truePassword() || old == next) {
			continue
		}
		change := ldap.NewModifyRequest(dn, nil)
		change.Delete("unicodePwd", []string{quoted(old)})
		change.Add("unicodePwd", []string{quoted(next)})
		err := l.Modify(change)
		if err == nil || !ldap.IsErrorWithCode(err, ldap.LDAPResultConstraintViolation) {
			return err
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// serviceDN is the DN of the service account below base. Active Directory binds it by its user principal name, by
// name@domain and by DOMAIN\name as well (MS-ADTS §5.1.1.1.1).
func (d *directory) serviceDN(l *link, base string) (string, error) {
	bind := d.config.Service.BindDN
	if _, err := ldap.ParseDN(bind); err == nil {
		return bind, nil
	}
	filters := []string{"(userPrincipalName=" + escapeFilter(bind) + ")"}
	if _, name, ok := strings.Cut(bind, `\`); ok {
		filters = []string{"(sAMAccountName=" + escapeFilter(name) + ")"}
	} else if name, _, ok := strings.Cut(bind, "@"); ok {
		filters = append(filters, "(sAMAccountName="+escapeFilter(name)+")")
	}
	for _, filter := range filters {
		entries, err := l.find(d.config, base, filter, "1.1")
		if err != nil {
			return "", err
		}
		if len(entries) == 1 {
			return entries[0].DN, nil
		}
	}
	return "", backend.Invalidf("ldap operation failed: binddn is no DN, and the directory has not exactly one entry with it as its logon name")
}

// quoted is a password as Active Directory takes it: in quotes, in UTF-16 (MS-ADTS §3.1.1.3.1.5).
func quoted(password string) string {
	var out []byte
	for _, unit := range utf16.Encode([]rune(`"` + password + `"`)) {
		out = binary.LittleEndian.AppendUint16(out, unit)
	}
	return string(out)
}
