package config

import (
	"crypto/tls"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-sockaddr/template"
)

// Listener is one address that the server answers at (contract: config §3).
type Listener struct {
	// Network is "tcp" or "unix".
	Network string
	// Address is host:port, or the socket's path. Port 0 lets the system choose.
	Address        string
	ClusterAddress string
	TLS            TLS
	Timeouts       Timeouts
	Limits         Limits
	Forwarded      Forwarded
	ProxyProtocol  ProxyProtocol
	// Headers are the operator's own response headers: status ("default", "2xx", "404") to
	// header to its values.
	Headers  map[string]map[string][]string
	CORS     CORS
	Exposure Exposure
	Socket   Socket
	// RequireRequestHeader refuses requests without X-Vault-Request: true.
	RequireRequestHeader bool
	// Source is where the stanza stands, for errors of those who open the listener.
	Source string
}

// TLS is how a listener proves who it is, and what it asks of clients.
type TLS struct {
	Disable           bool
	CertFile, KeyFile string
	// MinVersion and MaxVersion are crypto/tls's numbers.
	MinVersion, MaxVersion uint16
	// CipherSuites are for TLS up to 1.2; nil is Go's own choice.
	CipherSuites []uint16
	// ClientCAFile is what client certificates are verified against; "" is the system's CAs.
	ClientCAFile string
	// RequireClientCert refuses clients without a verified certificate. Without it a
	// certificate is asked for and not judged: the cert login method does that.
	RequireClientCert bool
	// DisableClientCerts asks for none.
	DisableClientCerts bool
}

// Timeouts bound the phases of a request; 0 is no bound.
type Timeouts struct {
	ReadHeader, Read, Write, Idle time.Duration
}

// Limits bound what one request may ask for.
type Limits struct {
	// MaxSize of a body in bytes; below 0 is no bound.
	MaxSize     int64
	MaxDuration time.Duration
	JSON        JSONLimits
}

// JSONLimits bound a JSON body; 0 is the server's own default, below 0 no bound.
type JSONLimits struct {
	Depth, StringLength, ObjectEntries, ArrayElements int64
}

// Forwarded says which proxies are believed when they name the client.
type Forwarded struct {
	// Authorized proxies; none is X-Forwarded-For ignored.
	Authorized []netip.Prefix
	// HopSkips is how many hops to skip, counted from the right.
	HopSkips            int64
	RejectNotPresent    bool
	RejectNotAuthorized bool
	Certificate         ForwardedCertificate
}

// ForwardedCertificate says how trusted proxies name the client's certificate.
type ForwardedCertificate struct {
	// Header is the canonical name; "" is none believed.
	Header string
	// Decoders undo the header's encoding, in this order.
	Decoders []string
}

// The decoders, by the names that they have in Vault. DER makes DER of PEM.
const (
	DecoderURL    = "URL"
	DecoderBase64 = "BASE64"
	DecoderDER    = "DER"
)

// ProxyProtocol says who may send PROXY protocol headers.
type ProxyProtocol struct {
	// Behavior is "", "use_always", "allow_authorized" or "deny_unauthorized".
	Behavior   string
	Authorized []netip.Prefix
}

// CORS is the listener's own answer to browsers of other origins.
type CORS struct {
	Enabled                        bool
	AllowedOrigins, AllowedHeaders []string
}

// Exposure is what a listener shows, and to whom.
type Exposure struct {
	UnauthenticatedMetrics, UnauthenticatedPprof, UnauthenticatedInFlight bool
	// MetricsOnly serves nothing but metrics.
	MetricsOnly bool
	// Redact… blank fields of health, leader and seal-status.
	RedactAddresses, RedactClusterName, RedactVersion bool
	// DisableUnauthedRekey and DisableUnauthedGenerateRoot refuse those endpoints.
	DisableUnauthedRekey, DisableUnauthedGenerateRoot bool
}

// Socket is who may open a unix socket.
type Socket struct {
	// Mode is 0 where the umask decides.
	Mode        fs.FileMode
	User, Group string
}

