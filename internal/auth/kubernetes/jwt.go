package kubernetes

import (
	"crypto"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	// longestJWT bounds a JWT's text, in bytes.
	longestJWT = 32 << 10
	// leeway is how far the cluster's clock may be off.
	leeway = 10 * time.Second
	// accountPrefix begins the user name of every service account.
	accountPrefix = "system:serviceaccount:"
)

// What is wrong with a JWT. None repeats it.
var (
	errNoJWT     = errors.New("the JWT cannot be read")
	errNoAccount = errors.New("the JWT is no service account's")
	errSignature = errors.New("no configured key signed the JWT")
)

// algorithms are what API servers sign with. Symmetric ones and none are not among them.
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
		jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
	}
}

// account is a service account.
type account struct{ namespace, name, uid string }

// user is the account's name as the API server writes it.
func (a account) user() string { return accountPrefix + a.namespace + ":" + a.name }

// claims are what a JWT says. Until the API server has confirmed it, it proves nothing.
type claims struct {
	account
	secret    string
	issuer    string
	audience  []string
	expires   *time.Time
	notBefore *time.Time
	issued    *time.Time
}

// wireClaims are a JWT's members: those of bound tokens, and those of tokens in Secrets before
// Kubernetes 1.24.
type wireClaims struct {
	jwt.Claims
	Kubernetes struct {
		Namespace string `json:"namespace"`
		Account   struct {
			Name string `json:"name"`
			UID  string `json:"uid"`
		} `json:"serviceaccount"`
	} `json:"kubernetes.io"`
	OldNamespace string `json:"kubernetes.io/serviceaccount/namespace"`
	OldName      string `json:"kubernetes.io/serviceaccount/service-account.name"`
	OldUID       string `json:"kubernetes.io/serviceaccount/service-account.uid"`
	OldSecret    string `json:"kubernetes.io/serviceaccount/secret.name"`
}

// readJWT reads what a JWT says. With keys, one of them must have signed it; without, only the API
// server can tell who did.
func readJWT(text string, keys []crypto.PublicKey) (*claims, error) {
	if len(text) > longestJWT {
		return nil, errNoJWT
	}
	token, err := jwt.ParseSigned(text, algorithms())
	if err != nil {
		return nil, errNoJWT
	}
	wire := new(wireClaims)
	if err := token.UnsafeClaimsWithoutVerification(wire); err != nil {
		return nil, errNoJWT
	}
	if len(keys) > 0 && !slices.ContainsFunc(keys, func(key crypto.PublicKey) bool {
		return token.Claims(key, new(json.RawMessage)) == nil
	}) {
		return nil, errSignature
	}
	return wire.read()
}

func (w *wireClaims) read() (*claims, error) {
	c := &claims{
		account: account{w.Kubernetes.Namespace, w.Kubernetes.Account.Name, w.Kubernetes.Account.UID},
		issuer:  w.Issuer, audience: w.Audience,
		expires: timeOf(w.Expiry), notBefore: timeOf(w.NotBefore), issued: timeOf(w.IssuedAt),
	}
	if c.namespace == "" {
		c.account, c.secret = account{w.OldNamespace, w.OldName, w.OldUID}, w.OldSecret
	}
	if !isLabel(c.namespace) || !isSubdomain(c.name) || c.uid == "" || len(c.uid) > 128 {
		return nil, errNoAccount
	}
	if w.Subject != "" && w.Subject != c.user() {
		return nil, errNoAccount
	}
	return c, nil
}

func timeOf(d *jwt.NumericDate) *time.Time {
	if d == nil {
		return nil
	}
	t := d.Time()
	return &t
}

// wrongTime says why a JWT does not hold at a time; "" when it does. Old tokens have no times.
func (c *claims) wrongTime(now time.Time) string {
	switch {
	case c.expires != nil && !now.Before(c.expires.Add(leeway)):
		return "the JWT has expired"
	case c.notBefore != nil && now.Add(leeway).Before(*c.notBefore):
		return "the JWT is not valid yet"
	case c.issued != nil && now.Add(leeway).Before(*c.issued):
		return "the JWT was issued in the future"
	}
	return ""
}

// ends is when the JWT stops proving anything, in Unix seconds; the far future for one without an end.
func (c *claims) ends() int64 {
	if c.expires == nil {
		return math.MaxInt64
	}
	return c.expires.Unix()
}

// isLabel says whether s is a DNS label: what a namespace's name is. Names go into addresses of
// the API server, so that nothing else may be in them.
func isLabel(s string) bool {
	return s != "" && len(s) <= 63 && isSubdomain(s) && !strings.Contains(s, ".")
}

// isSubdomain says whether s is a DNS subdomain: what a service account's name is.
func isSubdomain(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}
