package audit

import (
	"strconv"
)

// options reads the formatting options that all devices share. Contract: audit §4.
// jsonx, an XML form that Vault has, is refused like any unknown format.
func (s Spec) format(salt string, allowPrefix bool) (*format, error) {
	f := &format{salt: salt, prefix: s.Options["prefix"]}
	if f.prefix != "" && !allowPrefix {
		return nil, invalid("audit log prefixing is not allowed")
	}
	switch kind := s.Options["format"]; kind {
	case "", "json":
	default:
		return nil, invalid("unknown format type %q", kind)
	}
	for _, name := range []string{"filter", "fallback", "exclude"} {
		if _, ok := s.Options[name]; ok {
			return nil, invalid("unsupported option %q", name)
		}
	}
	f.hashAccessors = true
	for _, o := range []struct {
		name string
		to   *bool
	}{
		{"log_raw", &f.raw}, {"hmac_accessor", &f.hashAccessors}, {"elide_list_responses", &f.elideLists},
	} {
		text, ok := s.Options[o.name]
		if !ok {
			continue
		}
		v, err := strconv.ParseBool(text)
		if err != nil {
			return nil, invalid("%s", err)
		}
		*o.to = v
	}
	if f.raw {
		f.hashAccessors = false
	}
	return f, nil
}
