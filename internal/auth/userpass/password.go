package userpass

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"jeton/internal/backend"
)

// The work of bcrypt doubles with each step of its cost.
const (
	// defaultCost is that of the hashes made here.
	defaultCost = bcrypt.DefaultCost
	// An imported hash is neither so cheap that it is guessed nor so dear that logging
	// in with it keeps the machine busy.
	lowestCost, highestCost = 5, 12
	// longestPassword is where bcrypt would ignore the rest.
	longestPassword = 72
)

// decoy is the hash of a password that nobody knows: random bytes, thrown away.
const decoy = "$2a$10$u4q4myQXIPa/v7.iLn1TduJfzNvbnBypYMSbsTu1GSakzr7gNqney"

// decoyAt is decoy at another cost. No password fits it; comparing with it takes the time.
func decoyAt(cost int) []byte { return []byte(fmt.Sprintf("$2a$%02d%s", cost, decoy[6:])) }

// verify compares password with hash, which is nil where there is no such user, and always
// does the work of one comparison at the cost named work, so that who is a user here cannot
// be told by time (CVE-2025-6011, CVE-2025-6010), not even where imported hashes are cheaper
// or dearer than our own.
func verify(hash []byte, password string, work int) bool {
	fits, done := false, 0
	if hash != nil {
		fits = bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil
		done, _ = bcrypt.Cost(hash)
	}
	for _, cost := range makeweights(done, work) {
		_ = bcrypt.CompareHashAndPassword(decoyAt(cost), []byte(password))
	}
	return fits
}

// makeweights are the costs of the comparisons that fill up one at done (0 when there was
// none) to the work of one at work: 2^done and then 2^done, 2^(done+1), … up to 2^(work-1)
// add up to 2^work.
func makeweights(done, work int) []int {
	if done == 0 {
		return []int{work}
	}
	var costs []int
	for ; done < work; done++ {
		costs = append(costs, done)
	}
	return costs
}

// credentials are the two ways to set a password.
type credentials struct {
	Password     string `json:"password" doc:"The password, of at most 72 bytes."`
	PasswordHash string `json:"password_hash" doc:"A bcrypt hash of the password, in its place."`
}

// hash makes the hash to store, at that cost if it is ours; nil when there are no credentials.
// It is slow and must not run in a transaction. Contract: auth-methods §3.
func (c *credentials) hash(cost int) ([]byte, error) {
	switch {
	case c.Password != "" && c.PasswordHash != "":
		return nil, backend.Invalidf("only one of password or password_hash may be provided")
	case c.PasswordHash != "":
		return checkHash(c.PasswordHash)
	case c.Password == "":
		return nil, nil
	case len(c.Password) > longestPassword:
		return nil, backend.Invalidf("bcrypt: password length exceeds %d bytes", longestPassword)
	}
	return bcrypt.GenerateFromPassword([]byte(c.Password), cost)
}

func errNoCredentials() error {
	return backend.Invalidf("must provide either password or password_hash")
}

// checkHash accepts a hash that can be compared with, at a bearable cost.
func checkHash(text string) ([]byte, error) {
	hash := []byte(text)
	cost, err := bcrypt.Cost(hash)
	if err != nil || !wellFormed(hash) {
		return nil, backend.Invalidf("password_hash is not a valid bcrypt hash")
	}
	if cost < lowestCost {
		return nil, backend.Invalidf("bcrypt cost of %d is too low, want %d at minimum", cost, lowestCost)
	}
	if cost > highestCost {
		return nil, backend.Invalidf("bcrypt cost of %d exceeds maximum cost of %d", cost, highestCost)
	}
	return hash, nil
}

// wellFormed checks what the library finds out only when it compares: "$2x$NN$" and 53
// characters of bcrypt's alphabet. A hash that always fails would be a user locked out.
func wellFormed(hash []byte) bool {
	const alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	at := bytes.LastIndexByte(hash, '$')
	if len(hash)-at-1 != 53 {
		return false
	}
	for _, b := range hash[at+1:] {
		if strings.IndexByte(alphabet, b) < 0 {
			return false
		}
	}
	err := bcrypt.CompareHashAndPassword(append([]byte("$2a$04"), hash[at:]...), nil)
	return err == nil || errors.Is(err, bcrypt.ErrMismatchedHashAndPassword)
}
