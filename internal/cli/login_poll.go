package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/hashicorp/vault/api"
)

const (
	// usualPoll is between two polls where the server names no time; slowerBy is added when it
	// wants them slower (RFC 8628 §3.2, §3.5).
	usualPoll = 5 * time.Second
	slowerBy  = 5 * time.Second
	mostPoll  = time.Minute
)

// begunLogin is what the server answers to who begins a login in the browser.
type begunLogin struct {
	// address is where to sign in.
	address string
	// state, if there is one, is what to poll with: the role's callback_mode is direct or device.
	state, mode, userCode string
	interval, life        time.Duration
	// browserState is the state in the address, which the browser brings back.
	browserState string
}

// readBegun checks what the server sent: it is shown on a terminal and opened by a browser.
func readBegun(data map[string]any) (*begunLogin, bool) {
	text := func(name string) string {
		v, ok := data[name]
		if !ok || v == nil {
			return ""
		}
		return fmt.Sprint(v)
	}
	b := &begunLogin{address: text("auth_url"), state: text("state"), mode: text("callback_mode"), userCode: text("user_code"),
		interval: inSeconds(text("poll_interval"), usualPoll, mostPoll), life: inSeconds(text("expires_in"), browserWait, time.Hour)}
	u, err := url.Parse(b.address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return b, false
	}
	b.browserState = u.Query().Get("state")
	return b, !strings.ContainsFunc(b.address+b.userCode, func(c rune) bool { return !unicode.IsPrint(c) })
}

func inSeconds(text string, usual, most time.Duration) time.Duration {
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		return usual
	}
	return time.Duration(min(n, int(most.Seconds()))) * time.Second
}

// collect waits for a person to sign in somewhere else, and asks the server for the token until
// they have.
func (w *browserWaiter) collect(ctx context.Context, s *session, c *api.Client, b *begunLogin) (*api.Secret, error) {
	ctx, cancel := context.WithTimeout(ctx, b.life)
	defer cancel()
	code := ""
	switch {
	case b.userCode != "" && b.mode == "direct":
		code = fmt.Sprintf("The page at the end must show this code. If it does not, do not go on there:\n\n    %s\n\n", b.userCode)
	case b.userCode != "":
		code = fmt.Sprintf("The page must show this code, or ask you for it:\n\n    %s\n\n", b.userCode)
	}
	s.con.warn("To log in, open this address in a browser, on any machine:\n\n    %s\n\n%sWaiting for the provider to say that you have signed in …", b.address, code)
	every := b.interval
	next := time.NewTimer(every)
	defer next.Stop()
	for {
		select {
		case <-next.C:
		case <-ctx.Done():
			return nil, gaveUp(ctx, b.life)
		}
		sec, err := c.Logical().WriteWithContext(ctx, "auth/"+w.mount+"/oidc/poll", map[string]any{"state": b.state, "client_nonce": w.clientNonce})
		switch again, slower := notYet(err); {
		case err == nil && sec == nil:
			return nil, nothing("Error authenticating: the server answered with nothing")
		case err == nil:
			return sec, nil
		case ctx.Err() != nil:
			return nil, gaveUp(ctx, b.life)
		case !again:
			return nil, s.refusedLogin(err)
		case slower:
			every = min(every+slowerBy, mostPoll)
		}
		next.Reset(every)
	}
}

// notYet says whether a poll's error is a reason to poll again, and slower. A provider or a server
// that is away for a moment has decided nothing.
func notYet(err error) (again, slower bool) {
	var re *api.ResponseError
	if !errors.As(err, &re) {
		return false, false
	}
	switch re.StatusCode {
	case http.StatusBadRequest:
		slower = slices.Contains(re.Errors, "slow_down")
		return slower || slices.Contains(re.Errors, "authorization_pending"), slower
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true, true
	}
	return false, false
}

// gaveUp says why the waiting ended.
func gaveUp(ctx context.Context, waited time.Duration) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nothing("Error authenticating: nobody signed in within %s", waited)
	}
	return local("Error authenticating: interrupted")
}
