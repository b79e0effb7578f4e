package ldaptest

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf16"

	ldap "github.com/go-ldap/ldap/v3"
)

// Names of the domain.
const (
	Realm        = "ad.example.org"
	DomainBase   = "DC=ad,DC=example,DC=org"
	DomainPeople = "OU=People," + DomainBase
	DomainGroups = "OU=Groups," + DomainBase
	// Administrator may do everything in the domain.
	Administrator         = "Administrator@" + Realm
	AdministratorPassword = "Adm1n-Passw0rd!"
	// domainPatience bounds how long Samba may take to make a domain, to start or to stop.
	domainPatience = 3 * time.Minute
)

// Domain is an Active Directory domain with one domain controller: Debian's Samba, in a network of
// its own, since the ports of a domain controller are fixed.
type Domain struct {
	t             testing.TB
	dir           string
	keys          *keys
	room          *room
	plain, secure *door
	// Version is Samba's.
	Version string
}

// StartDomain makes a domain and serves it until the test ends. It is for who asks for it: the packages
// are large, and it takes root. See CONTRIBUTING.md.
func StartDomain(t testing.TB) *Domain {
	t.Helper()
	switch {
	case os.Getenv("JETON_AD") != "1":
		t.Skip("only asked for by `make ad` (JETON_AD=1)")
	case os.Geteuid() != 0:
		t.Fatal("`make ad` takes root, for a network of its own")
	}
	for _, name := range []string{"samba", "samba-tool", "ip"} {
		if _, err := program(name); err != nil {
			t.Fatalf("%s is not installed (Debian: samba samba-ad-dc samba-ad-provision samba-dsdb-modules samba-vfs-modules winbind iproute2)", name)
		}
	}
	d := &Domain{t: t, dir: t.TempDir(), keys: newKeys(t), room: newRoom(t)}
	for name, text := range map[string]string{"base.conf": "[global]\n", "ca.pem": d.keys.ca, "server.pem": d.keys.server.certificate, "server.key": d.keys.server.key} {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.provision()
	d.plain, d.secure = d.room.door(t, "389"), d.room.door(t, "636")
	d.launch()
	return d
}

// provision makes the domain's files.
func (d *Domain) provision() {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), domainPatience)
	defer cancel()
	command := func(name string, args ...string) string {
		path, _ := program(name)
		cmd := exec.CommandContext(ctx, path, args...)
		cmd.Env = append(os.Environ(), "SMB_CONF_PATH="+filepath.Join(d.dir, "base.conf"))
		var out []byte
		var err error
		d.room.do(func() { out, err = cmd.CombinedOutput() })
		if err != nil {
			d.t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return string(out)
	}
	d.Version = strings.TrimSpace(command("samba", "--version"))
	command("samba-tool", "domain", "provision", "--realm="+strings.ToUpper(Realm), "--domain=EXAMPLE", "--server-role=dc",
		"--adminpass="+AdministratorPassword, "--targetdir="+d.dir, "--dns-backend=NONE", "--host-name=dc1", "--host-ip=127.0.0.1",
		"--option=interfaces=lo", "--option=bind interfaces only=yes", "--option=posix:eadb="+filepath.Join(d.dir, "eadb.tdb"))
}

// launch runs the LDAP server of the domain controller, and nothing else of it.
func (d *Domain) launch() {
	d.t.Helper()
	log, err := os.Create(filepath.Join(d.dir, "samba.log"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	path, _ := program("samba")
	args := []string{"-F", "-M", "single", "--no-process-group", "--debug-stdout", "-s", filepath.Join(d.dir, "etc", "smb.conf")}
	for _, option := range []string{"server services=ldap", "pid directory=" + d.dir, "ncalrpc dir=" + filepath.Join(d.dir, "ncalrpc"),
		"tls keyfile=" + filepath.Join(d.dir, "server.key"), "tls certfile=" + filepath.Join(d.dir, "server.pem"), "tls cafile=" + filepath.Join(d.dir, "ca.pem")} {
		args = append(args, "--option="+option)
	}
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	d.room.do(func() { err = cmd.Start() })
	if err != nil {
		d.t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	d.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		select {
		case <-exited:
		case <-ctx.Done():
			_ = cmd.Process.Kill()
			<-exited
		}
		if d.t.Failed() {
			d.t.Logf("samba:\n%s", d.Log())
		}
	})
	d.answers(exited)
}

// answers waits until the administrator can bind.
func (d *Domain) answers(exited <-chan struct{}) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), domainPatience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := d.dial()
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-exited:
			d.t.Fatalf("samba ended:\n%s", d.Log())
		case <-ctx.Done():
			d.t.Fatalf("samba does not answer: %v\n%s", err, d.Log())
		case <-tick.C:
		}
	}
}

func (d *Domain) dial() (*ldap.Conn, error) {
	conn, err := ldap.DialURL(d.SecureURL(), ldap.DialWithTLSConfig(d.keys.forClient()))
	if err != nil {
		return nil, err
	}
	if err := conn.Bind(Administrator, AdministratorPassword); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// URL is the directory's in clear, where StartTLS may begin.
func (d *Domain) URL() string { return "ldap://" + d.plain.address() }

// SecureURL is the directory's with TLS.
func (d *Domain) SecureURL() string { return "ldaps://" + d.secure.address() }

// CA is the PEM certificate that signed the directory's.
func (d *Domain) CA() string { return d.keys.ca }

// CAFile is a file with CA.
func (d *Domain) CAFile() string { return filepath.Join(d.dir, "ca.pem") }

// Log is what Samba has written.
func (d *Domain) Log() string {
	text, _ := os.ReadFile(filepath.Join(d.dir, "samba.log"))
	return string(bytes.ToValidUTF8(text, []byte("?")))
}

// Admin runs fn on a connection that may change everything.
func (d *Domain) Admin(fn func(*ldap.Conn) error) {
	d.t.Helper()
	conn, err := d.dial()
	if err != nil {
		d.t.Fatal(err)
	}
	defer conn.Close()
	if err := fn(conn); err != nil {
		d.t.Fatal(err)
	}
}

// Takes says whether the directory takes a name (in whatever form) and password.
func (d *Domain) Takes(name, password string) error {
	conn, err := ldap.DialURL(d.SecureURL(), ldap.DialWithTLSConfig(d.keys.forClient()))
	if err != nil {
		d.t.Fatal(err)
	}
	defer conn.Close()
	return conn.Bind(name, password)
}

// Set changes attributes of an entry; one without values is taken away.
func (d *Domain) Set(dn, attribute string, values ...string) {
	d.t.Helper()
	d.Admin(func(c *ldap.Conn) error {
		r := ldap.NewModifyRequest(dn, nil)
		r.Replace(attribute, values)
		return c.Modify(r)
	})
}

// Get reads one attribute of an entry.
func (d *Domain) Get(dn, attribute string) (values []string) {
	d.t.Helper()
	d.Admin(func(c *ldap.Conn) error {
		result, err := c.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{attribute}, nil))
		if err == nil && len(result.Entries) == 1 {
			values = result.Entries[0].GetEqualFoldAttributeValues(attribute)
		}
		return err
	})
	return values
}

// unicodePassword is a password as the attribute unicodePwd takes it (MS-ADTS §3.1.1.3.1.5).
func unicodePassword(password string) string {
	var out []byte
	for _, unit := range utf16.Encode([]rune(`"` + password + `"`)) {
		out = binary.LittleEndian.AppendUint16(out, unit)
	}
	return string(out)
}
