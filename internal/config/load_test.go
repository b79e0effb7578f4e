package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// minimal is a server that starts.
const minimal = "storage \"inmem\" {}\nlistener \"tcp\" { tls_disable = true }\n"

func env(pairs ...string) func(string) (string, bool) {
	vars := make(map[string]string)
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		vars[name] = value
	}
	return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

// mustParse reads text as c.hcl.
func mustParse(t *testing.T, text string, vars ...string) *Config {
	t.Helper()
	c, err := parseFor(nil, "c.hcl", []byte(text), Options{LookupEnv: env(vars...)})
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return c
}

// write makes a directory of files.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestWrong: what must stop the server, each with its place and its key (contract: config
// §1 to §5 and §10).
func TestWrong(t *testing.T) {
	tests := []struct {
		name, text, at, key, says string
	}{
		{"§1 syntax error", "storage \"inmem\" {}\nlistener \"tcp\" {\n", "3:2", "", "object expected closing RBRACE got: EOF"},
		{"§1 JSON cut short", `{"storage":`, "1:12", "", "object expected closing RBRACE got: EOF"},
		{"§1 text after JSON", "{}\n{}", "2:1", "", "text after the closing brace"},
		{"§1 unknown key", minimal + "lisener \"tcp\" {}\n", "3:1", "lisener", "unknown or unsupported field lisener found in configuration at c.hcl:3:1; did you mean listener?"},
		{"§1 unknown key in JSON", `{"storage":{"inmem":{}},` + "\n" + `"listener":{"tcp":{"tls_disable":1,"tls_disabel":1}}}`, "2:36", "listener.tcp.tls_disabel", "did you mean tls_disable?"},
		{"§1 dashes for underlines", minimal + "log-level = \"info\"\n", "3:1", "log-level", "did you mean log_level?"},
		{"§1 duplicate attribute", minimal + "ui = true\n\nui = false\n", "5:1", "ui", `The argument "ui" at c.hcl:5:1 was already set, at c.hcl:3:1`},
		{"§1 duplicate, one quoted", minimal + "ui = true\n\"UI\" = false\n", "4:1", "UI", "was already set"},
		{"§1 duplicate in JSON", `{"ui":true,"ui":false}`, "1:12", "ui", "was already set"},
		{"§1 two telemetry blocks", minimal + "telemetry {}\ntelemetry {}\n", "4:1", "telemetry", `only one "telemetry" block is permitted`},
		{"§1 listener type", "storage \"inmem\" {}\nlistener \"udp\" {}\n", "2:10", "listener.type", `error parsing 'listener': listeners.0: unsupported listener type "udp"`},
		{"§1 listener without type", "storage \"inmem\" {}\nlistener {}\n", "2:10", "listener.type", "error parsing 'listener': listeners.0: listener type must be specified"},
		{"§1, §10.6 two storage blocks", minimal + "storage \"file\" { path = \"/x\" }\n", "3:1", "storage", `error parsing 'storage': only one "storage" block is permitted`},
		{"§1 storage and backend", minimal + "backend \"inmem\" {}\n", "3:1", "backend", `only one "storage" block is permitted`},
		{"§1, §10.4 tls_disable", "storage \"inmem\" {}\nlistener \"tcp\" {\n  tls_disable = \"maybe\"\n}\n", "3:3", "listener.tcp.tls_disable", "invalid value for tls_disable: "},
		{"§1 max_request_size", "storage \"inmem\" {}\nlistener \"tcp\" {\n tls_disable = 1\n max_request_size = \"big\"\n}\n", "4:2", "listener.tcp.max_request_size", "error parsing max_request_size: "},
		{"§1 no storage", "listener \"tcp\" { tls_disable = true }\n", "", "storage", "A storage backend must be specified"},
		{"§1 unknown storage", "storage \"consul\" {}\n", "1:1", "storage", "Unknown storage type consul"},
		{"§1 file without path", "storage \"file\" {}\n", "1:9", "storage.file.path", "Error initializing storage of type file: 'path' must be set"},
		{"§1 no listener", "storage \"inmem\" {}\n", "", "listener", "A listener must be specified"},
		{"§1 tcp without certificate", "storage \"inmem\" {}\nlistener \"tcp\" {}\n", "2:10", "listener.tcp.tls_cert_file", "Error initializing listener of type tcp: error loading TLS cert: "},
		{"§1 tcp without key", "storage \"inmem\" {}\nlistener \"tcp\" {\n tls_cert_file = \"c\"\n}\n", "2:10", "listener.tcp.tls_key_file", "tls_key_file is not set"},
		{"§2, §10.5 default over max", minimal + "max_lease_ttl = \"1h\"\ndefault_lease_ttl = \"2h\"\n", "4:1", "default_lease_ttl", "cannot have DefaultLeaseTTL larger than MaxLeaseTTL"},
		{"§2 default over the default max", minimal + "default_lease_ttl = \"769h\"\n", "3:1", "default_lease_ttl", "cannot have DefaultLeaseTTL larger than MaxLeaseTTL"},
		{"§2 bad duration", minimal + "max_lease_ttl = \"1 fortnight\"\n", "3:1", "max_lease_ttl", "error parsing max_lease_ttl: "},
		{"§2 negative duration", minimal + "max_lease_ttl = \"-1h\"\n", "3:1", "max_lease_ttl", "max_lease_ttl cannot be negative"},
		{"§2 duration past all time", minimal + "max_lease_ttl = \"99999999999999999d\"\n", "3:1", "max_lease_ttl", "error parsing max_lease_ttl: "},
		{"§2 log level", minimal + "log_level = \"loud\"\n", "3:1", "log_level", "unknown log level: loud"},
		{"§2 same address twice", minimal + "api_addr = \"http://a:1\"\ncluster_addr = \"http://a:1\"\n", "4:1", "cluster_addr", `address "http://a:1" used for both API and cluster addresses`},
		{"§2 api_addr without scheme", minimal + "api_addr = \"a:1\"\n", "3:1", "api_addr", "must be a full URL"},
		{"§2 block for a scalar", minimal + "ui {}\n", "3:1", "ui", "invalid value for ui: must be a single value, not a block"},
		{"§2 scalar for a block", minimal + "telemetry = 3\n", "3:1", "telemetry", "must be a block, not a number"},
		{"§2 lockout of no method", minimal + "user_lockout \"cert\" {}\n", "3:1", "user_lockout", `unsupported auth method "cert"`},
		{"§3 tls_min_version", tlsListener("tls_min_version = \"ssl3\""), "3:2", "listener.tcp.tls_min_version", `'tls_min_version' value "ssl3" not supported, please specify one of [tls10,tls11,tls12,tls13]`},
		{"§3 max under min", tlsListener("tls_max_version = \"tls11\""), "3:2", "listener.tcp.tls_max_version", "'tls_max_version' must be greater than or equal to 'tls_min_version'"},
		{"§3 client certs both ways", tlsListener("tls_disable_client_certs = true\n tls_require_and_verify_client_cert = true"), "3:2", "listener.tcp.tls_disable_client_certs", "'tls_disable_client_certs' and 'tls_require_and_verify_client_cert' are mutually exclusive"},
		{"§3 cipher", tlsListener("tls_cipher_suites = \"TLS_NULL\""), "3:2", "listener.tcp.tls_cipher_suites", `unsupported cipher "TLS_NULL"`},
		{"§3 negative max_request_duration", tlsListener("max_request_duration = -1"), "3:2", "listener.tcp.max_request_duration", "max_request_duration cannot be negative"},
		{"§3 proxy protocol without addresses", tlsListener("proxy_protocol_behavior = \"deny_unauthorized\""), "3:2", "listener.tcp.proxy_protocol_behavior", "proxy_protocol_behavior set to allow or deny only authorized addresses but no proxy_protocol_authorized_addrs value"},
		{"§3 bad CIDR", tlsListener("x_forwarded_for_authorized_addrs = [\"300.1.2.3/8\"]"), "3:2", "listener.tcp.x_forwarded_for_authorized_addrs", `"300.1.2.3/8" is neither an address nor a CIDR block`},
		{"§3 client certificates from everybody", tlsListener(forwardedCert), "3:2", "listener.tcp.x_forwarded_for_client_cert_header", "x_forwarded_for_authorized_addrs must name the proxies: from anybody else"},
		{"§3 client certificates from a network of all", tlsListener(forwardedCert + "x_forwarded_for_authorized_addrs = \"10.0.0.1,0.0.0.0/0\""), "3:2", "listener.tcp.x_forwarded_for_client_cert_header", "must name the proxies, not everybody (0.0.0.0/0)"},
		{"§3 client certificates from whom a PROXY header of anybody names", tlsListener(forwardedCert + byProxy + "proxy_protocol_behavior = \"use_always\""), "3:2", "listener.tcp.x_forwarded_for_client_cert_header", "anybody could name a proxy's address"},
		{"§3 client certificates in a header that means something else", tlsListener(strings.Replace(forwardedCert, "X-Cert", "X-Vault-Token", 1) + byProxy), "3:2", "listener.tcp.x_forwarded_for_client_cert_header", `the header "X-Vault-Token" has another meaning`},
		{"§3 client certificates in a header that proxies drop", tlsListener(strings.Replace(forwardedCert, "X-Cert", "X_Cert", 1) + byProxy), "3:2", "listener.tcp.x_forwarded_for_client_cert_header", `"X_Cert" is not a header's name of letters, digits and dashes`},
		{"§3 client certificates without decoders", tlsListener("x_forwarded_for_client_cert_header = \"X-Cert\"\n" + byProxy), "2:10", "listener.tcp.x_forwarded_for_client_cert_header_decoders", `"URL,DER" for nginx`},
		{"§3 decoders that end in no certificate", tlsListener(strings.Replace(forwardedCert, "URL,DER", "DER,URL", 1) + byProxy), "4:1", "listener.tcp.x_forwarded_for_client_cert_header_decoders", "the last must be BASE64 or DER"},
		{"§3 unknown decoder", tlsListener(strings.Replace(forwardedCert, "URL,DER", "HEX", 1) + byProxy), "4:1", "listener.tcp.x_forwarded_for_client_cert_header_decoders", `"HEX" is not one of BASE64, DER (which makes DER of PEM), URL`},
		{"§3 decoders alone", tlsListener("x_forwarded_for_client_cert_header_decoders = [\"URL\", \"DER\"]"), "3:2", "listener.tcp.x_forwarded_for_client_cert_header_decoders", "there is nothing to decode without x_forwarded_for_client_cert_header"},
		{"§3 client certificates by a unix socket", "storage \"inmem\" {}\nlistener \"unix\" {\n address = \"/s\"\n" + forwardedCert + byProxy + "}\n", "4:1", "listener.unix.x_forwarded_for_client_cert_header", "a unix socket's peer has no address"},
		{"§3 header status", tlsListener("custom_response_headers {\n \"9xx\" { a = [\"b\"] }\n}"), "3:2", "listener.tcp.custom_response_headers", "invalid status code found in the server configuration: 9xx"},
		{"§3 header value", tlsListener("custom_response_headers {\n \"2xx\" { a = \"b\" }\n}"), "3:2", "listener.tcp.custom_response_headers", "headers must be given in a list of strings"},
		{"§3 header smuggling", tlsListener("custom_response_headers {\n \"2xx\" { a = [\"b\\r\\nc: d\"] }\n}"), "3:2", "listener.tcp.custom_response_headers", "headers must be given in a list of strings"},
		{"§3 role", tlsListener("role = \"king\""), "3:2", "listener.tcp.role", `unsupported listener role "king"`},
		{"§3 a protection that is not there", tlsListener("chroot_namespace = \"a\""), "3:2", "listener.tcp.chroot_namespace", "chroot_namespace is not supported: "},
		{"§3 misplaced key of a sub-block", tlsListener("unauthenticated_metrics_access = true"), "3:2", "listener.tcp.unauthenticated_metrics_access", "unknown or unsupported field"},
		{"§3 unix without path", "storage \"inmem\" {}\nlistener \"unix\" {}\n", "2:10", "listener.unix.address", "'address' must be set"},
		{"§3 socket mode", "storage \"inmem\" {}\nlistener \"unix\" { socket_mode = \"rw\" }\n", "2:19", "listener.unix.socket_mode", `"rw" is not an octal file mode`},
		{"§5 unknown seal", minimal + "seal \"awskms\" {}\n", "3:1", "seal", `Error configuring seal "awskms": `},
		{"§5 two seals, neither disabled", minimal + "seal \"shamir\" {}\nseal \"shamir\" {}\n", "4:6", "seal.disabled", "seals: two seals provided but neither is disabled"},
		{"§5 two seals, both disabled", minimal + "seal \"shamir\" { disabled = 1 }\nseal \"shamir\" { disabled = 1 }\n", "4:6", "seal.disabled", "seals: two seals provided but both are disabled"},
		{"§5 three seals", minimal + "seal \"shamir\" {}\nseal \"shamir\" {}\nseal \"shamir\" {}\n", "5:6", "seal.", "seals: 3 seals provided"},
		{"§5 static key too short", minimal + "seal \"static\" {\n current_key_id = \"a\"\n current_key = \"short\"\n}\n", "3:6", "seal.static.current_key", "must be a key of 32 bytes"},
		{"§5 static key from nowhere", minimal + "seal \"static\" {\n current_key_id = \"a\"\n current_key = \"env://NOT_SET\"\n}\n", "5:2", "seal.static.current_key", "the environment variable it names is not set"},
		{"§5 transit without key", minimal + "seal \"transit\" {\n address = \"https://v\"\n mount_path = \"transit\"\n}\n", "3:6", "seal.transit.key_name", "'key_name' must be set"},
		{"§6 prefix filter", minimal + "telemetry {\n prefix_filter = [\"vault.token\"]\n}\n", "4:2", "telemetry.prefix_filter", "must begin with either '+' or '-'"},
		{"audit path twice", minimal + "audit \"file\" \"a\" {}\naudit \"file\" \"a/b\" {}\n", "4:14", "audit.path", "is already in use by the stanza at c.hcl:3:14"},
		{"audit directory relative", minimal + "allowed_audit_directories = [\"logs\"]\n", "3:1", "allowed_audit_directories", "is not an absolute path"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseFor(nil, "c.hcl", []byte(tt.text), Options{})
			var all Errors
			if !errors.As(err, &all) {
				t.Fatalf("got %v, want an error", err)
			}
			for _, e := range all {
				at := fmt.Sprintf("%d:%d", e.Line, e.Column)
				if e.Line == 0 {
					at = ""
				}
				if at == tt.at && e.Key == tt.key && strings.Contains(e.Error(), tt.says) && strings.Contains(e.Error(), "c.hcl") {
					return
				}
			}
			t.Errorf("want %s %s %q, got:\n%#v", tt.at, tt.key, tt.says, []string{err.Error(), all[0].Key})
		})
	}
}

