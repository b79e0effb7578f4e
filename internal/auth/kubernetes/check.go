package kubernetes

import (
	"bytes"
	"strings"

	"jeton/internal/auth"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Check implements backend.Checker.
func (m *Method) Check(r store.Reader, report func(what string)) error {
	return auth.CheckEach(r, func(k []byte) (string, error) { return check(r, k) }, report)
}

func check(r store.Reader, k []byte) (what string, err error) {
	name, isRole := strings.CutPrefix(string(k), rolePrefix)
	switch {
	case bytes.Equal(k, configKey):
		config, err := record.Get[configRecord](r, k)
		if err == nil && config.check() != nil {
			return auth.UselessSetup, nil
		}
		return "", err
	case isRole && name != "":
		return checkRole(r, name)
	}
	return auth.StrangeKey, nil
}

func checkRole(r store.Reader, name string) (what string, err error) {
	role, err := getRole(r, name)
	if err != nil {
		return "", err
	}
	_, bad := auth.ParsePrefixes(role.BoundCIDRs)
	if role.Selector != "" && bad == nil {
		_, bad = parseSelector(role.Selector)
	}
	if bad != nil || len(role.UID) == 0 || len(role.Revision) == 0 || len(role.Accounts) == 0 || role.Validate() != nil || name != strings.ToLower(name) {
		return auth.UselessRole, nil
	}
	return "", nil
}
