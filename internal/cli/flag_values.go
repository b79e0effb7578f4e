package cli

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"
)

type stringFlag string

func (v *stringFlag) String() string     { return string(*v) }
func (v *stringFlag) Set(s string) error { *v = stringFlag(s); return nil }

type intFlag int

func (v *intFlag) String() string { return strconv.Itoa(int(*v)) }
func (v *intFlag) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil {
		return fmt.Errorf("%q is not a number", s)
	}
	*v = intFlag(n)
	return nil
}

type boolFlag bool

func (v *boolFlag) String() string   { return strconv.FormatBool(bool(*v)) }
func (v *boolFlag) IsBoolFlag() bool { return true }
func (v *boolFlag) Set(s string) error {
	b, err := strconv.ParseBool(s)
	if err != nil {
		return fmt.Errorf("%q is neither true nor false", s)
	}
	*v = boolFlag(b)
	return nil
}

// spanFlag is a duration; bare numbers are seconds.
type spanFlag time.Duration

func (v *spanFlag) String() string { return time.Duration(*v).String() }
func (v *spanFlag) Set(s string) error {
	d, err := parseDuration(s)
	if err != nil {
		return err
	}
	*v = spanFlag(d)
	return nil
}

// listFlag is a repeatable flag. A comma inside a value on the command line is
// part of the value; only an environment default is split on commas
// (contract: cli §1).
type listFlag struct {
	to        *[]string
	isDefault bool
}

func (v *listFlag) String() string {
	if v.to == nil {
		return ""
	}
	return strings.Join(*v.to, ",")
}

func (v *listFlag) Set(s string) error {
	if v.isDefault {
		*v.to, v.isDefault = nil, false
	}
	*v.to = append(*v.to, s)
	return nil
}

// fromDefault marks what is there as a default that the first flag replaces.
func (v *listFlag) fromDefault() {
	v.isDefault = true
	var out []string
	for _, s := range *v.to {
		out = append(out, strings.Split(s, ",")...)
	}
	*v.to = out
}

// pairsFlag is a repeatable key=value flag.
type pairsFlag struct{ to *map[string]string }

func (v *pairsFlag) String() string {
	if v.to == nil {
		return ""
	}
	var all []string
	for k, val := range *v.to {
		all = append(all, k+"="+val)
	}
	sort.Strings(all)
	return strings.Join(all, ",")
}

func (v *pairsFlag) Set(s string) error {
	key, val, ok := strings.Cut(s, "=")
	if !ok {
		return fmt.Errorf("missing = in KV pair: %q", s)
	}
	if *v.to == nil {
		*v.to = make(map[string]string)
	}
	(*v.to)[key] = val
	return nil
}
