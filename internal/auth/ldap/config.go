package ldap

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// configRecord is a mount's configuration as it is stored. Fields 1 to 19 are the TokenRecord's.
type configRecord struct {
	auth.TokenRecord
	Server  serverRecord  `cbor:"20,keyasint"`
	Service serviceRecord `cbor:"21,keyasint"`
	Users   usersRecord   `cbor:"22,keyasint"`
	Groups  groupsRecord  `cbor:"23,keyasint"`
	Names   namesRecord   `cbor:"24,keyasint"`
	// Revision counts the writes of the configuration, but not those of a rotation.
	Revision uint64 `cbor:"25,keyasint"`
}

// serverRecord is where the directory is and how to talk to it.
type serverRecord struct {
	// URL is one URL or several with commas, in lower case.
	URL               string        `cbor:"1,keyasint"`
	StartTLS          bool          `cbor:"2,keyasint,omitempty"`
	InsecureTLS       bool          `cbor:"3,keyasint,omitempty"`
	TLSMin            string        `cbor:"4,keyasint"`
	TLSMax            string        `cbor:"5,keyasint"`
	Certificate       string        `cbor:"6,keyasint,omitempty"`
	ClientCertificate string        `cbor:"7,keyasint,omitempty"`
	ClientKey         string        `cbor:"8,keyasint,omitempty"`
	RequestTimeout    time.Duration `cbor:"9,keyasint"`
	ConnectionTimeout time.Duration `cbor:"10,keyasint"`
	Dereference       string        `cbor:"11,keyasint"`
}

// serviceRecord is the account that searches.
type serviceRecord struct {
	BindDN   string `cbor:"1,keyasint,omitempty"`
	Password string `cbor:"2,keyasint,omitempty"`
	// Pending is the next password while a rotation is under way: the directory may have it.
	Pending string `cbor:"3,keyasint,omitempty"`
	// Spare are passwords that a rotation had set before somebody wrote another.
	Spare []string `cbor:"4,keyasint,omitempty"`
	// Rotated says that nobody but this record knows Password.
	Rotated bool `cbor:"5,keyasint,omitempty"`
}

// usersRecord is how a user's entry is found and bound to.
type usersRecord struct {
	DN           string `cbor:"1,keyasint,omitempty"`
	Attribute    string `cbor:"2,keyasint"`
	Filter       string `cbor:"3,keyasint"`
	UPNDomain    string `cbor:"4,keyasint,omitempty"`
	AlsoSAMName  bool   `cbor:"5,keyasint,omitempty"`
	Discover     bool   `cbor:"6,keyasint,omitempty"`
	DenyNullBind bool   `cbor:"7,keyasint,omitempty"`
}

// groupsRecord is how a user's groups are found.
type groupsRecord struct {
	DN          string `cbor:"1,keyasint,omitempty"`
	Attribute   string `cbor:"2,keyasint"`
	Filter      string `cbor:"3,keyasint"`
	TokenGroups bool   `cbor:"4,keyasint,omitempty"`
	Anonymous   bool   `cbor:"5,keyasint,omitempty"`
	PageSize    int    `cbor:"6,keyasint,omitempty"`
	// UpperCN takes only what is called CN, in upper case, for the name in a group's DN.
	UpperCN bool `cbor:"7,keyasint,omitempty"`
}

// namesRecord is what names mean here.
type namesRecord struct {
	CaseSensitive bool `cbor:"1,keyasint,omitempty"`
	// UsernameAsAlias makes the name that was sent the alias, in place of the entry's attribute.
	UsernameAsAlias bool `cbor:"2,keyasint,omitempty"`
}

const (
	defaultURL         = "ldap://127.0.0.1"
	defaultAttribute   = "cn"
	defaultUserFilter  = "({{.UserAttr}}={{.Username}})"
	defaultGroupFilter = "(|(memberUid={{.Username}})(member={{.UserDN}})(uniqueMember={{.UserDN}}))"
	defaultTLS         = "tls12"
	defaultRequest     = 90 * time.Second
	defaultConnection  = 30 * time.Second
	defaultDereference = "never"
)

