package kubernetes

import (
	"errors"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// longestSelector bounds a selector's text, in bytes.
const longestSelector = 16 << 10

// selector is a Kubernetes label selector: all of it must hold.
type selector struct {
	MatchLabels      map[string]string `yaml:"matchLabels"`
	MatchExpressions []requirement     `yaml:"matchExpressions"`
}

type requirement struct {
	Key      string   `yaml:"key"`
	Operator string   `yaml:"operator"`
	Values   []string `yaml:"values"`
}

// parseSelector reads a selector in JSON or YAML. One that asks for nothing would admit every
// namespace and is refused, as are members that a selector does not have. Errors repeat nothing.
func parseSelector(text string) (*selector, error) {
	if len(text) > longestSelector {
		return nil, errors.New("it is too long")
	}
	s := new(selector)
	// JSON is YAML.
	strict := yaml.NewDecoder(strings.NewReader(text))
	strict.KnownFields(true)
	if err := strict.Decode(s); err != nil {
		return nil, errors.New("it is no label selector in JSON or YAML")
	}
	if len(s.MatchLabels) == 0 && len(s.MatchExpressions) == 0 {
		return nil, errors.New("it selects by nothing")
	}
	for _, r := range s.MatchExpressions {
		if r.Key == "" {
			return nil, errors.New("an expression has no key")
		}
		switch r.Operator {
		case "In", "NotIn":
			if len(r.Values) == 0 {
				return nil, errors.New("In and NotIn need values")
			}
		case "Exists", "DoesNotExist":
			if len(r.Values) != 0 {
				return nil, errors.New("Exists and DoesNotExist take no values")
			}
		default:
			return nil, errors.New("an operator is none of In, NotIn, Exists and DoesNotExist")
		}
	}
	return s, nil
}

// matches says whether labels fulfil every part of the selector. A label that is not there fulfils
// NotIn, as in Kubernetes.
func (s *selector) matches(labels map[string]string) bool {
	for key, want := range s.MatchLabels {
		if value, ok := labels[key]; !ok || value != want {
			return false
		}
	}
	for _, r := range s.MatchExpressions {
		value, ok := labels[r.Key]
		holds := false
		switch r.Operator {
		case "In":
			holds = ok && slices.Contains(r.Values, value)
		case "NotIn":
			holds = !ok || !slices.Contains(r.Values, value)
		case "Exists":
			holds = ok
		case "DoesNotExist":
			holds = !ok
		}
		if !holds {
			return false
		}
	}
	return true
}
