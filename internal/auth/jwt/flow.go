package jwt

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// stateFor is how long a person may take to sign in at the provider.
const stateFor = 5 * time.Minute

// A browser login that was begun is kept nowhere: its state is sealed into the text that goes
// through the browser and comes back. So a stranger who begins millions fills no memory and
// pushes nobody out, and a login may end on another node, or after a restart, than it began.
// What was completed is remembered in the store, by the transaction that makes the token.

// flowState is what a state's text holds.
type flowState struct {
	// Ends is Unix time, in seconds.
	Ends int64 `cbor:"1,keyasint"`
	// ID tells states apart; PKCE's verifier and the nonce are made of it.
	ID   []byte `cbor:"2,keyasint"`
	Role string `cbor:"3,keyasint"`
	// RoleUID and Config hold the login to the very role and configuration it began with.
	RoleUID  []byte `cbor:"4,keyasint"`
	Config   []byte `cbor:"5,keyasint"`
	Redirect string `cbor:"6,keyasint"`
	// ClientNonce is a hash of what the client must show at the end; empty where it gave none.
	ClientNonce []byte       `cbor:"7,keyasint,omitempty"`
	Mode        callbackMode `cbor:"8,keyasint,omitempty"`
	// DeviceCode is the provider's secret for a device login, Interval how often it may be asked
	// about it, in seconds.
	DeviceCode string `cbor:"9,keyasint,omitempty"`
	Interval   int64  `cbor:"10,keyasint,omitempty"`
	// From is the address that began a direct login, which the person is shown.
	From string `cbor:"11,keyasint,omitempty"`
}

func (s *flowState) ends() time.Time { return time.Unix(s.Ends, 0) }

// flowKeys are the mount's keys for browser logins.
type flowKeys struct {
	aead cipher.AEAD
	mac  []byte
}

func newFlowKeys(key []byte) flowKeys {
	aead, err := chacha20poly1305.NewX(derive(key, "state")[:chacha20poly1305.KeySize])
	if err != nil {
		panic(err) // The size of the key is a constant.
	}
	return flowKeys{aead: aead, mac: derive(key, "derive")}
}

func derive(key []byte, purpose string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(purpose))
	return mac.Sum(nil)
}

// begin makes the state of a login under r that returns to redirect.
func (f flowKeys) begin(t *trust, r *role, redirect, clientNonce string, now time.Time) *flowState {
	id := make([]byte, 16)
	rand.Read(id)
	s := &flowState{
		Ends: now.Add(stateFor).Unix(), ID: id, Role: r.name, RoleUID: r.UID, Config: mark("config", string(t.stored)), Redirect: redirect,
		Mode: r.Returning.Mode,
	}
	if clientNonce != "" {
		s.ClientNonce = mark("client nonce", clientNonce)
	}
	return s
}

// seal is the text that goes through the browser.
func (f flowKeys) seal(s *flowState) (string, error) { return f.sealed("", s) }

// sealed is v, a record, as a text that only this mount can read, and only for that purpose.
func (f flowKeys) sealed(purpose string, v any) (string, error) {
	plain, err := record.Encode(v)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, f.aead.NonceSize(), f.aead.NonceSize()+len(plain)+f.aead.Overhead())
	rand.Read(nonce)
	return base64.RawURLEncoding.EncodeToString(f.aead.Seal(nonce, nonce, plain, []byte(purpose))), nil
}

// open reads a state; nil for one that is forged, of another mount, or past its end.
func (f flowKeys) open(text string, now time.Time) *flowState {
	s := &flowState{}
	if !f.unsealed("", text, s) || now.Unix() >= s.Ends {
		return nil
	}
	return s
}

func (f flowKeys) unsealed(purpose, text string, into any) bool {
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(sealed) < f.aead.NonceSize() {
		return false
	}
	plain, err := f.aead.Open(nil, sealed[:f.aead.NonceSize()], sealed[f.aead.NonceSize():], []byte(purpose))
	return err == nil && record.Decode(plain, into) == nil
}

// nonce is what the ID token must repeat (OpenID Connect Core §3.1.2.1).
func (f flowKeys) nonce(s *flowState) string { return f.text("nonce", s) }

// verifier is PKCE's (RFC 7636 §4.1).
func (f flowKeys) verifier(s *flowState) string { return f.text("verifier", s) }

func (f flowKeys) text(purpose string, s *flowState) string {
	return base64.RawURLEncoding.EncodeToString(derive(f.mac, purpose+"\x00"+string(s.ID)))
}

// forgotten bounds how many ended records one login clears away: it makes one, so that they
// cannot pile up.
const forgotten = 16

// spend remembers in the transaction that makes the token that the login was completed, and
// refuses one that was before. It may run more than once.
func spend(tx store.Tx, s *flowState, now time.Time) error {
	if err := unspent(tx, s); err != nil {
		return err
	}
	if err := clearEnded(tx, usedPrefix, now); err != nil {
		return err
	}
	if s.Mode == byServer {
		if err := tx.Delete(doneKey(s.ends(), s.ID)); err != nil {
			return err
		}
	}
	return tx.Put(usedKey(s.ends(), s.ID), nil)
}

// unspent refuses a login that was completed.
func unspent(r store.Reader, s *flowState) error {
	_, err := r.Get(usedKey(s.ends(), s.ID))
	switch {
	case err == nil:
		return errState()
	case isNotFound(err):
		return nil
	}
	return err
}

// clearEnded removes some of the records below prefix whose end has come.
func clearEnded(tx store.Tx, prefix string, now time.Time) error {
	var ended [][]byte
	span := store.Range{From: []byte(prefix), To: endKey(prefix, now, nil), Limit: forgotten, KeysOnly: true}
	err := tx.Scan(span, func(old, _ []byte) (bool, error) {
		ended = append(ended, append([]byte(nil), old...))
		return true, nil
	})
	for _, old := range ended {
		if err == nil {
			err = tx.Delete(old)
		}
	}
	return err
}

// loginFailed begins every refusal of a callback: clients look for it. Contract: auth-methods §5.4.
const loginFailed = "Vault login failed. "

func errState() error {
	return backend.Invalidf(loginFailed + "Expired or missing OAuth state.")
}

// codeLetters make no words, and none of them looks like another (RFC 8628 §6.1).
const codeLetters = "BCDFGHJKLMNPQRSTVWXZ"

// userCode is what both terminal and page show of a direct login, so that the person can compare.
func (f flowKeys) userCode(s *flowState) string {
	code := make([]byte, 0, 9)
	for i, b := range derive(f.mac, "user code\x00"+string(s.ID))[:8] {
		if i == 4 {
			code = append(code, '-')
		}
		code = append(code, codeLetters[int(b)%len(codeLetters)])
	}
	return string(code)
}
