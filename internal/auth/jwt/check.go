package jwt

import (
	"bytes"
	"errors"
	"strings"

	"jeton/internal/auth"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Check implements backend.Checker.
func (m *Method) Check(r store.Reader, report func(what string)) error {
	return auth.CheckEach(r, func(k []byte) (string, error) { return m.check(r, k) }, report)
}

func (m *Method) check(r store.Reader, k []byte) (what string, err error) {
	name, isRole := strings.CutPrefix(string(k), rolePrefix)
	switch {
	case bytes.Equal(k, mountKey):
		key, err := r.Get(k)
		if err == nil && len(key) != keySize {
			return "a key of browser logins that is none", nil
		}
		return "", err
	case bytes.Equal(k, configKey):
		config, err := record.Get[configRecord](r, k)
		if err != nil {
			return "", err
		}
		if _, err := newTrust(config, m.fetch); err != nil {
			return auth.UselessSetup, nil
		}
		return "", nil
	case isRole && name != "":
		return checkRole(r, name)
	case strings.HasPrefix(string(k), donePrefix) && len(k) == len(donePrefix)+8+16:
		finished, err := record.Get[finishedLogin](r, k)
		if err != nil {
			return "", err
		}
		if _, _, err := finished.claims(); err != nil {
			return "a sign-in that cannot be collected", nil
		}
		return "", nil
	case strings.HasPrefix(string(k), usedPrefix) && len(k) == len(usedPrefix)+8+16:
		return "", nil
	}
	return auth.StrangeKey, nil
}

func checkRole(r store.Reader, name string) (what string, err error) {
	stored, err := r.Get(roleKey(name))
	if err != nil {
		return "", err
	}
	ready, err := readyRole(name, stored)
	if errors.Is(err, record.ErrMalformed) {
		return "", err
	}
	if err != nil || len(ready.UID) != uidSize || ready.Validate() != nil || ready.judgeClaims() != nil || name != strings.ToLower(name) {
		return auth.UselessRole, nil
	}
	return "", nil
}
