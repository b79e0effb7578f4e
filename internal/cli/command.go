package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"sort"
	"strings"

	hcli "github.com/hashicorp/cli"
	"github.com/posener/complete"
)

// runFunc does a command's work. The error it returns decides the exit code:
// see exitError.
type runFunc func(s *session, args []string) error

// surface says which shared flags a command takes.
type surface uint8

const (
	takesHTTP   surface = 1 << iota // talks to a server
	takesFormat                     // -format
	takesField                      // -field
	takesRaw                        // -format=raw is allowed

	talks  = takesHTTP | takesFormat
	shows  = talks | takesField
	silent = surface(0)
)

// arity bounds the number of positional arguments; max < 0 means no bound.
type arity struct{ min, max int }

func exactly(n int) arity        { return arity{n, n} }
func between(min, max int) arity { return arity{min, max} }
func atLeast(n int) arity        { return arity{n, -1} }

func (a arity) check(n int) error {
	switch {
	case n < a.min:
		return local("Not enough arguments (expected %d, got %d)", a.min, n)
	case a.max >= 0 && n > a.max:
		return local("Too many arguments (expected %d, got %d)", a.max, n)
	}
	return nil
}

// command is one row of the command table. A row without build is a parent: it
// only prints its help.
type command struct {
	name     string // full name, "token create"
	args     string // what follows the options in the usage line
	synopsis string
	help     string // what it does, and examples; says "jeton" for the program
	arity    arity
	surface  surface
	// hidden keeps the command out of help; absent says what to use instead of
	// a command that only Vault has.
	hidden bool
	absent string
	// predict or suggest complete the arguments; suggest asks the server.
	predict complete.Predictor
	suggest suggestFunc
	// build registers the command's own flags and returns what runs after
	// they were parsed.
	build func(f *flagSet) runFunc
}

// invocation is one use of a row; it is what the frame sees.
type invocation struct {
	row      command
	children []string // names of the subcommands of a parent
	program  string
	env      Env
}

// assemble builds the flag set and the session of one invocation.
func (i *invocation) assemble() (*flagSet, *session, runFunc) {
	f := newFlagSet(i.env)
	s := &session{ctx: context.Background(), program: i.program, con: newConsole(i.env), env: i.env}
	var run runFunc
	if i.row.build != nil {
		run = i.row.build(f)
	}
	if i.row.surface&takesHTTP != 0 {
		s.conn.register(f)
		s.req.register(f)
	}
	s.out.register(f, i.row.surface)
	return f, s, run
}

// Run implements the frame's Command.
func (i *invocation) Run(args []string) int {
	f, s, run := i.assemble()
	if i.row.absent != "" {
		return s.finish(i.refuseAbsent())
	}
	if run == nil {
		if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
			fmt.Fprintf(i.env.Stderr, "Unknown command \"%s %s\"%s\n\n", i.row.name, unsecret(args[0]), didYouMean(args[0], i.children))
		}
		return hcli.RunResultHelp
	}
	return s.finish(i.execute(f, s, run, args))
}

func (i *invocation) execute(f *flagSet, s *session, run runFunc, args []string) error {
	rest, loose, err := f.parse(args)
	if errors.Is(err, flag.ErrHelp) { // "--h": the frame takes the usual spellings
		s.con.print(i.Help())
		return nil
	}
	if err != nil {
		return local("%s", err)
	}
	if err := s.out.check(i.row.surface); err != nil {
		return err
	}
	if len(loose) > 0 && s.out.table() {
		s.con.warn("Command flags must be provided before positional arguments. "+
			"The following arguments will not be parsed as flags: [%s]%s", strings.Join(loose, ","), f.fix(loose[0]))
	}
	if err := i.row.arity.check(len(rest)); err != nil {
		return err
	}
	err = run(s, rest)
	return s.req.shownInstead(s, err)
}

// Synopsis implements the frame's Command.
func (i *invocation) Synopsis() string { return i.row.synopsis }

// Help implements the frame's Command.
func (i *invocation) Help() string {
	f, _, _ := i.assemble()
	var b strings.Builder
	usage := i.row.args
	switch {
	case i.row.absent != "":
	case i.row.build == nil:
		usage = "<subcommand> [options] [args]"
	case usage == "":
		usage = "[options]"
	default:
		usage = "[options] " + usage
	}
	fmt.Fprintf(&b, "Usage: jeton %s %s\n\n", i.row.name, usage)
	b.WriteString(indent(strings.TrimSpace(i.row.help), "  "))
	b.WriteString("\n")
	b.WriteString(f.help())
	return named(strings.TrimRight(b.String(), "\n"), i.program)
}

// AutocompleteFlags implements the frame's CommandAutocomplete.
func (i *invocation) AutocompleteFlags() complete.Flags {
	f, _, _ := i.assemble()
	return f.completions()
}

// AutocompleteArgs implements the frame's CommandAutocomplete.
func (i *invocation) AutocompleteArgs() complete.Predictor {
	switch {
	case i.row.suggest != nil:
		return i.predictor(i.row.suggest)
	case i.row.predict != nil:
		return i.row.predict
	}
	return complete.PredictNothing
}

// named puts the name the program was called by into a help text.
func named(text, program string) string {
	if program == "jeton" {
		return text
	}
	return strings.ReplaceAll(text, "jeton ", program+" ")
}

func indent(text, by string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if l != "" {
			lines[i] = by + l
		}
	}
	return strings.Join(lines, "\n")
}

// commonCommands come first in the overall help, in this order (contract: cli §6
// "others").
func commonCommands() []string {
	return []string{"read", "write", "delete", "list", "login", "server", "status", "unwrap"}
}

func rootHelp(program string) hcli.HelpFunc {
	return func(commands map[string]hcli.CommandFactory) string {
		var b strings.Builder
		b.WriteString("Usage: jeton <command> [args]\n\n")
		common := make(map[string]bool)
		var first, others []string
		for _, name := range commonCommands() {
			common[name] = true
			if _, ok := commands[name]; ok {
				first = append(first, name)
			}
		}
		for name := range commands {
			if !common[name] {
				others = append(others, name)
			}
		}
		sort.Strings(others)
		section := func(title string, names []string) {
			if len(names) == 0 {
				return
			}
			b.WriteString(title + "\n")
			for _, name := range names {
				c, err := commands[name]()
				if err != nil {
					continue
				}
				fmt.Fprintf(&b, "    %-16s  %s\n", name, c.Synopsis())
			}
			b.WriteString("\n")
		}
		section("Common commands:", first)
		section("Other commands:", others)
		b.WriteString(`Try it out with a server that keeps everything in memory:

    $ jeton server -dev -dev-root-token-id=root
    $ export VAULT_ADDR=http://127.0.0.1:8200 VAULT_TOKEN=root
    $ jeton token create -policy=default -ttl=1h
    $ jeton kv put secret/app/db password=s3cr3t

Settings come from flags, then from JETON_ variables, then from VAULT_ variables.
"jeton <command> -h" explains a command and shows examples of it.`)
		return named(b.String(), program)
	}
}

// finish reports err and returns the exit code it stands for.
func (s *session) finish(err error) int {
	if err == nil {
		return exitOK
	}
	var e *exitError
	if !errors.As(err, &e) {
		e = &exitError{code: exitRemote, text: err.Error()}
	}
	if e.text != "" {
		s.con.fail(e.text, s.out.table())
	}
	return e.code
}
