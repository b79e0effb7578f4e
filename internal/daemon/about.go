package daemon

import (
	"log/slog"
	"os"

	"jeton/internal/config"
	"jeton/internal/logging"
	"jeton/internal/server"
)

// about is what the server's answers say of it beyond what was asked.
func (d *daemon) about() server.About {
	a := server.About{APIAddress: d.config.Addresses.API, Dev: d.opts.Dev != nil, RequestLog: &d.requestLog, Levels: d.levels}
	d.requestLog.Set(requestLevel(d.config))
	if d.config.Features.ResponseHeaderHostname {
		name, err := os.Hostname()
		if err != nil {
			d.log.Warn("the host's name is unknown and is left out of answers", "error", err)
		}
		a.Hostname = name
	}
	if d.config.Features.ResponseHeaderNodeID {
		a.NodeID = d.config.Storage.NodeID
	}
	return a
}

// requestLevel is the level of the request log, nil for none.
func requestLevel(c *config.Config) *slog.Level {
	if c.Log.Requests == "off" {
		return nil
	}
	level, ok := logging.Parse(c.Log.Requests)
	if !ok {
		return nil
	}
	return &level
}