// A key that its file or variable does not give is one problem, not also a key of the wrong length.
func TestUnreadableKeyIsOneProblem(t *testing.T) {
	for _, from := range []string{"env://NOT_SET", "file:///nowhere"} {
		for key, more := range map[string]string{"current_key": "", "previous_key": " previous_key_id = \"b\"\n current_key = \"" + strings.Repeat("ab", 32) + "\"\n"} {
			text := minimal + "seal \"static\" {\n current_key_id = \"a\"\n" + more + " " + key + " = \"" + from + "\"\n}\n"
			_, err := parseFor(nil, "c.hcl", []byte(text), Options{})
			var all Errors
			if !errors.As(err, &all) || len(all) != 1 || all[0].Key != "seal.static."+key {
				t.Errorf("%s from %s: %v", key, from, err)
			}
		}
	}
}

// tlsListener is a server with one TLS listener in which line 3 is given.
func tlsListener(line string) string {
	return "storage \"inmem\" {}\nlistener \"tcp\" { tls_cert_file = \"c\"\n " + line + "\n tls_key_file = \"k\"\n}\n"
}

// A header for client certificates, and who is believed about it.
const (
	forwardedCert = "x_forwarded_for_client_cert_header = \"X-Cert\"\nx_forwarded_for_client_cert_header_decoders = \"URL,DER\"\n"
	byProxy       = "x_forwarded_for_authorized_addrs = \"10.0.0.1\"\n"
)

