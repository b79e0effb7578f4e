package policy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// documentKeys are the keys a document may hold; name is ignored.
var documentKeys = map[string]bool{"path": true, "name": true}

// stanzaKeys are the keys a path may hold. Three more that OpenBao knows (pagination_limit,
// expiration, list_scan_response_keys_filter_path) narrow what a path grants; to accept them
// unenforced would grant more than was written, so they are refused as Vault refuses them.
var stanzaKeys = map[string]bool{
	"comment": true, "policy": true, "capabilities": true,
	"allowed_parameters": true, "denied_parameters": true, "required_parameters": true,
	"min_wrapping_ttl": true, "max_wrapping_ttl": true,
	"mfa_methods": true, "control_group": true, "subscribe_event_types": true,
}

// unenforced are keys of paid editions that community servers accept and do not act on.
var unenforced = []string{"control_group", "mfa_methods"}

// legacyCapabilities is what the values of the old key policy stand for (contract: policies §1.5).
var legacyCapabilities = map[string]Capability{
	"deny":  Deny,
	"read":  Read | List,
	"write": Create | Read | Update | Delete | List,
	"sudo":  Create | Read | Update | Delete | List | Sudo,
}

// read fills p from the tree of its document.
func (p *Policy) read(root node) error {
	if root.kind != objectKind {
		return errors.New("policy must be an object")
	}
	if err := checkKeys(root, "", documentKeys); err != nil {
		return err
	}
	for _, top := range root.fields {
		if top.name != "path" {
			continue
		}
		groups, ok := top.value.objects()
		if !ok {
			return fmt.Errorf("path on line %d must be a block", top.line)
		}
		for _, group := range groups {
			if err := p.readPaths(group); err != nil {
				return err
			}
		}
	}
	return nil
}

// readPaths reads an object whose keys are path patterns.
func (p *Policy) readPaths(group node) error {
	for _, path := range group.fields {
		blocks, ok := path.value.objects()
		if !ok {
			return fmt.Errorf("path %q: must be a block on line %d", path.name, path.line)
		}
		for _, block := range blocks {
			s, err := p.readStanza(path.name, block)
			if err != nil {
				return err
			}
			p.stanzas = append(p.stanzas, s)
			p.Templated = p.Templated || s.template != nil
		}
	}
	return nil
}

func (p *Policy) readStanza(path string, block node) (stanza, error) {
	if err := checkKeys(block, fmt.Sprintf("path %q: ", path), stanzaKeys); err != nil {
		return stanza{}, err
	}
	if err := checkRepeats(path, block); err != nil {
		return stanza{}, err
	}
	s := stanza{pattern: strings.TrimPrefix(path, "/")}
	if strings.Contains(path, "+*") {
		return stanza{}, fmt.Errorf("path %q: invalid use of wildcards ('+*' is forbidden)", path)
	}
	var err error
	if s.template, err = parseTemplate(s.pattern); err != nil {
		return stanza{}, fmt.Errorf("failed to validate policy templating: %w", err)
	}
	for _, f := range block.fields {
		if err := s.set(path, f); err != nil {
			return stanza{}, err
		}
		for _, key := range unenforced {
			if f.name == key {
				p.warnings = append(p.warnings, fmt.Sprintf("path %q: %s is accepted but not enforced", path, key))
			}
		}
	}
	if s.minWrap > 0 && s.maxWrap > 0 && s.maxWrap < s.minWrap {
		return stanza{}, errors.New("max_wrapping_ttl cannot be less than min_wrapping_ttl")
	}
	if s.caps&Deny != 0 {
		s.grant = grant{caps: Deny}
	}
	if !resolvable(s.template) {
		p.warnings = append(p.warnings, fmt.Sprintf("path %q: its template is unknown and never applies", path))
	}
	return s, nil
}

