package ldap

import (
	"bytes"
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
	switch key := string(k); {
	case bytes.Equal(k, configKey):
		config, err := readConfig(r)
		if err != nil {
			return "", err
		}
		if _, err := newDirectory(config, m.clock, m.log); err != nil || config.Validate() != nil || !config.written() {
			return auth.UselessSetup, nil
		}
		return "", nil
	case strings.HasPrefix(key, groupPrefix):
		_, err := record.Get[groupRecord](r, k)
		return "", err
	case strings.HasPrefix(key, userPrefix):
		_, err := record.Get[userRecord](r, k)
		return "", err
	case strings.HasPrefix(key, knownPrefix):
		return "", nil
	case auth.IsLock(k):
		return "", auth.CheckLock(r, k)
	}
	return auth.StrangeKey, nil
}
