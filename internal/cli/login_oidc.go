package cli

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/vault/api"
)

const (
	// browserWait is how long the server lets a person take to sign in.
	browserWait = 5 * time.Minute
	// pageWait bounds what the browser may take to send its answer and to fetch the page.
	pageWait     = 10 * time.Second
	callbackPath = "/oidc/callback"
	mostCallback = 64 << 10
)

// loginOIDC has a person sign in in the browser. How the sign-in comes back is the role's choice,
// which the server's answer tells: this program listens on the address that the provider sends the
// browser back to, and takes what it brings to the server; or it asks the server until it has it.
func loginOIDC(s *session, c *api.Client, mount string, in *loginValues) (*api.Secret, error) {
	ctx, stop := signal.NotifyContext(s.ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	w := &browserWaiter{mount: mount, clientNonce: rand.Text(), done: make(chan brought, 1)}
	var listener net.Listener
	var redirect string
	var busy error
	mode := in.get("callbackmode")
	switch mode {
	case "", "client":
		host := orElse(in.get("listenaddress"), "localhost")
		if listener, busy = net.Listen("tcp", net.JoinHostPort(host, orElse(in.get("port"), "8250"))); busy != nil {
			break // The role may not need it.
		}
		defer listener.Close()
		var err error
		if redirect, err = callbackURL(listener, host, in); err != nil {
			return nil, err
		}
	case "direct":
		redirect = strings.TrimSuffix(c.Address(), "/") + "/v1/auth/" + mount + callbackPath
	case "device":
	default:
		return nil, local("Error authenticating: callbackmode is client, direct or device, as the role's callback_mode")
	}
	begun, err := w.begin(ctx, s, c, in.get("role"), redirect)
	switch {
	case ctx.Err() != nil:
		return nil, gaveUp(ctx, browserWait)
	case listener == nil && (err != nil && strings.Contains(err.Error(), "missing redirect_uri") || err == nil && begun.state == ""):
		if busy != nil {
			return nil, local("Error authenticating: cannot listen for the browser's answer: %s\n\n"+
				"port=N takes another port (0: one that is free); the role's redirect URIs need not name it.", busy)
		}
		return nil, nothing("Error authenticating: the role's callback_mode is not %s: leave callbackmode away, and this command does as the role says", mode)
	case err != nil:
		return nil, err
	case begun.state != "":
		return w.collect(ctx, s, c, begun)
	}
	return w.receive(ctx, s, c, listener, begun.address, redirect, in)
}

// receive has the person's browser come here.
func (w *browserWaiter) receive(ctx context.Context, s *session, c *api.Client, listener net.Listener, address, redirect string, in *loginValues) (*api.Secret, error) {
	ctx, cancel := context.WithTimeout(ctx, browserWait)
	defer cancel()
	s.con.warn("Complete the login in the browser at this address:\n\n    %s\n\nWaiting for the provider to send the browser back to %s …", address, redirect)
	if skip, _ := strconv.ParseBool(orElse(in.get("skip_browser"), "false")); !skip {
		if err := openBrowser(address); err != nil {
			s.con.warn("No browser could be opened (%s): open the address by hand.", err)
		}
	}
	sec, err := w.wait(ctx, listener, func(back url.Values) (*api.Secret, error) {
		sec, err := c.Logical().ReadWithDataWithContext(ctx, "auth/"+w.mount+callbackPath, back)
		if err == nil && sec == nil {
			err = nothing("Error authenticating: the server answered with nothing")
		} else if err != nil {
			err = &exitError{code: exitRemote, text: "Error authenticating: " + without(describe(err), back) + s.loginAdvice(err), cause: err}
		}
		return sec, err
	})
	if ctx.Err() != nil {
		return nil, gaveUp(ctx, browserWait)
	}
	return sec, err
}

// without is an error's text without what the browser brought: the client library's errors quote
// the request's URL, and a code that was refused may still be good.
func without(text string, back url.Values) string {
	text = strings.ReplaceAll(text, "?"+back.Encode(), "")
	for _, name := range []string{"state", "code", "id_token", "client_nonce"} {
		if v := back.Get(name); v != "" {
			text = strings.ReplaceAll(strings.ReplaceAll(text, url.QueryEscape(v), "…"), v, "…")
		}
	}
	return text
}

func orElse(text, usual string) string {
	if text == "" {
		return usual
	}
	return text
}

// callbackURL is where the provider is told to send the browser. It differs from where this
// program listens where something stands in between (a container, a tunnel).
func callbackURL(listener net.Listener, host string, in *loginValues) (string, error) {
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return "", err
	}
	u := url.URL{
		Scheme: orElse(in.get("callbackmethod"), "http"), Path: callbackPath,
		Host: net.JoinHostPort(orElse(in.get("callbackhost"), host), orElse(in.get("callbackport"), port)),
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return "", local("Error authenticating: callbackmethod is http or https")
	}
	return u.String(), nil
}

// brought is what a login ended with.
type brought struct {
	secret *api.Secret
	err    error
}

