package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// variable reads a setting from the environment. JETON_<name> is read before
// VAULT_<name>, so that both tools can live on one machine with different
// servers; it returns the value and the variable it came from.
func (e Env) variable(name string) (value, from string) {
	for _, prefix := range []string{"JETON_", "VAULT_"} {
		if v := e.Getenv(prefix + name); v != "" {
			return v, prefix + name
		}
	}
	return "", ""
}

func (e Env) value(name string) string {
	v, _ := e.variable(name)
	return v
}

func (e Env) boolean(name string) (bool, error) {
	v, from := e.variable(name)
	if v == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, fmt.Errorf("could not parse %s", from)
	}
	return b, nil
}

// parseDuration reads a duration as flags take it: "30s", "1h30m", "2d", or a
// bare number of seconds.
func parseDuration(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return seconds(n)
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseInt(days, 10, 64); err == nil {
			if n > maxDays || n < -maxDays {
				return 0, fmt.Errorf("duration %q is too long", text)
			}
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	return time.ParseDuration(text)
}

// maxDays keeps days within what a time.Duration holds (292 years).
const maxDays = 106000

func seconds(n int64) (time.Duration, error) {
	if n > maxDays*86400 || n < -maxDays*86400 {
		return 0, fmt.Errorf("%d seconds is too long", n)
	}
	return time.Duration(n) * time.Second, nil
}
