package kv

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode"

	"jeton/internal/backend"
)

// What custom_metadata may hold; lengths are in bytes. Contract: secrets §2.2, custom_metadata limits.
const (
	maxCustomPairs = 64
	maxCustomName  = 128
	maxCustomValue = 512
)

// checkCustom collects everything that is wrong with custom metadata into one error. Too many
// pairs are reported alone, since each of them might be wrong as well.
func checkCustom(pairs map[string]string) error {
	var faults []string
	fault := func(format string, args ...any) {
		faults = append(faults, "custom_metadata validation failed: "+fmt.Sprintf(format, args...))
	}
	if len(pairs) > maxCustomPairs {
		fault("payload must contain at most %d keys, provided %d", maxCustomPairs, len(pairs))
		return aggregate(faults)
	}
	names := make([]string, 0, len(pairs))
	for name := range pairs {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		value := pairs[name]
		if len(name) == 0 || len(name) > maxCustomName {
			fault("length of key %q is %d but must be 0 < len(key) <= %d", name, len(name), maxCustomName)
		}
		if len(value) == 0 || len(value) > maxCustomValue {
			fault("length of value for key %q is %d but must be 0 < len(value) <= %d", name, len(value), maxCustomValue)
		}
		if !printable(name) {
			fault("key %q (%s) contains unprintable characters", name, name)
		}
		if !printable(value) {
			fault("value for key %q contains unprintable characters", name)
		}
	}
	return aggregate(faults)
}

// aggregate is nil without faults. Its text has the form that clients know from lists of errors.
func aggregate(faults []string) error {
	if len(faults) == 0 {
		return nil
	}
	head := "1 error occurred:"
	if len(faults) > 1 {
		head = strconv.Itoa(len(faults)) + " errors occurred:"
	}
	return backend.Invalidf("%s\n\t* %s\n\n", head, strings.Join(faults, "\n\t* "))
}

func printable(text string) bool {
	for _, r := range text {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// customPatch is a merge patch of custom metadata; nil removes.
type customPatch map[string]*string

// parseCustomPatch makes strings of scalars, as a write does.
func parseCustomPatch(sent map[string]any) (customPatch, error) {
	patch := make(customPatch, len(sent))
	for name, value := range sent {
		var text string
		switch value := value.(type) {
		case nil:
			patch[name] = nil
			continue
		case string:
			text = value
		case json.Number:
			text = value.String()
		case bool:
			text = strconv.FormatBool(value)
		default:
			return nil, backend.Invalidf("Field validation failed: error converting input for field %q: "+
				"'' expected type 'string', got an object or a list", "custom_metadata")
		}
		patch[name] = &text
	}
	return patch, nil
}

// apply returns old with the patch applied, provided that the result is within the limits.
func (p customPatch) apply(old map[string]string) (map[string]string, error) {
	result := make(map[string]string, len(old)+len(p))
	for name, value := range old {
		result[name] = value
	}
	for name, value := range p {
		if value == nil {
			delete(result, name)
		} else {
			result[name] = *value
		}
	}
	return result, checkCustom(result)
}
