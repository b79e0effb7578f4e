package cli

import (
	"os"
	"strings"

	"github.com/hashicorp/hcl/hcl/printer"
	"github.com/posener/complete"
)

// policyCommands manage policies. contract: cli §6 "policy".
func policyCommands() []command {
	return []command{
		{
			name: "policy", synopsis: "Interact with policies",
			help: `Lists, reads, writes and deletes policies.

    $ jeton policy write app app.hcl
    $ jeton policy read app`,
		},
		{
			name: "policy list", synopsis: "List the installed policies",
			help: `Lists the names of all policies.

    $ jeton policy list`,
			arity: exactly(0), surface: talks,
			build: func(*flagSet) runFunc { return runPolicyList },
		},
		{
			name: "policy read", args: "NAME", synopsis: "Print the contents of a policy",
			help: `Prints the rules of a policy.

    $ jeton policy read app > app.hcl`,
			arity: exactly(1), surface: shows, suggest: suggestPolicies,
			build: func(*flagSet) runFunc { return runPolicyRead },
		},
		{
			name: "policy write", args: "NAME FILE|-", synopsis: "Upload a policy from a file or standard input",
			help: `Uploads a policy. It replaces one of the same name.

    $ jeton policy write app app.hcl
    $ echo 'path "secret/data/app/*" { capabilities = ["read"] }' | jeton policy write app -`,
			arity: exactly(2), surface: talks, predict: complete.PredictFiles("*.hcl"),
			build: func(*flagSet) runFunc { return runPolicyWrite },
		},
		{
			name: "policy delete", args: "NAME", synopsis: "Delete a policy by name",
			help: `Deletes a policy. Tokens that have it lose at once what it gave.

    $ jeton policy delete app`,
			arity: exactly(1), surface: talks, suggest: suggestPolicies,
			build: func(*flagSet) runFunc { return runPolicyDelete },
		},
		{
			name: "policy fmt", args: "FILE", synopsis: "Format a policy on disk",
			help: `Rewrites a policy file in the usual layout. No server is asked.

    $ jeton policy fmt app.hcl`,
			arity: exactly(1), surface: silent, predict: complete.PredictFiles("*.hcl"),
			build: func(*flagSet) runFunc { return runPolicyFmt },
		},
	}
}

func runPolicyList(s *session, _ []string) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	names, err := c.Sys().ListPoliciesWithContext(s.ctx)
	if err != nil {
		return s.remote("listing policies", err)
	}
	if !s.out.table() {
		return s.machine(names)
	}
	for _, n := range names {
		s.con.print(n)
	}
	return nil
}

func policyName(arg string) string { return strings.ToLower(strings.TrimSpace(arg)) }

func runPolicyRead(s *session, args []string) error {
	name := policyName(args[0])
	c, err := s.client()
	if err != nil {
		return err
	}
	rules, err := c.Sys().GetPolicyWithContext(s.ctx, name)
	if err != nil {
		return s.remote("reading policy named "+name, err)
	}
	if rules == "" {
		return nothing("No policy named: %s", name)
	}
	switch {
	case s.out.field != "":
		return s.value(map[string]any{"policy": rules}[s.out.field], s.out.field)
	case !s.out.table():
		return s.machine(map[string]string{"policy": rules})
	}
	s.con.print(strings.TrimSpace(rules))
	return nil
}

func runPolicyWrite(s *session, args []string) error {
	name := policyName(args[0])
	if given := strings.TrimSpace(args[0]); given != name && s.out.table() {
		s.con.warn("Policy name was converted from %q to %q", given, name)
	}
	rules, err := s.policyRules(args[1])
	if err != nil {
		return err
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	if err := c.Sys().PutPolicyWithContext(s.ctx, name, rules); err != nil {
		return s.remote("uploading policy", err)
	}
	return s.success("Success! Uploaded policy: %s", name)
}

func (s *session) policyRules(from string) (string, error) {
	if from == "-" {
		rules, err := s.con.readAll()
		if err != nil {
			return "", local("Error reading policy: %s", err)
		}
		return rules, nil
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return "", local("Error opening policy file: %s", err)
	}
	return string(b), nil
}

func runPolicyDelete(s *session, args []string) error {
	name := policyName(args[0])
	c, err := s.client()
	if err != nil {
		return err
	}
	if err := c.Sys().DeletePolicyWithContext(s.ctx, name); err != nil {
		return s.remote("deleting "+name, err)
	}
	return s.success("Success! Deleted policy: %s", name)
}

func runPolicyFmt(s *session, args []string) error {
	path := strings.TrimSpace(args[0])
	info, err := os.Stat(path)
	if err != nil {
		return local("Error opening policy file: %s", err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return local("Error reading policy: %s", err)
	}
	formatted, err := printer.Format(b)
	if err != nil {
		return local("Error formatting policy: %s", err)
	}
	if err := os.WriteFile(path, formatted, info.Mode().Perm()); err != nil {
		return local("Error writing policy: %s", err)
	}
	return s.success("Success! Formatted policy: %s", path)
}
