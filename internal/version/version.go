// Package version owns what the binary says about itself: Jeton's own version
// and the level of the Vault API that it speaks.
package version

import "fmt"

// API is the Vault API level this server and its command line speak. Existing
// clients read it from seal-status, health and "version" and switch features on
// it, so it names a Vault release and not ours (contract: observed, "What real
// clients lean on" 2).
const API = "1.20.0"

// Set by the linker (-ldflags "-X jeton/internal/version.own=1.2.3 ..."). They
// are never written at run time.
var (
	own       = "0.1.0-dev"
	revision  = "unknown"
	buildDate = ""
)

// Own returns Jeton's own version, without a leading "v".
func Own() string { return own }

// Revision returns the source revision the binary was built from, or "unknown".
func Revision() string { return revision }

// BuildDate returns the build time in RFC 3339, or "" when it was not recorded.
func BuildDate() string { return buildDate }

// Line returns the one line that "version" prints. Its second word is the API
// level with a "v" before it: clients cut the line at white space and parse
// that word (contract: cli §1).
func Line() string {
	line := fmt.Sprintf("Vault v%s API, served by Jeton v%s (%s)", API, own, revision)
	if buildDate != "" {
		line += ", built " + buildDate
	}
	return line
}
