package transit

import (
	"encoding/base64"
	"strconv"
	"strings"

	"jeton/internal/backend"
)

// textPrefix begins whatever a key made: clients store it and look for it. Contract: secrets §5.
const textPrefix = "vault:v"

// versioned writes what version n made.
func versioned(n uint64, encoded string) string {
	return textPrefix + strconv.FormatUint(n, 10) + ":" + encoded
}

// parseVersioned takes such a text apart; what names it in errors ("ciphertext"). latest is the
// newest version there is. Version 0 never was (contract: observed, transit).
func parseVersioned(what, text string, latest uint64) (n uint64, encoded string, err error) {
	rest, ok := strings.CutPrefix(text, textPrefix)
	if !ok {
		return 0, "", backend.Invalidf("invalid %s: no prefix", what)
	}
	number, encoded, ok := strings.Cut(rest, ":")
	if !ok || strings.Contains(encoded, ":") {
		return 0, "", backend.Invalidf("invalid %s: wrong number of fields", what)
	}
	n, parseErr := strconv.ParseUint(number, 10, 63)
	if parseErr != nil || n == 0 || number != strconv.FormatUint(n, 10) {
		return 0, "", backend.Invalidf("invalid %s: version number could not be decoded", what)
	}
	if n > latest {
		return 0, "", backend.Invalidf("invalid %s: version is too new", what)
	}
	return n, encoded, nil
}

// decodeBase64 reads a parameter.
func decodeBase64(text, name string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, backend.Invalidf("failed to base64-decode %s", name)
	}
	return b, nil
}
