package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// grammar is what may stand in one kind of stanza.
type grammar[T any] struct {
	keys map[string]setter[T]
	// repeatable are the blocks among keys that may stand more than once.
	repeatable []string
	// ignored are keys of Vault's that mean nothing here, each with the reason: a warning.
	ignored map[string]string
	// refused are keys of Vault's that promise a protection Jeton does not have, each with
	// the reason: an error, for a server that starts without it would be less safe than told.
	refused map[string]string
}

// setter puts what e says into dst. Its error is the reason, naming the key.
type setter[T any] func(s scope, dst *T, e entry) error

// scope is where in the configuration decoding has got to.
type scope struct {
	d *decoder
	// path is the path of the stanza, "" for the top, else "listener.tcp" or the like.
	path string
	// preface leads every reason, such as "error parsing 'listener': listeners.0: ".
	preface string
}

// decoder collects what the files say.
type decoder struct {
	cfg      *Config
	env      environment
	problems Errors
	// top is where each top-level key was last set.
	top map[string]position
	// storageIn is the file that the storage was read from.
	storageIn string
	seals     []sealStanza
	unserved  []Unserved
	lockouts  map[string]lockoutStanza
}

func (s scope) key(name string) string {
	if s.path == "" {
		return name
	}
	return s.path + "." + name
}

// maxProblems is how many mistakes are listed: who has made as many has given the wrong file.
const maxProblems = 50

func (s scope) fail(at position, key, reason string) {
	if len(s.d.problems) == maxProblems {
		return
	}
	s.d.problems = append(s.d.problems, &Error{
		File: at.file, Line: at.line, Column: at.column, Key: s.key(key), Reason: s.preface + reason,
	})
}

// blamed says whether something is wrong with key already: what follows from that is not worth telling.
func (s scope) blamed(key string) bool {
	return slices.ContainsFunc(s.d.problems, func(e *Error) bool { return e.Key == s.key(key) })
}

func (s scope) warn(at position, key, format string, args ...any) {
	s.d.cfg.Warnings = append(s.d.cfg.Warnings, Warning{Where: at.String(), Key: s.key(key), Text: fmt.Sprintf(format, args...)})
}

// below is the scope of a stanza inside s.
func (s scope) below(path string) scope {
	return scope{d: s.d, path: s.key(path), preface: s.preface}
}

// decode reads o into dst by the rules of g. What is wrong is added to the decoder's
// problems, and reading goes on.
func decode[T any](s scope, dst *T, o *object, g grammar[T]) {
	seen := make(map[string]bool, len(o.entries))
	for _, e := range o.entries {
		if len(s.d.problems) == maxProblems {
			return
		}
		name := strings.ToLower(e.key)
		set, known := g.keys[name]
		switch {
		case known && seen[name] && !slices.Contains(g.repeatable, name):
			s.fail(e.pos, name, fmt.Sprintf("only one %q block is permitted", name))
		case known && e.val.kind == kindNull:
			// JSON's null is a key that is not set.
		case known:
			if s.path == "" {
				s.d.top[name] = e.pos
			}
			if err := set(s, dst, e); err != nil {
				s.fail(e.pos, name, err.Error())
			} else {
				s.checkServed(e, name)
			}
		case g.ignored[name] != "":
			s.warn(e.pos, name, "%s has no effect here: %s", s.key(name), g.ignored[name])
		case g.refused[name] != "":
			s.fail(e.pos, name, fmt.Sprintf("%s is not supported: %s", name, g.refused[name]))
		default:
			reason := fmt.Sprintf("unknown or unsupported field %s found in configuration at %s", e.key, e.pos)
			if near := suggest(e.key, slices.Sorted(maps.Keys(g.keys))); near != "" {
				reason += fmt.Sprintf("; did you mean %s?", near)
			}
			s.fail(e.pos, e.key, reason)
		}
		seen[name] = true
	}
}

// The setters below carry the merging rules in their names (contract: config §1), as every
// file is read into the same Config, one after the other.

// text takes a string; the last that is not empty wins.
func text[T any](field func(*T) *string) setter[T] {
	return func(_ scope, dst *T, e entry) error {
		got, err := e.val.scalar()
		if err != nil {
			return fmt.Errorf("error parsing %s: %w", e.key, err)
		}
		if got != "" {
			*field(dst) = got
		}
		return nil
	}
}

// oneOf takes one of the allowed words, in any case.
func oneOf[T any](field func(*T) *string, allowed ...string) setter[T] {
	return func(_ scope, dst *T, e entry) error {
		got, err := e.val.scalar()
		if err != nil {
			return fmt.Errorf("error parsing %s: %w", e.key, err)
		}
		got = strings.ToLower(got)
		if got == "" {
			return nil
		}
		if !slices.Contains(allowed, got) {
			return fmt.Errorf("invalid value for %s: %q is not one of %s", e.key, got, strings.Join(allowed, ", "))
		}
		*field(dst) = got
		return nil
	}
}

