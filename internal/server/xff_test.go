package server

import (
	"net/netip"
	"testing"

	"jeton/internal/config"
)

// TestForwarded is contract config §3 x_forwarded_for_* and §10.14.
func TestForwarded(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	safe := config.Forwarded{Authorized: proxies, RejectNotPresent: true, RejectNotAuthorized: true}
	skipping := func(n int64) config.Forwarded { f := safe; f.HopSkips = n; return f }
	lenient := config.Forwarded{Authorized: proxies}
	const (
		missing      = "missing x-forwarded-for header and configured to reject when not present"
		unauthorized = "client address not authorized for x-forwarded-for and configured to reject connection"
	)
	tests := []struct {
		name    string
		rules   config.Forwarded
		peer    string
		headers []string
		client  string // "" where the peer is the client
		err     string
	}{
		{"off: the header is ignored", config.Forwarded{RejectNotPresent: true, RejectNotAuthorized: true}, "10.1.1.1:5", []string{"192.0.2.1"}, "", ""},
		{"the last hop", safe, "10.1.1.1:5", []string{"192.0.2.1"}, "192.0.2.1:5", ""},
		{"the port stays the peer's", safe, "10.1.1.1:777", []string{"192.0.2.1:12"}, "192.0.2.1:777", ""},
		{"hop_skips=0 takes the rightmost", safe, "10.1.1.1:5", []string{"192.0.2.1, 192.0.2.2"}, "192.0.2.2:5", ""},
		{"§10.14: hop_skips=1 with a, b is a", skipping(1), "10.1.1.1:5", []string{"192.0.2.1, 192.0.2.2"}, "192.0.2.1:5", ""},
		{"several headers are one chain", skipping(1), "10.1.1.1:5", []string{"192.0.2.9, 192.0.2.1", "192.0.2.2"}, "192.0.2.1:5", ""},
		{"hops beyond the chain", skipping(2), "10.1.1.1:5", []string{"192.0.2.1, 192.0.2.2"}, "",
			"malformed x-forwarded-for configuration or request, hops to skip (2) would skip before earliest chain link (chain length 2)"},
		{"a forged left end changes nothing", safe, "10.1.1.1:5", []string{"127.0.0.1, 192.0.2.2"}, "192.0.2.2:5", ""},
		{"not present", safe, "10.1.1.1:5", nil, "", missing},
		{"not present from elsewhere", safe, "192.0.2.9:5", nil, "", missing},
		{"not present, allowed", lenient, "10.1.1.1:5", nil, "", ""},
		{"not authorized", safe, "192.0.2.9:5", []string{"192.0.2.1"}, "", unauthorized},
		{"not authorized, allowed: not believed", lenient, "192.0.2.9:5", []string{"192.0.2.1"}, "", ""},
		{"a unix socket is nobody's proxy", safe, "@", []string{"192.0.2.1"}, "", unauthorized},
		{"IPv6", safe, "[fd00::1]:5", []string{"2001:db8::1"}, "[2001:db8::1]:5", ""},
		{"IPv6 in brackets", safe, "[fd00::1]:5", []string{"[2001:db8::1]"}, "[2001:db8::1]:5", ""},
		{"a proxy's address in IPv6 clothing", safe, "[::ffff:10.1.1.1]:5", []string{"192.0.2.1"}, "192.0.2.1:5", ""},
		{"a client's too", safe, "10.1.1.1:5", []string{"::ffff:192.0.2.1"}, "192.0.2.1:5", ""},
		{"no address", safe, "10.1.1.1:5", []string{"unknown"}, "", "malformed x-forwarded-for header: the hop to use is not an IP address"},
		{"empty", safe, "10.1.1.1:5", []string{""}, "", "malformed x-forwarded-for header: the hop to use is not an IP address"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client, named, err := forwarded(tt.rules, tt.peer, tt.headers)
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Fatalf("err = %v, want %q", err, tt.err)
				}
				if f := fail(err); f.status != 400 {
					t.Errorf("status %d, want 400", f.status)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if named != (tt.client != "") || named && client.String() != tt.client {
				t.Errorf("client %v (named: %t), want %q", client, named, tt.client)
			}
		})
	}
}
