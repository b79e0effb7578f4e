package daemon

import (
	"io/fs"
	"path"
	"strings"
)

// swapWarning is what an operator has to know about swap: memory is not locked, so that keys and
// tokens may be written to a disk that is not encrypted. It is "" where the system, seen
// through its root, has no swap, or lets this process's control group have none. A system
// that does not say (no /proc) gets no warning: it is in the documents.
func swapWarning(root fs.FS) string {
	swaps, err := fs.ReadFile(root, "proc/swaps")
	if err != nil || strings.Count(strings.TrimSpace(string(swaps)), "\n") == 0 {
		return "" // the first line is the heading
	}
	group, err := fs.ReadFile(root, "proc/self/cgroup")
	if err == nil {
		for line := range strings.Lines(string(group)) {
			// Version 2 has one hierarchy, "0::/path".
			at, ok := strings.CutPrefix(strings.TrimSpace(line), "0::/")
			if !ok {
				continue
			}
			most, err := fs.ReadFile(root, path.Join("sys/fs/cgroup", at, "memory.swap.max"))
			if err == nil && strings.TrimSpace(string(most)) == "0" {
				return ""
			}
		}
	}
	return "memory is not locked and this machine has swap: keys and tokens may come to lie on its disk; " +
		"switch swap off, encrypt it, or let systemd keep this process out of it (MemorySwapMax=0, as deploy/jeton.service has it)"
}
