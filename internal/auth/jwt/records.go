package jwt

import (
	"encoding/binary"
	"time"

	"jeton/internal/auth"
)

// The area of a mount:
//
//	key                  32 random bytes, from which the keys of browser logins are derived
//	config               configRecord
//	role/NAME            roleRecord
//	used/SECONDS ID      empty: the browser login ID was completed; SECONDS is when its state
//	                     ends, 8 bytes, big endian, Unix time
//	done/SECONDS ID      finishedLogin: the direct login ID was signed in for and waits to be
//	                     collected
var (
	mountKey  = []byte("key")
	configKey = []byte("config")
)

const (
	rolePrefix = "role/"
	usedPrefix = "used/"
	donePrefix = "done/"

	keySize = 32
	uidSize = 16
)

func roleKey(name string) []byte { return []byte(rolePrefix + name) }

// endKey of an empty id is the first key of that second.
func endKey(prefix string, end time.Time, id []byte) []byte {
	return append(binary.BigEndian.AppendUint64([]byte(prefix), uint64(end.Unix())), id...)
}

func usedKey(end time.Time, id []byte) []byte { return endKey(usedPrefix, end, id) }
func doneKey(end time.Time, id []byte) []byte { return endKey(donePrefix, end, id) }

// finishedLogin is what a person has proved to the provider, for who began the login to collect.
type finishedLogin struct {
	// Said is a JSON object: the claims. By names the key set that vouched for them.
	Said []byte `cbor:"1,keyasint"`
	By   []byte `cbor:"2,keyasint"`
}

// configRecord is the configuration as it is stored.
type configRecord struct {
	DiscoveryURL     string     `cbor:"1,keyasint,omitempty"`
	DiscoveryCA      string     `cbor:"2,keyasint,omitempty"`
	ClientID         string     `cbor:"3,keyasint,omitempty"`
	ClientSecret     string     `cbor:"4,keyasint,omitempty"`
	ResponseMode     string     `cbor:"5,keyasint,omitempty"`
	ResponseTypes    []string   `cbor:"6,keyasint,omitempty"`
	JWKSURL          string     `cbor:"7,keyasint,omitempty"`
	JWKSCA           string     `cbor:"8,keyasint,omitempty"`
	PublicKeys       []string   `cbor:"9,keyasint,omitempty"`
	Pairs            []jwksPair `cbor:"10,keyasint,omitempty"`
	BoundIssuer      string     `cbor:"11,keyasint,omitempty"`
	Algorithms       []string   `cbor:"12,keyasint,omitempty"`
	DefaultRole      string     `cbor:"13,keyasint,omitempty"`
	NamespaceInState bool       `cbor:"14,keyasint,omitempty"`
	Special          special    `cbor:"15,keyasint,omitzero"`
}

// jwksPair is one of several key sets.
type jwksPair struct {
	URL string `cbor:"1,keyasint,omitempty"`
	CA  string `cbor:"2,keyasint,omitempty"`
}

// roleType says how one logs in under a role.
type roleType uint8

// The types of role. They are stored: none may change its meaning.
const (
	typeOIDC roleType = iota + 1
	typeJWT
)

func (t roleType) String() string {
	if t == typeJWT {
		return "jwt"
	}
	return "oidc"
}

// roleRecord is a role as it is stored. Fields 1 to 19 are the TokenRecord's.
type roleRecord struct {
	auth.TokenRecord
	// UID tells the role from a later one of the same name.
	UID              []byte            `cbor:"20,keyasint"`
	Type             roleType          `cbor:"21,keyasint"`
	UserClaim        string            `cbor:"22,keyasint"`
	UserClaimPointer bool              `cbor:"23,keyasint,omitempty"`
	GroupsClaim      string            `cbor:"24,keyasint,omitempty"`
	Bounds           bounds            `cbor:"25,keyasint"`
	ClaimMappings    map[string]string `cbor:"26,keyasint,omitempty"`
	Scopes           []string          `cbor:"27,keyasint,omitempty"`
	RedirectURIs     []string          `cbor:"28,keyasint,omitempty"`
	Leeways          leeways           `cbor:"29,keyasint"`
	MaxAge           time.Duration     `cbor:"30,keyasint,omitempty"`
	Verbose          bool              `cbor:"31,keyasint,omitempty"`
	Returning        returning         `cbor:"32,keyasint,omitzero"`
}

// bounds are what a token must say for a role.
type bounds struct {
	Audiences []string `cbor:"1,keyasint,omitempty"`
	Subject   string   `cbor:"2,keyasint,omitempty"`
	// Claims is a JSON object: claim to value or list of values.
	Claims []byte `cbor:"3,keyasint,omitempty"`
	// Glob says that the values are patterns with `*`.
	Glob bool `cbor:"4,keyasint,omitempty"`
}

// leeways are as they were written: 0 is the default, below 0 none.
type leeways struct {
	Expiration time.Duration `cbor:"1,keyasint,omitempty"`
	NotBefore  time.Duration `cbor:"2,keyasint,omitempty"`
	ClockSkew  time.Duration `cbor:"3,keyasint,omitempty"`
}

// loginState stays with a token, for what can be proved again without the JWT.
type loginState struct {
	UID  []byte `cbor:"1,keyasint"`
	Name string `cbor:"2,keyasint"`
	// Source is the address that the login came from.
	Source string `cbor:"3,keyasint,omitempty"`
	// Mark names the key or the key set that vouched, see trust.
	Mark []byte `cbor:"4,keyasint"`
	// Shown is a JSON object: the claims that the role's bounds looked at.
	Shown []byte `cbor:"5,keyasint"`
}
