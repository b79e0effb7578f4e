package e2e

import (
	"bufio"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The document's Python programs against hvac. Each asserts what the document's text,
// tables and diagrams promise about the calls it makes.
func TestSeedPython(t *testing.T) {
	interpreter := python(t)
	eachMode(t, func(t *testing.T, s *server) {
		for _, name := range []string{"accessors", "orphans", "service_and_batch", "lifecycle", "token_manager", "periodic", "roles", "older_calls"} {
			t.Run(name, func(t *testing.T) {
				r := s.run([]string{"PYTHONDONTWRITEBYTECODE=1"}, interpreter, program(t, name+".py"))
				if r.code != 0 || !strings.HasSuffix(r.out, "as promised\n") {
					t.Errorf("exit code %d\n%s%s", r.code, r.out, r.errOut)
				}
			})
		}
	})
}

// The complete application: it is started, works through several lives of its token, and
// is told to stop.
func TestSeedPythonApplication(t *testing.T) {
	interpreter := python(t)
	eachMode(t, func(t *testing.T, s *server) {
		roleID, secretID := s.appRole("database-app", `path "secret/data/myapp/*" { capabilities = ["read"] }`,
			map[string]any{"token_ttl": "4s", "token_max_ttl": "12s"})
		s.must("jeton", "kv", "put", "secret/myapp/database", "host=db-one")
		app := startProgram(t, s, []string{"PYTHONDONTWRITEBYTECODE=1", "VAULT_ROLE_ID=" + roleID, "VAULT_SECRET_ID=" + secretID},
			interpreter, program(t, "application.py"))
		await(t, patience, "three renewals", func() bool { return app.count("renewed") >= 3 })
		first := app.field("authenticated", 1)
		if a := s.raw("POST", "auth/token/lookup-accessor", s.root, map[string]any{"accessor": first}); a.status != 200 ||
			fmt.Sprint(a.Data["meta"]) != "map[role_name:database-app]" {
			t.Errorf("its token, looked up: %d %s", a.status, a.text)
		}
		// A new version of the secret reaches it.
		s.must("jeton", "kv", "put", "secret/myapp/database", "host=db-two")
		await(t, patience, "the new version is read", func() bool { return app.count("database db-two") > 0 })
		// At the max TTL of its token it logs in again, by itself, and once more when somebody revokes the token.
		await(t, patience, "a second login", func() bool { return app.count("authenticated") >= 2 })
		second := app.field("authenticated", 1)
		if second == first {
			t.Error("two logins gave one accessor")
		}
		logins := app.count("authenticated")
		if a := s.raw("POST", "auth/token/revoke-accessor", s.root, map[string]any{"accessor": second}); a.status != 204 {
			t.Errorf("revoke: %d %s", a.status, a.text)
		}
		await(t, patience, "a login after the revocation", func() bool { return app.count("authenticated") > logins })
		reads := app.count("database db-two")
		await(t, patience, "reads after the revocation", func() bool { return app.count("database db-two") > reads })

		if s.shares != nil {
			// It lives through a crash of the server, and reads again as soon as that is open.
			s.kill()
			await(t, patience, "it notices", func() bool { return app.count("unreadable for now: ConnectionError") > 0 })
			s.start("server started!")
			await(t, patience, "it finds the server sealed", func() bool { return app.count("unreadable for now: VaultDown") > 0 })
			s.unseal()
			reads := app.count("database db-two")
			await(t, patience, "reads after the crash", func() bool { return app.count("database db-two") > reads })
		}

		if err := app.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := app.wait(t); code != 0 || !strings.HasSuffix(app.output(), "revoked\n") {
			t.Errorf("exit code %d\n%s", code, app.output())
		}
		if a := s.raw("POST", "auth/token/lookup-accessor", s.root, map[string]any{"accessor": app.field("authenticated", 1)}); a.status != 400 ||
			!strings.Contains(a.text, "invalid accessor") {
			t.Errorf("its token after shutdown: %d %s", a.status, a.text)
		}
	})
}

// appRole makes a role with a policy of its own, and credentials for it.
func (s *server) appRole(name, rules string, params map[string]any) (roleID, secretID string) {
	s.t.Helper()
	want := func(a answer, statuses ...int) answer {
		s.t.Helper()
		for _, status := range statuses {
			if a.status == status {
				return a
			}
		}
		s.t.Fatalf("preparing role %s: %d %s", name, a.status, a.text)
		return a
	}
	if a := s.raw("GET", "sys/auth/approle", s.root, nil); a.status != 200 {
		want(s.raw("POST", "sys/auth/approle", s.root, map[string]any{"type": "approle"}), 204)
	}
	want(s.raw("PUT", "sys/policies/acl/"+name, s.root, map[string]any{"policy": rules}), 204)
	role := map[string]any{"token_policies": name}
	for k, v := range params {
		role[k] = v
	}
	want(s.raw("POST", "auth/approle/role/"+name, s.root, role), 204)
	id := want(s.raw("GET", "auth/approle/role/"+name+"/role-id", s.root, nil), 200).Data["role_id"]
	secret := want(s.raw("POST", "auth/approle/role/"+name+"/secret-id", s.root, nil), 200).Data["secret_id"]
	return fmt.Sprint(id), fmt.Sprint(secret)
}

// running is a client program that goes on until it is stopped.
type running struct {
	process
}

// startProgram starts a program and collects its lines.
func startProgram(t *testing.T, s *server, env []string, name string, args ...string) *running {
	t.Helper()
	cmd := s.command(env, name, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	r := &running{process{cmd: cmd, exited: make(chan struct{}), ready: make(chan struct{})}}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", filepath.Base(name), err)
	}
	go r.follow(out, "")
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-r.exited
		if t.Failed() {
			t.Logf("%s printed:\n%s", filepath.Base(args[0]), tail(r.output()))
		}
	})
	return r
}

// count is how many lines begin so.
func (r *running) count(prefix string) int {
	n := 0
	lines := bufio.NewScanner(strings.NewReader(r.output()))
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), prefix) {
			n++
		}
	}
	return n
}

// field is the nth word of the last line that begins so.
func (r *running) field(prefix string, n int) string {
	found := ""
	for line := range strings.Lines(r.output()) {
		if words := strings.Fields(line); strings.HasPrefix(line, prefix) && len(words) > n {
			found = words[n]
		}
	}
	return found
}

// wait waits for the program's end.
func (r *running) wait(t *testing.T) int {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-r.exited:
	case <-timer.C:
		t.Fatalf("the program did not end within %s", patience)
	}
	return r.cmd.ProcessState.ExitCode()
}
