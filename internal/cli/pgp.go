package cli

import (
	"bytes"
	"encoding/base64"
	"io"
	"os"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
)

// pgpFiles reads public keys from files, several to a flag with commas between them, in the order
// in which their holders get their shares. A name that begins with "@" is a file too.
func pgpFiles(names []string) ([]string, error) {
	var keys []string
	for _, name := range splitCommas(names) {
		if user, ok := strings.CutPrefix(name, "keybase:"); ok {
			return nil, local("Keys are not fetched from keybase, as what comes over the Internet would decide who can read a key share. "+
				"Fetch the key of %s yourself, compare its fingerprint with its owner, and name the file.", user)
		}
		b, err := os.ReadFile(strings.TrimPrefix(name, "@"))
		if err != nil {
			return nil, local("Error reading PGP key: %s", err)
		}
		key, err := pgpKey(b)
		if err != nil {
			return nil, local("Error reading PGP key: %s: %s", name, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// pgpKey is base64 of the binary form of a key that is armoured, binary, or base64 already.
func pgpKey(content []byte) (string, error) {
	text := strings.TrimSpace(string(content))
	if strings.HasPrefix(text, "-----BEGIN") {
		block, err := armor.Decode(bytes.NewReader([]byte(text)))
		if err != nil {
			return "", err
		}
		if content, err = io.ReadAll(block.Body); err != nil {
			return "", err
		}
		return base64.StdEncoding.EncodeToString(content), nil
	}
	if binary, err := base64.StdEncoding.DecodeString(text); err == nil && len(binary) > 0 {
		return base64.StdEncoding.EncodeToString(binary), nil // in one line
	}
	return base64.StdEncoding.EncodeToString(content), nil
}