// defaults is what reads back before anything was written. Contract: auth-methods §4.1.
func defaults() *configRecord {
	return &configRecord{
		Server: serverRecord{URL: defaultURL, TLSMin: defaultTLS, TLSMax: defaultTLS, RequestTimeout: defaultRequest,
			ConnectionTimeout: defaultConnection, Dereference: defaultDereference},
		Users:  usersRecord{Attribute: defaultAttribute, Filter: defaultUserFilter, DenyNullBind: true},
		Groups: groupsRecord{Attribute: defaultAttribute, Filter: defaultGroupFilter},
	}
}

// written says whether anybody configured the mount: passwords go nowhere before that.
func (c *configRecord) written() bool { return c.Revision > 0 }

// searches says that the user's entry is searched for before anybody binds as the user.
func (c *configRecord) searches() bool { return c.Users.Discover || c.hasService() }

// hasService says that there is an account that searches.
func (c *configRecord) hasService() bool { return c.Service.BindDN != "" && c.Service.Password != "" }

// urls are the URLs in the order in which they are tried.
func (c *configRecord) urls() []string {
	var list []string
	for u := range strings.SplitSeq(c.Server.URL, ",") {
		if u = strings.TrimSpace(u); u != "" {
			list = append(list, u)
		}
	}
	return list
}

// configRequest is a write of the configuration: what is not sent stays as it is.
type configRequest struct {
	URL               *string          `json:"url" doc:"Where the directory is: ldap:// or ldaps:// URLs with commas, tried in order."`
	UserDN            *string          `json:"userdn" doc:"Below which entry the users are."`
	UserAttr          *string          `json:"userattr" doc:"Attribute that holds the name a user logs in by."`
	UserFilter        *string          `json:"userfilter" doc:"Filter that finds a user, a template of {{.UserAttr}} and {{.Username}}."`
	UPNDomain         *string          `json:"upndomain" doc:"Domain of user principal names: users bind as name@domain."`
	SAMLogin          *bool            `json:"enable_samaccountname_login" doc:"With upndomain: find users by sAMAccountName too."`
	DiscoverDN        *bool            `json:"discoverdn" doc:"Search for the user's entry anonymously before binding as the user."`
	DenyNullBind      *bool            `json:"deny_null_bind" doc:"Refuse empty passwords, which many directories take for an anonymous bind that succeeds."`
	GroupDN           *string          `json:"groupdn" doc:"Below which entry the groups are."`
	GroupFilter       *string          `json:"groupfilter" doc:"Filter that finds a user's groups, a template of {{.UserDN}} and {{.Username}}."`
	GroupAttr         *string          `json:"groupattr" doc:"Attribute that names a group."`
	TokenGroups       *bool            `json:"use_token_groups" doc:"Take the groups from the user's tokenGroups (Active Directory), nested ones included."`
	AnonymousGroups   *bool            `json:"anonymous_group_search" doc:"Search for groups without being bound."`
	MaxPageSize       *int             `json:"max_page_size" doc:"Read groups in pages of this many; 0 is without pages."`
	UpperCN           *bool            `json:"use_pre111_group_cn_behavior" doc:"Take a group's name from its DN only where the attribute is written CN."`
	BindDN            *string          `json:"binddn" doc:"Account that searches."`
	BindPass          *string          `json:"bindpass" doc:"Its password. It is never read back."`
	StartTLS          *bool            `json:"starttls" doc:"Begin TLS on ldap:// connections."`
	InsecureTLS       *bool            `json:"insecure_tls" doc:"Do not check the directory's certificate. For tests."`
	TLSMin            *string          `json:"tls_min_version" doc:"tls10, tls11, tls12 or tls13."`
	TLSMax            *string          `json:"tls_max_version" doc:"tls10, tls11, tls12 or tls13."`
	Certificate       *string          `json:"certificate" doc:"PEM certificates of who may sign the directory's, in place of the system's."`
	ClientCertificate *string          `json:"client_tls_cert" doc:"PEM certificate to show to the directory."`
	ClientKey         *string          `json:"client_tls_key" doc:"PEM key of that certificate."`
	RequestTimeout    *backend.Seconds `json:"request_timeout" doc:"How long to wait for an answer."`
	ConnectionTimeout *backend.Seconds `json:"connection_timeout" doc:"How long to try one URL before the next."`
	Dereference       *string          `json:"dereference_aliases" doc:"never, finding, searching or always."`
	CaseSensitive     *bool            `json:"case_sensitive_names" doc:"Names of users and groups differ by case."`
	UsernameAsAlias   *bool            `json:"username_as_alias" doc:"Make the name that was sent the entity's alias."`
	PasswordPolicy    string           `json:"password_policy" doc:"Not served: rotation makes passwords of its own."`
	RotationPeriod    backend.Seconds  `json:"rotation_period" doc:"Not served: call config/rotate-root."`
	RotationSchedule  string           `json:"rotation_schedule" doc:"Not served: call config/rotate-root."`
	auth.TokenParams
}

