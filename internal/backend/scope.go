package backend

import "strings"

// Scope is the paths that a quota holds for. Contract: sys §17.
type Scope struct {
	// Path is "" for every path, a mount ("secret/"), or a path below one, which may end in
	// "*" ("secret/data/*").
	Path string
	// Mount is the path of the mount that Path names or lies below; "" for every path.
	Mount string
}

// Rank says how specific the scope is for path; -1 where it does not hold. Of several scopes
// that hold, the one of the highest rank counts.
func (s Scope) Rank(path string) int {
	switch prefix, exact := s.Prefix(); {
	case exact:
		if strings.TrimSuffix(path, "/") == prefix {
			return 1<<21 + len(prefix)
		}
	case s.Path == "":
		return 0
	case s.Path == s.Mount:
		if strings.HasPrefix(strings.TrimSuffix(path, "/")+"/", prefix) {
			return 1 + len(prefix)
		}
	case strings.HasPrefix(path, prefix):
		return 1<<20 + len(prefix)
	}
	return -1
}

// Prefix is what every path of the scope begins with, or the only one.
func (s Scope) Prefix() (prefix string, exact bool) {
	if prefix, glob := strings.CutSuffix(s.Path, "*"); glob {
		return prefix, false
	}
	if s.Path == s.Mount {
		return s.Path, false
	}
	return strings.TrimSuffix(s.Path, "/"), true
}
