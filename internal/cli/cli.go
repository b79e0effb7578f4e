// Package cli owns the command line: flags, arguments, prompts, output and exit
// codes of every command. It reaches a server only through the official Go
// client; running a server is a function handed in from outside, so that this
// package imports none of the server's.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	hcli "github.com/hashicorp/cli"
	"github.com/posener/complete"
)

// Exit codes (contract: cli §1).
const (
	exitOK     = 0
	exitLocal  = 1 // bad flags, arguments, files
	exitRemote = 2 // the server refused, could not be reached, or has nothing there
	exitNoCmd  = 127
)

// ServerFunc runs a server until ctx ends and returns the exit code.
type ServerFunc func(ctx context.Context, opts ServerOptions, env Env) int

// Env is everything a command line takes from the process around it, so that
// tests can run commands in-process.
type Env struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// Getenv reads one environment variable; an unset one is "".
	Getenv func(name string) string
	// Server runs "server". Without it the command does not exist.
	Server ServerFunc
	// Check checks the data of a stopped server for "operator check -config".
	Check CheckFunc
}

// System returns the Env of this process.
func System(server ServerFunc) Env {
	return Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Server: server}
}

// Run executes the command line args, whose first element is the name the
// program was called by, and returns the exit code. Called by the name "vault"
// (a symlink) everything is the same and help says "vault".
func Run(args []string, env Env) int {
	name := "jeton"
	if len(args) > 0 {
		if base := strings.TrimSuffix(filepath.Base(args[0]), ".exe"); base == "vault" {
			name = base
		}
		args = args[1:]
	}
	if len(args) == 1 && isVersionFlag(args[0]) {
		args = []string{"version"}
	}
	if install, asked := completionFlag(args); asked {
		return setUpCompletion(name, install, env)
	}
	table := commandTable(env)
	frame := &hcli.CLI{
		Name:                       name,
		Args:                       args,
		Commands:                   factories(table, name, env),
		HelpFunc:                   rootHelp(name),
		HelpWriter:                 env.Stdout,
		ErrorWriter:                env.Stderr,
		Autocomplete:               true,
		AutocompleteNoDefaultFlags: false,
		AutocompleteGlobalFlags:    complete.Flags{},
		HiddenCommands:             hiddenNames(table),
	}
	if sub := frame.Subcommand(); sub != "" && !frame.IsHelp() {
		if _, known := frame.Commands[sub]; !known {
			fmt.Fprintf(env.Stderr, "Unknown command %q%s\n\n", unsecret(sub), didYouMean(sub, namesBelow(table, "")))
		}
	}
	code, err := frame.Run()
	if err != nil {
		fmt.Fprintln(env.Stderr, err)
		return exitLocal
	}
	return code
}

func isVersionFlag(arg string) bool {
	return arg == "-v" || arg == "-version" || arg == "--version"
}

// commandTable lists every command. What is compiled in is this list and
// nothing registers itself.
func commandTable(env Env) []command {
	groups := [][]command{
		coreCommands(),
		tokenCommands(),
		tokenSeeCommands(),
		loginCommands(),
		policyCommands(),
		secretsCommands(),
		authCommands(),
		auditCommands(),
		leaseCommands(),
		kvCommands(),
		kvVersionCommands(),
		kvMetadataCommands(),
		operatorCommands(),
		generateRootCommands(),
		rekeyCommands(),
		snapshotCommands(),
		checkCommands(),
		pluginCommands(),
		statusCommands(),
		aboutCommands(),
		monitorCommands(),
		debugCommands(),
		importCommands(),
		absentCommands(),
	}
	var table []command
	for _, g := range groups {
		table = append(table, g...)
	}
	if env.Server != nil {
		table = append(table, serverCommand())
	}
	return table
}

func factories(table []command, name string, env Env) map[string]hcli.CommandFactory {
	m := make(map[string]hcli.CommandFactory, len(table))
	for _, c := range table {
		m[c.name] = func() (hcli.Command, error) {
			return &invocation{row: c, children: namesBelow(table, c.name+" "), program: name, env: env}, nil
		}
	}
	return m
}

func hiddenNames(table []command) []string {
	var names []string
	for _, c := range table {
		if c.hidden {
			names = append(names, c.name)
		}
	}
	return names
}

// namesBelow returns the names one level below prefix.
func namesBelow(table []command, prefix string) []string {
	var names []string
	for _, c := range table {
		if rest, ok := strings.CutPrefix(c.name, prefix); ok && !c.hidden && !strings.Contains(rest, " ") {
			names = append(names, rest)
		}
	}
	return names
}
