package policy

import (
	"errors"
	"strings"
	"unicode"
)

// errUnbalanced is the text clients know (contract: policies §8).
var errUnbalanced = errors.New("unbalanced templating characters")

// Subject is the entity behind a token, as templates see it. The values are read, never
// changed, by this package.
type Subject struct {
	ID, Name string
	Metadata map[string]string
	Aliases  []Alias
	// Groups are all that contain the entity, directly or through others.
	Groups []Group
}

// Alias is what a login method calls the entity.
type Alias struct {
	// MountAccessor names the login method's mount.
	MountAccessor            string
	ID, Name                 string
	Metadata, CustomMetadata map[string]string
}

// Group is a group that the entity is in.
type Group struct {
	ID, Name string
	Metadata map[string]string
}

// piece is literal text, or the name of a variable.
type piece struct {
	text     string
	variable bool
}

// parseTemplate cuts a pattern at its braces; nil when it has none.
func parseTemplate(pattern string) ([]piece, error) {
	parts := strings.Split(pattern, "{{")
	if strings.Contains(parts[0], "}}") {
		return nil, errUnbalanced
	}
	if len(parts) == 1 {
		return nil, nil
	}
	pieces := []piece{{text: parts[0]}}
	for _, part := range parts[1:] {
		inner := strings.Split(part, "}}")
		if len(inner) != 2 {
			return nil, errUnbalanced
		}
		pieces = append(pieces, piece{text: strings.TrimSpace(inner[0]), variable: true}, piece{text: inner[1]})
	}
	return pieces, nil
}

// expand puts the subject's values into a template. ok is false when one of them is missing,
// empty, or would change what the pattern means (contract: policies §8).
func expand(template []piece, subject *Subject) (pattern string, ok bool) {
	var b strings.Builder
	for _, p := range template {
		text := p.text
		if p.variable {
			if text, ok = subject.value(p.text); !ok {
				return "", false
			}
		}
		b.WriteString(text)
	}
	return b.String(), true
}

// value is what a variable stands for, where that is safe to put into a path.
func (s *Subject) value(variable string) (string, bool) {
	if s == nil {
		return "", false
	}
	v := s.Lookup(variable)
	if v == "" || strings.ContainsAny(v, "*+/") || strings.ContainsFunc(v, unicode.IsControl) {
		return "", false
	}
	// A segment of dots would be refused in a request path, so a rule with one means nothing.
	return v, v != "." && v != ".."
}

// Lookup returns the raw value of a variable; empty when there is none. It may hold anything: what
// goes into a path has to be judged, as the templates of policies do.
func (s *Subject) Lookup(variable string) string {
	if rest, ok := strings.CutPrefix(variable, "identity.entity."); ok {
		if aliases, ok := strings.CutPrefix(rest, "aliases."); ok {
			return s.aliasValue(aliases)
		}
		return attribute(rest, s.ID, s.Name, s.Metadata, nil)
	}
	if rest, ok := strings.CutPrefix(variable, "identity.groups.ids."); ok {
		return s.groupValue(rest, func(g Group) string { return g.ID })
	}
	if rest, ok := strings.CutPrefix(variable, "identity.groups.names."); ok {
		return s.groupValue(rest, func(g Group) string { return g.Name })
	}
	return ""
}

// aliasValue resolves "<mount accessor>.<attribute>". An entity with two aliases on one
// mount has no single value, and so none (CVE-2021-43998).
func (s *Subject) aliasValue(rest string) string {
	accessor, attr, _ := strings.Cut(rest, ".")
	var found *Alias
	for i := range s.Aliases {
		if s.Aliases[i].MountAccessor != accessor {
			continue
		}
		if found != nil {
			return ""
		}
		found = &s.Aliases[i]
	}
	if found == nil {
		return ""
	}
	return attribute(attr, found.ID, found.Name, found.Metadata, found.CustomMetadata)
}

// groupValue resolves "<group>.<attribute>" for the group that key names. A group's name may
// hold dots, so it is matched whole rather than cut out.
func (s *Subject) groupValue(rest string, key func(Group) string) string {
	for _, g := range s.Groups {
		if attr, ok := strings.CutPrefix(rest, key(g)+"."); ok {
			if v := attribute(attr, g.ID, g.Name, g.Metadata, nil); v != "" {
				return v
			}
		}
	}
	return ""
}

// attribute is id, name, metadata.<key> or custom_metadata.<key>; keys may hold dots.
func attribute(attr, id, name string, metadata, custom map[string]string) string {
	switch attr {
	case "id":
		return id
	case "name":
		return name
	}
	if key, ok := strings.CutPrefix(attr, "metadata."); ok {
		return metadata[key]
	}
	if key, ok := strings.CutPrefix(attr, "custom_metadata."); ok {
		return custom[key]
	}
	return ""
}

// resolvable says whether some subject could fill in the template.
func resolvable(template []piece) bool {
	for _, p := range template {
		if p.variable && !KnownVariable(p.text) {
			return false
		}
	}
	return true
}

// KnownVariable says whether some subject could have a value for it.
func KnownVariable(variable string) bool {
	attr, ok := strings.CutPrefix(variable, "identity.entity.")
	if ok && !strings.HasPrefix(attr, "aliases.") {
		return attr == "id" || attr == "name" || strings.HasPrefix(attr, "metadata.")
	}
	return strings.HasPrefix(variable, "identity.entity.aliases.") ||
		strings.HasPrefix(variable, "identity.groups.ids.") ||
		strings.HasPrefix(variable, "identity.groups.names.")
}
