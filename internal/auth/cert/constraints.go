package cert

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"strings"

	"jeton/internal/auth"
	"jeton/internal/backend"
)

// requiredExtension is one of required_extensions.
type requiredExtension struct {
	oid, pattern string
	// bytes compares the extension's value in hexadecimal, whatever it holds.
	bytes bool
}

// parseExtensions reads required_extensions.
func parseExtensions(list []string) ([]requiredExtension, error) {
	var all []requiredExtension
	for i, text := range list {
		text, bytes := strings.CutPrefix(text, "hex:")
		oid, pattern, ok := strings.Cut(text, ":")
		if _, isOID := oidOf(oid); !ok || !isOID {
			return nil, backend.Invalidf("required_extensions: entry %d is not of the form oid:value or hex:oid:value", i+1)
		}
		if bytes {
			pattern = strings.ToLower(pattern)
		}
		all = append(all, requiredExtension{oid: oid, pattern: pattern, bytes: bytes})
	}
	return all, nil
}

// admits says whether leaf fulfils every constraint of the entry: of each list one pattern must
// match one of the certificate's names, and all extensions must be there. Contract:
// auth-methods §7.
func (e *entry) admits(leaf *x509.Certificate) bool {
	c := &e.Constraints
	common := []string{leaf.Subject.CommonName}
	uris := make([]string, len(leaf.URIs))
	for i, u := range leaf.URIs {
		uris[i] = u.String()
	}
	var names []string
	names = append(append(append(names, common...), leaf.DNSNames...), leaf.EmailAddresses...)
	return allows(c.Names, names) &&
		allows(c.CommonNames, common) &&
		allows(c.DNSNames, leaf.DNSNames) &&
		allows(c.Emails, leaf.EmailAddresses) &&
		allows(c.URIs, uris) &&
		allows(c.Units, leaf.Subject.OrganizationalUnit) &&
		hasExtensions(leaf, e.extensions)
}

// allows says whether one of the patterns matches one of the names. No patterns are no
// constraint; an empty name is nobody's.
func allows(patterns, names []string) bool {
	if len(patterns) == 0 {
		return true
	}
	for _, name := range names {
		if name != "" && auth.AnyGlob(patterns, name) {
			return true
		}
	}
	return false
}

func hasExtensions(leaf *x509.Certificate, required []requiredExtension) bool {
	for _, want := range required {
		found := false
		for _, x := range leaf.Extensions {
			if x.Id.String() != want.oid {
				continue
			}
			value, ok := hex.EncodeToString(x.Value), true
			if !want.bytes {
				value, ok = asn1Text(x.Value)
			}
			found = found || (ok && auth.Glob(want.pattern, value))
		}
		if !found {
			return false
		}
	}
	return true
}

// asn1Text is the text of an extension that holds one ASN.1 string, and nothing after it.
func asn1Text(der []byte) (string, bool) {
	var text string
	rest, err := asn1.Unmarshal(der, &text)
	return text, err == nil && len(rest) == 0
}

// metadata describes leaf as a token's metadata does. Contract: auth-methods §7.
func (e *entry) metadata(leaf *x509.Certificate) map[string]string {
	pairs := describe(leaf)
	pairs["cert_name"] = e.name
	for _, oid := range e.MetadataExtensions {
		for _, x := range leaf.Extensions {
			if x.Id.String() != oid {
				continue
			}
			text, ok := asn1Text(x.Value)
			if !ok {
				text = hex.EncodeToString(x.Value)
			}
			pairs[strings.ReplaceAll(oid, ".", "-")] = text
		}
	}
	return pairs
}

func describe(leaf *x509.Certificate) map[string]string {
	return map[string]string{
		"common_name":      leaf.Subject.CommonName,
		"serial_number":    leaf.SerialNumber.String(),
		"subject_key_id":   colons(leaf.SubjectKeyId),
		"authority_key_id": colons(leaf.AuthorityKeyId),
	}
}

// colons is an identifier in hexadecimal with a colon between its bytes.
func colons(id []byte) string {
	parts := make([]string, len(id))
	for i, b := range id {
		parts[i] = fmt.Sprintf("%02x", b)
	}
	return strings.Join(parts, ":")
}