// set takes over what was sent.
func set[T any](field, sent *T) {
	if sent != nil {
		*field = *sent
	}
}

// wait takes over a time-out: whole seconds, and the default for none.
func wait(field *time.Duration, sent *backend.Seconds, usual time.Duration) {
	if sent == nil {
		return
	}
	if *field = sent.Duration().Truncate(time.Second); *field == 0 {
		*field = usual
	}
}

// apply merges the request into c.
func (r *configRequest) apply(c *configRecord) error {
	set(&c.Server.URL, r.URL)
	c.Server.URL = strings.ToLower(c.Server.URL)
	set(&c.Server.StartTLS, r.StartTLS)
	set(&c.Server.InsecureTLS, r.InsecureTLS)
	set(&c.Server.TLSMin, r.TLSMin)
	set(&c.Server.TLSMax, r.TLSMax)
	set(&c.Server.Certificate, r.Certificate)
	set(&c.Server.ClientCertificate, r.ClientCertificate)
	set(&c.Server.ClientKey, r.ClientKey)
	wait(&c.Server.RequestTimeout, r.RequestTimeout, defaultRequest)
	wait(&c.Server.ConnectionTimeout, r.ConnectionTimeout, defaultConnection)
	set(&c.Server.Dereference, r.Dereference)
	set(&c.Users.DN, r.UserDN)
	set(&c.Users.Attribute, r.UserAttr)
	c.Users.Attribute = strings.ToLower(c.Users.Attribute)
	set(&c.Users.Filter, r.UserFilter)
	set(&c.Users.UPNDomain, r.UPNDomain)
	set(&c.Users.AlsoSAMName, r.SAMLogin)
	set(&c.Users.Discover, r.DiscoverDN)
	set(&c.Users.DenyNullBind, r.DenyNullBind)
	set(&c.Groups.DN, r.GroupDN)
	set(&c.Groups.Filter, r.GroupFilter)
	set(&c.Groups.Attribute, r.GroupAttr)
	set(&c.Groups.TokenGroups, r.TokenGroups)
	set(&c.Groups.Anonymous, r.AnonymousGroups)
	set(&c.Groups.PageSize, r.MaxPageSize)
	set(&c.Groups.UpperCN, r.UpperCN)
	set(&c.Names.CaseSensitive, r.CaseSensitive)
	set(&c.Names.UsernameAsAlias, r.UsernameAsAlias)
	c.Service.rewrite(r.BindDN, r.BindPass)
	return c.Apply(r.TokenParams, auth.Synonyms{})
}

// mostSpares bounds the passwords that are tried for the service account.
const mostSpares = 3