// TestForwardedCertificateKeys: contract config §3 x_forwarded_for_client_cert_header: the names become
// canonical, the decoders are a list or one text, in any case, and their order is kept.
func TestForwardedCertificateKeys(t *testing.T) {
	for text, want := range map[string]ForwardedCertificate{
		"":                      {},
		forwardedCert + byProxy: {"X-Cert", []string{DecoderURL, DecoderDER}},
		"x_forwarded_for_client_cert_header = \"x-ssl-CERT\"\nx_forwarded_for_client_cert_header_decoders = [\"base64\"]\n" + byProxy:                                                  {"X-Ssl-Cert", []string{DecoderBase64}},
		strings.Replace(forwardedCert, "URL,DER", "url, base64, der", 1) + byProxy + "proxy_protocol_behavior = \"deny_unauthorized\"\nproxy_protocol_authorized_addrs = \"10.0.0.2\"": {"X-Cert", []string{DecoderURL, DecoderBase64, DecoderDER}},
	} {
		c := mustParse(t, tlsListener(text))
		got := c.Listeners[0].Forwarded.Certificate
		if got.Header != want.Header || !slices.Equal(got.Decoders, want.Decoders) || len(c.Warnings) != 0 {
			t.Errorf("%s: %+v %v", text, got, c.Warnings)
		}
	}
}

