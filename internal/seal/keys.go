package seal

import (
	"bytes"

	"jeton/internal/store"
)

// Below reservedPrefix lie the only records that the store holds unencrypted by the keyring.
// The encrypting store hides the whole prefix: reads do not find it, writes to it are refused
// and deleted ranges go round it.
//
//	seal/config     kind of seal, number and threshold of shares, fingerprints of the shares
//	seal/root-key   the root key, under the seal key or a Wrapper
//	seal/keyring    the keyring, under the root key
//	seal/recovery   auto-unseal only: proves that combined recovery shares are the right ones
//	seal/candidate  new shares that a rekey gave out and that are not yet in force
//	seal/backup     the shares in force, each encrypted for its holder with PGP
//	seal/counts     encryptions made under each term, under the keyring
var (
	reservedPrefix = []byte("seal/")

	configKey    = []byte("seal/config")
	rootKeyKey   = []byte("seal/root-key")
	keyringKey   = []byte("seal/keyring")
	recoveryKey  = []byte("seal/recovery")
	candidateKey = []byte("seal/candidate")
	backupKey    = []byte("seal/backup")
	countsKey    = []byte("seal/counts")
)

// reservedEnd is the smallest key after the reserved prefix.
var reservedEnd = store.PrefixRange(reservedPrefix).To

func isReserved(key []byte) bool { return bytes.HasPrefix(key, reservedPrefix) }

// beside cuts the reserved prefix out of r: what is left is up to two ranges, in r's order.
func beside(r store.Range) []store.Range {
	if len(r.To) > 0 && bytes.Compare(r.To, reservedPrefix) <= 0 || bytes.Compare(r.From, reservedEnd) >= 0 {
		return []store.Range{r}
	}
	var parts []store.Range
	if bytes.Compare(r.From, reservedPrefix) < 0 {
		below := r
		below.To = reservedPrefix
		parts = append(parts, below)
	}
	if len(r.To) == 0 || bytes.Compare(r.To, reservedEnd) > 0 {
		above := r
		above.From = reservedEnd
		parts = append(parts, above)
	}
	if r.Reverse && len(parts) == 2 {
		parts[0], parts[1] = parts[1], parts[0]
	}
	return parts
}
