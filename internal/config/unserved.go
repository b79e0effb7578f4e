package config

import "strings"

// Unserved is a setting that the language has and this release does not act on. A key that
// protects something is refused, as a server without it would be less safe than its
// operator believes; any other is a warning. internal/arch fails the build when a setting is
// read by nobody and has no row here, or has a row and is read: the list can only be true.
type Unserved struct {
	// Key is the path of the key; listeners' keys are below "listener" for both networks.
	Key string
	// Field is the Go field that holds it, "Type.Field".
	Field    string
	Protects bool
}

// UnservedSettings is the list.
func UnservedSettings() []Unserved {
	return []Unserved{}
}

// unserved finds the row of a key.
func unserved(key string) (Unserved, bool) {
	for _, network := range []string{"tcp", "unix"} {
		if rest, ok := strings.CutPrefix(key, "listener."+network+"."); ok {
			key = "listener." + rest
		}
	}
	for _, u := range UnservedSettings() {
		if u.Key == key {
			return u, true
		}
	}
	return Unserved{}, false
}

// checkServed complains about a key that this release does not act on, unless it switches
// something off that is off.
func (s scope) checkServed(e entry, name string) {
	u, found := unserved(s.key(name))
	if !found {
		return
	}
	if off, err := parseBool(e.val.text); err == nil && !off && e.val.kind != kindObject && e.val.kind != kindList {
		return
	}
	if u.Protects {
		s.fail(e.pos, name, name+" is not supported by this release, and refused because it would protect something")
		return
	}
	s.warn(e.pos, name, "%s has no effect in this release", s.key(name))
}
