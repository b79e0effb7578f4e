package config

import (
	"fmt"
	"strings"
)

// Error is one thing that is wrong with the configuration. Its text never carries the value
// of a key that may hold a secret.
type Error struct {
	// File is the file as it was named to Load; "" when no file is to blame.
	File string
	// Line and Column count from 1; 0 when the file as a whole is meant.
	Line, Column int
	// Key is the path of the key, such as "listener.tcp.tls_disable"; "" for syntax.
	Key    string
	Reason string
}

func (e *Error) Error() string {
	switch {
	case e.File == "":
		return e.Reason
	case e.Line == 0:
		return fmt.Sprintf("error loading configuration from %s: %s", e.File, e.Reason)
	}
	return fmt.Sprintf("error loading configuration from %s: At %d:%d: %s", e.File, e.Line, e.Column, e.Reason)
}

// Errors is everything that is wrong, in the order of the files: a person who mends a
// configuration wants to see it all at once.
type Errors []*Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Warning is something that the server will do without, and why; it is logged at warn once
// logging has begun.
type Warning struct {
	// Where is "file:line:column", or the name of an environment variable.
	Where string
	// Key is the path of the key.
	Key  string
	Text string
}

func (w Warning) String() string { return w.Where + ": " + w.Text }

// suggest finds the known key that unknown is most likely a misspelling of; "" when none is
// near enough to be worth a guess.
func suggest(unknown string, known []string) string {
	if len(unknown) > 64 {
		return ""
	}
	unknown = strings.ReplaceAll(strings.ToLower(unknown), "-", "_")
	best, nearest := "", 1+len(unknown)/4
	if nearest > 3 {
		nearest = 3
	}
	for _, k := range known {
		if d := distance(unknown, k); d < nearest || (d == nearest && best == "") {
			best, nearest = k, d
		}
	}
	return best
}

// distance counts the letters to insert, drop, replace or swap with their neighbour to make
// b of a.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			rows[i][j] = min(replace, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
