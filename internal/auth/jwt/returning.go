package jwt

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"jeton/internal/backend"
)

// callbackMode says how a sign-in at the provider comes back to who began it. It is stored, and
// sealed into states: none may change its meaning.
type callbackMode uint8

// The modes. Contract: auth-methods §5.2 [B].
const (
	// byClient: the provider sends the browser to the client itself, which brings the code.
	byClient callbackMode = iota
	// byServer ("direct"): it sends the browser here, and the client asks until it has.
	byServer
	// byDevice ("device"): it sends the browser nowhere; the client asks, and the server asks the
	// provider (RFC 8628).
	byDevice
)

func (m callbackMode) String() string {
	switch m {
	case byServer:
		return "direct"
	case byDevice:
		return "device"
	}
	return "client"
}

// returning is a role's way back.
type returning struct {
	Mode callbackMode `cbor:"1,keyasint,omitempty"`
	// Interval is the least between two polls; 0 leaves it to the provider.
	Interval time.Duration `cbor:"2,keyasint,omitempty"`
	// Unconfirmed lets a direct login do without asking the person.
	Unconfirmed bool `cbor:"3,keyasint,omitempty"`
}

// returningParams write it; a nil field leaves what is stored as it is.
type returningParams struct {
	Mode        *string          `json:"callback_mode" doc:"How a sign-in in the browser comes back: client (the default of a new role), direct or device."`
	Interval    *backend.Seconds `json:"poll_interval" doc:"Time between two polls of direct and device logins; 0 is what the provider says, or 5 seconds."`
	Unconfirmed *bool            `json:"oidc_disable_confirmation" doc:"Complete direct logins without asking the person whether they began them. Whoever follows a stranger's link then logs the stranger in."`
}

type returningView struct {
	Mode        string `json:"callback_mode"`
	Unconfirmed bool   `json:"oidc_disable_confirmation"`
	Interval    int64  `json:"poll_interval"`
}

// mostInterval bounds what a client is told to wait between two polls.
const mostInterval = time.Minute

func (p returningParams) apply(r *returning) error {
	if p.Mode != nil && *p.Mode != "" {
		switch *p.Mode {
		case "client":
			r.Mode = byClient
		case "direct":
			r.Mode = byServer
		case "device":
			r.Mode = byDevice
		default:
			return backend.Invalidf("invalid 'callback_mode': want client, direct or device")
		}
	}
	setSeconds(&r.Interval, p.Interval)
	set(&r.Unconfirmed, p.Unconfirmed)
	if r.Interval > mostInterval {
		return backend.Invalidf("'poll_interval' is greater than %s", backend.FormatDuration(mostInterval))
	}
	return nil
}

func (r returning) view() returningView {
	return returningView{Mode: r.Mode.String(), Unconfirmed: r.Unconfirmed, Interval: whole(r.Interval)}
}

// directPath is where a mount receives the browser in direct mode, below the server's address.
func directPath(mount backend.Mount) string { return "/v1/" + mount.Path + "oidc/callback" }

// warnOfRedirects tells the operator of a role that cannot come back as it says.
func (r *roleRecord) warnOfRedirects(c *backend.Call) {
	if r.Type != typeOIDC || r.Returning.Mode != byServer {
		return
	}
	for _, text := range r.RedirectURIs {
		if u, err := url.Parse(text); err != nil || !strings.HasSuffix(u.Path, directPath(c.Mount)) {
			c.Warn("callback_mode is direct, but not every one of the allowed_redirect_uris ends in " + directPath(c.Mount) + ", where this mount receives the browser")
			return
		}
	}
}

// redirect is where a login under the role comes back to, of what was asked for: "" when it may
// not. A direct one comes back to the server, whose address the client need not know.
func (r *role) redirect(asked string) string {
	switch {
	case r.Returning.Mode == byDevice:
		return ""
	case r.Returning.Mode == byServer && !r.allows(asked):
		return r.RedirectURIs[0]
	case r.allows(asked):
		return asked
	}
	return ""
}

// allows says whether a login may come back to a redirect URI. A server's port counts; a device
// login comes back nowhere.
func (r *role) allows(redirect string) bool {
	switch r.Returning.Mode {
	case byClient:
		return redirectAllowed(r.RedirectURIs, redirect)
	case byServer:
		return slices.Contains(r.RedirectURIs, redirect)
	}
	return redirect == ""
}
