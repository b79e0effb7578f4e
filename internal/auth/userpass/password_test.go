package userpass

import (
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// CVE-2025-6011, CVE-2025-6010: every login does the same work, whoever it is for. Work is
// counted here, not timed: bcrypt at cost c makes 2^c rounds.
func TestEveryLoginWorksAlike(t *testing.T) {
	for work := cost; work <= highestCost; work++ {
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
