package auth

import (
	"fmt"
	"net/netip"
	"strings"
)

// ParsePrefixes reads addresses and CIDR blocks; a plain address is a block of one. Its error
// names the entry by number and does not repeat it.
func ParsePrefixes(list []string) ([]netip.Prefix, error) {
	if len(list) == 0 {
		return nil, nil
	}
	prefixes := make([]netip.Prefix, len(list))
	for i, text := range list {
		p, err := parsePrefix(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("entry %d is neither an IP address nor a CIDR block", i+1)
		}
		prefixes[i] = p
	}
	return prefixes, nil
}

// parsePrefix undoes the IPv4-in-IPv6 form, because remote addresses are compared without it.
func parsePrefix(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return netip.Prefix{}, err
		}
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p, nil
}

// FormatPrefixes writes prefixes as clients read them: a block of one address without its
// mask. Contract: auth-methods §1.
func FormatPrefixes(prefixes []netip.Prefix) []string {
	list := make([]string, len(prefixes))
	for i, p := range prefixes {
		if list[i] = p.String(); p.IsSingleIP() {
			list[i] = p.Addr().String()
		}
	}
	return list
}

// Within says whether addr lies in one of the prefixes. No prefixes are no bound. An address
// that is not known (a Unix socket's) lies in none.
func Within(prefixes []netip.Prefix, addr netip.Addr) bool {
	if len(prefixes) == 0 {
		return true
	}
	addr = addr.Unmap().WithZone("")
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// Subset says whether each of inner lies whole in one of outer. An empty outer bounds nothing.
func Subset(inner, outer []netip.Prefix) bool {
	if len(outer) == 0 {
		return true
	}
	for _, in := range inner {
		covered := false
		for _, out := range outer {
			covered = covered || (out.Bits() <= in.Bits() && out.Contains(in.Addr()))
		}
		if !covered {
			return false
		}
	}
	return true
}
