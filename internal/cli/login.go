package cli

import (
	"strings"

	"github.com/hashicorp/vault/api"
	"github.com/posener/complete"
)

// loginCommands authenticate and keep the token. contract: cli §6 "login".
func loginCommands() []command {
	return []command{{
		name: "login", args: "[AUTH K=V...]", synopsis: "Authenticate locally",
		help: `Authenticates and keeps the token for the commands that follow. Without
arguments it asks for a token; "-" reads the token from standard input, which keeps
it out of the shell's history.

    $ jeton login
    $ jeton login - < token.txt
    $ jeton login -method=userpass username=ann
    $ jeton login -method=approle role_id=db-reader
    $ jeton login -method=jwt role=ci jwt=@token.jwt
    $ jeton login -method=oidc role=developer

What is not given and is needed is asked for. A password or a JWT as an argument is
seen by everybody on the machine: let it be asked for, or give it as jwt=@FILE or
jwt=- (standard input).

With -method=oidc you sign in in the browser. Its settings are pairs too: role,
listenaddress and port (where this command waits for the browser; localhost and
8250), callbackhost, callbackport and callbackmethod (where the provider sends the
browser, if that is another address), skip_browser=true (do not open one). Where the
role's callback_mode is direct or device, nothing comes back here: you sign in on any
machine, and this command waits. callbackmode=direct or device says so beforehand,
so that no port is listened on.`,
		arity: atLeast(0), surface: shows, predict: complete.PredictNothing,
		build: buildLogin,
	}}
}

type loginFlags struct {
	method, path string
	noStore      bool
	noPrint      bool
	tokenOnly    bool
}

func buildLogin(f *flagSet) runFunc {
	p := &loginFlags{method: "token"}
	f.str(&p.method, flagSpec{name: "method", usage: "How to authenticate: " + strings.Join(sortedKeys(loginMethods()), ", ") + ". The default is token.", predict: complete.PredictSet(sortedKeys(loginMethods())...)})
	f.str(&p.path, flagSpec{name: "path", usage: "Where the method is mounted; by default at its own name."})
	f.truth(&p.noStore, flagSpec{name: "no-store", usage: "Do not keep the token."})
	f.truth(&p.noPrint, flagSpec{name: "no-print", usage: "Do not print the token."})
	f.truth(&p.tokenOnly, flagSpec{name: "token-only", usage: "Print the token and nothing else, and do not keep it."})
	return func(s *session, args []string) error {
		if p.tokenOnly {
			s.out.field, p.noStore = "token", true
		}
		return s.login(p, args)
	}
}

func (s *session) login(p *loginFlags, args []string) error {
	name := strings.ToLower(trimPath(p.method))
	method, ok := loginMethods()[name]
	if !ok {
		return local(`Unknown auth method: %s%s. "%s auth list" shows what the server has; methods that this command does not know can be used with "%s write".`,
			p.method, didYouMean(name, sortedKeys(loginMethods())), s.program, s.program)
	}
	in, err := s.loginInput(name, args)
	if err != nil {
		return err
	}
	// "path" and "mount" as K=V are the older spelling of -path.
	mount := trimPath(p.path)
	for _, key := range []string{"mount", "path"} {
		if v := in.get(key); v != "" && mount == "" {
			mount = trimPath(v)
		}
		delete(in.values, key)
	}
	if mount = strings.TrimPrefix(mount, "auth/"); mount == "" {
		mount = name
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	sec, err := method(s, c, mount, in)
	if err != nil {
		return err
	}
	return s.loggedIn(p, c, sec)
}

// loggedIn unwraps the answer if it is wrapped, keeps the token and prints.
func (s *session) loggedIn(p *loginFlags, c *api.Client, sec *api.Secret) error {
	if sec != nil && sec.WrapInfo != nil {
		if p.tokenOnly {
			return s.fieldOf(sec, "wrapping_token")
		}
		if p.noStore {
			return s.secret(sec)
		}
		c.SetWrappingLookupFunc(func(string, string) string { return "" })
		c.ClearToken()
		var err error
		if sec, err = c.Logical().UnwrapWithContext(s.ctx, sec.WrapInfo.Token); err != nil {
			return s.remote("unwrapping the login", err)
		}
	}
	switch {
	case sec == nil:
		return nothing("The server answered the login with nothing.")
	case sec.Auth == nil:
		return nothing("The server answered without a token; nothing was stored.")
	case sec.Auth.MFARequirement != nil && sec.Auth.ClientToken == "":
		if !s.out.table() {
			return s.machine(sec)
		}
		return nothing(`The login needs a second factor: validate request %s with "%s write sys/mfa/validate".`, sec.Auth.MFARequirement.MFARequestID, s.program)
	}
	if err := s.keepToken(p, sec.Auth.ClientToken); err != nil {
		return err
	}
	if p.noPrint {
		return nil
	}
	if s.out.field != "" {
		return s.fieldOf(sec, s.out.field)
	}
	if s.out.table() && !p.noStore {
		s.con.print(wrap(named("Success! You are now authenticated. The token information displayed "+
			"below is already stored in the token helper. You do NOT need to run "+
			"\"jeton login\" again. Future Vault requests will automatically use this token.", s.program), lineWidth) + "\n")
	}
	return s.secret(sec)
}

func (s *session) keepToken(p *loginFlags, token string) error {
	if p.noStore {
		if !p.tokenOnly && s.out.table() {
			s.con.warn("%s\n", wrap("The token was not stored. To use it, set VAULT_TOKEN to it.", lineWidth))
		}
		return nil
	}
	store, err := openTokenStore(s.env)
	if err == nil {
		err = store.save(token)
	}
	if err != nil {
		return local("Error storing token: %s\n\nThe login itself went well. With -no-store it shows the token instead of storing it.", err)
	}
	if _, from := s.env.variable("TOKEN"); from != "" {
		s.con.warn("%s\n", wrap("WARNING! The "+from+" environment variable is set! Commands go on using "+
			"its value, not the token that was stored just now. Unset it to use the new one.", lineWidth))
	}
	return nil
}

// loginInput reads the arguments of login.
func (s *session) loginInput(method string, args []string) (*loginValues, error) {
	in := &loginValues{values: map[string]any{}}
	if method == "token" && len(args) == 1 && !strings.Contains(args[0], "=") && !strings.HasPrefix(args[0], "@") {
		token, err := s.secretArgument(args[0])
		if err != nil {
			return nil, err
		}
		in.values["token"] = token
		return in, nil
	}
	data, err := s.con.parseData(args)
	if err != nil {
		return nil, local("Error parsing configuration: %s", err)
	}
	in.values = data
	return in, nil
}
