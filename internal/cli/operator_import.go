package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/posener/complete"

	"jeton/internal/cli/transfer"
	"jeton/internal/outbound"
)

// importCommands bring what another server has.
func importCommands() []command {
	return []command{{
		name: "operator import", synopsis: "Move everything from another Vault-compatible server",
		help: `Reads another server through its API and writes what it has to this one:
policies, secrets engines and auth methods with their settings, kv secrets with
versions and metadata, AppRole roles with their role ids, userpass users, token roles,
entities, groups, password policies and quotas. The source is only read. What cannot
be moved is reported, with what to do about it; docs/migrating-from-vault.md has the
whole way.

The source's token comes from JETON_SOURCE_TOKEN or VAULT_SOURCE_TOKEN, from a file, or
is asked for. It is never an argument, which everybody on the machine could read.

    $ jeton operator import -source-address=https://vault.example.com:8200 -dry-run
    $ jeton operator import -source-address=https://vault.example.com:8200

A run that was interrupted goes on when it is started again. A run after a finished one
moves what is new at the source. What the destination has otherwise stays, unless
-overwrite is given. The exit code is 0 when all that can be moved is moved, 2 when not.`,
		arity: exactly(0), surface: talks, build: buildImport,
	}}
}

const sectionSource = "Source Options"

type importFlags struct {
	source                          connFlags
	tokenFile, namespace, stateFile string
	dryRun, overwrite               bool
	parallel                        int
}

func (p *importFlags) register(f *flagSet) {
	f.absent = map[string]string{"source-token": "everybody on the machine can read an argument. Set JETON_SOURCE_TOKEN, or name a file with -source-token-file"}
	p.source.registerAs(f, "source-", "SOURCE_", sectionSource)
	f.str(&p.tokenFile, flagSpec{name: "source-token-file", env: "SOURCE_TOKEN_FILE", section: sectionSource, usage: `File with the source's token; "-" is standard input.`, predict: complete.PredictFiles("*")})
	f.str(&p.namespace, flagSpec{name: "source-namespace", env: "SOURCE_NAMESPACE", section: sectionSource, usage: "Namespace of the source to read."})
	f.truth(&p.dryRun, flagSpec{name: "dry-run", usage: "Read everything and write nothing: the report says what would happen."})
	f.truth(&p.overwrite, flagSpec{name: "overwrite", usage: "Replace what differs here. A kv version 2 secret gets a new version on top."})
	f.number(&p.parallel, flagSpec{name: "parallel", usage: "How many secrets to move at a time. The default is 4."})
	f.str(&p.stateFile, flagSpec{name: "state", usage: "File that remembers what is done until all is. It holds names and no secrets. The default is jeton-import.state here.", predict: complete.PredictFiles("*")})
}

func buildImport(f *flagSet) runFunc {
	p := &importFlags{parallel: 4, stateFile: "jeton-import.state"}
	p.register(f)
	return func(s *session, _ []string) error {
		switch {
		case p.source.address == "":
			return local("Say where to import from: -source-address=https://... (or JETON_SOURCE_ADDR)")
		case p.parallel < 1 || p.parallel > 64:
			return local("-parallel must be between 1 and 64")
		case s.req.curl || s.req.policy:
			return local("An import is thousands of requests: they cannot be shown")
		}
		return s.importAll(p)
	}
}