func newListener() Listener {
	return Listener{
		TLS:       TLS{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13},
		Timeouts:  Timeouts{ReadHeader: 10 * time.Second, Read: 30 * time.Second, Idle: 5 * time.Minute},
		Limits:    Limits{MaxSize: DefaultMaxRequestSize},
		Forwarded: Forwarded{RejectNotPresent: true, RejectNotAuthorized: true},
	}
}

// parseListeners reads one listener key: a block, or JSON's list of them.
func parseListeners(s scope, c *Config, e entry) error {
	found, err := e.val.blocks(1)
	if err != nil {
		return fmt.Errorf("error parsing 'listener': %w", err)
	}
	for _, b := range found {
		index := len(c.Listeners)
		s := scope{d: s.d, path: "listener", preface: fmt.Sprintf("error parsing 'listener': listeners.%d: ", index)}
		l := newListener()
		l.Source = b.pos.String()
		if len(b.labels) > 0 {
			l.Network = strings.ToLower(b.labels[0])
		} else if e, ok := b.body.find("type"); ok {
			l.Network = strings.ToLower(e.val.text)
		}
		switch l.Network {
		case "tcp", "unix":
			decodeListener(s.below(l.Network), &l, b)
		case "":
			s.fail(b.pos, "type", "listener type must be specified")
		default:
			s.fail(b.pos, "type", fmt.Sprintf("unsupported listener type %q", l.Network))
		}
		c.Listeners = append(c.Listeners, l)
	}
	return nil
}

func decodeListener(s scope, l *Listener, b block) {
	before := len(s.d.problems)
	decode(s, l, b.body, listenerGrammar(l.Network))
	if len(s.d.problems) > before {
		return // One mistake, one error: what follows would only be its consequence.
	}
	if key, err := l.check(); err != nil {
		at := b.pos
		if e, ok := b.body.find(key); ok {
			at = e.pos
		}
		s.fail(at, key, err.Error())
		return
	}
	if l.ProxyProtocol.Behavior == "use_always" && len(l.Forwarded.Authorized) > 0 {
		s.warn(b.pos, "proxy_protocol_behavior", "proxy_protocol_behavior = use_always lets anybody name the address of a proxy of x_forwarded_for_authorized_addrs, and then any address as the client's; use allow_authorized")
	}
}

// check judges a listener as a whole and says which key is to blame.
func (l *Listener) check() (key string, err error) {
	if key, err := l.checkCertificate(); err != nil {
		return key, err
	}
	if l.Network == "unix" {
		if l.Address == "" {
			return "address", fmt.Errorf("'address' must be set to the path of the socket")
		}
		return "", nil
	}
	address, err := template.Parse(l.Address)
	if err != nil {
		return "address", fmt.Errorf("invalid value for address: %w", err)
	}
	if l.Address = address; l.Address == "" {
		l.Address = DefaultAddress
	}
	if key, err := l.TLS.check(); err != nil {
		return key, err
	}
	if b := l.ProxyProtocol.Behavior; (b == "allow_authorized" || b == "deny_unauthorized") && len(l.ProxyProtocol.Authorized) == 0 {
		return "proxy_protocol_behavior", fmt.Errorf("proxy_protocol_behavior set to allow or deny only authorized addresses but no proxy_protocol_authorized_addrs value")
	}
	return "", nil
}

func (t *TLS) check() (key string, err error) {
	switch {
	case t.Disable:
		return "", nil
	case t.CertFile == "":
		return "tls_cert_file", fmt.Errorf("Error initializing listener of type tcp: error loading TLS cert: tls_cert_file is not set (set tls_cert_file and tls_key_file, or tls_disable = true to serve without TLS)")
	case t.KeyFile == "":
		return "tls_key_file", fmt.Errorf("Error initializing listener of type tcp: error loading TLS cert: tls_key_file is not set")
	case t.MaxVersion < t.MinVersion:
		return "tls_max_version", fmt.Errorf("'tls_max_version' must be greater than or equal to 'tls_min_version'")
	case t.RequireClientCert && t.DisableClientCerts:
		return "tls_disable_client_certs", fmt.Errorf("'tls_disable_client_certs' and 'tls_require_and_verify_client_cert' are mutually exclusive")
	case t.ClientCAFile != "" && t.DisableClientCerts:
		return "tls_client_ca_file", fmt.Errorf("'tls_client_ca_file' is of no use when 'tls_disable_client_certs' is set")
	}
	return "", nil
}

