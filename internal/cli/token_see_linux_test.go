package cli

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"
)

// openTerminal opens a pseudo-terminal: what its program sees, and the side of the person.
func openTerminal(t *testing.T) (program, person *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("this system gives no pseudo-terminals: %v", err)
	}
	t.Cleanup(func() { _ = person.Close() })
	var unlock, number int32
	for request, arg := range map[uintptr]*int32{syscall.TIOCSPTLCK: &unlock, syscall.TIOCGPTN: &number} {
		if _, _, no := syscall.Syscall(syscall.SYS_IOCTL, person.Fd(), request, uintptr(unsafe.Pointer(arg))); no != 0 {
			t.Fatal(no)
		}
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return program, person
}

// incident is a server with tokens to revoke. Its job is done at the third look.
type incident struct {
	*httptest.Server
	revoked, looks atomic.Int32
}

func newIncident(t *testing.T) *incident {
	n := &incident{}
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case strings.Contains(string(body), `"dry_run":true`):
			fmt.Fprint(w, `{"data":{"dry_run":true,"matching":2,"tokens":[`+seenToken+`]}}`)
		case strings.HasSuffix(r.URL.Path, "/revoke-matching"):
			n.revoked.Add(1)
			fmt.Fprint(w, `{"data":{"job_id":"j"}}`)
		case n.looks.Add(1) < 3:
			fmt.Fprint(w, `{"data":`+seenJob+`}`)
		default:
			fmt.Fprint(w, `{"data":`+strings.NewReplacer("cleaning-up", "done", `"looked":5`, `"looked":20`).Replace(seenJob)+`}`)
		}
	}))
	t.Cleanup(n.Close)
	return n
}

// onTerminal runs a command for a person who types answer, and returns all they see of
// standard error, and standard output.
func onTerminal(t *testing.T, n *incident, answer string, args ...string) (code int, seen, out string) {
	t.Helper()
	program, person := openTerminal(t)
	if _, err := person.WriteString(answer); err != nil {
		t.Fatal(err)
	}
	var stdout bytes.Buffer
	home := t.TempDir()
	code = Run(append([]string{"jeton"}, args...), Env{Stdin: program, Stdout: &stdout, Stderr: program, Getenv: func(k string) string {
		return map[string]string{"HOME": home, "VAULT_TOKEN": "root", "VAULT_ADDR": n.URL, "NO_COLOR": "1"}[k]
	}})
	fmt.Fprint(program, "\x00")
	var all bytes.Buffer
	one := make([]byte, 1)
	for {
		if _, err := person.Read(one); err != nil || one[0] == 0 {
			return code, all.String(), stdout.String()
		}
		all.WriteByte(one[0])
	}
}

// A person is shown what would go, is asked, and sees the clean-up's progress until it is done.
func TestRevokingByFilterOnATerminal(t *testing.T) {
	for name, c := range map[string]struct {
		answer  string
		args    []string
		code    int
		revoked int32
	}{
		"yes":        {"yes\n", nil, 0, 1},
		"no":         {"no\n", nil, 1, 0},
		"y is no":    {"y\n", nil, 1, 0},
		"not asked":  {"", []string{"-force"}, 0, 1},
		"never asks": {"", []string{"-non-interactive"}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			n := newIncident(t)
			code, seen, out := onTerminal(t, n, c.answer, append([]string{"token", "revoke", "-policy=x"}, c.args...)...)
			if code != c.code || n.revoked.Load() != c.revoked {
				t.Fatalf("exit %d, revoked %d times\n%s\n%s", code, n.revoked.Load(), seen, out)
			}
			asked := strings.Contains(seen, "Revoke these 2 tokens and all below them? Type yes: ") && strings.Contains(out, "Matching tokens: 2\n")
			if asked != (c.answer != "") {
				t.Errorf("asked %t\n%s\n%s", asked, seen, out)
			}
			for _, bar := range []string{"[##########------------------------------] 3 revoked, 5 of 20 looked at", "[########################################] 3 revoked, 20 of 20 looked at\r\n"} {
				if strings.Contains(seen, bar) != (c.revoked == 1) {
					t.Errorf("revoked %d, seen %q", c.revoked, seen)
				}
			}
		})
	}
}

// One job is followed too, and then shown; for a script it is shown as it is.
func TestFollowingAJob(t *testing.T) {
	n := newIncident(t)
	code, seen, out := onTerminal(t, n, "", "token", "jobs", "j")
	if code != 0 || n.looks.Load() < 3 || !strings.Contains(seen, "20 of 20") || !strings.Contains(out, "done") {
		t.Errorf("exit %d after %d looks\n%s\n%s", code, n.looks.Load(), seen, out)
	}
	n = newIncident(t)
	if code, _, out := onTerminal(t, n, "", "token", "jobs", "-field=state", "j"); code != 0 || out != "cleaning-up" || n.looks.Load() != 1 {
		t.Errorf("exit %d after %d looks: %s", code, n.looks.Load(), out)
	}
}
