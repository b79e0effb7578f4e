package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/hashicorp/vault/api"
	"github.com/posener/complete"
)

// outputFlags say how results are printed. contract: cli §5.
type outputFlags struct {
	format string
	field  string
}

func (f *outputFlags) register(fs *flagSet, on surface) {
	f.format = "table"
	if on&takesFormat != 0 {
		fs.str(&f.format, flagSpec{
			name: "format", env: "FORMAT", section: sectionOutput,
			usage:   "How to print: table, json, yaml, pretty, or raw where the command has it.",
			predict: complete.PredictSet("table", "json", "yaml"),
		})
	}
	if on&takesField != 0 {
		fs.str(&f.field, flagSpec{
			name: "field", section: sectionOutput,
			usage: "Print this field only, without a newline unless the output is a terminal.",
		})
	}
}

func (f *outputFlags) check(on surface) error {
	f.format = strings.ToLower(f.format)
	switch f.format {
	case "":
		f.format = "table"
	case "yml":
		f.format = "yaml"
	case "table", "json", "yaml", "pretty":
	case "raw":
		if on&takesRaw == 0 {
			return local("This command does not support the -format=raw option.")
		}
	default:
		return local("Invalid output format: %s", f.format)
	}
	return nil
}

func (f *outputFlags) table() bool { return f.format == "table" || f.format == "raw" }

// machine prints v as json or yaml.
func (s *session) machine(v any) error {
	text, err := s.out.encode(v)
	if err != nil {
		return err
	}
	s.con.print(strings.TrimRight(text, "\n"))
	return nil
}

func (f *outputFlags) encode(v any) (string, error) {
	switch f.format {
	case "pretty":
		return "", local("Could not parse output: cannot use the pretty formatter for this type")
	case "yaml":
		return yamlText(v)
	}
	// The encoder escapes HTML characters, as Vault's does.
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return visibleJSON(strings.TrimRight(b.String(), "\n")), err
}

// secret prints a whole answer, or the one field asked for.
func (s *session) secret(sec *api.Secret) error {
	if s.out.field != "" {
		return s.fieldOf(sec, s.out.field)
	}
	if !s.out.table() {
		return s.machine(sec)
	}
	s.warnings(sec)
	if rows := secretRows(sec); len(rows) > 0 {
		s.con.print(table(append([][]string{{"Key", "Value"}}, rows...)))
	}
	return nil
}

// warnings prints the answer's warnings; machine formats carry them inside.
func (s *session) warnings(sec *api.Secret) {
	if sec == nil || len(sec.Warnings) == 0 || !s.out.table() {
		return
	}
	s.con.warn("WARNING! The following warnings were returned from Vault:\n")
	for _, w := range sec.Warnings {
		s.con.warn("%s", indent(wrap("* "+w, lineWidth-2), "  "))
		s.con.warn("")
	}
}

// success prints a line of good news in table format only: scripts that asked
// for JSON get nothing on an empty answer.
func (s *session) success(format string, args ...any) error {
	if s.out.table() {
		s.con.printf(format, args...)
	}
	return nil
}

// fieldOf prints one field of an answer.
func (s *session) fieldOf(sec *api.Secret, name string) error {
	return s.value(secretField(sec, name), name)
}

// value prints v as the value of a field called name.
func (s *session) value(v any, name string) error {
	if isNil(v) {
		return local("Field %q not present in secret", name)
	}
	if s.out.table() {
		s.con.raw(fmt.Sprintf("%v", v))
		return nil
	}
	text, err := s.out.encode(v)
	if err != nil {
		return err
	}
	s.con.raw(text)
	return nil
}

func isNil(v any) bool {
	switch t := v.(type) {
	case nil:
		return true
	case []string:
		return t == nil
	case map[string]any:
		return t == nil
	}
	return false
}

// secretField finds a field by the names of contract: cli §5.
func secretField(sec *api.Secret, name string) any {
	switch {
	case sec == nil:
		return nil
	case sec.Auth != nil:
		if v, ok := authField(sec.Auth, name); ok {
			return v
		}
	case sec.WrapInfo != nil:
		if v, ok := wrapField(sec.WrapInfo, name); ok {
			return v
		}
	default:
		switch name {
		case "lease_duration", "refresh_interval":
			return sec.LeaseDuration
		case "lease_id":
			return sec.LeaseID
		case "request_id":
			return sec.RequestID
		case "renewable":
			return sec.Renewable
		case "data":
			if inner, ok := sec.Data["data"]; ok {
				return inner
			}
			return sec.Data
		}
	}
	return sec.Data[name]
}

func authField(a *api.SecretAuth, name string) (any, bool) {
	switch name {
	case "token":
		return a.ClientToken, true
	case "token_accessor":
		return a.Accessor, true
	case "token_duration":
		return a.LeaseDuration, true
	case "token_renewable":
		return a.Renewable, true
	case "token_policies":
		return a.TokenPolicies, true
	case "identity_policies":
		return a.IdentityPolicies, true
	case "policies":
		return a.Policies, true
	}
	return nil, false
}

func wrapField(w *api.SecretWrapInfo, name string) (any, bool) {
	switch name {
	case "wrapping_token":
		return w.Token, true
	case "wrapping_accessor":
		return w.Accessor, true
	case "wrapping_token_ttl":
		return w.TTL, true
	case "wrapping_token_creation_time":
		return w.CreationTime.String(), true
	case "wrapping_token_creation_path":
		return w.CreationPath, true
	case "wrapped_accessor":
		return w.WrappedAccessor, true
	}
	return nil, false
}