func listenerGrammar(network string) grammar[Listener] {
	g := grammar[Listener]{
		keys: map[string]setter[Listener]{
			"type":            func(scope, *Listener, entry) error { return nil }, // read with the labels
			"address":         text(func(l *Listener) *string { return &l.Address }),
			"cluster_address": text(func(l *Listener) *string { return &l.ClusterAddress }),
			"socket_mode":     socketMode,
			"socket_user":     text(func(l *Listener) *string { return &l.Socket.User }),
			"socket_group":    text(func(l *Listener) *string { return &l.Socket.Group }),

			"http_read_header_timeout": period(func(l *Listener) *time.Duration { return &l.Timeouts.ReadHeader }),
			"http_read_timeout":        period(func(l *Listener) *time.Duration { return &l.Timeouts.Read }),
			"http_write_timeout":       period(func(l *Listener) *time.Duration { return &l.Timeouts.Write }),
			"http_idle_timeout":        period(func(l *Listener) *time.Duration { return &l.Timeouts.Idle }),
			"max_request_size":         maxRequestSize,
			"max_request_duration":     period(func(l *Listener) *time.Duration { return &l.Limits.MaxDuration }),

			"max_json_depth":               number(func(l *Listener) *int64 { return &l.Limits.JSON.Depth }),
			"max_json_string_value_length": number(func(l *Listener) *int64 { return &l.Limits.JSON.StringLength }),
			"max_json_object_entry_count":  number(func(l *Listener) *int64 { return &l.Limits.JSON.ObjectEntries }),
			"max_json_array_element_count": number(func(l *Listener) *int64 { return &l.Limits.JSON.ArrayElements }),

			"require_request_header":          toggle(func(l *Listener) *bool { return &l.RequireRequestHeader }),
			"proxy_protocol_behavior":         oneOf(func(l *Listener) *string { return &l.ProxyProtocol.Behavior }, "use_always", "allow_authorized", "deny_unauthorized"),
			"proxy_protocol_authorized_addrs": networks(func(l *Listener) *[]netip.Prefix { return &l.ProxyProtocol.Authorized }),

			"x_forwarded_for_authorized_addrs":      networks(func(l *Listener) *[]netip.Prefix { return &l.Forwarded.Authorized }),
			"x_forwarded_for_hop_skips":             count(func(l *Listener) *int64 { return &l.Forwarded.HopSkips }),
			"x_forwarded_for_reject_not_present":    toggle(func(l *Listener) *bool { return &l.Forwarded.RejectNotPresent }),
			"x_forwarded_for_reject_not_authorized": toggle(func(l *Listener) *bool { return &l.Forwarded.RejectNotAuthorized }),

			"x_forwarded_for_client_cert_header":          text(func(l *Listener) *string { return &l.Forwarded.Certificate.Header }),
			"x_forwarded_for_client_cert_header_decoders": words(func(l *Listener) *[]string { return &l.Forwarded.Certificate.Decoders }),

			"custom_response_headers": customHeaders,
			"cors_enabled":            toggle(func(l *Listener) *bool { return &l.CORS.Enabled }),
			"cors_allowed_origins":    words(func(l *Listener) *[]string { return &l.CORS.AllowedOrigins }),
			"cors_allowed_headers":    words(func(l *Listener) *[]string { return &l.CORS.AllowedHeaders }),
		},
		ignored: map[string]string{
			"tls_prefer_server_cipher_suites":      "Go orders cipher suites itself",
			"disable_replication_status_endpoints": "there is no replication",
			"max_request_json_memory":              "max_request_size and max_json_* bound a request",
			"max_request_json_strings":             "max_request_size and max_json_* bound a request",
			"disable_request_limiter":              "there is no such limiter",
			"purpose":                              "every listener serves the API",
			"tls_acme_ca_directory":                "certificates come from files",
		},
		refused: map[string]string{
			"chroot_namespace": "there are no namespaces, so the listener would show everything",
		},
	}
	maps.Copy(g.keys, tlsKeys())
	maps.Copy(g.keys, exposureKeys())
	if network == "unix" {
		// A socket is as private as its file mode; TLS on it is neither asked for nor wrong.
		g.keys["tls_disable"] = noted[Listener]("a unix socket is served without TLS")
	}
	return g
}

