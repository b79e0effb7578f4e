package userpass

import (
	"bytes"
	"errors"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"jeton/internal/auth"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Check implements backend.Checker.
func (m *Method) Check(r store.Reader, report func(what string)) error {
	return auth.CheckEach(r, func(k []byte) (string, error) { return m.check(r, k) }, report)
}

// check says what is wrong with what is kept at k, "" for nothing.
func (m *Method) check(r store.Reader, k []byte) (what string, err error) {
	name, isUser := strings.CutPrefix(string(k), userPrefix)
	switch {
	case bytes.Equal(k, workKey):
		_, err := m.work(r)
		return "", err
	case auth.IsLock(k):
		return "", auth.CheckLock(r, k)
	case !isUser || name == "":
		return "a key of no known kind", nil
	}
	u, err := getUser(r, name)
	if err != nil {
		return "", err
	}
	dear, costErr := bcrypt.Cost(u.Hash)
	known, err := m.work(r)
	switch {
	case errors.Is(err, record.ErrMalformed): // said at the cost itself
		return "", nil
	case err != nil:
		return "", err
	case costErr != nil || u.Validate() != nil || len(u.UID) == 0 || name != strings.ToLower(name):
		return "a user that cannot log in", nil
	case dear > known:
		return "a password that is dearer to try than the mount knows", nil
	}
	return "", nil
}
