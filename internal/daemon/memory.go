package daemon

import "runtime/debug"

// How the garbage collector is set where the environment does not say (GOGC, GOMEMLIMIT). Every
// request makes garbage, while what lives is caches of fixed size: at Go's default the collector
// goes over the same caches many times a second, which was a fifth of a request's cost. It waits
// until there is five times what lives, but not beyond heapLimit, from where on it works as hard
// as it must. The store's cache and memtables are part of the heap, as the binary is built
// without cgo: with all caches full some 250 MB live, and the process stays below 600 MB.
const (
	heapGrowth = 400
	heapLimit  = 448 << 20
)

// tuneCollector sets the garbage collector. What the environment sets stays.
func tuneCollector(lookup func(name string) (string, bool)) {
	if _, set := lookup("GOGC"); !set {
		debug.SetGCPercent(heapGrowth)
	}
	if _, set := lookup("GOMEMLIMIT"); !set {
		debug.SetMemoryLimit(heapLimit)
	}
}