// checkRepeats refuses a key given twice in one stanza; blocks of parameters may repeat.
func checkRepeats(path string, block node) error {
	seen := make(map[string]bool, len(block.fields))
	for _, f := range block.fields {
		if seen[f.name] && f.value.kind != objectKind {
			return fmt.Errorf("path %q: key %q on line %d was already set", path, f.name, f.line)
		}
		seen[f.name] = true
	}
	return nil
}

// set applies one key of a stanza.
func (s *stanza) set(path string, f field) error {
	switch f.name {
	case "policy":
		caps, ok := legacyCapabilities[f.value.text]
		if !ok || f.value.kind != stringKind {
			return fmt.Errorf("path %q: invalid policy %q", path, f.value.text)
		}
		s.caps |= caps
	case "capabilities":
		return s.setCapabilities(path, f)
	case "allowed_parameters", "denied_parameters":
		into := &s.allowed
		if f.name == "denied_parameters" {
			into = &s.denied
		}
		return setParameters(path, f, into)
	case "required_parameters":
		names, ok := f.value.strings()
		if !ok {
			return fmt.Errorf("path %q: required_parameters must be a list of strings", path)
		}
		for _, name := range names {
			s.required = append(s.required, fold(name))
		}
	case "min_wrapping_ttl", "max_wrapping_ttl":
		ttl, err := wrappingTTL(f.value)
		if err != nil {
			return fmt.Errorf("error parsing %s: %w", f.name, err)
		}
		if f.name == "min_wrapping_ttl" {
			s.minWrap = ttl
		} else {
			s.maxWrap = ttl
		}
	}
	return nil
}

func (s *stanza) setCapabilities(path string, f field) error {
	names, ok := f.value.strings()
	if !ok {
		return fmt.Errorf("path %q: capabilities must be a list of strings", path)
	}
	for _, name := range names {
		c, ok := capabilityOf(name)
		if !ok {
			return fmt.Errorf("path %q: invalid capability %q", path, name)
		}
		s.caps |= c
	}
	return nil
}

// setParameters reads allowed_parameters or denied_parameters: name → list of values.
func setParameters(path string, f field, into *map[string][]any) error {
	blocks, ok := f.value.objects()
	if !ok {
		return fmt.Errorf("path %q: %s must be a map of lists", path, f.name)
	}
	for _, block := range blocks {
		for _, param := range block.fields {
			values := make([]any, 0, len(param.value.items()))
			for _, item := range param.value.items() {
				values = append(values, item.value())
			}
			if *into == nil {
				*into = make(map[string][]any)
			}
			addValues(*into, fold(param.name), values)
		}
	}
	return nil
}

// addValues joins the values of one parameter from two places; an empty list, which stands
// for any value, swallows the other. into and its lists must be the caller's own.
func addValues(into map[string][]any, name string, values []any) {
	have, ok := into[name]
	if ok && (len(have) == 0 || len(values) == 0) {
		into[name] = nil
		return
	}
	into[name] = append(have, values...)
}

// wrappingTTL reads a duration: seconds, or a string such as "90", "90s", "2h", "1d".
func wrappingTTL(n node) (time.Duration, error) {
	if n.kind != numberKind && n.kind != stringKind {
		return 0, errors.New("not a duration")
	}
	text := strings.TrimSpace(n.text)
	if text == "" {
		return 0, nil
	}
	unit := time.Second
	digits := text
	if days, ok := strings.CutSuffix(text, "d"); ok {
		unit, digits = 24*time.Hour, days
	}
	ttl, err := time.ParseDuration(text)
	if count, intErr := strconv.ParseInt(digits, 10, 64); intErr == nil {
		ttl, err = time.Duration(count)*unit, nil
		if count > int64(1<<62/unit) {
			return 0, errors.New("duration is too long")
		}
	}
	if err != nil {
		return 0, errors.New("not a duration")
	}
	if ttl < 0 {
		return 0, errors.New("duration cannot be negative")
	}
	return ttl, nil
}
