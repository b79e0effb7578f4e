package cli

import (
	"os/signal"
	"syscall"

	"github.com/posener/complete"
)

// monitorCommands follow a running server's log.
func monitorCommands() []command {
	return []command{{
		name: "monitor", synopsis: "Follow the server's log",
		help: `Prints what the server logs from now on, until it is interrupted or the server
is sealed. The level is this command's own: debug lines can be seen without restarting
the server or changing what it writes elsewhere.

    $ jeton monitor
    $ jeton monitor -log-level=debug -log-format=json | jq .`,
		arity: exactly(0), surface: takesHTTP, build: buildMonitor,
	}}
}

func buildMonitor(f *flagSet) runFunc {
	var level, format string
	f.str(&level, flagSpec{name: "log-level", usage: "trace, debug, info, warn or error; the default is info.", predict: complete.PredictSet("trace", "debug", "info", "warn", "error")})
	f.str(&format, flagSpec{name: "log-format", usage: "standard or json.", predict: complete.PredictSet("standard", "json")})
	return func(s *session, _ []string) error {
		ctx, stop := signal.NotifyContext(s.ctx, syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		c, err := s.client()
		if err != nil {
			return err
		}
		c.SetClientTimeout(0) // it has no end
		lines, err := c.Sys().Monitor(ctx, level, format)
		if err != nil {
			return s.remote("starting monitor", err)
		}
		for {
			select {
			case <-ctx.Done():
				return nil
			case line, more := <-lines:
				if !more {
					if ctx.Err() != nil {
						return nil
					}
					return nothing("The server ended the stream: it was sealed or stopped.")
				}
				s.con.print(line)
			}
		}
	}
}