// rewrite takes over an account and password that somebody wrote. A password that nobody else
// knows is kept as a spare one while the account stays the same: a tool that writes the
// configuration again, with the password from before a rotation, must not lose the true one.
func (s *serviceRecord) rewrite(dn, password *string) {
	if dn != nil && *dn != s.BindDN {
		*s = serviceRecord{BindDN: *dn, Password: s.Password}
	}
	if password == nil || samePassword(*password, s.Password) {
		return
	}
	if s.Rotated {
		s.Spare = append([]string{s.Password}, s.Spare...)
	}
	if s.Pending != "" {
		s.Spare = append([]string{s.Pending}, s.Spare...)
	}
	s.Password, s.Pending, s.Rotated = *password, "", false
	s.Spare = slices.DeleteFunc(s.Spare, func(p string) bool { return samePassword(p, *password) })
	s.Spare = s.Spare[:min(len(s.Spare), mostSpares)]
}

// samePassword compares what a client sent in a time that tells nothing.
func samePassword(sent, known string) bool {
	return subtle.ConstantTimeCompare([]byte(sent), []byte(known)) == 1
}

// validate judges the configuration whole. Contract: auth-methods §4.1, the error texts.
func (r *configRequest) validate(c *configRecord) error {
	switch {
	case r.PasswordPolicy != "":
		return backend.Invalidf("'password_policy' is not served: config/rotate-root makes passwords of its own")
	case r.RotationPeriod != 0 || r.RotationSchedule != "":
		return backend.Invalidf("rotation by itself is not served: call config/rotate-root when the password is to change")
	case c.Groups.PageSize < 0 || c.Groups.PageSize > 1<<20:
		return backend.Invalidf("'max_page_size' is out of range")
	case c.Server.RequestTimeout > longestWait || c.Server.ConnectionTimeout > longestWait:
		return backend.Invalidf("'request_timeout' and 'connection_timeout' cannot be longer than an hour")
	case !isAttribute(c.Users.Attribute):
		return backend.Invalidf("invalid userattr: it is not the name of an attribute")
	case !isAttribute(c.Groups.Attribute):
		return backend.Invalidf("invalid groupattr: it is not the name of an attribute")
	}
	if _, ok := dereferences[c.Server.Dereference]; !ok {
		return backend.Invalidf("invalid 'dereference_aliases': want never, finding, searching or always")
	}
	if _, err := parseURLs(c.urls()); err != nil {
		return err
	}
	if _, err := tlsConfig(&c.Server); err != nil {
		return err
	}
	if _, err := parseFilters(c); err != nil {
		return err
	}
	return c.Validate()
}

const longestWait = time.Hour

// tlsVersions is a constant: the versions by their names.
var tlsVersions = map[string]uint16{"tls10": tls.VersionTLS10, "tls11": tls.VersionTLS11, "tls12": tls.VersionTLS12, "tls13": tls.VersionTLS13}

