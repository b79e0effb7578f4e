package seal

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"

	"jeton/internal/backend"
	"jeton/internal/seal/pgp"
)

// OTPLength is the length in bytes of the one-time password, and of the token that it hides
// (contract: sys §16).
const OTPLength = 28

// otpAlphabet is base62.
const otpAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// RootStatus is what sys/generate-root shows.
type RootStatus struct {
	Nonce   string
	Started bool
	// Progress is the number of shares given, Required how many it takes.
	Progress, Required int
	Complete           bool
	// EncodedToken is the new root token under the one-time password, or in base64 of its
	// holder's envelope, once complete.
	EncodedToken string
	// OTP is the one-time password where the server made it: in the answer to Start alone.
	OTP string
	// PGPFingerprint is that of the key that takes the one-time password's place, "" without.
	PGPFingerprint string
}

// RootGeneration makes a root token for a threshold of shares.
type RootGeneration struct {
	attempts *attempts[rootPlan]
	mint     func(context.Context) (string, error)
}

// rootPlan is how the token is to be hidden: by one of the two.
type rootPlan struct {
	otp    []byte
	holder *pgp.Key
}

func (p *rootPlan) drop() { clear(p.otp) }

// NewRootGeneration offers root tokens for shares of k. mint makes one, OTPLength bytes long; it
// must not call back.
func NewRootGeneration(k *Keeper, mint func(context.Context) (string, error)) *RootGeneration {
	return &RootGeneration{mint: mint, attempts: newAttempts(k, attemptTexts{
		running: "root generation already in progress", none: "no root generation in progress", wrongNonce: "root generation",
		again:      "given key has already been provided during this generation operation",
		falseShare: "root generation aborted",
	}, (*rootPlan).drop)}
}

// begin opens a call; the contract has its own text for a server without keys.
func (g *RootGeneration) begin(ctx context.Context) (*configRecord, error) {
	if has, err := g.attempts.keeper.Initialized(ctx); err != nil {
		return nil, err
	} else if !has {
		return nil, backend.Invalidf("server is not yet initialized")
	}
	return g.attempts.begin(ctx)
}

// Status describes the attempt that origin sees, never its one-time password.
func (g *RootGeneration) Status(ctx context.Context, origin string) (RootStatus, error) {
	g.attempts.Lock()
	defer g.attempts.Unlock()
	config, err := g.begin(ctx)
	if err != nil {
		return RootStatus{}, err
	}
	return rootStatus(config, g.attempts.visible(origin)), nil
}

func rootStatus(config *configRecord, a *attempt[rootPlan]) RootStatus {
	s := RootStatus{Required: config.Set.Threshold}
	if a != nil {
		set, progress := a.gathered.progress(config)
		s.Nonce, s.Started, s.Progress, s.Required = a.nonce, true, progress, set.Threshold
		if a.plan.holder != nil {
			s.PGPFingerprint = a.plan.holder.Fingerprint()
		}
	}
	return s
}

// Start opens an attempt. An empty otp lets the server draw one, which the answer alone shows.
func (g *RootGeneration) Start(ctx context.Context, origin, otp string) (RootStatus, error) {
	g.attempts.Lock()
	defer g.attempts.Unlock()
	config, err := g.begin(ctx)
	if err != nil {
		return RootStatus{}, err
	}
	drawn := ""
	if otp == "" {
		drawn = newOTP()
		otp = drawn
	}
	if len(otp) != OTPLength {
		return RootStatus{}, backend.Invalidf("OTP string has incorrect length")
	}
	a, err := g.attempts.start(origin, rootPlan{otp: []byte(otp)})
	if err != nil {
		return RootStatus{}, err
	}
	s := rootStatus(config, a)
	s.OTP = drawn
	return s, nil
}

