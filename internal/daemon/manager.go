package daemon

import (
	"fmt"
	"log/slog"
	"strings"

	systemd "github.com/coreos/go-systemd/v22/daemon"
)

// manager is the service manager that started the process, if one did and asked to be told
// (sd_notify(3)): a unit of Type=notify is started when the server listens, and a reload has
// ended when it says so. A server that is sealed is ready: it waits for its operators.
type manager struct{ log *slog.Logger }

// tell sends assignments, one a line. Nobody to tell is no error, and a manager that cannot be
// told must not keep the server from serving.
func (m manager) tell(assignments ...string) {
	if _, err := systemd.SdNotify(false, strings.Join(assignments, "\n")); err != nil {
		m.log.Warn("the service manager could not be told", "state", assignments[0], "error", err)
	}
}

func (m manager) ready(status string) { m.tell(systemd.SdNotifyReady, "STATUS="+status) }

// reloading carries the time, without which Type=notify-reload takes no notice of it.
func (m manager) reloading() {
	m.tell(systemd.SdNotifyReloading, strings.TrimSuffix(systemd.SdNotifyMonotonicUsec(), "\n"))
}

func (m manager) stopping() { m.tell(systemd.SdNotifyStopping, "STATUS=ending requests in flight") }

// serving is what a server that listens says of itself.
func (d *daemon) serving() string {
	addresses := make([]string, len(d.running))
	for i, run := range d.running {
		addresses[i] = run.Address.String()
	}
	return fmt.Sprintf("listening on %s", strings.Join(addresses, ", "))
}