// browserWaiter waits for one browser.
type browserWaiter struct {
	mount string
	// clientNonce is this program's secret: whoever else gets hold of what the browser brings
	// cannot use it.
	clientNonce string
	// state is what the browser must bring.
	state string
	// done has room for the one answer that counts.
	done chan brought
}

// begin asks the server for the address to sign in at.
func (w *browserWaiter) begin(ctx context.Context, s *session, c *api.Client, role, redirect string) (*begunLogin, error) {
	c.ClearToken()
	s.tokenFrom = ""
	if !s.req.curl && !s.req.policy {
		// The token is to be wrapped if asked for, not the way to it.
		defer s.forReal(c)()
	}
	request := map[string]any{"role": role, "client_nonce": w.clientNonce}
	if redirect != "" {
		request["redirect_uri"] = redirect
	}
	sec, err := c.Logical().WriteWithContext(ctx, "auth/"+w.mount+"/oidc/auth_url", request)
	if err != nil {
		return nil, s.refusedLogin(err)
	}
	if sec == nil {
		return nil, nothing("Error authenticating: the server answered with nothing")
	}
	begun, ok := readBegun(sec.Data)
	if begun.address == "" {
		why := "the role, its allowed_redirect_uris or the provider may be wrong"
		if len(sec.Warnings) > 0 {
			why = strings.Join(sec.Warnings, "; ")
		}
		if redirect != "" {
			why += "\n\nThe redirect URI asked for is " + redirect + "."
		}
		return nil, nothing("Error authenticating: the server cannot begin the login: %s", why)
	}
	if w.state = begun.browserState; !ok || w.state == "" && begun.state == "" {
		return nil, nothing("Error authenticating: the server sent no address that a browser could open")
	}
	return begun, nil
}

// wait serves the browser until it brings the answer, which finish takes to the server.
func (w *browserWaiter) wait(ctx context.Context, listener net.Listener, finish func(url.Values) (*api.Secret, error)) (*api.Secret, error) {
	server := &http.Server{Handler: w.pages(finish), ReadTimeout: pageWait, MaxHeaderBytes: mostCallback}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	var b brought
	select {
	case b = <-w.done:
	case err := <-served:
		return nil, nothing("Error authenticating: cannot serve the browser: %s", err)
	case <-ctx.Done():
		b.err = ctx.Err()
	}
	// The browser gets its page before the program ends.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), pageWait)
	defer cancel()
	if server.Shutdown(last) != nil {
		_ = server.Close()
	}
	<-served
	return b.secret, b.err
}

// pages answers the browser. What comes with another state is not the answer that this login
// waits for: it is refused and the waiting goes on. No page repeats anything that was sent
// (CVE-2026-33758).
func (w *browserWaiter) pages(finish func(url.Values) (*api.Secret, error)) http.Handler {
	taken := make(chan struct{}, 1)
	mux := http.NewServeMux()
	mux.HandleFunc(callbackPath, func(out http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(out, r.Body, mostCallback)
		if (r.Method != http.MethodGet && r.Method != http.MethodPost) || r.ParseForm() != nil {
			page(out, http.StatusBadRequest, "This is not what a provider sends.")
			return
		}
		if subtle.ConstantTimeCompare([]byte(r.Form.Get("state")), []byte(w.state)) != 1 {
			page(out, http.StatusBadRequest, "This is not the answer of the login that is waiting. Use the address that the terminal shows.")
			return
		}
		select {
		case taken <- struct{}{}:
		default:
			page(out, http.StatusConflict, "This answer has been here before.")
			return
		}
		back := url.Values{"client_nonce": {w.clientNonce}}
		for _, name := range []string{"state", "code", "id_token", "error", "iss"} {
			if v := r.Form.Get(name); v != "" {
				back.Set(name, v)
			}
		}
		sec, err := finish(back)
		if err != nil {
			page(out, http.StatusOK, "The login failed. The terminal says why. You may close this window.")
		} else {
			page(out, http.StatusOK, "You are logged in. You may close this window and go back to the terminal.")
		}
		w.done <- brought{sec, err}
	})
	return mux
}

// page writes a page of one sentence, which is a constant.
func page(out http.ResponseWriter, status int, sentence string) {
	h := out.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Connection", "close")
	out.WriteHeader(status)
	_, _ = out.Write([]byte("<!DOCTYPE html><html lang=\"en\"><title>Jeton</title><p>" + sentence + "</p></html>\n"))
}

// openBrowser starts the person's browser. The address was checked to be one for a browser: it
// comes from the server, and must not name a program or a file.
func openBrowser(address string) error {
	var program string
	var args []string
	switch runtime.GOOS {
	case "darwin":
		program = "open"
	case "windows":
		program, args = "rundll32", []string{"url.dll,FileProtocolHandler"}
	default:
		program = "xdg-open"
	}
	found, err := exec.LookPath(program)
	if err != nil {
		return errors.New(program + " is not there")
	}
	cmd := exec.Command(found, append(args, address)...)
	if err := cmd.Start(); err != nil {
		return errors.New(program + " does not start")
	}
	return cmd.Process.Release()
}