// TestBlockShapes: contract config §1, all of these are the same listener.
func TestBlockShapes(t *testing.T) {
	for _, text := range []string{
		`{"storage":{"inmem":{}},"listener":{"tcp":{"tls_disable":true}}}`,
		`{"storage":{"inmem":{}},"listener":[{"tcp":{"tls_disable":true}}]}`,
		`{"storage":{"inmem":{}},"listener":{"tcp":[{"tls_disable":"true"}]}}`,
		`{"storage":[{"inmem":[{}]}],"listener":[{"type":"tcp","tls_disable":1}]}`,
		"\xef\xbb\xbf \r\n{\"backend\":{\"inmem\":{}},\"listener\":{\"TCP\":{\"tls_disable\":\"1\"}},\"seal\":null}",
		"storage \"inmem\" {}\nlistener \"tcp\" { tls_disable = true }",
		"backend \"InMem\" {\r\n}\r\nlistener {\r\n type = \"tcp\"\r\n tls_disable = \"true\"\r\n}\r\n",
		"storage { inmem {} }\nlistener { tcp { tls_disable = 1 } } # end",
	} {
		c := mustParse(t, text)
		if len(c.Listeners) != 1 || c.Listeners[0].Network != "tcp" || !c.Listeners[0].TLS.Disable || c.Listeners[0].Address != DefaultAddress {
			t.Errorf("%s\nlisteners %+v", text, c.Listeners)
		}
		if !c.Storage.InMemory() || len(c.Warnings) != 0 {
			t.Errorf("%s\nstorage %+v, warnings %v", text, c.Storage, c.Warnings)
		}
	}
	two := mustParse(t, `{"storage":{"inmem":{}},"listener":[{"tcp":{"tls_disable":true,"address":":1"}},{"tcp":{"tls_disable":true,"address":":2"}}]}`)
	if len(two.Listeners) != 2 || two.Listeners[0].Address != ":1" || two.Listeners[1].Address != ":2" {
		t.Errorf("two listeners: %+v", two.Listeners)
	}
}

