package policy

// Denies says whether the rule that applies to path denies it outright. A path that no rule
// applies to is not denied in this sense: it is for asking about another spelling of a path
// that Check has allowed.
func (a *ACL) Denies(path string) bool {
	if a == nil || a.root {
		return false
	}
	r := a.lookup(path, true)
	return r != nil && r.caps&Deny != 0
}
