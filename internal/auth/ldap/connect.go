package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	ldap "github.com/go-ldap/ldap/v3"

	"jeton/internal/backend"
	"jeton/internal/clock"
)

// link is one connection to a directory.
type link struct {
	*ldap.Conn
	wire *wire
	// idle is since when the pool has it.
	idle time.Time
	// used says that the pool has handed it out before.
	used bool
}

// mostRead bounds what one use of a connection may read, in bytes: the library holds an answer
// in memory as a whole.
const mostRead = 64 << 20

// wire is the network connection below TLS and LDAP. Closing it ends whatever waits on it.
type wire struct {
	net.Conn
	left atomic.Int64
}

func (w *wire) Read(p []byte) (int, error) {
	if w.left.Load() <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := w.Conn.Read(p)
	w.left.Add(-int64(n))
	return n, err
}

// during ends the link if ctx ends before release is called; release says whether it did not.
func (l *link) during(ctx context.Context) (release func() bool) {
	l.wire.left.Store(mostRead)
	return context.AfterFunc(ctx, func() { _ = l.wire.Close() })
}

// end closes the link. The library's Close waits for its own goroutines, which the closed
// wire lets go.
func (l *link) end() {
	_ = l.wire.Close()
	_ = l.Close()
}

// downFor is how long an address that did not answer is tried after the others.
const downFor = 30 * time.Second

// dialer makes connections to the addresses of one configuration.
type dialer struct {
	addresses []address
	tls       *tls.Config
	startTLS  bool
	// connect bounds the way to one address, request the wait for one answer.
	connect, request time.Duration
	clock            clock.Clock

	mu struct {
		sync.Mutex
		// down is until when an address, by its index, is tried last.
		down []time.Time
	}
}

// order is the indexes of the addresses as they are to be tried: in the order of the
// configuration, but those that were down a moment ago at last.
func (d *dialer) order() []int {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.clock.Now()
	var up, down []int
	for i := range d.addresses {
		if now.Before(d.mu.down[i]) {
			down = append(down, i)
		} else {
			up = append(up, i)
		}
	}
	return append(up, down...)
}

func (d *dialer) note(i int, up bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.down[i] = time.Time{}
	if !up {
		d.mu.down[i] = d.clock.Now().Add(downFor)
	}
}

// dial returns a connection on which greet (a bind) has succeeded. An address that cannot be
// reached, or where nobody answers the greeting within the time to connect, is passed over for the next; a
// directory that answers with a refusal has the last word.
func (d *dialer) dial(ctx context.Context, greet func(*ldap.Conn) error) (*link, error) {
	var failures []string
	for _, i := range d.order() {
		l, err := d.try(ctx, d.addresses[i], greet)
		if err == nil {
			d.note(i, true)
			return l, nil
		}
		if !away(err) {
			d.note(i, true)
			return nil, err
		}
		if ctx.Err() == nil {
			d.note(i, false)
		}
		failures = append(failures, fmt.Sprintf("error connecting to host %q: %s", d.addresses[i].url, reason(err)))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, unreachable(failures)
}

// unreachable is the answer when no address works. Contract: auth-methods §4.3 step 3.
func unreachable(failures []string) error {
	return backend.Errorf(backend.InvalidAggregate, "%s", strings.Join(failures, "; "))
}

// try makes one connection and greets.
func (d *dialer) try(ctx context.Context, a address, greet func(*ldap.Conn) error) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, d.connect)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", a.dial())
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: raw}
	w.left.Store(mostRead)
	secure := d.tls.Clone()
	secure.ServerName = a.host
	var top net.Conn = w
	if a.tls {
		over := tls.Client(w, secure)
		if err := over.HandshakeContext(ctx); err != nil {
			_ = w.Close()
			return nil, errors.Join(ctx.Err(), err)
		}
		top = over
	}
	l := &link{Conn: ldap.NewConn(top, a.tls), wire: w}
	l.Start()
	release := l.during(ctx)
	if !a.tls && d.startTLS {
		err = l.StartTLS(secure)
	}
	if err == nil {
		err = greet(l.Conn)
	}
	if !release() {
		err = errors.Join(ctx.Err(), err)
	}
	if err != nil {
		l.end()
		return nil, err
	}
	l.SetTimeout(d.request)
	return l, nil
}

// broken says that the other side ended the connection, not that it kept silent.
func (l *link) broken(err error) bool {
	var answer *ldap.Error
	return l.IsClosing() || !errors.As(err, &answer)
}

// away says that the directory could not be asked: it is down, hangs, speaks nonsense or says
// that it is busy. Nothing is known of the password then.
func away(err error) bool {
	var refusal *ldap.Error
	if !errors.As(err, &refusal) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	switch refusal.ResultCode {
	case ldap.LDAPResultBusy, ldap.LDAPResultUnavailable, ldap.ErrorNetwork, ldap.ErrorUnexpectedMessage, ldap.ErrorUnexpectedResponse:
		return true
	}
	return false
}

// wrongCredentials says that a bind was refused because of who wanted to bind; other refusals
// (a directory that wants TLS, say) are the configuration's fault.
func wrongCredentials(err error) bool {
	return ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax,
		ldap.LDAPResultInappropriateAuthentication, ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultUnwillingToPerform)
}

// reason is why an address was passed over, for people.
func reason(err error) string {
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "the request was given up"
	case errors.As(err, &op) && op.Err != nil:
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}

// refusalText is a result code of the directory in its own words, without what the directory
// adds, which may hold names.
func refusalText(err error) string {
	var refusal *ldap.Error
	if errors.As(err, &refusal) {
		if text := ldap.LDAPResultCodeMap[refusal.ResultCode]; text != "" {
			return text
		}
	}
	return "unknown error"
}
