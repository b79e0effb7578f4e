package cli

// absentCommands are commands of Vault that are not here. They exist so that a script that calls
// one fails with the reason instead of "unknown command", and they do nothing else. Help does not
// list them.
func absentCommands() []command {
	const agent = `Run Vault's own agent (or OpenBao's) with its address set to this server: it speaks the same
API, and renews and caches tokens as it does with Vault. consul-template and envconsul work too.`
	const raft = `This server does not store with Raft: a server keeps its own data, so there are no peers to list,
join or remove. Back up with "jeton operator snapshot save", and see docs/operations.md.`
	const plugins = `Engines and auth methods are compiled in; external plugins cannot be loaded.
"jeton plugin list" shows what there is.`
	const namespaces = `This server has no namespaces. Give every team a path of its own ("jeton secrets enable
-path=team-a/kv kv-v2") and policies that stay below it, or a server of its own.`
	const pki = `The pki commands are not part of this program. Where "jeton plugin list" shows a pki engine, its
API is reached with "jeton write", "jeton read" and "jeton list".`
	var rows []command
	for _, a := range []struct{ name, instead string }{
		{"agent", agent},
		{"agent generate-config", agent},
		{"proxy", agent},
		{"namespace", namespaces},
		{"namespace create", namespaces},
		{"namespace list", namespaces},
		{"namespace lookup", namespaces},
		{"namespace patch", namespaces},
		{"namespace delete", namespaces},
		{"namespace lock", namespaces},
		{"namespace unlock", namespaces},
		{"events", `This server sends no events. The audit log has every request: see docs/audit.md.`},
		{"events subscribe", `This server sends no events. The audit log has every request: see docs/audit.md.`},
		{"ssh", `There is no ssh engine here. Sign keys with OpenSSH's own certificate authority (ssh-keygen -s),
and keep its key in kv.`},
		{"hcp", `This program does not know HashiCorp's cloud. Set VAULT_ADDR to the address of a server.`},
		{"transform", `There is no transform engine here.`},
		{"transit", `These are helpers around importing keys into transit. Where "jeton plugin list" shows a transit
engine, its import endpoints are reached with "jeton write".`},
		{"transit import", `Wrap the key as the API documents it and send it with "jeton write <mount>/keys/<name>/import".`},
		{"transit import-version", `Wrap the key as the API documents it and send it with "jeton write <mount>/keys/<name>/import_version".`},
		{"pki", pki},
		{"pki health-check", pki},
		{"pki issue", pki},
		{"pki list-intermediates", pki},
		{"pki reissue", pki},
		{"pki verify-sign", pki},
		{"plugin register", plugins},
		{"plugin deregister", plugins},
		{"plugin reload", plugins},
		{"plugin reload-status", plugins},
		{"plugin runtime", plugins},
		{"plugin init", plugins},
		{"operator diagnose", `Start the server: it names every problem of its configuration with file, line and key. "jeton
operator check -config=FILE" proves that the data of a stopped server is sound.`},
		{"operator migrate", `Data is not copied between storages file by file. "jeton operator import" moves everything over
the API, and "jeton operator snapshot save" and "restore" move a server's data as it is.`},
		{"operator usage", `This server counts no client activity. "jeton token count" counts tokens by policy, role and
path, and "jeton read sys/internal/counters/tokens" is what dashboards read.`},
		{"operator utilization", `There is no licence here, and so no utilisation report.`},
		{"operator raft list-peers", raft},
		{"operator raft join", raft},
		{"operator raft remove-peer", raft},
		{"operator raft promote", raft},
		{"operator raft demote", raft},
		{"operator raft autopilot", raft},
		{"operator raft autopilot state", raft},
		{"operator raft autopilot get-config", raft},
		{"operator raft autopilot set-config", raft},
	} {
		rows = append(rows, absent(a.name, a.instead))
	}
	return rows
}

func absent(name, instead string) command {
	return command{
		name: name, hidden: true, synopsis: "Not part of this program",
		args: "...", arity: atLeast(0), surface: silent,
		help:   "This command of Vault's is not here.\n\n" + instead,
		absent: instead,
	}
}

// refuseAbsent is what running such a command comes to, whatever flags it is given.
func (i *invocation) refuseAbsent() error {
	return local("%s", named("jeton "+i.row.name+" is not here.\n\n"+i.row.absent, i.program))
}