func tlsKeys() map[string]setter[Listener] {
	return map[string]setter[Listener]{
		"tls_disable":                        toggle(func(l *Listener) *bool { return &l.TLS.Disable }),
		"tls_cert_file":                      text(func(l *Listener) *string { return &l.TLS.CertFile }),
		"tls_key_file":                       text(func(l *Listener) *string { return &l.TLS.KeyFile }),
		"tls_min_version":                    tlsVersion(func(t *TLS) *uint16 { return &t.MinVersion }),
		"tls_max_version":                    tlsVersion(func(t *TLS) *uint16 { return &t.MaxVersion }),
		"tls_cipher_suites":                  cipherSuites,
		"tls_client_ca_file":                 text(func(l *Listener) *string { return &l.TLS.ClientCAFile }),
		"tls_require_and_verify_client_cert": toggle(func(l *Listener) *bool { return &l.TLS.RequireClientCert }),
		"tls_disable_client_certs":           toggle(func(l *Listener) *bool { return &l.TLS.DisableClientCerts }),
	}
}

func exposureKeys() map[string]setter[Listener] {
	open := func(key string, field func(*Exposure) *bool, more map[string]setter[Exposure]) setter[Listener] {
		g := grammar[Exposure]{keys: map[string]setter[Exposure]{key: toggle(field)}}
		maps.Copy(g.keys, more)
		return stanza(func(l *Listener) *Exposure { return &l.Exposure }, g)
	}
	return map[string]setter[Listener]{
		"telemetry":                 open("unauthenticated_metrics_access", func(x *Exposure) *bool { return &x.UnauthenticatedMetrics }, map[string]setter[Exposure]{"metrics_only": toggle(func(x *Exposure) *bool { return &x.MetricsOnly })}),
		"profiling":                 open("unauthenticated_pprof_access", func(x *Exposure) *bool { return &x.UnauthenticatedPprof }, nil),
		"inflight_requests_logging": open("unauthenticated_in_flight_requests_access", func(x *Exposure) *bool { return &x.UnauthenticatedInFlight }, nil),

		"role":                             role,
		"redact_addresses":                 toggle(func(l *Listener) *bool { return &l.Exposure.RedactAddresses }),
		"redact_cluster_name":              toggle(func(l *Listener) *bool { return &l.Exposure.RedactClusterName }),
		"redact_version":                   toggle(func(l *Listener) *bool { return &l.Exposure.RedactVersion }),
		"disable_unauthed_rekey_endpoints": toggle(func(l *Listener) *bool { return &l.Exposure.DisableUnauthedRekey }),
		"disable_unauthed_generate_root_endpoints": toggle(func(l *Listener) *bool { return &l.Exposure.DisableUnauthedGenerateRoot }),
	}
}

func role(_ scope, l *Listener, e entry) error {
	switch got, _ := e.val.scalar(); got {
	case "", "default":
	case "metrics_only":
		l.Exposure.MetricsOnly = true
	default:
		return fmt.Errorf("unsupported listener role %q", got)
	}
	return nil
}

func maxRequestSize(s scope, l *Listener, e entry) error {
	if err := number(func(l *Listener) *int64 { return &l.Limits.MaxSize })(s, l, e); err != nil {
		return err
	}
	if l.Limits.MaxSize == 0 {
		l.Limits.MaxSize = DefaultMaxRequestSize
	}
	return nil
}

func socketMode(_ scope, l *Listener, e entry) error {
	got, err := e.val.scalar()
	if err != nil || got == "" {
		return err
	}
	mode, err := strconv.ParseUint(got, 8, 32)
	if err != nil || mode > 0o777 {
		return fmt.Errorf("invalid value for socket_mode: %q is not an octal file mode", got)
	}
	l.Socket.Mode = fs.FileMode(mode)
	return nil
}