// TestAuditShapes: type and path may be labels, JSON keys or settings.
func TestAuditShapes(t *testing.T) {
	const want = "file to-disk/ /a 0600"
	for _, text := range []string{
		minimal + "audit \"file\" \"to-disk\" {\n options { file_path = \"/a\" mode = 0600 }\n}",
		minimal + "audit \"file\" {\n path = \"to-disk\"\n options = { file_path = \"/a\" mode = \"0600\" }\n}",
		minimal + "audit {\n type = \"file\"\n path = \"to-disk/\"\n options { file_path = \"/a\" mode = 0600 }\n}",
		`{"storage":{"inmem":{}},"listener":{"tcp":{"tls_disable":1}},"audit":{"file":{"to-disk":{"options":{"file_path":"/a","mode":"0600"}}}}}`,
		`{"storage":{"inmem":{}},"listener":{"tcp":{"tls_disable":1}},"audit":[{"type":"file","path":"to-disk","options":{"file_path":"/a","mode":"0600"}}]}`,
	} {
		c := mustParse(t, text)
		if len(c.Audit.Devices) != 1 {
			t.Fatalf("%s\n%+v", text, c.Audit)
		}
		d := c.Audit.Devices[0]
		if got := strings.Join([]string{d.Type, d.Path, d.Options["file_path"], d.Options["mode"]}, " "); got != want {
			t.Errorf("%s\n%s", text, got)
		}
	}
	if d := mustParse(t, minimal+"audit \"file\" {\n options { file_path = \"/a\" }\n}").Audit.Devices[0]; d.Path != "file/" {
		t.Errorf("without a path it is the type's: %+v", d)
	}
}

// TestLenientScalars: contract config §1.
func TestLenientScalars(t *testing.T) {
	for text, want := range map[string]bool{"true": true, `"true"`: true, "1": true, `"1"`: true, "false": false, `"0"`: false, "0": false} {
		if got := mustParse(t, minimal+"ui = "+text).Features.UI; got != want {
			t.Errorf("ui = %s: %v", text, got)
		}
	}
	for text, want := range map[string]time.Duration{
		`"30s"`: 30 * time.Second, `"1h"`: time.Hour, `"768h"`: 768 * time.Hour, "30": 30 * time.Second,
		`"30"`: 30 * time.Second, `"1d"`: 24 * time.Hour, `"1d2h"`: 26 * time.Hour, `"2764800"`: 768 * time.Hour,
	} {
		if got := mustParse(t, minimal+"max_lease_ttl = "+text).Leases.MaxTTL; got != want {
			t.Errorf("max_lease_ttl = %s: %v", text, got)
		}
	}
	for text, want := range map[string]int64{"12": 12, `"12"`: 12} {
		if got := mustParse(t, minimal+"cache_size = "+text).Cache.Size; got != want {
			t.Errorf("cache_size = %s: %v", text, got)
		}
	}
	if got := mustParse(t, minimal+"cluster_name = <<EOF\nmain\nEOF\n").Addresses.ClusterName; got != "main\n" {
		t.Errorf("heredoc: %q", got)
	}
}

// TestDefaults: contract config §2 and §3.
func TestDefaults(t *testing.T) {
	c := mustParse(t, minimal)
	l := c.Listeners[0]
	if c.Leases != (Leases{768 * time.Hour, 768 * time.Hour, 90 * time.Second}) || c.Cache.Size != 131072 || c.Log.Level != "info" ||
		c.Telemetry != nil || c.Seal.Type != SealShamir || c.OldSeal != nil {
		t.Errorf("%+v", c)
	}
	if l.Timeouts != (Timeouts{10 * time.Second, 30 * time.Second, 0, 5 * time.Minute}) || l.Limits.MaxSize != 33554432 || l.Limits.MaxDuration != 90*time.Second {
		t.Errorf("%+v", l)
	}
	if !l.Forwarded.RejectNotPresent || !l.Forwarded.RejectNotAuthorized {
		t.Error("§3: X-Forwarded-For must reject unless told otherwise")
	}
	if got := mustParse(t, minimal+"max_lease_ttl = \"1h\"").Leases; got.DefaultTTL != time.Hour {
		t.Errorf("default under a small max: %v", got)
	}
	if got := mustParse(t, minimal+"telemetry {}").Telemetry; got == nil || got.PrometheusRetention != 24*time.Hour {
		t.Errorf("§6: %+v", got)
	}
	if got := mustParse(t, "default_max_request_duration = 5\n"+minimal).Listeners[0].Limits.MaxDuration; got != 5*time.Second {
		t.Errorf("§2 default_max_request_duration: %v", got)
	}
}

// TestMerge: contract config §1 and §10.7.
func TestMerge(t *testing.T) {
	dir := write(t, map[string]string{
		"a.hcl":      minimal + "log_level = \"warn\"\nmax_lease_ttl = \"2h\"\nui = true\ncluster_name = \"a\"\nallowed_audit_directories = [\"/a\"]",
		"b.json":     `{"log_level":"debug","max_lease_ttl":"1h","ui":false,"cluster_name":"","storage":{"file":{"path":"/x"}},"listener":{"unix":{"address":"/s"}},"allowed_audit_directories":["/b"]}`,
		"c.hcl~":     "not { a file",
		".#c.hcl":    "not { a file",
		"#c.hcl#":    "not { a file",
		"README.txt": "not { a file",
	})
	if err := os.Mkdir(filepath.Join(dir, "sub.hcl"), 0o700); err != nil {
		t.Fatal(err)
	}
	c, err := Load([]string{dir, filepath.Join(dir, "a.hcl")}, Options{LookupEnv: env()})
	if err != nil {
		t.Fatal(err)
	}
	if c.Log.Level != "debug" || c.Leases.MaxTTL != 2*time.Hour || !c.Features.UI || c.Addresses.ClusterName != "a" ||
		c.Storage.Path != "/x" || len(c.Listeners) != 2 || !slices.Equal(c.Audit.AllowedDirectories, []string{"/a", "/b"}) {
		t.Errorf("%+v", c)
	}
	if len(c.Files) != 2 {
		t.Errorf("files: %v", c.Files)
	}
	if !slices.ContainsFunc(c.Warnings, func(w Warning) bool { return strings.Contains(w.Text, "ignoring duplicate configuration") }) {
		t.Errorf("a file given twice is not mentioned: %v", c.Warnings)
	}
}

