// Package socket owns the audit device that sends lines to a collector over TCP, UDP or a Unix
// socket. Contract: audit §4.
package socket

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"time"

	"jeton/internal/audit"
	"jeton/internal/backend"
)

// defaultTimeout bounds one line's way: dialling and writing, a second attempt included.
const defaultTimeout = 2 * time.Second

// networks are what socket_type may be. Raw IP is not among them.
var networks = []string{"tcp", "tcp4", "tcp6", "udp", "udp4", "udp6", "unix", "unixgram", "unixpacket"}

// Factory opens socket devices. It does not connect: the first line does, so that a collector
// that is away does not keep the server sealed.
func Factory(_ context.Context, o audit.Opening) (audit.Device, error) {
	d := &Device{address: o.Options["address"], network: o.Options["socket_type"], timeout: defaultTimeout}
	if d.address == "" {
		return nil, backend.Invalidf("address is required")
	}
	if d.network == "" {
		d.network = "tcp"
	}
	if !slices.Contains(networks, d.network) {
		return nil, backend.Invalidf("unknown socket_type %q", d.network)
	}
	if text := o.Options["write_timeout"]; text != "" {
		timeout, err := backend.ParseDuration(text)
		if err != nil || timeout < 0 {
			return nil, backend.Invalidf("write_timeout is not a duration")
		}
		d.timeout = timeout
	}
	return d, nil
}

// Device sends lines over one connection, which it makes when it needs one. Its methods are
// called by one goroutine (audit.Device).
//
// What is written to a connection that the peer has just closed is lost without an error, as TCP
// has it: the collector does not acknowledge lines. A watcher per connection notices the peer's
// end of it, which leaves a window of one round trip. Datagrams are lost without notice.
type Device struct {
	network, address string
	// timeout is 0 for none.
	timeout time.Duration
	conn    *connection
}

// connection is a connection and whether its peer is gone.
type connection struct {
	net.Conn
	// ended is closed when the peer has ended the connection.
	ended chan struct{}
}

// watch reads until the connection ends: the collector has nothing to say, so that whatever
// ends the reading is the end. The goroutine lives as long as the connection is open.
func (c *connection) watch() {
	_, _ = io.Copy(io.Discard, c.Conn)
	close(c.ended)
}

// Patience tells the broker to wait as long as the options allow.
func (d *Device) Patience() time.Duration { return d.timeout + d.timeout/2 }

// Write sends line, over a new connection if the first attempt fails.
func (d *Device) Write(ctx context.Context, line []byte) error {
	if d.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.timeout)
		defer cancel()
	}
	if d.conn != nil {
		select {
		case <-d.conn.ended:
			d.drop()
		default:
		}
	}
	fresh := d.conn == nil
	err := d.send(ctx, line)
	if err == nil || fresh || ctx.Err() != nil {
		return err
	}
	if again := d.send(ctx, line); again != nil {
		return errors.Join(err, again)
	}
	return nil
}

// send connects if need be and writes line. After an error there is no connection.
func (d *Device) send(ctx context.Context, line []byte) error {
	if d.conn == nil {
		conn, err := new(net.Dialer).DialContext(ctx, d.network, d.address)
		if err != nil {
			return err
		}
		d.conn = &connection{conn, make(chan struct{})}
		if _, datagrams := conn.(net.PacketConn); !datagrams || d.network == "unix" || d.network == "unixpacket" {
			go d.conn.watch()
		}
	}
	// The zero deadline is none.
	deadline, _ := ctx.Deadline()
	if err := d.conn.SetWriteDeadline(deadline); err != nil {
		d.drop()
		return err
	}
	// Disabling the device ends a write that hangs: any time in the past is a deadline that
	// has passed.
	conn := d.conn
	stop := context.AfterFunc(ctx, func() { _ = conn.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := d.conn.Write(line); err != nil {
		d.drop()
		return err
	}
	return nil
}

// drop ends the connection. What it was sent is out of reach, so that an error here says nothing.
func (d *Device) drop() {
	if d.conn != nil {
		_ = d.conn.Close()
		d.conn = nil
	}
}

// Reopen ends the connection; the next line makes a new one.
func (d *Device) Reopen() error {
	d.drop()
	return nil
}

// Close ends the connection.
func (d *Device) Close() error {
	d.drop()
	return nil
}
