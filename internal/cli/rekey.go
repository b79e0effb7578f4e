package cli

import (
	"fmt"
	"strconv"

	"github.com/hashicorp/vault/api"
)

// rekeyCommands replace the key shares. contract: cli §6 "operator", sys §15.
func rekeyCommands() []command {
	return []command{{
		name: "operator rekey", args: "[KEY]", synopsis: "Generate new unseal keys",
		help: `Makes new shares of the unseal key when a quorum gives the old ones.

    $ jeton operator rekey -init -key-shares=5 -key-threshold=3
    $ jeton operator rekey -nonce=<nonce>

With -verify at -init the old shares stay valid until the new ones have been given
once, so that a lost share is noticed in time:

    $ jeton operator rekey -init -verify -key-shares=5 -key-threshold=3
    $ jeton operator rekey -verify -nonce=<nonce>`,
		arity: between(0, 1), surface: talks, build: buildRekey,
	}}
}

type rekeyFlags struct {
	begin, cancel, status, verify bool
	target, nonce                 string
	shares, threshold             int
	pgpKeys                       []string
	backup, retrieve, forget      bool
}

func buildRekey(f *flagSet) runFunc {
	p := &rekeyFlags{shares: defaultShares, threshold: defaultThreshold, target: "barrier"}
	f.truth(&p.begin, flagSpec{name: "init", usage: "Begin a rekey."})
	f.truth(&p.cancel, flagSpec{name: "cancel", usage: "Give the rekey up; with -verify, start verification again."})
	f.truth(&p.status, flagSpec{name: "status", usage: "Show the rekey."})
	f.truth(&p.verify, flagSpec{name: "verify", usage: "With -init: require verification. Otherwise: act on the verification."})
	f.str(&p.target, flagSpec{name: "target", usage: `"barrier" for unseal keys, "recovery" for recovery keys.`})
	f.number(&p.shares, flagSpec{name: "key-shares", aliases: []string{"n"}, usage: "How many new shares. The default is 5."})
	f.number(&p.threshold, flagSpec{name: "key-threshold", aliases: []string{"t"}, usage: "How many of them are needed. The default is 3."})
	f.str(&p.nonce, flagSpec{name: "nonce", usage: "Nonce of the rekey that a share is for."})
	f.list(&p.pgpKeys, flagSpec{name: "pgp-keys", usage: "Files with PGP public keys to encrypt the new shares with, one a share."})
	f.truth(&p.backup, flagSpec{name: "backup", usage: "Keep the encrypted new shares on the server; needs -pgp-keys."})
	f.truth(&p.retrieve, flagSpec{name: "backup-retrieve", usage: "Print the shares kept by -backup."})
	f.truth(&p.forget, flagSpec{name: "backup-delete", usage: "Delete the shares kept by -backup."})
	return func(s *session, args []string) error {
		target, err := rekeyTarget(p.target)
		if err != nil {
			return err
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		switch {
		case p.forget:
			return s.rekeyForget(c, target)
		case p.retrieve:
			return s.rekeyRetrieve(c, target)
		case p.cancel:
			return s.rekeyCancel(c, target, p)
		case p.begin:
			return s.rekeyBegin(c, target, p)
		case p.status && p.verify:
			st, err := target.verifyStatus(c.Sys())
			if err != nil {
				return s.remote("checking rekey verification status", err)
			}
			return s.verifyStatus(st)
		case p.status:
			st, err := target.status(c.Sys())
			if err != nil {
				return s.remote("checking rekey status", err)
			}
			return s.rekeyStatus(st)
		case p.verify:
			return s.rekeyVerify(c, target, p, args)
		}
		return s.rekeyProvide(c, target, p, args)
	}
}

// rekeyCalls are the endpoints of one kind of key: unseal or recovery keys.
type rekeyCalls struct {
	begin        func(*api.Sys, *api.RekeyInitRequest) (*api.RekeyStatusResponse, error)
	status       func(*api.Sys) (*api.RekeyStatusResponse, error)
	update       func(*api.Sys, string, string) (*api.RekeyUpdateResponse, error)
	cancel       func(*api.Sys) error
	verifyStatus func(*api.Sys) (*api.RekeyVerificationStatusResponse, error)
	verify       func(*api.Sys, string, string) (*api.RekeyVerificationUpdateResponse, error)
	verifyCancel func(*api.Sys) error
	retrieve     func(*api.Sys) (*api.RekeyRetrieveResponse, error)
	forget       func(*api.Sys) error
}

func rekeyTarget(name string) (rekeyCalls, error) {
	switch name {
	case "barrier":
		return rekeyCalls{
			begin: (*api.Sys).RekeyInit, status: (*api.Sys).RekeyStatus, update: (*api.Sys).RekeyUpdate, cancel: (*api.Sys).RekeyCancel,
			verifyStatus: (*api.Sys).RekeyVerificationStatus, verify: (*api.Sys).RekeyVerificationUpdate,
			verifyCancel: (*api.Sys).RekeyVerificationCancel,
			retrieve:     (*api.Sys).RekeyRetrieveBackup, forget: (*api.Sys).RekeyDeleteBackup,
		}, nil
	case "recovery", "hsm":
		return rekeyCalls{
			begin: (*api.Sys).RekeyRecoveryKeyInit, status: (*api.Sys).RekeyRecoveryKeyStatus, update: (*api.Sys).RekeyRecoveryKeyUpdate, cancel: (*api.Sys).RekeyRecoveryKeyCancel,
			verifyStatus: (*api.Sys).RekeyRecoveryKeyVerificationStatus, verify: (*api.Sys).RekeyRecoveryKeyVerificationUpdate,
			verifyCancel: (*api.Sys).RekeyRecoveryKeyVerificationCancel,
			retrieve:     (*api.Sys).RekeyRetrieveRecoveryBackup, forget: (*api.Sys).RekeyDeleteRecoveryBackup,
		}, nil
	}
	return rekeyCalls{}, local("Unknown target: %s", name)
}

func (s *session) rekeyBegin(c *api.Client, t rekeyCalls, p *rekeyFlags) error {
	keys, err := pgpFiles(p.pgpKeys)
	if err != nil {
		return err
	}
	st, err := t.begin(c.Sys(), &api.RekeyInitRequest{
		SecretShares: p.shares, SecretThreshold: p.threshold, PGPKeys: keys,
		Backup: p.backup, RequireVerification: p.verify,
	})
	if err != nil {
		return s.remote("initializing rekey", err)
	}
	if s.out.table() && len(keys) == 0 {
		s.con.warn("%s\n", wrap("WARNING! The new shares are shown once, to whoever gives the last old one. With -pgp-keys each "+
			"could be read by its holder only, and with -verify the old shares would stay valid until the new ones were used once.", lineWidth))
	}
	return s.rekeyStatus(st)
}

func (s *session) rekeyCancel(c *api.Client, t rekeyCalls, p *rekeyFlags) error {
	cancel, done := t.cancel, "Success! Canceled rekeying (if it was started)"
	if p.verify {
		cancel, done = t.verifyCancel, "Success! Restarted the verification of the rekey"
	}
	if err := cancel(c.Sys()); err != nil {
		return s.remote("canceling rekey", err)
	}
	return s.success("%s", done)
}

func (s *session) rekeyProvide(c *api.Client, t rekeyCalls, p *rekeyFlags, args []string) error {
	asIs := s.forReal(c)
	st, err := t.status(c.Sys())
	asIs()
	if err != nil {
		return s.remote("getting rekey status", err)
	}
	if !st.Started {
		return local("%s", wrap(fmt.Sprintf("No rekey is in progress. Start one with \"%s operator rekey -init\".", s.program), lineWidth))
	}
	nonce, err := s.nonceFor(p.nonce, st.Nonce, args)
	if err != nil {
		return err
	}
	key, err := s.share(args, fmt.Sprintf("Rekey operation nonce: %s\nUnseal Key (will be hidden): ", nonce))
	if err != nil {
		return err
	}
	out, err := t.update(c.Sys(), key, nonce)
	if err != nil {
		return s.remote("posting unseal key", err)
	}
	if out.Complete {
		return s.rekeyed(out, st)
	}
	if st, err = t.status(c.Sys()); err != nil {
		return s.remote("getting rekey status", err)
	}
	return s.rekeyStatus(st)
}

// rekeyed prints the new shares.
func (s *session) rekeyed(out *api.RekeyUpdateResponse, st *api.RekeyStatusResponse) error {
	if !s.out.table() {
		return s.machine(out)
	}
	for i, key := range out.KeysB64 {
		if i < len(out.PGPFingerprints) {
			s.con.printf("Key %d fingerprint: %s; value: %s", i+1, out.PGPFingerprints[i], key)
			continue
		}
		s.con.printf("Key %d: %s", i+1, key)
	}
	s.con.printf("\nOperation nonce: %s\n", out.Nonce)
	if out.VerificationRequired {
		s.con.print(wrap(fmt.Sprintf("There is a new unseal key of %d shares, of which %d unseal. It is not valid yet, the old one still is. "+
			"Give %d of the new shares with \"%s operator rekey -verify\" to change over. The nonce of the verification is:", st.N, st.T, st.T, s.program), lineWidth))
		s.con.printf("\n    %s", out.VerificationNonce)
		return nil
	}
	s.con.print(wrap(fmt.Sprintf("The unseal key now has %d shares, and %d of them unseal. Give each of the shares above to its holder. "+
		"The old shares are worth nothing from now on.", st.N, st.T), lineWidth))
	return nil
}

func (s *session) rekeyVerify(c *api.Client, t rekeyCalls, p *rekeyFlags, args []string) error {
	asIs := s.forReal(c)
	st, err := t.verifyStatus(c.Sys())
	asIs()
	if err != nil {
		return s.remote("getting rekey verification status", err)
	}
	if !st.Started {
		return local("No rekey verification is in progress.")
	}
	nonce, err := s.nonceFor(p.nonce, st.Nonce, args)
	if err != nil {
		return err
	}
	key, err := s.share(args, fmt.Sprintf("Rekey verification operation nonce: %s\nUnseal Key (will be hidden): ", nonce))
	if err != nil {
		return err
	}
	out, err := t.verify(c.Sys(), key, nonce)
	if err != nil {
		return s.remote("posting unseal key", err)
	}
	if out.Complete {
		if !s.out.table() {
			return s.machine(out)
		}
		return s.success("Success! Rekey verification operation complete. The new keys are valid, the old ones no longer.")
	}
	if st, err = t.verifyStatus(c.Sys()); err != nil {
		return s.remote("getting rekey verification status", err)
	}
	return s.verifyStatus(st)
}

func (s *session) rekeyRetrieve(c *api.Client, t rekeyCalls) error {
	kept, err := t.retrieve(c.Sys())
	if err != nil {
		return s.remote("retrieving rekey stored keys", err)
	}
	if !s.out.table() {
		return s.machine(kept)
	}
	rows := [][]string{{"Fingerprint", "Key"}}
	for _, fingerprint := range sortedKeys(kept.KeysB64) {
		for _, key := range kept.KeysB64[fingerprint] {
			rows = append(rows, []string{fingerprint, key})
		}
	}
	s.con.print(table(rows))
	return nil
}

func (s *session) rekeyForget(c *api.Client, t rekeyCalls) error {
	if err := t.forget(c.Sys()); err != nil {
		return s.remote("deleting rekey stored keys", err)
	}
	return s.success("Success! Delete stored keys (if they existed)")
}

func (s *session) rekeyStatus(st *api.RekeyStatusResponse) error {
	if !s.out.table() {
		return s.machine(st)
	}
	rows := [][]string{{"Key", "Value"}}
	add := func(k string, v any) { rows = append(rows, []string{k, fmt.Sprint(v)}) }
	add("Nonce", st.Nonce)
	add("Started", st.Started)
	if st.Started {
		if st.Progress == st.Required && st.VerificationRequired {
			add("Rekey Progress", fmt.Sprintf("%d/%d (verification in progress)", st.Progress, st.Required))
		} else {
			add("Rekey Progress", fmt.Sprintf("%d/%d", st.Progress, st.Required))
		}
		add("New Shares", st.N)
		add("New Threshold", st.T)
		add("Verification Required", st.VerificationRequired)
		if st.VerificationNonce != "" {
			add("Verification Nonce", st.VerificationNonce)
		}
	}
	if len(st.PGPFingerprints) > 0 {
		add("PGP Fingerprints", st.PGPFingerprints)
		add("Backup", st.Backup)
	}
	s.con.print(table(rows))
	return nil
}

func (s *session) verifyStatus(st *api.RekeyVerificationStatusResponse) error {
	if !s.out.table() {
		return s.machine(st)
	}
	s.con.print(table([][]string{
		{"Key", "Value"},
		{"Nonce", st.Nonce},
		{"Started", strconv.FormatBool(st.Started)},
		{"New Shares", strconv.Itoa(st.N)},
		{"New Threshold", strconv.Itoa(st.T)},
		{"Verification Progress", fmt.Sprintf("%d/%d", st.Progress, st.T)},
	}))
	return nil
}
