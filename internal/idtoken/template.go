package idtoken

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"jeton/internal/backend"
	"jeton/internal/policy"
)

// longestTemplate bounds a template, in bytes.
const longestTemplate = 16 << 10

// reservedClaims are set here and by no template. Contract: identity §6.
var reservedClaims = []string{"iat", "aud", "exp", "iss", "sub", "namespace", "nonce", "auth_time", "at_hash", "c_hash"}

// plainTemplate is a template as it was meant: it may come in base64. It must make a JSON object
// for an entity of which nothing is known, and none of the claims that are set here.
func plainTemplate(sent string) (string, error) {
	if len(sent) > longestTemplate {
		return "", backend.Invalidf("the template is longer than %d bytes", longestTemplate)
	}
	text := strings.TrimSpace(sent)
	if decoded, err := base64.StdEncoding.DecodeString(text); err == nil {
		text = strings.TrimSpace(string(decoded))
	}
	if text == "" {
		return "", nil
	}
	claims, err := fill(text, &policy.Subject{}, time.Unix(0, 0))
	if err != nil {
		return "", err
	}
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		if slices.Contains(reservedClaims, name) {
			return "", backend.Invalidf("top level key %q not allowed. Restricted keys: %s", name, strings.Join(reservedClaims, ", "))
		}
	}
	return text, nil
}

// fill puts what is known of an entity into a template. Each value goes in as JSON: nothing in a
// name or in metadata can add a claim.
func fill(template string, who *policy.Subject, now time.Time) (map[string]json.RawMessage, error) {
	var b strings.Builder
	rest := template
	for {
		before, after, found := strings.Cut(rest, "{{")
		b.WriteString(before)
		if !found {
			break
		}
		variable, behind, closed := strings.Cut(after, "}}")
		if !closed {
			return nil, backend.Invalidf("error parsing template JSON: unbalanced templating characters")
		}
		value, ok := valueOf(strings.TrimSpace(variable), who, now)
		if !ok {
			return nil, backend.Invalidf("error parsing template: no value could be found for one of the template directives")
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		b.Write(text)
		rest = behind
	}
	var claims map[string]json.RawMessage
	if err := json.Unmarshal([]byte(b.String()), &claims); err != nil || claims == nil {
		return nil, backend.Invalidf("error parsing template JSON: what it makes is not a JSON object")
	}
	return claims, nil
}

// valueOf is what a variable stands for: a text, a map, a list or a time; ok is false for one
// that does not exist. What an entity lacks is an empty text.
func valueOf(variable string, who *policy.Subject, now time.Time) (value any, ok bool) {
	switch variable {
	case "time.now":
		return now.Unix(), true
	case "identity.entity.metadata":
		return notNil(who.Metadata), true
	case "identity.entity.groups.names":
		return groups(who, func(g policy.Group) string { return g.Name }), true
	case "identity.entity.groups.ids":
		return groups(who, func(g policy.Group) string { return g.ID }), true
	}
	for prefix, sign := range map[string]time.Duration{"time.now.plus.": 1, "time.now.minus.": -1} {
		if text, found := strings.CutPrefix(variable, prefix); found {
			d, err := backend.ParseDuration(text)
			return now.Add(sign * d).Unix(), err == nil
		}
	}
	if rest, found := strings.CutPrefix(variable, "identity.entity.aliases."); found {
		accessor, attribute, _ := strings.Cut(rest, ".")
		if attribute == "metadata" || attribute == "custom_metadata" {
			return aliasPairs(who, accessor, attribute == "custom_metadata"), true
		}
	}
	return who.Lookup(variable), policy.KnownVariable(variable)
}

func groups(who *policy.Subject, of func(policy.Group) string) []string {
	list := make([]string, 0, len(who.Groups))
	for _, g := range who.Groups {
		list = append(list, of(g))
	}
	slices.Sort(list)
	return list
}

func aliasPairs(who *policy.Subject, accessor string, custom bool) map[string]string {
	for _, a := range who.Aliases {
		if a.MountAccessor == accessor && custom {
			return notNil(a.CustomMetadata)
		}
		if a.MountAccessor == accessor {
			return notNil(a.Metadata)
		}
	}
	return map[string]string{}
}

func notNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// quoted is a number or text as a claim.
func quoted(value any) json.RawMessage {
	if n, ok := value.(int64); ok {
		return json.RawMessage(strconv.FormatInt(n, 10))
	}
	text, err := json.Marshal(value)
	if err != nil {
		return json.RawMessage("null")
	}
	return text
}
