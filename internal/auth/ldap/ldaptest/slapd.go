// Package ldaptest owns a real LDAP directory for tests: Debian's slapd, started on free ports of
// this machine with its own configuration, certificates and people, and stopped by the test that
// started it. A Relay stands before it where a test has to see or spoil what is said. A Domain is an Active
// Directory domain, for who asks for one.
package ldaptest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	ldap "github.com/go-ldap/ldap/v3"

	"jeton/internal/porttest"
)

// Names and passwords of the directory.
const (
	Base   = "dc=example,dc=org"
	People = "ou=people," + Base
	Groups = "ou=groups," + Base
	// Reader may search, and change its own password.
	Reader         = "cn=reader,ou=services," + Base
	ReaderPassword = "reader-password"
	admin          = "cn=admin," + Base
	adminPassword  = "admin-password"
	// schemas is where Debian's slapd package has them.
	schemas = "/etc/ldap/schema"
	// patience bounds how long slapd may take to start or stop.
	patience = time.Minute
)

// Options choose what kind of directory it is.
type Options struct {
	// NullBinds takes a bind with a name and without a password for an anonymous one, which succeeds.
	NullBinds bool
	// ClientCertificates refuses TLS without one.
	ClientCertificates bool
	// OnlyTLS refuses binds on connections in clear.
	OnlyTLS bool
	// Nested computes memberOf through groups of groups (the dynlist overlay, in place of
	// memberof), as Active Directory and newer OpenLDAP can.
	Nested bool
	// Frozen lets the service account not change its own password.
	Frozen bool
}

// Server is one running slapd.
type Server struct {
	t    testing.TB
	dir  string
	keys *keys
	// plain and secure are "127.0.0.1:port".
	plain, secure string
	process       *exec.Cmd
	exited        chan error
}

