package userpass

import (
	"encoding/hex"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"jeton/internal/auth"
	"jeton/internal/record"
)

// What is stored keeps its form: a later version must read these bytes.
func TestStoredForm(t *testing.T) {
	const golden = "01a4011a3b9aca00058161701441011543243261"
	data, err := record.Encode(&userRecord{
		TokenRecord: auth.TokenRecord{TTL: time.Second, Policies: []string{"p"}}, UID: []byte{1}, Hash: []byte("$2a"),
	})
	if got := hex.EncodeToString(data); err != nil || got != golden {
		t.Errorf("a user is stored as %s, %v", got, err)
	}
	const goldenState = "01a20141010263626f62"
	data, err = record.Encode(&loginState{UID: []byte{1}, Name: "bob"})
	if got := hex.EncodeToString(data); err != nil || got != goldenState {
		t.Errorf("a login's state is stored as %s, %v", got, err)
	}
}

// CVE-2025-6011, CVE-2025-6010: every login does the same work, whoever it is for. Work is
// counted here, not timed: bcrypt at cost c makes 2^c rounds.
func TestEveryLoginWorksAlike(t *testing.T) {
	for work := defaultCost; work <= highestCost; work++ {
		for done := 0; done <= work; done++ {
			if done > 0 && done < lowestCost {
				continue
			}
			rounds := 0
			if done > 0 {
				rounds = 1 << done
			}
			for _, c := range makeweights(done, work) {
				rounds += 1 << c
			}
			if rounds != 1<<work {
				t.Errorf("a hash of cost %d among work %d makes %d rounds, want %d", done, work, rounds, 1<<work)
			}
		}
	}
}

// The decoy is a hash at each cost: a malformed one would be compared in no time.
func TestDecoy(t *testing.T) {
	for c := lowestCost; c <= highestCost; c++ {
		if got, err := bcrypt.Cost(decoyAt(c)); err != nil || got != c {
			t.Errorf("decoy at cost %d: %d, %v", c, got, err)
		}
	}
	if err := bcrypt.CompareHashAndPassword(decoyAt(lowestCost), []byte("x")); err != bcrypt.ErrMismatchedHashAndPassword {
		t.Errorf("the decoy is not compared: %v", err)
	}
}
