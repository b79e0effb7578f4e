package approle

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"jeton/internal/backend"
)

var errMetadata = backend.Invalidf("failed to parse metadata: want a JSON object of strings, or key=value pairs with commas between")

// parseMetadata reads the metadata of a secret id: an object, or a string that holds a JSON
// object or "k=v,k2=v2", either also in base64. Values must be strings. Errors do not repeat
// what was sent. Contract: auth-methods §2.3.
func parseMetadata(sent any) (map[string]string, error) {
	switch sent := sent.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		pairs := make(map[string]string, len(sent))
		for key, value := range sent {
			text, ok := value.(string)
			if !ok {
				return nil, errMetadata
			}
			pairs[key] = text
		}
		return pairs, nil
	case string:
		return parseMetadataText(sent)
	}
	return nil, errMetadata
}

func parseMetadataText(text string) (map[string]string, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, nil
	}
	// Base64 comes first: its padding would pass for a key without a value, and plain text
	// that is base64 by chance is no metadata when decoded.
	if plain, err := base64.StdEncoding.DecodeString(text); err == nil {
		if pairs, ok := metadataPairs(strings.TrimSpace(string(plain))); ok {
			return pairs, nil
		}
	}
	if pairs, ok := metadataPairs(text); ok {
		return pairs, nil
	}
	return nil, errMetadata
}

func metadataPairs(text string) (map[string]string, bool) {
	if strings.HasPrefix(text, "{") {
		var pairs map[string]string
		err := json.Unmarshal([]byte(text), &pairs)
		return pairs, err == nil
	}
	pairs := map[string]string{}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		key, value, ok := strings.Cut(item, "=")
		if key = strings.TrimSpace(key); !ok || key == "" {
			return nil, false
		}
		pairs[key] = strings.TrimSpace(value)
	}
	return pairs, len(pairs) > 0
}
