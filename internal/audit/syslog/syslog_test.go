//go:build !windows && !plan9

package syslog

import (
	"errors"
	"log/syslog"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"jeton/internal/audit"
	"jeton/internal/backend"
)

// daemon listens like a local syslog daemon.
func daemon(t *testing.T) (*net.UnixConn, dial) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, func(p syslog.Priority, tag string) (*syslog.Writer, error) {
		return syslog.Dial("unixgram", path, p, tag)
	}
}

func receive(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	buf := make([]byte, 64<<10)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

// Contract: audit §4: facility AUTH (4) and tag vault by default, priority always INFO (6).
func TestEachLineIsOneMessage(t *testing.T) {
	for name, c := range map[string]struct {
		options map[string]string
		want    string
	}{
		"defaults":         {nil, `^<38>.* vault\[\d+\]: \{"a":1\}\n$`},
		"facility and tag": {map[string]string{"facility": "local3", "tag": "jeton"}, `^<158>.* jeton\[\d+\]: \{"a":1\}\n$`},
	} {
		t.Run(name, func(t *testing.T) {
			conn, connect := daemon(t)
			d, err := open(audit.Opening{Options: c.options}, connect)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			for range 2 {
				if err := d.Write(t.Context(), []byte("{\"a\":1}\n")); err != nil {
					t.Fatal(err)
				}
				if got := receive(t, conn); !regexp.MustCompile(c.want).MatchString(got) {
					t.Errorf("message %q", got)
				}
			}
			if err := d.Reopen(); err != nil {
				t.Errorf("reopen: %v", err)
			}
		})
	}
}

func TestTooLongALineFails(t *testing.T) {
	_, connect := daemon(t)
	d, err := open(audit.Opening{}, connect)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Write(t.Context(), []byte(strings.Repeat("x", 16<<20)+"\n")); err == nil {
		t.Error("a message of 16 MiB was taken")
	}
}

func TestRefusals(t *testing.T) {
	_, connect := daemon(t)
	_, err := open(audit.Opening{Options: map[string]string{"facility": "nowhere"}}, connect)
	if err == nil || backend.KindOf(err) != backend.Invalid || err.Error() != "invalid syslog facility: nowhere" {
		t.Errorf("%v", err)
	}
	absent := func(syslog.Priority, string) (*syslog.Writer, error) { return nil, errors.New("no daemon") }
	if _, err := open(audit.Opening{}, absent); err == nil || backend.KindOf(err) != backend.Invalid {
		t.Errorf("%v", err)
	}
}
