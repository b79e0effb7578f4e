// Command jeton is a secrets server that speaks Vault's API, and its command
// line.
package main

import (
	"os"

	"jeton/internal/cli"
	"jeton/internal/daemon"
)

func main() {
	env := cli.System(daemon.Run)
	env.Check = daemon.Check
	os.Exit(cli.Run(os.Args, env))
}
