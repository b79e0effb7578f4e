package server

import (
	"strings"
	"testing"
	"time"

	"jeton/internal/config"
)

// TestLimits is http §1.5: what is hostile is refused before it is decoded, and what programs
// send is not.
func TestLimits(t *testing.T) {
	usual := newLimits(config.Limits{})
	for _, c := range []struct {
		name    string
		body    string
		refused bool
	}{
		{"an object", `{"a":{"b":[1,2,3]}}`, false},
		{"a text of a megabyte", `{"a":"` + strings.Repeat("x", 1<<20) + `"}`, false},
		{"ten thousand members", `{` + strings.Repeat(`"k":1,`, 9_999) + `"k":1}`, false},
		{"nesting of 500", strings.Repeat(`{"a":`, 500) + `1` + strings.Repeat(`}`, 500), false},
		{"nesting of 501", strings.Repeat(`{"a":`, 501) + `1` + strings.Repeat(`}`, 501), true},
		{"nesting without an end", `{"a":` + strings.Repeat(`[`, 1<<20), true},
		{"too many members", `{` + strings.Repeat(`"k":1,`, 100_000) + `"k":1}`, true},
		{"too long a list", `{"a":[` + strings.Repeat(`0,`, 1_000_000) + `0]}`, true},
		{"many short lists", `{"a":[` + strings.Repeat(`[0,0,0,0],`, 400_000) + `0]}`, true},
		{"many empty objects", `{"a":[` + strings.Repeat(`[{},{},{}],`, 400_000) + `0]}`, true},
		{"brackets in a text", `{"a":"` + strings.Repeat(`[{,`, 1<<20) + `"}`, false},
		{"an escaped quote", `{"a":"\\\"` + strings.Repeat(`[`, 1000) + `"}`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			began := time.Now()
			err := usual.check([]byte(c.body))
			if (err != nil) != c.refused {
				t.Errorf("error %v, want one: %v", err, c.refused)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// TestConfiguredLimits holds that a configuration's bound is the last length that is let in.
func TestConfiguredLimits(t *testing.T) {
	l := limits{size: 1 << 20, depth: 2, text: 3, members: 2, items: 2}
	for body, refused := range map[string]bool{
		`{"a":[1]}`: false, `{"a":[[1]]}`: true,
		`{"a":"xyz"}`: false, `{"a":"wxyz"}`: true, `{"abc":1}`: false, `{"abcd":1}`: true,
		`{"a":1,"b":2}`: false, `{"a":1,"b":2,"c":3}`: true,
		`{"a":[1,2]}`: false, `{"a":[1,2,3]}`: true,
	} {
		if err := l.check([]byte(body)); (err != nil) != refused {
			t.Errorf("%s: error %v, want one: %v", body, err, refused)
		}
	}
}
