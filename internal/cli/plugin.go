package cli

// pluginCommands show what engines and methods the server has compiled in.
func pluginCommands() []command {
	return []command{
		{
			name: "plugin", synopsis: "Interact with the catalogue of engines and methods",
			help: `Shows which secrets engines and auth methods the server has.

    $ jeton plugin list`,
		},
		{
			name: "plugin list", args: "[TYPE]", synopsis: "List available engines and methods",
			help: `Lists what can be enabled: all, or of TYPE auth, secret or database.

    $ jeton plugin list auth`,
			arity: between(0, 1), surface: talks,
			build: func(*flagSet) runFunc { return runPluginList },
		},
	}
}

func runPluginList(s *session, args []string) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	sec, err := c.Logical().ReadWithContext(s.ctx, "sys/plugins/catalog")
	if err != nil {
		return s.remote("listing available plugins", err)
	}
	if sec == nil {
		return nothing("No plugin catalog found")
	}
	kinds := []string{"auth", "database", "secret"}
	if len(args) == 1 {
		kinds = []string{trimPath(args[0])}
	}
	found := make(map[string]any)
	rows := [][]string{{"Name", "Type"}}
	for _, kind := range kinds {
		names, ok := sec.Data[kind].([]any)
		if !ok {
			continue
		}
		found[kind] = names
		for _, n := range names {
			rows = append(rows, []string{cell(n), kind})
		}
	}
	if !s.out.table() {
		return s.machine(found)
	}
	if len(rows) == 1 {
		return nothing("No plugins found")
	}
	s.warnings(sec)
	s.con.print(table(rows))
	return nil
}