func tlsVersion(field func(*TLS) *uint16) setter[Listener] {
	return func(_ scope, l *Listener, e entry) error {
		got, _ := e.val.scalar()
		versions := map[string]uint16{"tls10": tls.VersionTLS10, "tls11": tls.VersionTLS11, "tls12": tls.VersionTLS12, "tls13": tls.VersionTLS13}
		version, ok := versions[got]
		if !ok {
			return fmt.Errorf("'%s' value %q not supported, please specify one of [tls10,tls11,tls12,tls13]", e.key, got)
		}
		*field(&l.TLS) = version
		return nil
	}
}

func cipherSuites(s scope, l *Listener, e entry) error {
	names, err := e.val.texts()
	if err != nil {
		return fmt.Errorf("invalid value for %s: %w", e.key, err)
	}
	weak := tls.InsecureCipherSuites()
	for _, name := range names {
		named := func(c *tls.CipherSuite) bool { return c.Name == name }
		all := slices.Concat(tls.CipherSuites(), weak)
		i := slices.IndexFunc(all, named)
		if i < 0 {
			return fmt.Errorf("invalid value for %s: unsupported cipher %q", e.key, name)
		}
		if slices.ContainsFunc(weak, named) {
			s.warn(e.pos, e.key, "%s: cipher suite %s is insecure", s.key(e.key), name)
		}
		l.TLS.CipherSuites = append(l.TLS.CipherSuites, all[i].ID)
	}
	return nil
}

// networks takes addresses and CIDR blocks, in a list or with commas between them.
func networks[T any](field func(*T) *[]netip.Prefix) setter[T] {
	return func(_ scope, dst *T, e entry) error {
		list, err := e.val.texts()
		if err != nil {
			return fmt.Errorf("error parsing %s: %w", e.key, err)
		}
		for _, one := range list {
			prefix, err := netip.ParsePrefix(one)
			if err != nil {
				addr, err := netip.ParseAddr(one)
				if err != nil {
					return fmt.Errorf("error parsing %s: %q is neither an address nor a CIDR block", e.key, one)
				}
				prefix = netip.PrefixFrom(addr, addr.BitLen())
			}
			*field(dst) = append(*field(dst), prefix.Masked())
		}
		return nil
	}
}

// customHeaders reads custom_response_headers { "2xx" { Name = ["value"] } }.
func customHeaders(s scope, l *Listener, e entry) error {
	found, err := e.val.blocks(1)
	if err != nil {
		return fmt.Errorf("error parsing custom_response_headers: %w", err)
	}
	l.Headers = make(map[string]map[string][]string)
	for _, b := range found {
		if len(b.labels) == 0 {
			if len(b.body.entries) > 0 {
				return fmt.Errorf("invalid status code found in the server configuration: %s", b.body.entries[0].key)
			}
			continue
		}
		status := strings.ToLower(b.labels[0])
		if !validStatus(status) {
			return fmt.Errorf("invalid status code found in the server configuration: %s", b.labels[0])
		}
		if l.Headers[status] == nil {
			l.Headers[status] = make(map[string][]string)
		}
		for _, h := range b.body.entries {
			if h.val.kind != kindList {
				return fmt.Errorf("headers must be given in a list of strings (%s at %s)", h.key, h.pos)
			}
			values, err := h.val.texts()
			if err != nil || strings.ContainsAny(h.key+strings.Join(values, ""), "\r\n\x00") {
				return fmt.Errorf("headers must be given in a list of strings (%s at %s)", h.key, h.pos)
			}
			if strings.HasPrefix(strings.ToLower(h.key), "x-vault-") {
				s.warn(h.pos, h.key, "custom_response_headers: %s is ignored: headers that begin with X-Vault- are the server's own", h.key)
				continue
			}
			l.Headers[status][h.key] = values
		}
	}
	return nil
}

// validStatus accepts "default", a class such as "2xx", or a code from 100 to 599.
func validStatus(status string) bool {
	if status == "default" {
		return true
	}
	if len(status) != 3 || status[0] < '1' || status[0] > '5' {
		return false
	}
	if status[1:] == "xx" {
		return true
	}
	_, err := strconv.ParseUint(status, 10, 16)
	return err == nil
}
