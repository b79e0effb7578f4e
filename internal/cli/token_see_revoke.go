package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
)

// matchFlags revoke by filters instead of by token.
type matchFlags struct {
	filterFlags
	dry, force bool
}

func (p *matchFlags) register(f *flagSet) {
	p.filterFlags.register(f)
	f.truth(&p.dry, flagSpec{name: "dry-run", usage: "With filters: show what would be revoked, and revoke nothing."})
	f.truth(&p.force, flagSpec{name: "force", aliases: []string{"f"}, usage: "With filters: do not ask."})
}

// given is the filter, nil when there is none and the token comes as an argument.
func (p *matchFlags) given(one *revokeFlags, args []string) (map[string]any, error) {
	body, err := p.body()
	switch {
	case err != nil:
		return nil, err
	case len(body) == 0 && (p.dry || p.force):
		return nil, local("-dry-run and -force need a filter, such as -policy")
	case len(body) == 0:
		return nil, nil
	case len(args) > 0 || one.self || one.accessor || one.mode != "":
		return nil, local("Give filters or a token, not both")
	}
	return body, nil
}

// run revokes what the filters of body select.
func (p *matchFlags) run(s *session, body map[string]any) error {
	interactive := isTerminal(s.con.in) && !s.req.nonInteractive && s.out.table()
	if p.dry || interactive && !p.force {
		matching, err := p.rehearse(s, body)
		if err != nil || p.dry {
			return err
		}
		answer, err := s.con.ask(fmt.Sprintf("Revoke these %s tokens and all below them? Type yes: ", matching))
		if err != nil {
			return local("%s", err)
		}
		if answer != "yes" {
			return local("Nothing was revoked.")
		}
	}
	sec, err := s.asks("revoking tokens", "revoke-matching", body)
	if err != nil {
		return err
	}
	if !s.out.table() {
		return s.machine(sec)
	}
	id := text(sec.Data, "job_id")
	s.con.printf("Success! The tokens are revoked. Job %s cleans up after them.", id)
	if isTerminal(s.con.err) {
		_, err := s.follow(id)
		return err
	}
	return nil
}

// rehearse shows what revoking would reach, and returns how many that are.
func (p *matchFlags) rehearse(s *session, body map[string]any) (matching string, err error) {
	rehearsal := map[string]any{"dry_run": true}
	for k, v := range body {
		rehearsal[k] = v
	}
	sec, err := s.asks("finding the tokens to revoke", "revoke-matching", rehearsal)
	if err != nil {
		return "", err
	}
	if !s.out.table() {
		return "", s.machine(sec)
	}
	matching = cell(sec.Data["matching"])
	rows, _ := sec.Data["tokens"].([]any)
	if len(rows) > 0 {
		s.con.print(table(tokenTable(rows)))
		if n := fmt.Sprint(len(rows)); n != matching {
			s.con.printf("The first %s are shown.", n)
		}
	}
	s.con.printf("Matching tokens: %s", matching)
	return matching, nil
}

// jobPoll is how often a terminal hears of a job's progress.
const jobPoll = 200 * time.Millisecond

// job reads one job.
func (s *session) job(id string) (*api.Secret, error) {
	c, err := s.client()
	if err != nil {
		return nil, err
	}
	sec, err := c.Logical().ReadWithContext(s.ctx, "auth/token/jobs/"+id)
	switch {
	case err != nil:
		return nil, s.remote("reading the job", err)
	case sec == nil:
		return nil, nothing("No job found with the id %s", id)
	}
	return sec, nil
}

// follow draws a job's progress on the terminal until it is done.
func (s *session) follow(id string) (*api.Secret, error) {
	tick := time.NewTicker(jobPoll)
	defer tick.Stop()
	for {
		sec, err := s.job(id)
		if err != nil {
			return nil, err
		}
		fmt.Fprint(s.con.err, "\r\x1b[K"+progress(sec.Data))
		if text(sec.Data, "state") == "done" {
			fmt.Fprintln(s.con.err)
			return sec, nil
		}
		select {
		case <-s.ctx.Done():
			fmt.Fprintln(s.con.err)
			return nil, s.ctx.Err()
		case <-tick.C:
		}
	}
}

// progress is a bar of how much of what a job has to look at it has looked at.
func progress(job map[string]any) string {
	const width = 40
	looked, _ := whole(job["looked"])
	expected, _ := whole(job["expected"])
	full := int64(width)
	if text(job, "state") != "done" && expected > 0 {
		full = min(width*looked/expected, width-1) // not full before it is done
	}
	return fmt.Sprintf("[%s%s] %s revoked, %d of %d looked at", strings.Repeat("#", int(full)), strings.Repeat("-", int(width-full)),
		cell(job["revoked"]), looked, max(expected, looked))
}

func buildTokenJobs(*flagSet) runFunc {
	return func(s *session, args []string) error {
		if len(args) == 1 {
			return s.showJob(trimPath(args[0]))
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		sec, err := c.Logical().ReadWithContext(s.ctx, "auth/token/jobs")
		if err != nil {
			return s.remote("listing jobs", err)
		}
		if sec == nil {
			return nothing("The server answered with nothing")
		}
		jobs, _ := sec.Data["jobs"].([]any)
		switch {
		case s.out.field != "":
			return s.column(jobs)
		case !s.out.table():
			return s.machine(jobs)
		case len(jobs) == 0:
			return nothing("No jobs found")
		}
		rows := [][]string{{"Job", "State", "Revoked", "Looked At", "Started", "Finished", "Filter"}}
		for _, j := range jobs {
			job, _ := j.(map[string]any)
			rows = append(rows, []string{text(job, "job_id"), text(job, "state"), cell(job["revoked"]),
				cell(job["looked"]) + " of " + cell(job["expected"]), text(job, "started"), cell(job["finished"]), filterText(object(job, "filter"))})
		}
		s.con.print(table(rows))
		return nil
	}
}

func (s *session) showJob(id string) error {
	sec, err := s.job(id)
	if err != nil {
		return err
	}
	if s.out.table() && s.out.field == "" && isTerminal(s.con.err) && text(sec.Data, "state") != "done" {
		if sec, err = s.follow(id); err != nil {
			return err
		}
	}
	return s.secret(sec)
}

// filterText is a job's filter on one line.
func filterText(filter map[string]any) string {
	words := make([]string, 0, len(filter))
	for _, k := range sortedKeys(filter) {
		if pairs, ok := filter[k].(map[string]any); ok {
			for _, name := range sortedKeys(pairs) {
				words = append(words, fmt.Sprintf("%s=%s=%v", k, name, pairs[name]))
			}
			continue
		}
		words = append(words, fmt.Sprintf("%s=%v", k, filter[k]))
	}
	return strings.Join(words, " ")
}