func (s *session) importAll(p *importFlags) error {
	source, err := s.sourceClient(p)
	if err != nil {
		return err
	}
	destination, err := s.client()
	if err != nil {
		return err
	}
	if destination.Token() == "" {
		return nothing("No token for %s, where to import to.\n\n%s", s.conn.shown(), s.tokenAdvice())
	}
	ctx, stop := signal.NotifyContext(s.ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	view := &importView{out: s.con.err, live: isTerminal(s.con.err)}
	destination.SetWrappingLookupFunc(func(string, string) string { return "" })
	for name, c := range map[string]*api.Client{"source": source, "destination": destination} {
		bePatient(c, name, view)
	}
	report, err := transfer.Run(ctx, source, destination, transfer.Options{
		DryRun: p.dryRun, Overwrite: p.overwrite, Parallel: p.parallel, State: p.stateFile, Watch: view,
	})
	view.end()
	if err != nil {
		return &exitError{code: exitRemote, cause: err, text: importStopped(err, p)}
	}
	if !s.out.table() {
		err = s.machine(report)
	} else {
		s.showReport(report)
	}
	if err == nil && !report.Complete() {
		return quietly(exitRemote)
	}
	return err
}

// importStopped says why a run ended and how to go on.
func importStopped(err error, p *importFlags) string {
	why := "Error importing: " + visible(strings.Join(strings.Fields(err.Error()), " "))
	if errors.Is(err, context.Canceled) {
		why = "The import was interrupted."
	}
	if p.dryRun {
		return why
	}
	if _, serr := os.Stat(p.stateFile); serr != nil {
		return why // it had not begun
	}
	return why + "\n\n" + wrap("What is done stays done. The same command goes on from there; it remembers in "+p.stateFile+".", lineWidth)
}

// sourceClient is the client for the server to read.
func (s *session) sourceClient(p *importFlags) (*api.Client, error) {
	token, err := s.sourceToken(p)
	if err != nil {
		return nil, err
	}
	cfg, err := p.source.config(s.env)
	if err != nil {
		return nil, nothing("The source: %s", err)
	}
	c, err := api.NewClient(boundedSource(cfg, mostOfSource))
	if err != nil {
		return nil, nothing("Error initializing the client for the source: %s", err)
	}
	// NewClient looks into the process environment, which is about the destination.
	c.SetHeaders(http.Header{api.RequestHeaderName: []string{"true"}})
	c.ClearNamespace()
	if ns := trimPath(p.namespace); ns != "" {
		c.SetNamespace(ns + "/")
	}
	c.SetMFACreds(nil)
	c.SetWrappingLookupFunc(func(string, string) string { return "" })
	c.SetToken(token)
	return c, nil
}

// mostOfSource bounds one answer of the source, in bytes: a folder of a million secrets fits in.
const mostOfSource = 64 << 20

// boundedSource holds the source to answers of a size, and to the address that was given: a redirect
// to another host would carry the source's token there.
func boundedSource(cfg *api.Config, most int64) *api.Config {
	cfg.HttpClient.Transport = outbound.Bound(outbound.Stay(cfg.HttpClient.Transport), most)
	return cfg
}

// sourceToken finds the source's token, which no argument may hold.
func (s *session) sourceToken(p *importFlags) (string, error) {
	var token string
	switch {
	case p.tokenFile == "-":
		text, err := s.con.readAll()
		if err != nil {
			return "", local("Error reading the source's token: %s", err)
		}
		token = text
	case p.tokenFile != "":
		b, err := os.ReadFile(p.tokenFile)
		if err != nil {
			return "", local("Error reading the source's token: %s", err)
		}
		token = string(b)
	default:
		token, _ = s.env.variable("SOURCE_TOKEN")
		if token != "" {
			break
		}
		err := errNoPrompt
		if !s.req.nonInteractive {
			token, err = s.con.askSecret(s.con.err, "Token for "+p.source.shown()+" (will be hidden): ")
		}
		if err != nil {
			return "", local("The source needs a token: set JETON_SOURCE_TOKEN, or name a file with -source-token-file.")
		}
	}
	if token = strings.TrimSpace(token); token == "" {
		return "", local("The source's token is empty.")
	}
	return token, nil
}

const (
	// importRetries bounds how often a server that is away is asked again, importPatience how long a
	// request may take with all its waiting.
	importRetries  = 30
	importPatience = 10 * time.Minute
	// importWait bounds a single wait; servers ask for a second or some minutes.
	importWait = 5 * time.Minute
)

// bePatient makes a client wait where a server asks for it, and try again where it is away for a
// moment. Every write of an import may be sent twice.
func bePatient(c *api.Client, name string, view *importView) {
	c.SetMaxRetries(importRetries)
	c.SetClientTimeout(importPatience)
	c.SetCheckRetry(func(ctx context.Context, resp *http.Response, err error) (bool, error) {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if errors.Is(err, outbound.ErrElsewhere) {
			return false, err
		}
		// Until the first answer, one that is away is a wrong address.
		if err != nil {
			return view.answered(name, false), nil
		}
		view.answered(name, true)
		switch resp.StatusCode {
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true, nil
		}
		return false, nil
	})
	c.SetBackoff(func(_, _ time.Duration, attempt int, resp *http.Response) time.Duration {
		wait := min(100*time.Millisecond<<min(attempt, 10), 5*time.Second)
		if resp != nil {
			if asked, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && asked >= 0 {
				wait = min(time.Duration(asked)*time.Second, importWait)
			}
		}
		view.waiting(name, wait)
		return wait
	})
}

// importView shows how an import gets on: a bar on a terminal, plain lines elsewhere.
type importView struct {
	out  io.Writer
	live bool

	mu     sync.Mutex // guards all below
	phase  string
	shown  int             // how many times plainStep was told of in this phase
	line   bool            // a bar stands on the terminal
	awake  map[string]bool // who has answered already
	waited map[string]bool // whose waiting was told in this phase
}

// plainStep is how many things there are between two plain lines.
const plainStep = 500

// Phase implements transfer.Watcher.
func (v *importView) Phase(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clear()
	v.phase, v.shown, v.waited = name, 0, make(map[string]bool)
	if !v.live {
		fmt.Fprintf(v.out, "importing %s\n", name)
	}
}

// Step implements transfer.Watcher.
func (v *importView) Step(done, found int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.live {
		fmt.Fprintf(v.out, "\r\x1b[K%-18s %s %d of %d", v.phase, bar(done, found), done, found)
		v.line = true
		return
	}
	if done/plainStep > v.shown {
		v.shown = done / plainStep
		fmt.Fprintf(v.out, "  %d of %d %s\n", done, found, v.phase)
	}
}

// answered notes that a server has answered, and tells whether it ever has.
func (v *importView) answered(name string, now bool) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.awake == nil {
		v.awake = make(map[string]bool)
	}
	if now {
		v.awake[name] = true
	}
	return v.awake[name]
}

