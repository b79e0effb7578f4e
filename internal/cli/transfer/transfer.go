// Package transfer owns moving what one Vault-compatible server holds to another over their APIs.
// It reaches both only through the official Go client, and it only reads at the source.
//
// Every step looks at the destination first and writes what is missing, so a run that was killed
// anywhere, and a run that comes after a finished one, do the rest and no more. What is already
// there and different is left as it is unless Options.Overwrite says otherwise.
package transfer

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/hashicorp/vault/api"
)

// Watcher is told how a run gets on. Its methods may be called by several goroutines at once.
type Watcher interface {
	// Phase begins a part of the run.
	Phase(name string)
	// Step tells how much of the current part is done, of what is known of it.
	Step(done, found int)
}

// Options say how to move.
type Options struct {
	// DryRun writes nothing.
	DryRun bool
	// Overwrite replaces what differs at the destination.
	Overwrite bool
	// Parallel is how many secrets are moved at a time.
	Parallel int
	// State is the file that remembers which secrets are done.
	State string
	Watch Watcher
}

// run is one import.
type run struct {
	src, dst *side
	opts     Options
	report   *Report
	journal  *journal

	// What is called differently at the destination: mount accessors and the ids of entities and
	// groups, by those of the source. Filled by the mounts and identity phases, read by later ones.
	accessors map[string]string
	ids       map[string]string

	kv       []kvMount
	approles []string // paths of auth mounts, "approle/"
	userpass []string
	methods  []method
}

// Run moves everything and returns what it did. An error means that the run could not go on, as
// when a server is away; what could not be moved for a reason of its own is in the report.
func Run(ctx context.Context, source, destination *api.Client, opts Options) (*Report, error) {
	r := &run{
		src: &side{name: "source", client: source}, dst: &side{name: "destination", client: destination, dry: opts.DryRun},
		opts: opts, report: newReport(opts.DryRun), accessors: make(map[string]string), ids: make(map[string]string),
	}
	pair, err := r.introduce(ctx)
	if err != nil {
		return r.report, err
	}
	if r.journal, err = openJournal(opts.State, pair, opts.DryRun); err != nil {
		return r.report, err
	}
	defer r.journal.close()
	for _, phase := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"secrets engines", r.secretMounts},
		{"auth methods", r.authMounts},
		{"entities", r.entities},
		{"groups", r.groups},
		// Policies come behind what their templates name by accessor or id.
		{"policies", r.policies},
		{"password policies", r.passwordPolicies},
		{"token roles", r.tokenRoles},
		{"AppRole roles", r.appRoles},
		{"userpass users", r.users},
		{"roles of auth methods", r.methodRoles},
		{"secrets", r.secrets},
		// Quotas come last: they would slow the import itself down.
		{"quotas", r.quotas},
		{"the rest", r.leftovers},
	} {
		opts.Watch.Phase(phase.name)
		if err := phase.do(ctx); err != nil {
			return r.report, fmt.Errorf("%s: %w", phase.name, err)
		}
	}
	return r.report, r.journal.finish()
}

// introduce makes sure that both servers answer, that both tokens are good and that the two are not
// the same server. The pair of cluster ids names the import in the state file.
func (r *run) introduce(ctx context.Context) (string, error) {
	var ids [2]string
	for i, s := range []*side{r.src, r.dst} {
		st, err := s.client.Sys().SealStatusWithContext(ctx)
		if err != nil {
			return "", fmt.Errorf("the %s does not answer: %w", s.name, err)
		}
		if st.Sealed {
			return "", fmt.Errorf("the %s is sealed", s.name)
		}
		if _, err := s.client.Auth().Token().LookupSelfWithContext(ctx); err != nil {
			return "", fmt.Errorf("the %s does not take the token: %w", s.name, err)
		}
		if ids[i] = st.ClusterID; ids[i] == "" {
			ids[i] = s.client.Address()
		}
	}
	if ids[0] == ids[1] && r.src.client.Namespace() == r.dst.client.Namespace() {
		return "", errors.New("source and destination are the same server")
	}
	return ids[0] + " " + r.src.client.Namespace() + " -> " + ids[1], nil
}

// each does one thing for every name of a listing, and tells the watcher.
func (r *run) each(ctx context.Context, names []string, do func(ctx context.Context, name string) error) error {
	for i, name := range names {
		r.opts.Watch.Step(i, len(names))
		if err := do(ctx, name); err != nil {
			return err
		}
	}
	if len(names) > 0 {
		r.opts.Watch.Step(len(names), len(names))
	}
	return nil
}

// listed lists what there is of a kind. A listing that the token may not see, or that the source does
// not have, is empty; the first goes into the report.
func (r *run) listed(ctx context.Context, kind, path string) ([]string, error) {
	names, err := r.src.list(ctx, path)
	if err != nil {
		return nil, r.refused(ctx, kind, path, r.src, err)
	}
	return names, nil
}

// object moves one thing that is written as a whole: it is written where it is missing, and left where
// it is the same. have is what the destination has, nil for nothing.
func (r *run) object(ctx context.Context, kind, name, path string, have, want map[string]any) error {
	t := r.report.tally(kind)
	switch {
	case have != nil && same(have, want):
		t.same()
		return nil
	case have != nil && !r.opts.Overwrite:
		r.report.left(Conflict, kind, name, "the destination has a different one", "compare them; -overwrite replaces it")
		return nil
	}
	_, warnings, err := r.dst.write(ctx, path, want)
	if err != nil {
		return r.refused(ctx, kind, name, r.dst, err)
	}
	r.report.warned(kind, name, warnings)
	t.moved()
	return nil
}

// refused puts an answer of a server into the report. An error that is no answer to this request alone
// comes back: the run cannot go on.
func (r *run) refused(ctx context.Context, kind, name string, from *side, err error) error {
	var answer *api.ResponseError
	if !errors.As(err, &answer) || away(err) {
		return fmt.Errorf("%s %s: the %s: %w", kind, name, from.name, err)
	}
	if answer.StatusCode != http.StatusForbidden {
		r.report.left(Failed, kind, name, fmt.Sprintf("the %s answered %d: %s", from.name, answer.StatusCode, answerText(answer)), "")
		return nil
	}
	if _, err := from.client.Auth().Token().LookupSelfWithContext(ctx); err != nil {
		return fmt.Errorf("the token for the %s is no longer good: %w", from.name, err)
	}
	r.report.left(Forbidden, kind, name, "the token for the "+from.name+" has no right to it", "use a token that has, and run the import again")
	return nil
}
