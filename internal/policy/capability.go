package policy

import (
	"math/bits"
	"strings"
)

// Capability is a set of rights over a path, one bit each.
type Capability uint16

// The capabilities a rule can name. Subscribe and Recover are accepted in documents for the
// sake of policies written for other servers; no operation here asks for them.
const (
	Create Capability = 1 << iota
	Delete
	Deny
	List
	Patch
	Read
	Recover
	Subscribe
	Sudo
	Update
)

// capabilityNames are in the order of the bits, which is the alphabetical one, so that
// Names needs no sorting.
var capabilityNames = [...]string{
	"create", "delete", "deny", "list", "patch", "read", "recover", "subscribe", "sudo", "update",
}

// capabilityOf returns the capability called name; names are case-sensitive (contract: policies §1.3).
func capabilityOf(name string) (Capability, bool) {
	for i, n := range capabilityNames {
		if n == name {
			return 1 << i, true
		}
	}
	return 0, false
}

// Names returns the names of the capabilities in c, sorted.
func (c Capability) Names() []string {
	names := make([]string, 0, bits.OnesCount16(uint16(c)))
	for i, n := range capabilityNames {
		if c&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return names
}

// String is the sorted names of c, separated by commas.
func (c Capability) String() string { return strings.Join(c.Names(), ",") }

// usable says whether c lets its holder do anything at all.
func (c Capability) usable() bool { return c != 0 && c&Deny == 0 }

// shown are the names that clients see for c: a rule that grants nothing shows as deny
// (contract: policies §11).
func (c Capability) shown() []string {
	if !c.usable() {
		return []string{"deny"}
	}
	return c.Names()
}
