package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
)

// operatorCommands run a server: initialise, unseal, seal, rotate.
// contract: cli §6 "operator".
func operatorCommands() []command {
	return []command{
		{
			name: "operator", synopsis: "Perform operator-specific tasks",
			help: `Initialises, unseals and seals a server, and changes its keys.

    $ jeton operator init -key-shares=5 -key-threshold=3
    $ jeton operator unseal
    $ jeton operator seal`,
		},
		{
			name: "operator init", synopsis: "Initialize a server",
			help: `Initialises a server: makes its root key, splits it into shares, and prints
them and the first root token once. Give the shares to different people.

    $ jeton operator init
    $ jeton operator init -key-shares=1 -key-threshold=1 -format=json > init.json
    $ jeton operator init -pgp-keys=a.asc,b.asc,c.asc -key-shares=3 -key-threshold=2
    $ jeton operator init -status`,
			arity: exactly(0), surface: talks, build: buildInit,
		},
		{
			name: "operator unseal", args: "[KEY]", synopsis: "Unseal the server",
			help: `Gives the server one share of the unseal key, and prints how far it is. Without
KEY it asks, so that the share stays out of the shell's history; "-" reads it from
standard input.

    $ jeton operator unseal
    $ jeton operator unseal -reset`,
			arity: between(0, 1), surface: talks, build: buildUnseal,
		},
		{
			name: "operator seal", synopsis: "Seal the server",
			help: `Seals the server: it forgets its keys and answers nothing until it is unsealed.

    $ jeton operator seal`,
			arity: exactly(0), surface: talks,
			build: func(*flagSet) runFunc { return runSeal },
		},
		{
			name: "operator step-down", synopsis: "Make the server give up being the leader",
			help: `Makes the active server of a cluster give way to another.

    $ jeton operator step-down`,
			arity: exactly(0), surface: talks,
			build: func(*flagSet) runFunc { return runStepDown },
		},
		{
			name: "operator key-status", synopsis: "Show the encryption key in use",
			help: `Shows the term of the encryption key, since when it is used, and how often.

    $ jeton operator key-status`,
			arity: exactly(0), surface: talks,
			build: func(*flagSet) runFunc { return runKeyStatus },
		},
		{
			name: "operator rotate", synopsis: "Rotate the encryption key",
			help: `Makes a new key for what is written from now on. Old keys still read what they
wrote; nobody needs to give a share.

    $ jeton operator rotate`,
			arity: exactly(0), surface: talks,
			build: func(*flagSet) runFunc { return runRotate },
		},
		{
			name: "operator members", synopsis: "List the servers of the cluster",
			help: `Lists the servers of the cluster.

    $ jeton operator members`,
			arity: exactly(0), surface: talks,
			build: func(*flagSet) runFunc { return runMembers },
		},
	}
}

type initFlags struct {
	status                            bool
	shares, threshold, stored         int
	recoveryShares, recoveryThreshold int
	pgpKeys, recoveryPGPKeys          []string
	rootPGPKey                        string
}

func buildInit(f *flagSet) runFunc {
	p := &initFlags{stored: -1}
	f.truth(&p.status, flagSpec{name: "status", usage: "Only tell whether it is initialised: exit code 0 if so, 2 if not."})
	f.number(&p.shares, flagSpec{name: "key-shares", aliases: []string{"n"}, usage: "How many shares to split the unseal key into. The default is 5."})
	f.number(&p.threshold, flagSpec{name: "key-threshold", aliases: []string{"t"}, usage: "How many shares unseal. The default is 3."})
	f.list(&p.pgpKeys, flagSpec{name: "pgp-keys", usage: "Files with PGP public keys to encrypt the shares with, one a share."})
	f.str(&p.rootPGPKey, flagSpec{name: "root-token-pgp-key", usage: "File with the PGP public key to encrypt the root token with."})
	f.number(&p.recoveryShares, flagSpec{name: "recovery-shares", usage: "With auto-unseal: how many recovery shares. The default is 5."})
	f.number(&p.recoveryThreshold, flagSpec{name: "recovery-threshold", usage: "With auto-unseal: how many of them are needed. The default is 3."})
	f.list(&p.recoveryPGPKeys, flagSpec{name: "recovery-pgp-keys", usage: "With auto-unseal: files with PGP public keys, one a recovery share."})
	f.number(&p.stored, flagSpec{name: "stored-shares", usage: "Kept for old scripts; without effect.", hidden: true})
	return func(s *session, _ []string) error {
		c, err := s.bareClient()
		if err != nil {
			return err
		}
		if p.status {
			return s.initStatus(c)
		}
		return s.initialize(c, p, f)
	}
}