// TestLoadErrors: contract config §1.
func TestLoadErrors(t *testing.T) {
	empty := t.TempDir()
	bad := write(t, map[string]string{"c.hcl": "a {"})
	for name, tt := range map[string]struct{ path, want string }{
		"empty directory": {empty, "No configuration files found."},
		"missing file":    {filepath.Join(empty, "x.hcl"), "error loading configuration from " + filepath.Join(empty, "x.hcl") + ": no such file or directory"},
		"syntax":          {bad, "error loading configuration from " + filepath.Join(bad, "c.hcl") + ": At 1:5: object expected closing RBRACE got: EOF"},
	} {
		if _, err := Load([]string{tt.path}, Options{LookupEnv: env()}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEnvironment: contract config §2, §10.10; JETON_ goes before VAULT_.
func TestEnvironment(t *testing.T) {
	file := minimal + "api_addr = \"http://file:1\"\nlog_level = \"error\"\n"
	for _, tt := range []struct {
		vars []string
		want string
	}{
		{nil, "http://file:1"},
		{[]string{"VAULT_API_ADDR=http://vault:1"}, "http://vault:1"},
		{[]string{"VAULT_API_ADDR=http://vault:1", "JETON_API_ADDR=http://jeton:1"}, "http://jeton:1"},
		{[]string{"VAULT_REDIRECT_ADDR=http://redirect:1", "VAULT_ADVERTISE_ADDR=http://advertise:1"}, "http://redirect:1"},
		{[]string{"VAULT_API_ADDR="}, "http://file:1"},
	} {
		if got := mustParse(t, file, tt.vars...).Addresses.API; got != tt.want {
			t.Errorf("%v: %s, want %s", tt.vars, got, tt.want)
		}
	}
	c := mustParse(t, file, "VAULT_LOG_LEVEL=trace", "JETON_UI=1", "VAULT_LOG_FORMAT=json", "VAULT_DISABLE_USER_LOCKOUT=true")
	if c.Log.Level != "trace" || c.Log.FileLevel != "error" || c.Log.Format != "json" || !c.Features.UI || !c.Lockouts.Off {
		t.Errorf("%+v", c)
	}
	if _, err := parseFor(nil, "c.hcl", []byte(file), Options{LookupEnv: env("VAULT_LOG_LEVEL=loud")}); err == nil || err.Error() != "environment variable VAULT_LOG_LEVEL: unknown log level: loud" {
		t.Errorf("%v", err)
	}
	raft := mustParse(t, "storage \"raft\" { path = \"/f\" }\nlistener \"tcp\" { tls_disable = true }", "VAULT_RAFT_PATH=/e", "VAULT_RAFT_NODE_ID=n")
	if raft.Storage.Path != "/e" || raft.Storage.NodeID != "n" || raft.Storage.Type != StorageEmbedded {
		t.Errorf("%+v", raft.Storage)
	}
	transit := mustParse(t, minimal+"seal \"transit\" { address = \"https://file\" }", "VAULT_ADDR=https://env", "VAULT_TOKEN=s.x",
		"VAULT_TRANSIT_SEAL_KEY_NAME=k", "VAULT_TRANSIT_SEAL_MOUNT_PATH=transit/").Seal.Transit
	if transit.Address != "https://file" || transit.KeyName != "k" || transit.MountPath != "transit/" || transit.Token.Reveal() != "s.x" {
		t.Errorf("%+v", transit)
	}
	// Every variable of contract config §5, and Jeton's own name before Vault's.
	whole := mustParse(t, minimal+"seal \"transit\" {}", "VAULT_ADDR=https://other", "JETON_ADDR=https://env", "VAULT_TOKEN=s.x", "VAULT_TRANSIT_SEAL_KEY_NAME=k",
		"VAULT_TRANSIT_SEAL_MOUNT_PATH=m", "VAULT_TRANSIT_SEAL_DISABLE_RENEWAL=true", "VAULT_NAMESPACE=n", "VAULT_CACERT=/ca", "VAULT_CLIENT_CERT=/cert",
		"VAULT_CLIENT_KEY=/key", "VAULT_TLS_SERVER_NAME=name", "VAULT_SKIP_VERIFY=1").Seal.Transit
	want := TransitSeal{Address: "https://env", Token: NewSecret("s.x"), KeyName: "k", MountPath: "m", Namespace: "n", DisableRenewal: true,
		TLS: TransitTLS{CACert: "/ca", ClientCert: "/cert", ClientKey: "/key", ServerName: "name", SkipVerify: true}}
	if whole != want {
		t.Errorf("%+v, want %+v", whole, want)
	}
	if bare := mustParse(t, minimal, "VAULT_SEAL_TYPE=transit", "VAULT_ADDR=https://env", "VAULT_TRANSIT_SEAL_KEY_NAME=k", "VAULT_TRANSIT_SEAL_MOUNT_PATH=m").Seal; bare.Type != SealTransit || bare.Transit.KeyName != "k" {
		t.Errorf("without a stanza: %+v", bare)
	}
	if typed := mustParse(t, minimal+"seal \"transit\" {\n address = \"https://a\"\n key_name = \"k\"\n mount_path = \"m\"\n}", "VAULT_SEAL_TYPE=shamir").Seal.Type; typed != SealShamir {
		t.Errorf("VAULT_SEAL_TYPE gives %q", typed)
	}
}

// TestSealMigration: contract config §5.
func TestSealMigration(t *testing.T) {
	key := strings.Repeat("k", 32)
	c := mustParse(t, minimal+"seal \"shamir\" { disabled = true }\nseal \"static\" {\n current_key_id = \"a\"\n current_key = \"env://KEY\"\n}\n", "KEY="+key)
	if c.Seal.Type != SealStatic || c.OldSeal == nil || c.OldSeal.Type != SealShamir {
		t.Fatalf("%+v %+v", c.Seal, c.OldSeal)
	}
	if got, err := StaticKey(c.Seal.Static.CurrentKey); err != nil || string(got) != key {
		t.Errorf("%q %v", got, err)
	}
	dir := write(t, map[string]string{"key": strings.Repeat("0a", 32) + "\n"})
	c = mustParse(t, minimal+"seal \"static\" {\n current_key_id = \"a\"\n current_key = \"file://"+filepath.Join(dir, "key")+"\"\n}\n")
	if got, err := StaticKey(c.Seal.Static.CurrentKey); err != nil || string(got) != strings.Repeat("\n", 32) {
		t.Errorf("%q %v", got, err)
	}
}

// TestSecretNeverPrints: whichever way a configuration is shown.
func TestSecretNeverPrints(t *testing.T) {
	const secret = "hunter2-hunter2-hunter2-hunter22"
	c := mustParse(t, minimal+"seal \"static\" {\n current_key_id = \"a\"\n current_key = \""+secret+"\"\n}\n")
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "key", c.Seal.Static.CurrentKey, "seal", c.Seal)
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	shown := logged.String() + string(text)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		shown += fmt.Sprintf(verb, c) + fmt.Sprintf(verb, c.Seal.Static.CurrentKey)
	}
	if strings.Contains(shown, "hunter2") || strings.Contains(shown, fmt.Sprintf("%x", "hunter2")) {
		t.Errorf("shown: %s", shown)
	}
	if c.Seal.Static.CurrentKey.Reveal() != secret {
		t.Error("Reveal does not give the secret")
	}
}

// TestCVE_2026_115363: the sanitised state shows what is on its list and nothing else. The
// golden file is that list: it must not grow by accident.
func TestCVE_2026_115363(t *testing.T) {
	data, err := os.ReadFile("testdata/golden/production.hcl")
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(mustParse(t, string(data)).Sanitized(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/sanitized.golden"
	if *update {
		if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got)+"\n" != string(want) {
		t.Errorf("differs from %s:\n%s", golden, got)
	}
	for _, secret := range []string{"current_key", "0001020304", "redacted", "/var/lib/jeton"} {
		if strings.Contains(string(got), secret) {
			t.Errorf("shows %s", secret)
		}
	}
}

// TestKnownAndIgnored: keys of Vault's that mean nothing here warn with file and line.
func TestKnownAndIgnored(t *testing.T) {
	for key := range ignoredAtTop() {
		c := mustParse(t, minimal+key+" = \"1\"\n")
		if len(c.Warnings) != 1 || c.Warnings[0].Where != "c.hcl:3:1" || c.Warnings[0].Key != key {
			t.Errorf("%s: %v", key, c.Warnings)
		}
	}
	c := mustParse(t, minimal+"service_registration \"kubernetes\" {\n namespace = \"x\"\n}\nha_storage \"consul\" {}\ndisable_mlock = false\n")
	if len(c.Warnings) != 3 || !strings.HasPrefix(c.Warnings[2].String(), "c.hcl:7:1: disable_mlock") {
		t.Errorf("%v", c.Warnings)
	}
	if c := mustParse(t, minimal+"disable_mlock = true\n"); len(c.Warnings) != 0 {
		t.Errorf("hvac's disable_mlock warns: %v", c.Warnings)
	}
}

func TestDev(t *testing.T) {
	c := Dev(DevOptions{Address: "127.0.0.1:0"})
	if !c.Storage.InMemory() || c.Listeners[0].Address != "127.0.0.1:0" || !c.Listeners[0].TLS.Disable || !c.Features.UI ||
		c.Leases.MaxTTL != DefaultLeaseTTL || c.Telemetry == nil || c.Lockouts.UserPass.Threshold != 5 {
		t.Errorf("%+v", c)
	}
	if c := Dev(DevOptions{CertFile: "c", KeyFile: "k"}); c.Listeners[0].TLS.Disable || c.Listeners[0].TLS.KeyFile != "k" {
		t.Errorf("%+v", c.Listeners[0].TLS)
	}
	// §8: -dev and -config together.
	dir := write(t, map[string]string{"c.hcl": "max_lease_ttl = \"1h\"\nstorage \"file\" { path = \"/x\" }\nlistener \"unix\" { address = \"/s\" }"})
	both, err := Load([]string{dir}, Options{LookupEnv: env(), Dev: &DevOptions{}})
	if err != nil {
		t.Fatal(err)
	}
	if both.Leases.MaxTTL != time.Hour || both.Storage.Path != "/x" || len(both.Listeners) != 2 {
		t.Errorf("%+v", both)
	}
}

func TestSocketAddressTemplate(t *testing.T) {
	c := mustParse(t, "storage \"inmem\" {}\nlistener \"tcp\" {\n tls_disable = 1\n address = \"{{ \\\"127.0.0.1\\\" }}:8200\"\n}")
	if c.Listeners[0].Address != "127.0.0.1:8200" {
		t.Errorf("§3: %q", c.Listeners[0].Address)
	}
}

// TestUnserved: what a release does not act on warns, or is refused where it would protect.
func TestUnserved(t *testing.T) {
	list := []Unserved{{Key: "ui"}, {Key: "listener.redact_version", Protects: true}, {Key: "telemetry"}}
	parse := func(text string) (*Config, error) { return parseFor(list, "c.hcl", []byte(text), Options{}) }
	c, err := parse(minimal + "ui = true\ntelemetry {}\n")
	if err != nil || len(c.Warnings) != 2 || c.Warnings[0].String() != "c.hcl:3:1: ui has no effect in this release" {
		t.Errorf("%v %v", c, err)
	}
	for _, network := range []string{"tcp", "unix"} {
		text := "storage \"inmem\" {}\nlistener \"" + network + "\" {\n tls_disable = 1\n address = \"/s\"\n redact_version = true\n}\n"
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), "At 5:2: ") || !strings.Contains(err.Error(), "redact_version is not supported by this release") {
			t.Errorf("%s: %v", network, err)
		}
		if c, err := parse(strings.Replace(text, "= true", "= false", 1)); err != nil {
			t.Errorf("%s: what is off is refused: %v %v", network, c, err)
		}
	}
}

// TestManyMistakes: a file of nothing but mistakes is answered quickly and briefly.
func TestManyMistakes(t *testing.T) {
	var text strings.Builder
	for i := 0; text.Len() < maxFileSize-100; i++ {
		fmt.Fprintf(&text, "lis%dener = 1\n", i)
	}
	_, err := parseFor(nil, "c.hcl", []byte(text.String()), Options{})
	var all Errors
	if !errors.As(err, &all) || len(all) != maxProblems {
		t.Errorf("%d errors listed, want %d", len(all), maxProblems)
	}
	if _, err := parseFor(nil, "c.hcl", []byte(text.String()+text.String()), Options{}); err == nil || !strings.Contains(err.Error(), "larger than 1048576 bytes") {
		t.Error("a file of two megabytes is read")
	}
}

// FuzzParse: no input may panic, hang or grow beyond its size; what is refused says where.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/golden/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil && !strings.HasSuffix(file, ".golden") {
			f.Add(data)
		}
	}
	for _, text := range []string{"x=<<EOF\nEOF\n", "x=<<A\n", `"\`, "a \"b\" \"c\" {}", "{\"a\":[1,[2,{\"b\":null}]]}", strings.Repeat("a{", 100), strings.Repeat("[", 100), `{"a":` + strings.Repeat("[", 100)} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("c", data, Options{})
		if err == nil && (c.Storage.Type == "" || len(c.Listeners) == 0) {
			t.Errorf("accepted without storage or listener")
		}
		var all Errors
		if err != nil && (!errors.As(err, &all) || len(all) == 0) {
			t.Errorf("an error without a place: %v", err)
		}
	})
}

// Anybody may send a PROXY header, and so be one of the proxies whose X-Forwarded-For is believed.
func TestProxiesThatAnybodyCanBeAreWarnedOf(t *testing.T) {
	trusted := "x_forwarded_for_authorized_addrs = \"192.0.2.1\"\n"
	for text, want := range map[string]int{
		trusted + "proxy_protocol_behavior = \"use_always\"":                                                        1,
		"proxy_protocol_behavior = \"use_always\"":                                                                  0,
		trusted + "proxy_protocol_behavior = \"allow_authorized\"\nproxy_protocol_authorized_addrs = \"192.0.2.1\"": 0,
		trusted: 0,
	} {
		if c := mustParse(t, tlsListener(text)); len(c.Warnings) != want || want == 1 && !strings.Contains(c.Warnings[0].Text, "use_always") {
			t.Errorf("%s: %v", text, c.Warnings)
		}
	}
}
