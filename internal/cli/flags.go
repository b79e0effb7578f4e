package cli

import (
	"flag"
	"fmt"
	"io"
	"sort"
	"strings"
	"time"

	"github.com/posener/complete"
)

// flagSpec describes one flag.
type flagSpec struct {
	name    string
	aliases []string
	env     string // setting name after JETON_/VAULT_, or ""
	usage   string
	section string // heading in help; "" means the command's own
	predict complete.Predictor
	hidden  bool
	boolean bool
}

// flagSet is one command's flags: the standard library's parser plus what help
// and completion need, and a reading of flags behind positional arguments.
type flagSet struct {
	env   Env
	std   *flag.FlagSet
	specs []flagSpec
	// errs collects environment defaults that do not parse; they count only
	// once the command really runs, so that -h always works.
	errs []error
	// absent are flags of Vault's that are not here, with the reason.
	absent map[string]string
}

func newFlagSet(env Env) *flagSet {
	std := flag.NewFlagSet("", flag.ContinueOnError)
	std.SetOutput(io.Discard)
	std.Usage = func() {}
	return &flagSet{env: env, std: std}
}

func (f *flagSet) add(v flag.Value, spec flagSpec) {
	if spec.env != "" {
		if text, from := f.env.variable(spec.env); text != "" {
			if err := v.Set(text); err != nil {
				if spec.boolean {
					f.errs = append(f.errs, fmt.Errorf("could not parse %s", from))
				} else {
					f.errs = append(f.errs, fmt.Errorf("invalid value in %s: %w", from, err))
				}
			}
			if r, ok := v.(interface{ fromDefault() }); ok {
				r.fromDefault()
			}
		}
	}
	for _, name := range append([]string{spec.name}, spec.aliases...) {
		f.std.Var(v, name, spec.usage)
	}
	f.specs = append(f.specs, spec)
}

func (f *flagSet) str(p *string, spec flagSpec)         { f.add((*stringFlag)(p), spec) }
func (f *flagSet) number(p *int, spec flagSpec)         { f.add((*intFlag)(p), spec) }
func (f *flagSet) span(p *time.Duration, spec flagSpec) { f.add((*spanFlag)(p), spec) }
func (f *flagSet) truth(p *bool, spec flagSpec) {
	spec.boolean = true
	f.add((*boolFlag)(p), spec)
}
func (f *flagSet) list(p *[]string, spec flagSpec)           { f.add(&listFlag{to: p}, spec) }
func (f *flagSet) pairs(p *map[string]string, spec flagSpec) { f.add(&pairsFlag{to: p}, spec) }

// given tells whether the flag was on the command line, which for "tune" is not
// the same as having a non-zero value.
func (f *flagSet) given(name string) bool {
	found := false
	f.std.Visit(func(fl *flag.Flag) { found = found || fl.Name == name })
	return found
}

// parse reads args and returns the positional ones. Flags are understood in any
// place up to "--", because a flag behind an argument is the most common slip;
// an argument that begins with a dash but names no flag stays an argument and
// is returned in loose too, when it comes behind a positional one.
func (f *flagSet) parse(args []string) (rest, loose []string, err error) {
	if len(f.errs) > 0 {
		return nil, nil, f.errs[0]
	}
	for len(args) > 0 {
		arg := args[0]
		switch {
		case arg == "--":
			return append(rest, args[1:]...), loose, nil
		case len(arg) < 2 || arg[0] != '-':
			rest, args = append(rest, arg), args[1:]
			continue
		case len(rest) > 0 && !f.knows(arg):
			rest, loose, args = append(rest, arg), append(loose, arg), args[1:]
			continue
		}
		taken := f.width(args)
		if err := f.std.Parse(args[:taken]); err != nil {
			return nil, nil, f.explain(err, arg)
		}
		args = args[taken:]
	}
	return rest, loose, nil
}

// width is how many arguments the flag at the head of args takes up.
func (f *flagSet) width(args []string) int {
	name, hasValue := flagName(args[0])
	fl := f.std.Lookup(name)
	if hasValue || fl == nil || len(args) == 1 {
		return 1
	}
	if b, ok := fl.Value.(interface{ IsBoolFlag() bool }); ok && b.IsBoolFlag() {
		return 1
	}
	return 2
}

func (f *flagSet) knows(arg string) bool {
	name, _ := flagName(arg)
	return f.std.Lookup(name) != nil
}

// explain adds to the parser's message what was probably meant, or why a flag of Vault's is not here.
func (f *flagSet) explain(err error, arg string) error {
	name, _ := flagName(arg)
	if f.std.Lookup(name) != nil {
		return err
	}
	if why := f.absent[name]; why != "" {
		return fmt.Errorf("-%s is not here: %s", name, why)
	}
	return fmt.Errorf("%w%s", err, f.fix(arg))
}

// fix names the flag that arg was probably meant to be, or is "".
func (f *flagSet) fix(arg string) string {
	name, _ := flagName(arg)
	var names []string
	for _, s := range f.specs {
		if !s.hidden {
			names = append(names, s.name)
		}
	}
	if near := closest(name, names); near != "" {
		return fmt.Sprintf(" (did you mean -%s?)", near)
	}
	return ""
}

func flagName(arg string) (name string, hasValue bool) {
	name, _, hasValue = strings.Cut(strings.TrimLeft(arg, "-"), "=")
	return name, hasValue
}

// help lists the flags under their headings, the command's own last: they are
// what the reader scrolls to.
func (f *flagSet) help() string {
	bySection := make(map[string][]flagSpec)
	for _, s := range f.specs {
		if !s.hidden {
			bySection[s.section] = append(bySection[s.section], s)
		}
	}
	var b strings.Builder
	for _, section := range []string{sectionHTTP, sectionOutput, sectionDev, sectionSource, ""} {
		specs := bySection[section]
		if len(specs) == 0 {
			continue
		}
		title := section
		if title == "" {
			title = "Command Options"
		}
		sort.Slice(specs, func(i, j int) bool { return specs[i].name < specs[j].name })
		fmt.Fprintf(&b, "\n%s:\n", title)
		for _, s := range specs {
			names := "-" + s.name
			for _, a := range s.aliases {
				names = "-" + a + ", " + names
			}
			if !s.boolean {
				names += "=<value>"
			}
			usage := s.usage
			if s.env != "" {
				usage += fmt.Sprintf(" Also set by JETON_%s or VAULT_%s.", s.env, s.env)
			}
			fmt.Fprintf(&b, "\n  %s\n%s\n", names, indent(wrap(usage, lineWidth-6), "      "))
		}
	}
	return b.String()
}

const (
	sectionHTTP   = "HTTP Options"
	sectionOutput = "Output Options"
	sectionDev    = "Dev Options"
)

func (f *flagSet) completions() complete.Flags {
	flags := make(complete.Flags, len(f.specs))
	for _, s := range f.specs {
		if s.hidden {
			continue
		}
		p := s.predict
		if p == nil {
			p = complete.PredictNothing
			if !s.boolean {
				p = complete.PredictAnything
			}
		}
		flags["-"+s.name] = p
	}
	return flags
}