// StartFor opens an attempt whose token only the holder of a PGP public key, in base64, can read.
func (g *RootGeneration) StartFor(ctx context.Context, origin, key string) (RootStatus, error) {
	// Before the lock is taken, as with a rekey.
	holders, err := g.attempts.keeper.holders([]string{key}, "error parsing PGP key")
	if err != nil {
		return RootStatus{}, err
	}
	g.attempts.Lock()
	defer g.attempts.Unlock()
	config, err := g.begin(ctx)
	if err != nil {
		return RootStatus{}, err
	}
	a, err := g.attempts.start(origin, rootPlan{holder: holders[0]})
	if err != nil {
		return RootStatus{}, err
	}
	return rootStatus(config, a), nil
}

// newOTP draws a one-time password.
func newOTP() string {
	otp := make([]byte, 0, OTPLength)
	var b [1]byte
	for len(otp) < OTPLength {
		rand.Read(b[:])
		// 248 is the greatest multiple of 62 in a byte: beyond it the first letters
		// would come up more often.
		if b[0] < 248 {
			otp = append(otp, otpAlphabet[b[0]%62])
		}
	}
	return string(otp)
}

// Cancel ends the attempt that origin sees, if it may: decision 0003 says who may. With no
// attempt it does nothing.
func (g *RootGeneration) Cancel(ctx context.Context, origin, nonce string) error {
	g.attempts.Lock()
	defer g.attempts.Unlock()
	if _, err := g.begin(ctx); err != nil {
		return err
	}
	a, err := g.attempts.cancellable(origin, nonce)
	if err != nil || a == nil {
		return err
	}
	g.attempts.end(a)
	return nil
}

// Submit gives a share to the attempt of that nonce. With the one that completes the threshold
// a root token is made and returned hidden; the attempt is over then, also when minting or hiding
// fails. After an error the caller revokes what was minted.
func (g *RootGeneration) Submit(ctx context.Context, origin, nonce string, share []byte) (RootStatus, error) {
	g.attempts.Lock()
	defer g.attempts.Unlock()
	config, err := g.begin(ctx)
	if err != nil {
		return RootStatus{}, err
	}
	a, err := g.attempts.find(origin, nonce)
	if err != nil {
		return RootStatus{}, err
	}
	key, err := g.attempts.give(ctx, config, a, origin, share)
	if err != nil || key == nil {
		return rootStatus(config, a), err
	}
	clear(key)
	defer g.attempts.end(a)
	token, err := g.mint(ctx)
	if err != nil {
		return RootStatus{}, err
	}
	s := rootStatus(config, a)
	s.Complete, s.Progress = true, s.Required
	if s.EncodedToken, err = g.hide(token, a.plan); err != nil {
		return RootStatus{}, err
	}
	return s, nil
}

// hide encodes token as its plan says.
func (g *RootGeneration) hide(token string, p rootPlan) (string, error) {
	if p.holder != nil {
		message, err := p.holder.Encrypt([]byte(token), g.attempts.keeper.clock.Now())
		return base64.StdEncoding.EncodeToString(message), err
	}
	if len(token) != len(p.otp) {
		return "", errors.New("seal: the root token has not the length of the one-time password")
	}
	return encodeToken(token, p.otp), nil
}

// encodeToken hides token under otp, which is as long.
func encodeToken(token string, otp []byte) string {
	hidden := make([]byte, len(otp))
	for i := range hidden {
		hidden[i] = token[i] ^ otp[i]
	}
	return base64.RawStdEncoding.EncodeToString(hidden)
}

// DecodeToken undoes the encoding of a generated root token (sys/decode-token).
func DecodeToken(encoded, otp string) (string, error) {
	hidden, err := base64.RawStdEncoding.DecodeString(encoded)
	if err != nil {
		return "", backend.Invalidf("the encoded token is not base64")
	}
	if len(hidden) != len(otp) {
		return "", backend.Invalidf("the encoded token and the OTP differ in length")
	}
	for i := range hidden {
		hidden[i] ^= otp[i]
	}
	return string(hidden), nil
}
