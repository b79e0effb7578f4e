package cli

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/hashicorp/vault/api"
)

// generateRootCommands make a new root token from key shares.
// contract: cli §6 "operator", sys §16.
func generateRootCommands() []command {
	return []command{{
		name: "operator generate-root", args: "[KEY]", synopsis: "Generate a new root token",
		help: `Makes a new root token when a quorum gives its key shares. The token comes
encoded with a one-time password (OTP), so that the last to give a share cannot read
it.

Begin; this prints the OTP and a nonce:

    $ jeton operator generate-root -init

Everybody gives a share:

    $ jeton operator generate-root -nonce=<nonce>

Decode what came out; no server is asked:

    $ jeton operator generate-root -decode=<encoded> -otp=<otp>`,
		arity: between(0, 1), surface: talks, build: buildGenerateRoot,
	}}
}

type rootFlags struct {
	begin, cancel, status, generateOTP bool
	decode, otp, pgpKey, nonce         string
}

func buildGenerateRoot(f *flagSet) runFunc {
	p := new(rootFlags)
	f.truth(&p.begin, flagSpec{name: "init", usage: "Begin an attempt."})
	f.truth(&p.cancel, flagSpec{name: "cancel", usage: "Give the attempt up, with the shares given so far."})
	f.truth(&p.status, flagSpec{name: "status", usage: "Show the attempt."})
	f.truth(&p.generateOTP, flagSpec{name: "generate-otp", usage: "Print a fresh OTP for -init."})
	f.str(&p.decode, flagSpec{name: "decode", usage: `Decode this token with -otp; "-" reads it from standard input.`})
	f.str(&p.otp, flagSpec{name: "otp", usage: "OTP for -init or -decode."})
	f.str(&p.pgpKey, flagSpec{name: "pgp-key", usage: "File with a PGP public key to encrypt the token with, instead of an OTP."})
	f.str(&p.nonce, flagSpec{name: "nonce", usage: "Nonce of the attempt that a share is for."})
	return func(s *session, args []string) error {
		switch {
		case p.generateOTP:
			return s.printOTP()
		case p.decode != "":
			return s.decodeRoot(p)
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		switch {
		case p.cancel:
			if err := c.Sys().GenerateRootCancelWithContext(s.ctx); err != nil {
				return s.remote("canceling root token generation", err)
			}
			return s.success("Success! Root token generation canceled (if it was started)")
		case p.begin:
			return s.beginRoot(c, p)
		case p.status:
			st, err := c.Sys().GenerateRootStatusWithContext(s.ctx)
			if err != nil {
				return s.remote("getting root generation status", err)
			}
			return s.rootStatus(st)
		}
		return s.provideRoot(c, p, args)
	}
}

// otpLength is that of a generated root token: "hvs." and 24 characters.
const otpLength = 28

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func newOTP() (string, error) {
	out := make([]byte, otpLength)
	for i := range out {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(base62))))
		if err != nil {
			return "", err
		}
		out[i] = base62[n.Int64()]
	}
	return string(out), nil
}

func (s *session) printOTP() error {
	otp, err := newOTP()
	if err != nil {
		return local("Error reading random bytes: %s", err)
	}
	if !s.out.table() {
		return s.machine(map[string]string{"otp": otp, "otp_length": strconv.Itoa(len(otp))})
	}
	s.con.raw(otp)
	return nil
}

// decodeRoot decodes an encoded token here: both halves are known, so that no
// server and no token are needed.
func (s *session) decodeRoot(p *rootFlags) error {
	if p.otp == "" {
		return local("Missing otp: use -otp to supply it")
	}
	encoded, err := s.secretArgument(p.decode)
	if err != nil {
		return err
	}
	token, err := xorDecode(encoded, p.otp)
	if err != nil {
		return local("Error decoding root token: %s", err)
	}
	if !s.out.table() {
		return s.machine(map[string]string{"token": token})
	}
	s.con.raw(token)
	return nil
}

// xorDecode undoes base64(token xor otp). Padding is optional.
func xorDecode(encoded, otp string) (string, error) {
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil {
		return "", fmt.Errorf("the encoded token is not base64: %w", err)
	}
	if len(b) != len(otp) {
		return "", fmt.Errorf("the encoded token has %d bytes and the otp %d", len(b), len(otp))
	}
	out := make([]byte, len(b))
	subtle.XORBytes(out, b, []byte(otp))
	return string(out), nil
}

func (s *session) beginRoot(c *api.Client, p *rootFlags) error {
	if p.otp != "" && p.pgpKey != "" {
		return local("Cannot use -otp with -pgp-key")
	}
	key := ""
	if p.pgpKey != "" {
		keys, err := pgpFiles([]string{p.pgpKey})
		if err != nil {
			return err
		}
		key = keys[0]
	}
	st, err := c.Sys().GenerateRootInitWithContext(s.ctx, p.otp, key)
	if err != nil {
		return s.remote("initializing root generation", err)
	}
	if s.out.table() && st.OTP != "" {
		s.con.warn("%s", wrap("The one-time password (OTP) below is shown now and never again. Keep it: without it nobody can "+
			"decode the root token.", lineWidth))
	}
	return s.rootStatus(st)
}

func (s *session) provideRoot(c *api.Client, p *rootFlags, args []string) error {
	asIs := s.forReal(c)
	st, err := c.Sys().GenerateRootStatusWithContext(s.ctx)
	asIs()
	if err != nil {
		return s.remote("getting root generation status", err)
	}
	if !st.Started {
		return local("%s", wrap(fmt.Sprintf("No root generation is in progress. Start one with \"%s operator generate-root -init\".", s.program), lineWidth))
	}
	nonce, err := s.nonceFor(p.nonce, st.Nonce, args)
	if err != nil {
		return err
	}
	key, err := s.share(args, fmt.Sprintf("Operation nonce: %s\nUnseal Key (will be hidden): ", nonce))
	if err != nil {
		return err
	}
	st, err = c.Sys().GenerateRootUpdateWithContext(s.ctx, key, nonce)
	if err != nil {
		return s.remote("posting unseal key", err)
	}
	return s.rootStatus(st)
}

// nonceFor insists on a nonce when the key is not typed in after the nonce was
// shown: it ties the share to the attempt its holder means.
func (s *session) nonceFor(given, current string, args []string) (string, error) {
	if given == "" && len(args) > 0 {
		return "", local("Missing nonce value: specify it via the -nonce flag")
	}
	if given == "" {
		return current, nil
	}
	return given, nil
}

func (s *session) rootStatus(st *api.GenerateRootStatusResponse) error {
	if !s.out.table() {
		return s.machine(st)
	}
	rows := [][]string{
		{"Nonce", st.Nonce},
		{"Started", strconv.FormatBool(st.Started)},
		{"Progress", fmt.Sprintf("%d/%d", st.Progress, st.Required)},
		{"Complete", strconv.FormatBool(st.Complete)},
	}
	if st.PGPFingerprint != "" {
		rows = append(rows, []string{"PGP Fingerprint", st.PGPFingerprint})
	}
	switch {
	case st.EncodedToken != "":
		rows = append(rows, []string{"Encoded Token", st.EncodedToken})
	case st.EncodedRootToken != "":
		rows = append(rows, []string{"Encoded Root Token", st.EncodedRootToken})
	}
	if st.OTP != "" {
		rows = append(rows, []string{"OTP", st.OTP})
	}
	if st.OTPLength != 0 {
		rows = append(rows, []string{"OTP Length", strconv.Itoa(st.OTPLength)})
	}
	s.con.print(columns(rows))
	return nil
}