// waiting tells, once in a phase, that a server is waited for.
func (v *importView) waiting(name string, wait time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.waited == nil || v.waited[name] {
		return
	}
	v.waited[name] = true
	v.clear()
	fmt.Fprintf(v.out, "  the %s is busy or away: waiting %s, and whenever it asks to\n", name, wait)
}

func (v *importView) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clear()
}

func (v *importView) clear() {
	if v.line {
		fmt.Fprint(v.out, "\r\x1b[K")
		v.line = false
	}
}

func bar(done, of int) string {
	const width = 30
	full := 0
	if of > 0 {
		full = min(width, width*done/of)
	}
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", width-full) + "]"
}

// showReport prints the report for people.
func (s *session) showReport(r *transfer.Report) {
	moved := "Moved"
	if r.DryRun {
		moved = "Would move"
	}
	rows := [][]string{{"What", moved, "Already there", "Moved earlier"}}
	for _, c := range r.Counts {
		rows = append(rows, []string{c.Kind, strconv.Itoa(c.Moved), strconv.Itoa(c.Same), strconv.Itoa(c.Earlier)})
	}
	s.con.print(table(rows))
	for _, part := range []struct {
		title   string
		reasons []transfer.Reason
	}{
		{"Could not be moved", []transfer.Reason{transfer.Failed, transfer.Forbidden, transfer.Conflict}},
		{"Cannot be moved by anybody, and what to do", []transfer.Reason{transfer.Unreadable, transfer.Absent, transfer.ByHand}},
	} {
		var lines []string
		for _, reason := range part.reasons {
			for _, row := range r.Rows {
				if row.Reason == reason {
					lines = append(lines, reportLines(row))
				}
			}
		}
		if len(lines) > 0 {
			s.con.printf("\n%s:\n\n%s", part.title, strings.Join(lines, "\n"))
		}
	}
	if len(r.Notes) > 0 {
		s.con.printf("\nThe destination warned:\n")
		for _, note := range r.Notes {
			s.con.print("  " + visible(note))
		}
	}
	switch {
	case !r.Complete():
		s.con.print("\nNot everything was moved: see above, and run the import again.")
	case r.DryRun:
		s.con.print("\nNothing was written: this was a dry run.")
	default:
		s.con.print("\nSuccess! Everything that can be moved is at the destination.")
	}
}

func reportLines(row transfer.Row) string {
	text := "  " + visible(row.Kind+" "+row.Name+": "+row.Why)
	if row.Next != "" {
		text += "\n      " + visible(row.Next)
	}
	return text
}
