package transfer

import (
	"context"
	"errors"
	"strings"
	"sync"
)

// secrets moves what is in the kv engines, several secrets at a time.
func (r *run) secrets(ctx context.Context) error {
	if len(r.kv) == 0 {
		return nil
	}
	for _, m := range r.kv {
		if m.version == 2 {
			if err := r.engineSettings(ctx, m); err != nil {
				return err
			}
		}
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	found, seen := make(chan secret), new(progress)
	var all sync.WaitGroup
	all.Go(func() {
		defer close(found)
		for _, m := range r.kv {
			if err := r.walk(ctx, m, seen, found); err != nil {
				stop(err)
				return
			}
		}
	})
	for range max(1, r.opts.Parallel) {
		all.Go(func() {
			for s := range found {
				if err := r.secret(ctx, s); err != nil {
					stop(err)
				}
				seen.done()
				r.opts.Watch.Step(seen.counts())
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// secret is one secret to move.
type secret struct {
	mount kvMount
	key   string
	// rows are what the report will say about it once it is moved.
	rows *[]Row
}

// without notes what is lost of a secret that is moved.
func (s secret) without(kind, name, why, next string) {
	*s.rows = append(*s.rows, Row{Reason: Unreadable, Kind: kind, Name: name, Why: why, Next: next})
}

func (s secret) name() string { return s.mount.path + s.key }

// at is the path of the secret below an endpoint of version 2 ("data", "metadata", …).
func (s secret) at(endpoint string) string {
	if s.mount.version < 2 {
		return s.name()
	}
	return s.mount.path + endpoint + "/" + s.key
}

// progress counts secrets.
type progress struct {
	mu              sync.Mutex // guards both
	finished, known int
}

func (p *progress) found() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known++
}

func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finished++
}

func (p *progress) counts() (done, found int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.finished, p.known
}

// walk sends every secret of a mount, folder by folder.
func (r *run) walk(ctx context.Context, m kvMount, seen *progress, found chan<- secret) error {
	for folders := []string{""}; len(folders) > 0; {
		folder := folders[len(folders)-1]
		folders = folders[:len(folders)-1]
		at := secret{mount: m, key: folder}.at("metadata")
		if !addressable(at) {
			r.report.left(Failed, "secret", m.path+folder, "the client cannot ask for a name like this", "move it by hand")
			continue
		}
		names, err := r.listed(ctx, "folder of secrets", at)
		if err != nil {
			return err
		}
		for _, name := range names {
			if strings.HasSuffix(name, "/") {
				folders = append(folders, folder+name)
				continue
			}
			seen.found()
			select {
			case found <- secret{mount: m, key: folder + name}:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

// errChanged says that somebody else has written to the destination meanwhile.
var errChanged = errors.New("the destination's version has changed meanwhile")

// attempts is how often a secret is looked at again when somebody else writes to it.
const attempts = 3

// secret moves one secret.
func (r *run) secret(ctx context.Context, s secret) error {
	const kind = "secret"
	t := r.report.tally(kind)
	if rows, done := r.journal.has(s.name()); done {
		r.report.add(rows...)
		t.earlier()
		return nil
	}
	if !addressable(s.at("data")) {
		r.report.left(Failed, kind, s.name(), "the client cannot ask for a name like this", "move it by hand")
		return nil
	}
	move := r.secretV2
	if s.mount.version < 2 {
		move = r.secretV1
	}
	var came outcome
	err := errChanged
	for try := 0; try < attempts && errors.Is(err, errChanged); try++ {
		s.rows = new([]Row)
		came, err = move(ctx, s)
	}
	var refusal *refusal
	switch {
	case errors.Is(err, errChanged):
		r.report.left(Conflict, kind, s.name(), "somebody else writes to it at the destination", "")
		return nil
	case errors.As(err, &refusal):
		return r.refused(ctx, kind, s.name(), refusal.from, refusal.err)
	case err != nil:
		return err
	}
	switch came {
	case wrote:
		t.moved()
	case equal:
		t.same()
	case leftAlone:
		return nil // it is in the report, and looked at again by the next run
	}
	r.report.add(*s.rows...)
	return r.journal.add(s.name(), *s.rows)
}

// outcome is what became of a secret.
type outcome int

const (
	leftAlone outcome = iota
	equal
	wrote
)

// refusal is an error of one of the servers.
type refusal struct {
	from *side
	err  error
}

func (e *refusal) Error() string { return e.from.name + ": " + e.err.Error() }
func (e *refusal) Unwrap() error { return e.err }

// refuses marks an error with the server that it comes from.
func (s *side) refuses(err error) error {
	if err == nil {
		return nil
	}
	return &refusal{s, err}
}

// secretV1 moves a secret of a kv engine of version 1. That has no check-and-set: between looking and
// writing somebody else may write, which only a quiet destination rules out.
func (r *run) secretV1(ctx context.Context, s secret) (outcome, error) {
	want, err := r.src.read(ctx, s.name())
	if err != nil {
		return leftAlone, r.src.refuses(err)
	}
	if want == nil {
		return leftAlone, nil // deleted meanwhile
	}
	have, err := r.dst.read(ctx, s.name())
	if err != nil {
		return leftAlone, r.dst.refuses(err)
	}
	switch {
	case have != nil && identical(have, want):
		return equal, nil
	case have != nil && !r.opts.Overwrite:
		r.report.left(Conflict, "secret", s.name(), "the destination has a different one", "compare them; -overwrite replaces it")
		return leftAlone, nil
	}
	_, _, err = r.dst.write(ctx, s.name(), want)
	return wrote, r.dst.refuses(err)
}
