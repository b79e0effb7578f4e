// Package shamir owns the splitting of a secret into shares of which any threshold brings it
// back and fewer tell nothing (Shamir, "How to share a secret", 1979), byte by byte over
// GF(2^8) and in constant time.
//
// A share is one byte longer than the secret: the values of the polynomials, then the x
// coordinate at which they were taken. This is the form that Vault's shares have, so that
// tools which know those know ours.
package shamir

import (
	"crypto/rand"
	"errors"
	"fmt"
)

// MaxShares is how many shares there can be: one for each x but 0, where the secret is.
const MaxShares = 255

// Overhead is how much longer than the secret a share is, in bytes.
const Overhead = 1

// ErrParameters says that a secret cannot be split as was asked.
var ErrParameters = errors.New("shamir: bad parameters")

// ErrShares says that shares cannot belong together. It never carries their bytes.
var ErrShares = errors.New("shamir: shares do not fit together")

// Split makes n shares of secret, any threshold of which give it back. A threshold of 1 is
// refused: every share would be the secret itself. Errors wrap ErrParameters.
func Split(secret []byte, n, threshold int) ([][]byte, error) {
	switch {
	case len(secret) == 0:
		return nil, fmt.Errorf("%w: the secret is empty", ErrParameters)
	case n > MaxShares:
		return nil, fmt.Errorf("%w: more than %d shares", ErrParameters, MaxShares)
	case threshold < 2:
		return nil, fmt.Errorf("%w: a threshold below 2", ErrParameters)
	case threshold > n:
		return nil, fmt.Errorf("%w: the threshold is above the number of shares", ErrParameters)
	}
	shares := make([][]byte, n)
	for i, x := range coordinates(n) {
		shares[i] = make([]byte, len(secret)+Overhead)
		shares[i][len(secret)] = x
	}
	coefficients := make([]byte, threshold)
	defer clear(coefficients)
	for i, b := range secret {
		// Every coefficient but the constant is uniform, zero included: to exclude zero
		// from the highest one would tell a holder of threshold-1 shares something.
		rand.Read(coefficients[1:])
		coefficients[0] = b
		for _, share := range shares {
			share[i] = evaluate(coefficients, share[len(secret)])
		}
	}
	return shares, nil
}

// coordinates draws n different x coordinates, none of them 0. They are no secret; they are
// drawn rather than counted so that a share's number says nothing about whom it went to.
func coordinates(n int) []byte {
	all := make([]byte, MaxShares)
	for i := range all {
		all[i] = byte(i + 1)
	}
	for i := range n {
		j := i + below(len(all)-i)
		all[i], all[j] = all[j], all[i]
	}
	return all[:n]
}

// below is a uniform random number in [0, n); n is at most 256.
func below(n int) int {
	var b [1]byte
	for {
		rand.Read(b[:])
		// What lies above the greatest multiple of n would favour small numbers.
		if int(b[0]) < 256-256%n {
			return int(b[0]) % n
		}
	}
}

// Combine gives the secret back from shares: at least the threshold, in any order. It cannot
// tell whether there were enough or whether one was false: the result is then another secret,
// and the caller must have a way to know its own. Errors wrap ErrShares.
func Combine(shares [][]byte) ([]byte, error) {
	if err := check(shares); err != nil {
		return nil, err
	}
	size := len(shares[0]) - Overhead
	secret := make([]byte, size)
	for i, share := range shares {
		// The weight of a share is its Lagrange basis polynomial at 0:
		// the product of xj / (xj - xi) over the others; minus is XOR here.
		weight, xi := byte(1), share[size]
		for j, other := range shares {
			if i != j {
				xj := other[size]
				weight = multiply(weight, multiply(xj, inverse(xj^xi)))
			}
		}
		for b := range secret {
			secret[b] ^= multiply(weight, share[b])
		}
	}
	return secret, nil
}

// check looks at lengths and x coordinates, which are no secrets.
func check(shares [][]byte) error {
	if len(shares) < 2 {
		return fmt.Errorf("%w: fewer than two", ErrShares)
	}
	var seen [MaxShares + 1]bool
	for _, share := range shares {
		if len(share) <= Overhead || len(share) != len(shares[0]) {
			return fmt.Errorf("%w: lengths differ or are too short", ErrShares)
		}
		x := share[len(share)-1]
		if x == 0 {
			return fmt.Errorf("%w: one lies at 0", ErrShares)
		}
		if seen[x] {
			return fmt.Errorf("%w: two lie at the same place", ErrShares)
		}
		seen[x] = true
	}
	return nil
}
