package server

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"jeton/internal/backend"
	"jeton/internal/config"
)

// maxTokenHeader bounds the header that carries a token, in bytes; cves §5.
const maxTokenHeader = 8 << 10

// admitPeer is the first step of every request on this listener: what it refuses is refused before
// anything is read, decoded or looked up. r is the request to go on with.
func (s *Server) admitPeer(r *http.Request) (next *http.Request, refused *reply) {
	for _, name := range []string{"X-Vault-Token", "Authorization"} {
		for _, value := range r.Header[name] {
			if len(value) > maxTokenHeader {
				return r, errorsReply(http.StatusRequestHeaderFieldsTooLarge, "the token header is too large")
			}
		}
	}
	if s.listener.RequireRequestHeader && r.Header.Get("X-Vault-Request") != "true" {
		return r, errorsReply(http.StatusPreconditionFailed, "missing 'X-Vault-Request' header")
	}
	client, named, err := forwarded(s.listener.Forwarded, r.RemoteAddr, r.Header["X-Forwarded-For"])
	if err != nil {
		out := s.errorReply(err)
		return r, &out
	}
	if named {
		r = r.WithContext(context.WithValue(r.Context(), remoteKey{}, client))
	}
	switch next, err := certify(s.listener.Forwarded, r); {
	case errors.Is(err, errLargeCertificate):
		return next, errorsReply(http.StatusRequestHeaderFieldsTooLarge, err.Error())
	case err != nil:
		out := s.errorReply(err)
		return next, &out
	default:
		return next, nil
	}
}

// errorsReply is an error whose status no backend knows.
func errorsReply(status int, text string) *reply {
	return &reply{status: status, body: failure{texts: []string{text}}.body()}
}

// forwarded is the client that a trusted proxy names; named is false where the peer is the
// client. The port stays the peer's. Contract: config §3 x_forwarded_for_*.
func forwarded(rules config.Forwarded, peer string, headers []string) (client netip.AddrPort, named bool, err error) {
	if len(rules.Authorized) == 0 {
		return client, false, nil
	}
	if len(headers) == 0 {
		if rules.RejectNotPresent {
			return client, false, backend.Invalidf("missing x-forwarded-for header and configured to reject when not present")
		}
		return client, false, nil
	}
	from, ok := authorized(rules, peer)
	if !ok {
		if rules.RejectNotAuthorized {
			return client, false, backend.Invalidf("client address not authorized for x-forwarded-for and configured to reject connection")
		}
		return client, false, nil
	}
	chain := strings.Split(strings.Join(headers, ","), ",")
	at := int64(len(chain)) - 1 - rules.HopSkips
	if at < 0 {
		return client, false, backend.Invalidf("malformed x-forwarded-for configuration or request, "+
			"hops to skip (%d) would skip before earliest chain link (chain length %d)", rules.HopSkips, len(chain))
	}
	ip, ok := hopAddr(strings.TrimSpace(chain[at]))
	if !ok {
		return client, false, backend.Invalidf("malformed x-forwarded-for header: the hop to use is not an IP address")
	}
	return netip.AddrPortFrom(ip, from.Port()), true, nil
}

// authorized says that the peer is one of the proxies that are believed. A unix socket's peer has no
// address, and is nobody's proxy.
func authorized(rules config.Forwarded, peer string) (proxy netip.AddrPort, ok bool) {
	from, err := netip.ParseAddrPort(peer)
	return from, err == nil && containsIP(rules.Authorized, from.Addr())
}

// hopAddr reads one hop: an address, with or without port and brackets.
func hopAddr(hop string) (netip.Addr, bool) {
	if ip, err := netip.ParseAddr(strings.Trim(hop, "[]")); err == nil {
		return ip.Unmap(), true
	}
	both, err := netip.ParseAddrPort(hop)
	return both.Addr().Unmap(), err == nil
}