// hidden takes a secret; its errors never carry the value.
func hidden[T any](field func(*T) *Secret) setter[T] {
	return func(s scope, dst *T, e entry) error {
		got, err := e.val.scalar()
		if err != nil {
			return fmt.Errorf("error parsing %s: %w", e.key, err)
		}
		resolved, err := s.d.env.resolve(got)
		if err != nil {
			return fmt.Errorf("error parsing %s: %w", e.key, err)
		}
		*field(dst) = NewSecret(resolved)
		return nil
	}
}

func boolean(e entry) (bool, error) {
	got, err := e.val.scalar()
	if err != nil {
		return false, fmt.Errorf("invalid value for %s: %w", e.key, err)
	}
	b, err := parseBool(got)
	if err != nil {
		return false, fmt.Errorf("invalid value for %s: %w, not %q", e.key, err, got)
	}
	return b, nil
}

// toggle takes a boolean of a stanza that is read once.
func toggle[T any](field func(*T) *bool) setter[T] {
	return func(_ scope, dst *T, e entry) error {
		b, err := boolean(e)
		if err == nil {
			*field(dst) = b
		}
		return err
	}
}

// switchOn takes a boolean that several files may set; true wins.
func switchOn[T any](field func(*T) *bool) setter[T] {
	return func(_ scope, dst *T, e entry) error {
		b, err := boolean(e)
		*field(dst) = *field(dst) || b
		return err
	}
}

// number takes a whole number.
func number[T any](field func(*T) *int64) setter[T] {
	return func(_ scope, dst *T, e entry) error {
		got, err := e.val.scalar()
		if err != nil {
			return fmt.Errorf("error parsing %s: %w", e.key, err)
		}
		n, err := parseInt(got)
		if err != nil {
			return fmt.Errorf("error parsing %s: %w, not %q", e.key, err, got)
		}
		*field(dst) = n
		return nil
	}
}

// count takes a whole number that is not negative.
func count[T any](field func(*T) *int64) setter[T] {
	return func(s scope, dst *T, e entry) error {
		var n int64
		if err := number(func(n *int64) *int64 { return n })(s, &n, e); err != nil {
			return err
		}
		if n < 0 {
			return fmt.Errorf("%s cannot be negative", e.key)
		}
		*field(dst) = n
		return nil
	}
}

func duration(e entry) (time.Duration, error) {
	got, err := e.val.scalar()
	if err != nil {
		return 0, fmt.Errorf("error parsing %s: %w", e.key, err)
	}
	d, err := parseDuration(got)
	if err != nil {
		return 0, fmt.Errorf("error parsing %s: %q %w", e.key, got, err)
	}
	if d < 0 {
		return 0, fmt.Errorf("%s cannot be negative", e.key)
	}
	return d, nil
}

// period takes a duration.
func period[T any](field func(*T) *time.Duration) setter[T] {
	return func(_ scope, dst *T, e entry) error {
		d, err := duration(e)
		if err == nil {
			*field(dst) = d
		}
		return err
	}
}

// longest takes a duration; of several files the larger wins.
func longest[T any](field func(*T) *time.Duration) setter[T] {
	return func(_ scope, dst *T, e entry) error {
		d, err := duration(e)
		*field(dst) = max(*field(dst), d)
		return err
	}
}

// words takes a list of strings.
func words[T any](field func(*T) *[]string) setter[T] {
	return func(_ scope, dst *T, e entry) error {
		list, err := e.val.texts()
		if err != nil {
			return fmt.Errorf("error parsing %s: %w", e.key, err)
		}
		*field(dst) = list
		return nil
	}
}

// stanza takes one block without labels.
func stanza[T, S any](field func(*T) *S, g grammar[S]) setter[T] {
	return func(s scope, dst *T, e entry) error {
		found, err := e.val.blocks(0)
		if err != nil {
			return fmt.Errorf("error parsing %s: %w", e.key, err)
		}
		if len(found) > 1 {
			return fmt.Errorf("only one %q block is permitted", e.key)
		}
		for _, b := range found {
			decode(s.below(strings.ToLower(e.key)), field(dst), b.body, g)
		}
		return nil
	}
}

// noted takes a value that is checked by nobody and used by nobody, with a warning.
func noted[T any](why string) setter[T] {
	return func(s scope, _ *T, e entry) error {
		s.warn(e.pos, e.key, "%s has no effect here: %s", s.key(e.key), why)
		return nil
	}
}
