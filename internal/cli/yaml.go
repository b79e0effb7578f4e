package cli

import (
	"bytes"
	"encoding/json"

	"go.yaml.in/yaml/v3"
)

// yamlText is v as YAML by way of its JSON, so that the two formats have the same names. Numbers
// are copied digit by digit: as float64 an id of twenty digits would come out as another one
// (contract: cli §5).
func yamlText(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return "", err
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	enc.CompactSeqIndent()
	if err := enc.Encode(exactNumbers(tree)); err != nil {
		return "", err
	}
	return b.String(), enc.Close()
}

// exactNumbers puts plain scalars in the place of JSON's numbers.
func exactNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: v.String()}
	case map[string]any:
		for k := range v {
			v[k] = exactNumbers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = exactNumbers(v[i])
		}
	}
	return v
}
