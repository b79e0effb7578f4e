package backend

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Seconds is a duration that clients send as whole seconds, as a digit string or as a Go
// duration ("1h30m", "90s") or days ("7d"), and that they read as whole seconds. It is never
// negative. Contract: tokens, conventions.
type Seconds time.Duration

// Duration is s as Go counts.
func (s Seconds) Duration() time.Duration { return time.Duration(s) }

// MarshalJSON writes whole seconds, rounded down.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, s.Whole(), 10), nil
}

// Whole is s in whole seconds, rounded down.
func (s Seconds) Whole() int64 { return int64(time.Duration(s) / time.Second) }

// SignedSeconds is a duration that may be negative.
type SignedSeconds time.Duration

// Duration is s as Go counts.
func (s SignedSeconds) Duration() time.Duration { return time.Duration(s) }

// CommaList is a list of strings that may also come as one string with commas.
type CommaList []string

// IntList is a list of whole numbers that may also come as one string with commas.
type IntList []int

// Pairs maps names to strings: an object whose values are made strings, or a list of "k=v".
type Pairs map[string]string

// Payload is the whole of what the client sent, for engines that keep it as it is.
type Payload map[string]any

var (
	errNegative = errors.New("cannot provide negative value")
	errDuration = errors.New("not a duration: want seconds, or a number with a unit such as 30s, 5m, 1h or 7d")
)

// ParseDuration reads a duration as clients write them; "" is 0. It may be negative.
// Its error does not repeat the text.
func ParseDuration(text string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return 0, nil
	}
	if last := text[len(text)-1]; last >= '0' && last <= '9' {
		n, err := strconv.ParseInt(text, 10, 64)
		if err == nil {
			return seconds(n)
		}
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 64)
		if err != nil || n > math.MaxInt64/86400 || n < math.MinInt64/86400 {
			return 0, errDuration
		}
		return seconds(n * 86400)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, errDuration
	}
	return d, nil
}

// seconds is n seconds, refused where Go's durations end (292 years).
func seconds(n int64) (time.Duration, error) {
	const most = int64(math.MaxInt64 / time.Second)
	if n > most || n < -most {
		return 0, errDuration
	}
	return time.Duration(n) * time.Second, nil
}

// FormatDuration writes d as warnings show it: Go style without trailing zero units
// ("1h", "1h30m", "0s"). Contract: tokens §5.6.
func FormatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// unconvertible is the error for a value of the wrong type. It names types, never the value.
func unconvertible(want string, got any) error {
	return fmt.Errorf("'' expected type '%s', got unconvertible type '%s'", want, typeName(got))
}

func typeName(v any) string {
	switch v.(type) {
	case map[string]any:
		return "map[string]interface {}"
	case []any:
		return "[]interface {}"
	case json.Number:
		return "json.Number"
	}
	return fmt.Sprintf("%T", v)
}

func toString(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		return strconv.FormatBool(v), nil
	case []any:
		// A query parameter that came more than once.
		if len(v) == 1 {
			return toString(v[0])
		}
	}
	return "", unconvertible("string", v)
}

func toBool(v any) (bool, error) {
	switch v := v.(type) {
	case bool:
		return v, nil
	case json.Number:
		n, err := v.Float64()
		if err != nil {
			// Its own error repeats what was sent (CVE-2026-115358).
			return false, errors.New("cannot parse as a boolean")
		}
		return n != 0, nil
	case string:
		if v == "" {
			return false, nil
		}
		b, err := strconv.ParseBool(v)
		if err != nil {
			return false, errors.New("cannot parse as a boolean")
		}
		return b, nil
	}
	return false, unconvertible("bool", v)
}

func toInt(v any) (int64, error) {
	var text string
	switch v := v.(type) {
	case json.Number:
		text = v.String()
	case string:
		text = strings.TrimSpace(v)
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	default:
		return 0, unconvertible("int", v)
	}
	if text == "" {
		return 0, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	// 5.0 and 5e3 are whole numbers too; 5.5 is not.
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, errors.New("cannot parse as a whole number")
	}
	return int64(f), nil
}

func toDuration(v any) (time.Duration, error) {
	switch v := v.(type) {
	case json.Number:
		return ParseDuration(wholeSeconds(v.String()))
	case string:
		return ParseDuration(v)
	}
	return 0, unconvertible("duration", v)
}

// wholeSeconds drops a fraction that a client's float carries: 3600.0 is an hour.
func wholeSeconds(text string) string {
	if f, err := strconv.ParseFloat(text, 64); err == nil && strings.ContainsAny(text, ".eE") && math.Abs(f) < 1<<53 {
		return strconv.FormatInt(int64(f), 10)
	}
	return text
}

func toStrings(v any) ([]string, error) {
	switch v := v.(type) {
	case []any:
		list := make([]string, 0, len(v))
		for _, item := range v {
			s, err := toString(item)
			if err != nil {
				return nil, err
			}
			list = append(list, s)
		}
		return list, nil
	case []string:
		return v, nil
	case map[string]any:
		return nil, unconvertible("[]string", v)
	}
	s, err := toString(v)
	if err != nil {
		return nil, err
	}
	return []string{s}, nil
}

func toCommaList(v any) ([]string, error) {
	text, ok := v.(string)
	if !ok {
		list, err := toStrings(v)
		for i := range list {
			list[i] = strings.TrimSpace(list[i])
		}
		return list, err
	}
	list := []string{}
	for _, item := range strings.Split(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list, nil
}

func toIntList(v any) ([]int, error) {
	var items []any
	switch v := v.(type) {
	case []any:
		items = v
	case string:
		for _, item := range strings.Split(v, ",") {
			if strings.TrimSpace(item) != "" {
				items = append(items, item)
			}
		}
	default:
		items = []any{v}
	}
	list := make([]int, 0, len(items))
	for _, item := range items {
		n, err := toInt(item)
		if err != nil {
			return nil, err
		}
		list = append(list, int(n))
	}
	return list, nil
}

func toPairs(v any) (map[string]string, error) {
	switch v := v.(type) {
	case map[string]any:
		pairs := make(map[string]string, len(v))
		for key, value := range v {
			if value == nil {
				pairs[key] = ""
				continue
			}
			s, err := toString(value)
			if err != nil {
				return nil, unconvertible("string", value)
			}
			pairs[key] = s
		}
		return pairs, nil
	case string, []any:
		list, err := toStrings(v)
		if err != nil {
			return nil, err
		}
		pairs := make(map[string]string, len(list))
		for _, item := range list {
			if item == "" {
				continue
			}
			key, value, ok := strings.Cut(item, "=")
			if !ok {
				return nil, errors.New("invalid key/value pair: want key=value")
			}
			pairs[key] = value
		}
		return pairs, nil
	}
	return nil, unconvertible("map[string]string", v)
}
