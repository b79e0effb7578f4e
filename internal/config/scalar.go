package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Scalars are lenient in how they are written (contract: config §1), strict in what they
// may mean.

var (
	errNotBoolean  = errors.New("must be true or false")
	errNotInteger  = errors.New("must be a whole number")
	errNotDuration = errors.New(`must be a duration such as "30s", "1h", "1d" or a number of seconds`)
	errTooLong     = errors.New("is longer than 292 years")
)

func parseBool(text string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "1", "t", "true":
		return true, nil
	case "0", "f", "false", "":
		return false, nil
	}
	return false, errNotBoolean
}

// parseInt reads decimal, and hexadecimal or octal with their prefixes.
func parseInt(text string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 0, 64)
	if err != nil {
		return 0, errNotInteger
	}
	return n, nil
}

// parseDuration reads seconds when there is no unit, Go's units, and days ("1d", "1d12h").
func parseDuration(text string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return 0, nil
	}
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return scale(seconds, time.Second)
	}
	var days time.Duration
	if head, rest, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseInt(head, 10, 64)
		if err != nil {
			return 0, errNotDuration
		}
		if days, err = scale(n, 24*time.Hour); err != nil || rest == "" {
			return days, err
		}
		if n < 0 || strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "+") {
			return 0, errNotDuration
		}
		text = rest
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, errNotDuration
	}
	if days > math.MaxInt64-max(d, 0) {
		return 0, errTooLong
	}
	return days + d, nil
}

func scale(n int64, unit time.Duration) (time.Duration, error) {
	if n > math.MaxInt64/int64(unit) || n < math.MinInt64/int64(unit) {
		return 0, errTooLong
	}
	return time.Duration(n) * unit, nil
}

// scalar is the text of v, whatever kind of scalar it is.
func (v value) scalar() (string, error) {
	switch v.kind {
	case kindList, kindObject:
		return "", fmt.Errorf("must be a single value, not %s", v.kind)
	}
	return v.text, nil
}

// texts reads a list of strings, or one string with commas between them.
func (v value) texts() ([]string, error) {
	var all []string
	if v.kind != kindList {
		text, err := v.scalar()
		if err != nil {
			return nil, err
		}
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				all = append(all, part)
			}
		}
		return all, nil
	}
	for _, e := range v.list {
		text, err := e.scalar()
		if err != nil {
			return nil, errors.New("must be a list of strings")
		}
		all = append(all, text)
	}
	return all, nil
}