// Start makes a directory with the people of Users and the groups of this package and runs it
// until the test ends. A test that lacks slapd is skipped; with JETON_REQUIRE_ALL=1 it fails.
func Start(t testing.TB, options Options) *Server {
	t.Helper()
	if _, err := program("slapd"); err != nil {
		if os.Getenv("JETON_REQUIRE_ALL") == "1" {
			t.Fatal("slapd is not installed (Debian: slapd)")
		}
		t.Skip("slapd is not installed (Debian: slapd)")
	}
	s := &Server{t: t, dir: t.TempDir(), keys: newKeys(t), plain: porttest.Free(t), secure: porttest.Free(t)}
	for _, folder := range []string{"data"} {
		if err := os.Mkdir(filepath.Join(s.dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.write("ca.pem", s.keys.ca)
	s.write("server.pem", s.keys.server.certificate)
	s.write("server.key", s.keys.server.key)
	s.write("slapd.conf", s.configuration(options))
	s.write("people.ldif", people())
	s.run("slapadd", "-q", "-f", filepath.Join(s.dir, "slapd.conf"), "-l", filepath.Join(s.dir, "people.ldif"))
	s.launch()
	t.Cleanup(s.Stop)
	s.Admin(addGroups)
	return s
}

// program finds what Debian puts where only root's PATH looks.
func program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/" + name)
}

func (s *Server) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) run(name string, args ...string) {
	s.t.Helper()
	path, err := program(name)
	if err != nil {
		s.t.Fatal(err)
	}
	if out, err := exec.CommandContext(s.t.Context(), path, args...).CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// configuration is slapd's.
func (s *Server) configuration(o Options) string {
	var b strings.Builder
	for _, schema := range []string{"core", "cosine", "inetorgperson", "nis", "dyngroup"} {
		fmt.Fprintf(&b, "include %s/%s.schema\n", schemas, schema)
	}
	b.WriteString(activeDirectorySchema)
	fmt.Fprintf(&b, "pidfile %[1]s/slapd.pid\nargsfile %[1]s/slapd.args\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\nmoduleload memberof\nmoduleload dynlist\n", s.dir)
	fmt.Fprintf(&b, "TLSCACertificateFile %[1]s/ca.pem\nTLSCertificateFile %[1]s/server.pem\nTLSCertificateKeyFile %[1]s/server.key\n", s.dir)
	if o.ClientCertificates {
		b.WriteString("TLSVerifyClient demand\n")
	}
	if o.NullBinds {
		b.WriteString("allow bind_anon_dn\n")
	}
	if o.OnlyTLS {
		b.WriteString("security simple_bind=128\n")
	}
	overlay, self := "overlay memberof", "write"
	if o.Nested {
		overlay = "overlay dynlist\ndynlist-attrset groupOfURLs memberURL member+memberOf@groupOfNames*"
	}
	if o.Frozen {
		self = "auth"
	}
	fmt.Fprintf(&b, `sizelimit size.soft=500 size.hard=500 size.prtotal=unlimited
database mdb
maxsize 268435456
suffix %q
rootdn %q
rootpw %s
directory %s/data
index objectClass,uid,cn,member,memberUid,sAMAccountName,userPrincipalName,objectSid eq
%s
access to attrs=userPassword by self %s by anonymous auth by * none
access to * by * read
`, Base, admin, adminPassword, s.dir, overlay, self)
	return b.String()
}

// activeDirectorySchema is what tests need of Active Directory's attributes, under the numbers
// that RFC 5612 keeps for examples. In slapd they hold what tests put there: it computes none.
const activeDirectorySchema = `
attributetype ( 1.3.6.1.4.1.32473.1.1 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.32473.1.2 NAME 'userPrincipalName' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.32473.1.3 NAME 'objectSid' EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.32473.1.4 NAME 'tokenGroups' EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 )
objectclass ( 1.3.6.1.4.1.32473.2.1 NAME 'securityPrincipal' AUXILIARY MAY ( sAMAccountName $ userPrincipalName $ objectSid $ tokenGroups ) )
`

// launch runs slapd in the foreground, as a child of the test, on ports that stay its own.
func (s *Server) launch() {
	s.t.Helper()
	path, err := program("slapd")
	if err != nil {
		s.t.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "slapd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(path, "-d", "stats", "-f", filepath.Join(s.dir, "slapd.conf"), "-h", "ldap://"+s.plain+"/ ldaps://"+s.secure+"/")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	_ = log.Close()
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	s.awaitAnswer(exited)
	s.process, s.exited = cmd, exited
}

// awaitAnswer returns once slapd listens.
func (s *Server) awaitAnswer(exited <-chan error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		ready := true
		for _, address := range []string{s.plain, s.secure} {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			if err != nil {
				ready = false
				break
			}
			_ = conn.Close()
		}
		if ready {
			return
		}
		select {
		case <-exited:
			s.t.Fatalf("slapd ended:\n%s", s.Log())
		case <-ctx.Done():
			s.t.Fatalf("slapd does not listen:\n%s", s.Log())
		case <-tick.C:
		}
	}
}

// Stop ends slapd; connections to it break. It may be called again.
func (s *Server) Stop() {
	if s.exited == nil {
		return
	}
	_ = s.process.Process.Signal(syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case <-s.exited:
	case <-ctx.Done():
		_ = s.process.Process.Kill()
		<-s.exited
	}
	s.exited = nil
}

// Resume runs a stopped directory again, on the same ports with the same data.
func (s *Server) Resume() {
	s.t.Helper()
	if s.exited == nil {
		s.launch()
	}
}

// URL is the directory's in clear, where StartTLS may begin.
func (s *Server) URL() string { return "ldap://" + s.plain }

// SecureURL is the directory's with TLS.
func (s *Server) SecureURL() string { return "ldaps://" + s.secure }

// Address is the directory's in clear, "127.0.0.1:port".
func (s *Server) Address() string { return s.plain }

// CA is the PEM certificate that signed the directory's.
func (s *Server) CA() string { return s.keys.ca }

// CAFile is a file with CA.
func (s *Server) CAFile() string { return filepath.Join(s.dir, "ca.pem") }

// Client is a certificate, and its key, that the directory accepts.
func (s *Server) Client() (certificate, key string) {
	return s.keys.client.certificate, s.keys.client.key
}

// Log is what slapd has written about the operations that it was asked for.
func (s *Server) Log() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "slapd.log"))
	return string(bytes.ToValidUTF8(text, []byte("?")))
}

// Admin runs fn on a connection that may change everything.
func (s *Server) Admin(fn func(*ldap.Conn) error) {
	s.t.Helper()
	// slapd may refuse binds in clear, so the administrator comes with TLS.
	conn, err := ldap.DialURL(s.SecureURL(), ldap.DialWithTLSConfig(s.keys.forClient()))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Bind(admin, adminPassword); err != nil {
		s.t.Fatal(err)
	}
	if err := fn(conn); err != nil {
		s.t.Fatal(err)
	}
}