func (s *session) initStatus(c *api.Client) error {
	done, err := c.Sys().InitStatusWithContext(s.ctx)
	if err != nil {
		return asLocal(s.remote("checking initialization status", err))
	}
	if !s.out.table() {
		if err := s.machine(map[string]bool{"Initialized": done}); err != nil {
			return err
		}
	} else if done {
		s.con.print("Vault is initialized")
	} else {
		s.con.print("Vault is not initialized")
	}
	if !done {
		return quietly(exitRemote)
	}
	return nil
}

// Defaults of splitting a key, for unseal and recovery keys alike.
const (
	defaultShares    = 5
	defaultThreshold = 3
)

func (s *session) initialize(c *api.Client, p *initFlags, f *flagSet) error {
	asIs := s.forReal(c)
	st, err := c.Sys().SealStatusWithContext(s.ctx)
	asIs()
	if err != nil {
		return s.remote("checking seal status", err)
	}
	req := &api.InitRequest{RootTokenPGPKey: p.rootPGPKey}
	if req.PGPKeys, err = pgpFiles(p.pgpKeys); err != nil {
		return err
	}
	if req.RecoveryPGPKeys, err = pgpFiles(p.recoveryPGPKeys); err != nil {
		return err
	}
	if p.rootPGPKey != "" {
		keys, err := pgpFiles([]string{p.rootPGPKey})
		if err != nil {
			return err
		}
		req.RootTokenPGPKey = keys[0]
	}
	req.SecretShares, req.SecretThreshold = p.shares, p.threshold
	req.RecoveryShares, req.RecoveryThreshold = p.recoveryShares, p.recoveryThreshold
	orDefault := func(to *int, flag string, value int) {
		if !f.given(flag) {
			*to = value
		}
	}
	if st.RecoverySeal {
		orDefault(&req.RecoveryShares, "recovery-shares", defaultShares)
		orDefault(&req.RecoveryThreshold, "recovery-threshold", defaultThreshold)
	} else {
		if !f.given("key-shares") && !f.given("n") {
			req.SecretShares = defaultShares
		}
		if !f.given("key-threshold") && !f.given("t") {
			req.SecretThreshold = defaultThreshold
		}
	}
	resp, err := c.Sys().InitWithContext(s.ctx, req)
	if err != nil {
		return s.remote("initializing", err)
	}
	if !s.out.table() {
		return s.machine(initOutput(req, resp))
	}
	s.initText(req, resp)
	return nil
}

type initMachine struct {
	UnsealKeysB64     []string `json:"unseal_keys_b64"`
	UnsealKeysHex     []string `json:"unseal_keys_hex"`
	UnsealShares      int      `json:"unseal_shares"`
	UnsealThreshold   int      `json:"unseal_threshold"`
	RecoveryKeysB64   []string `json:"recovery_keys_b64"`
	RecoveryKeysHex   []string `json:"recovery_keys_hex"`
	RecoveryShares    int      `json:"recovery_keys_shares"`
	RecoveryThreshold int      `json:"recovery_keys_threshold"`
	RootToken         string   `json:"root_token"`
}

func initOutput(req *api.InitRequest, resp *api.InitResponse) initMachine {
	list := func(l []string) []string {
		if l == nil {
			return []string{}
		}
		return l
	}
	out := initMachine{
		UnsealKeysB64: list(resp.KeysB64), UnsealKeysHex: list(resp.Keys),
		UnsealShares: req.SecretShares, UnsealThreshold: req.SecretThreshold,
		RecoveryKeysB64: list(resp.RecoveryKeysB64), RecoveryKeysHex: list(resp.RecoveryKeys),
		RecoveryShares: req.RecoveryShares, RecoveryThreshold: req.RecoveryThreshold,
		RootToken: resp.RootToken,
	}
	if req.SecretShares == 0 { // auto-unseal keeps one share by itself
		out.UnsealShares, out.UnsealThreshold = 1, 1
	}
	return out
}

func (s *session) initText(req *api.InitRequest, resp *api.InitResponse) {
	for i, key := range resp.KeysB64 {
		s.con.printf("Unseal Key %d: %s", i+1, key)
	}
	for i, key := range resp.RecoveryKeysB64 {
		s.con.printf("Recovery Key %d: %s", i+1, key)
	}
	s.con.printf("\nInitial Root Token: %s\n", resp.RootToken)
	if len(resp.KeysB64) == 0 {
		s.con.print("Success! Vault is initialized")
		if len(resp.RecoveryKeysB64) > 0 {
			s.con.printf("\n%s", wrap(fmt.Sprintf("The recovery key has %d shares, of which %d are needed. Give each of the shares above "+
				"to its holder.", req.RecoveryShares, req.RecoveryThreshold), lineWidth))
		}
		return
	}
	s.con.print(wrap(fmt.Sprintf("Vault initialized with %d key shares and a key threshold of %d. Please securely "+
		"distribute the key shares printed above. When the Vault is re-sealed, restarted, or stopped, you must supply "+
		"at least %d of these keys to unseal it before it can start servicing requests.",
		req.SecretShares, req.SecretThreshold, req.SecretThreshold), lineWidth))
	s.con.print("\n" + wrap(fmt.Sprintf("Vault does not store the generated root key. Without at least %d keys to reconstruct "+
		"the root key, Vault will remain permanently sealed!", req.SecretThreshold), lineWidth))
	s.con.print("\n" + wrap(fmt.Sprintf("It is possible to generate new unseal keys, provided you have a quorum of existing "+
		"unseal keys shares. See \"%s operator rekey\" for more information.", s.program), lineWidth))
}

