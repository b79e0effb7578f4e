//go:build !windows && !plan9

// Package syslog owns the audit device that hands lines to the local syslog daemon, each as one
// message of priority INFO. Contract: audit §4.
package syslog

import (
	"context"
	"io"
	"log/syslog"
	"strings"

	"jeton/internal/audit"
	"jeton/internal/backend"
)

// facilities by the names that the option takes.
var facilities = map[string]syslog.Priority{
	"KERN": syslog.LOG_KERN, "USER": syslog.LOG_USER, "MAIL": syslog.LOG_MAIL, "DAEMON": syslog.LOG_DAEMON,
	"AUTH": syslog.LOG_AUTH, "SYSLOG": syslog.LOG_SYSLOG, "LPR": syslog.LOG_LPR, "NEWS": syslog.LOG_NEWS,
	"UUCP": syslog.LOG_UUCP, "CRON": syslog.LOG_CRON, "AUTHPRIV": syslog.LOG_AUTHPRIV, "FTP": syslog.LOG_FTP,
	"LOCAL0": syslog.LOG_LOCAL0, "LOCAL1": syslog.LOG_LOCAL1, "LOCAL2": syslog.LOG_LOCAL2, "LOCAL3": syslog.LOG_LOCAL3,
	"LOCAL4": syslog.LOG_LOCAL4, "LOCAL5": syslog.LOG_LOCAL5, "LOCAL6": syslog.LOG_LOCAL6, "LOCAL7": syslog.LOG_LOCAL7,
}

// dial connects to the daemon.
type dial func(syslog.Priority, string) (*syslog.Writer, error)

// Factory opens syslog devices.
func Factory(_ context.Context, o audit.Opening) (audit.Device, error) { return open(o, syslog.New) }

func open(o audit.Opening, connect dial) (audit.Device, error) {
	name := strings.ToUpper(o.Options["facility"])
	if name == "" {
		name = "AUTH"
	}
	facility, ok := facilities[name]
	if !ok {
		return nil, backend.Invalidf("invalid syslog facility: %s", o.Options["facility"])
	}
	tag := o.Options["tag"]
	if tag == "" {
		tag = "vault"
	}
	d := &Device{connect: func() (*syslog.Writer, error) { return connect(facility|syslog.LOG_INFO, tag) }}
	if err := d.Reopen(); err != nil {
		return nil, backend.Invalidf("%s", err)
	}
	return d, nil
}

// Device hands lines to the daemon. The library connects again by itself when a message
// fails, once. A line longer than the daemon's datagrams is a failure. Its methods are called
// by one goroutine (audit.Device).
type Device struct {
	connect func() (*syslog.Writer, error)
	writer  *syslog.Writer
}

// Write hands over one line.
func (d *Device) Write(_ context.Context, line []byte) error {
	if d.writer == nil {
		if err := d.Reopen(); err != nil {
			return err
		}
	}
	n, err := d.writer.Write(line)
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	return err
}

// Reopen connects afresh.
func (d *Device) Reopen() error {
	if d.writer != nil {
		_ = d.writer.Close()
		d.writer = nil
	}
	w, err := d.connect()
	if err != nil {
		return err
	}
	d.writer = w
	return nil
}

// Close ends the connection.
func (d *Device) Close() error {
	if d.writer == nil {
		return nil
	}
	w := d.writer
	d.writer = nil
	return w.Close()
}