// tlsConfig is what connections are made with, but for the server's name.
func tlsConfig(s *serverRecord) (*tls.Config, error) {
	lowest, ok := tlsVersions[s.TLSMin]
	if !ok {
		return nil, backend.Invalidf("invalid 'tls_min_version'")
	}
	highest, ok := tlsVersions[s.TLSMax]
	if !ok {
		return nil, backend.Invalidf("invalid 'tls_max_version'")
	}
	if highest < lowest {
		return nil, backend.Invalidf("'tls_max_version' must be greater than or equal to 'tls_min_version'")
	}
	conf := &tls.Config{MinVersion: lowest, MaxVersion: highest, InsecureSkipVerify: s.InsecureTLS}
	if s.Certificate != "" {
		conf.RootCAs = x509.NewCertPool()
		if block, _ := pem.Decode([]byte(s.Certificate)); block == nil {
			return nil, backend.Invalidf("failed to parse server tls cert: failed to decode PEM block in the certificate")
		}
		if !conf.RootCAs.AppendCertsFromPEM([]byte(s.Certificate)) {
			return nil, backend.Invalidf("failed to parse server tls cert: there is no certificate in it, or none that is well-formed (a negative serial number is not)")
		}
	}
	if (s.ClientCertificate == "") != (s.ClientKey == "") {
		return nil, backend.Invalidf("both client_tls_cert and client_tls_key must be set")
	}
	if s.ClientCertificate != "" {
		pair, err := tls.X509KeyPair([]byte(s.ClientCertificate), []byte(s.ClientKey))
		if err != nil {
			// The library's text may tell of the key.
			return nil, backend.Invalidf("failed to parse client X509 key pair: the certificate and the key are not PEM, or do not belong together")
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

// address is one URL, taken apart.
type address struct {
	// url is how errors name it.
	url, host, port string
	// tls begins with the connection (ldaps).
	tls bool
}

// parseURLs takes the URLs apart. Its errors name an entry by number.
func parseURLs(urls []string) ([]address, error) {
	if len(urls) == 0 {
		return nil, backend.Invalidf("url: there is none")
	}
	var list []address
	for i, text := range urls {
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" {
			return nil, backend.Invalidf("url: entry %d is not a URL such as ldaps://ldap.example.com", i+1)
		}
		a := address{url: text, host: u.Hostname(), port: u.Port(), tls: u.Scheme == "ldaps"}
		switch {
		case u.Scheme != "ldap" && u.Scheme != "ldaps":
			return nil, backend.Invalidf("invalid LDAP scheme in url: entry %d begins with neither ldap:// nor ldaps://", i+1)
		case u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "":
			return nil, backend.Invalidf("url: entry %d has more in it than a host and a port", i+1)
		case a.port == "" && a.tls:
			a.port = "636"
		case a.port == "":
			a.port = "389"
		}
		list = append(list, a)
	}
	return list, nil
}

// loopback says whether what is sent to the address stays on this machine.
func (a address) loopback() bool {
	addr, err := netip.ParseAddr(a.host)
	return a.host == "localhost" || (err == nil && addr.IsLoopback())
}

func (a address) dial() string { return net.JoinHostPort(a.host, a.port) }

func (m *Method) writeConfig(ctx context.Context, c *backend.Call, req *configRequest) (*backend.None, error) {
	m.writing.Lock()
	defer m.writing.Unlock()
	var config *configRecord
	var forgotten bool
	err := m.area.Update(ctx, func(tx store.Tx) (err error) {
		if config, err = readConfig(tx); err != nil {
			return err
		}
		before := *config
		before.Service.Spare = slices.Clone(before.Service.Spare) // The other is changed in place.
		if err := req.apply(config); err != nil {
			return err
		}
		if err := req.validate(config); err != nil {
			return err
		}
		if forgotten, err = config.keepAtHome(&before, req.BindPass); err != nil {
			return err
		}
		config.Revision++
		return record.Put(tx, configKey, config)
	})
	if err != nil {
		return nil, err
	}
	m.asWritten.Store(config.Names.CaseSensitive)
	m.forget()
	if forgotten {
		c.Warn("the password that a rotation gave to binddn is forgotten: it goes to no other server. Where the account is the same, set its password there")
	}
	warn(c, config)
	return nil, nil
}

// warn tells of what is allowed and may not be meant.
func warn(c *backend.Call, config *configRecord) {
	if !config.Users.DenyNullBind {
		c.Warn("deny_null_bind is false: a login with an empty password succeeds wherever the directory takes it for an anonymous bind")
	}
	filter := strings.ToLower(config.Users.Filter)
	if config.Users.Filter != "" && !strings.Contains(filter, ".userattr") && !strings.Contains(filter, config.Users.Attribute) {
		c.Warn("userfilter does not mention userattr: a user may be found by one name and known by another")
	}
	addresses, _ := parseURLs(config.urls())
	for _, a := range addresses {
		if !a.tls && !config.Server.StartTLS && !a.loopback() {
			c.Warn("passwords will travel in clear: use ldaps:// or starttls")
			return
		}
	}
}