func buildUnseal(f *flagSet) runFunc {
	var reset, migrate bool
	f.truth(&reset, flagSpec{name: "reset", usage: "Forget the shares given so far."})
	f.truth(&migrate, flagSpec{name: "migrate", usage: "The share is for moving to another kind of seal."})
	return func(s *session, args []string) error {
		c, err := s.bareClient()
		if err != nil {
			return err
		}
		if reset {
			st, err := c.Sys().ResetUnsealProcessWithContext(s.ctx)
			if err != nil {
				return s.remote("resetting unseal process", err)
			}
			return s.sealStatus(st, nil)
		}
		key, err := s.share(args, "Unseal Key (will be hidden): ")
		if err != nil {
			return err
		}
		st, err := c.Sys().UnsealWithOptionsWithContext(s.ctx, &api.UnsealOpts{Key: key, Migrate: migrate})
		if err != nil {
			return s.remote("unsealing", err)
		}
		leader, err := c.Sys().LeaderWithContext(s.ctx)
		if err != nil {
			leader = nil // still sealed
		}
		return s.sealStatus(st, leader)
	}
}

// share is a key share: the argument, standard input for "-", or asked for.
func (s *session) share(args []string, prompt string) (string, error) {
	if len(args) > 0 {
		return s.secretArgument(args[0])
	}
	if s.req.nonInteractive {
		return "", local("A key is needed and -non-interactive is set")
	}
	key, err := s.con.askSecret(s.con.out, prompt)
	if err != nil {
		return "", local(`%s`, wrap("The key could not be asked for: "+err.Error()+". Run the command in a terminal, which is "+
			"safest, or give the key on standard input with \"-\" as the argument.", lineWidth))
	}
	return strings.TrimSpace(key), nil
}

func runSeal(s *session, _ []string) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	if err := c.Sys().SealWithContext(s.ctx); err != nil {
		return s.remote("sealing", err)
	}
	return s.success("Success! Vault is sealed.")
}

func runStepDown(s *session, _ []string) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	if err := c.Sys().StepDownWithContext(s.ctx); err != nil {
		return s.remote("stepping down", err)
	}
	return s.success("Success! Stepped down: %s", c.Address())
}

func runKeyStatus(s *session, _ []string) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	return s.keyStatus(c)
}

func (s *session) keyStatus(c *api.Client) error {
	st, err := c.Sys().KeyStatusWithContext(s.ctx)
	if err != nil {
		return s.remote("reading key status", err)
	}
	if !s.out.table() {
		return s.machine(st)
	}
	s.con.print(columns([][]string{
		{"Key Term", strconv.Itoa(st.Term)},
		{"Install Time", st.InstallTime.UTC().Format(time.RFC822)},
		{"Encryption Count", strconv.Itoa(st.Encryptions)},
	}))
	return nil
}

func runRotate(s *session, _ []string) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	if err := c.Sys().RotateWithContext(s.ctx); err != nil {
		return s.remote("rotating key", err)
	}
	if err := s.success("Success! Rotated key\n"); err != nil {
		return err
	}
	return s.keyStatus(c)
}

func runMembers(s *session, _ []string) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	st, err := c.Sys().HAStatusWithContext(s.ctx)
	if err != nil {
		return s.remote("listing members", err)
	}
	if !s.out.table() {
		return s.machine(st)
	}
	if len(st.Nodes) == 0 {
		return nothing("No members found: this server is not part of a cluster")
	}
	rows := [][]string{{"Host Name", "API Address", "Cluster Address", "Active Node", "Version", "Last Echo"}}
	for _, n := range st.Nodes {
		echo := ""
		if n.LastEcho != nil {
			echo = n.LastEcho.Format(time.RFC3339)
		}
		rows = append(rows, []string{n.Hostname, n.APIAddress, n.ClusterAddress, strconv.FormatBool(n.ActiveNode), n.Version, echo})
	}
	s.con.print(table(rows))
	return nil
}
