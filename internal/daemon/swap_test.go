package daemon

import (
	"strings"
	"testing"
	"testing/fstest"
)

// TestSwapWarning: memory that is not locked is told of where it may be swapped, and only there.
func TestSwapWarning(t *testing.T) {
	const heading = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
	const swaps = heading + "/swap.img                               file\t\t4194300\t\t0\t\t-2\n"
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for name, row := range map[string]struct {
		files fstest.MapFS
		warns bool
	}{
		"no /proc":                 {fstest.MapFS{}, false},
		"no swap":                  {fstest.MapFS{"proc/swaps": file(heading)}, false},
		"swap":                     {fstest.MapFS{"proc/swaps": file(swaps)}, true},
		"swap, and a group's own":  {fstest.MapFS{"proc/swaps": file(swaps), "proc/self/cgroup": file("0::/system.slice/jeton.service\n"), "sys/fs/cgroup/system.slice/jeton.service/memory.swap.max": file("0\n")}, false},
		"swap, and a group's most": {fstest.MapFS{"proc/swaps": file(swaps), "proc/self/cgroup": file("0::/a\n"), "sys/fs/cgroup/a/memory.swap.max": file("max\n")}, true},
		"swap, and old groups":     {fstest.MapFS{"proc/swaps": file(swaps), "proc/self/cgroup": file("4:memory:/a\n")}, true},
	} {
		if got := swapWarning(row.files); (got != "") != row.warns || (row.warns && !strings.Contains(got, "MemorySwapMax=0")) {
			t.Errorf("%s: %q", name, got)
		}
	}
}
