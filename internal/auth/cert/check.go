package cert

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
	name, isEntry := strings.CutPrefix(string(k), entryPrefix)
	switch {
	case bytes.Equal(k, configKey):
		_, err := config(r)
		return "", err
	case isEntry && name != "":
		return checkEntry(r, name)
	case strings.HasPrefix(string(k), crlPrefix):
		list, err := record.Get[crlRecord](r, k)
		if err != nil {
			return "", err
		}
		if _, err := parseCRL(list.DER); err != nil {
			return "a revocation list that keeps everybody out: it cannot be read", nil
		}
		return "", nil
	case strings.HasPrefix(string(k), namePrefix):
		_, err := record.Get[nameRecord](r, k)
		return "", err
	}
	return auth.StrangeKey, nil
}

func checkEntry(r store.Reader, name string) (what string, err error) {
	e, err := getEntry(r, name)
	if err != nil {
		return "", err
	}
	if _, err := e.ready(name); err != nil || len(e.UID) == 0 || len(e.Revision) == 0 || e.Validate() != nil || name != strings.ToLower(name) {
		return "a trusted certificate that lets nobody in", nil
	}
	return "", nil
}
