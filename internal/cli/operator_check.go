package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os/signal"
	"strings"
	"syscall"

	"github.com/posener/complete"
)

// CheckFunc checks the data of a stopped server. ask gives one unseal key share after the other;
// report is called for each problem. It returns how many records it has read.
type CheckFunc func(ctx context.Context, configs []string, ask func() (string, error), report func(problem string)) (records int64, err error)

// checkCommands prove that the stored data is sound.
func checkCommands() []command {
	return []command{{
		name: "operator check", synopsis: "Check all stored data",
		help: `Reads every record of the server and proves that it decrypts and that nothing in
it contradicts anything else: tokens and their accessors, parents, leases and
cubbyholes, mounts and what their engines keep, policies, quotas, identities. The
server goes on meanwhile, and nothing is changed. The exit code is 0 when all is
sound and 2 when something is wrong.

    $ jeton operator check

With -config it checks the data of a server that does not run, and asks for unseal keys:

    $ jeton operator check -config=/etc/jeton/jeton.hcl`,
		arity: exactly(0), surface: takesHTTP, build: buildCheck,
	}}
}

func buildCheck(f *flagSet) runFunc {
	var configs []string
	f.list(&configs, flagSpec{name: "config", usage: "Configuration of a server that does not run. Repeatable.", predict: complete.PredictFiles("*")})
	return func(s *session, _ []string) error {
		if len(configs) > 0 {
			return s.checkStopped(configs)
		}
		return s.checkRunning()
	}
}

// checked reports the end of a check.
func (s *session) checked(records int64, problems int) error {
	if problems > 0 {
		s.con.warn("%d problems in %d records", problems, records)
		return quietly(exitRemote)
	}
	s.con.printf("Success! Nothing is wrong in %d records.", records)
	return nil
}

func (s *session) checkStopped(configs []string) error {
	if s.env.Check == nil {
		return local("This program has no server, and cannot check the data of one.")
	}
	ctx, stop := signal.NotifyContext(s.ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	problems := 0
	ask := func() (string, error) {
		key, err := s.con.askSecret(s.con.err, "Unseal Key (will be hidden): ")
		if errors.Is(err, errNoPrompt) {
			return s.con.line()
		}
		return strings.TrimSpace(key), err
	}
	records, err := s.env.Check(ctx, configs, ask, func(problem string) {
		problems++
		s.con.print(problem)
	})
	if err != nil {
		return local("Error checking: %s", err)
	}
	return s.checked(records, problems)
}

func (s *session) checkRunning() error {
	c, err := s.client()
	if err != nil {
		return err
	}
	c.SetClientTimeout(0) // as long as the data is large
	resp, err := c.Logical().ReadRawWithContext(s.ctx, "sys/internal/check")
	if err != nil {
		return s.remote("checking", err)
	}
	defer resp.Body.Close()
	in := json.NewDecoder(resp.Body)
	problems := 0
	for {
		var line struct {
			Room, What string
			Records    *int64
		}
		if err := in.Decode(&line); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return s.remote("checking", err)
		}
		if line.Records != nil {
			return s.checked(*line.Records, problems)
		}
		problems++
		s.con.printf("%s: %s", line.Room, line.What)
	}
}
