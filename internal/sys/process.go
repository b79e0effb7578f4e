package sys

import (
	"context"
	"maps"
	"slices"

	"jeton/internal/backend"
	"jeton/internal/config"
	"jeton/internal/logging"
	"jeton/internal/metrics"
)

// Process is what sys shows of the process that it runs in.
type Process struct {
	// Config is what of the configuration may be seen.
	Config config.Sanitized
	// Levels are the rooms' log levels; nil where nobody can change them.
	Levels *logging.Levels
	// Metrics is what the edge measures; nil for nothing.
	Metrics *metrics.Set
}

// processRoutes are sys §13 and the loggers of sys §18.
func (s *System) processRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "config/state/sanitized", Summary: "The server's configuration without its secrets.", Read: backend.Handle(s.readConfig)},
		{Pattern: "loggers", Summary: "How much each room of the server logs.",
			Read: backend.Handle(s.readLoggers), Write: backend.Handle(s.writeLoggers), Delete: backend.Handle(s.revertLoggers)},
		{Pattern: "loggers/{name}", Summary: "How much one room of the server logs.",
			Read: backend.Handle(s.readLogger), Write: backend.Handle(s.writeLoggers), Delete: backend.Handle(s.revertLoggers)},
	}
}

func (s *System) readConfig(context.Context, *backend.Call, *backend.None) (*config.Sanitized, error) {
	c := s.Process.Config
	return &c, nil
}

type loggerRequest struct {
	Name  string  `json:"name" doc:"The room."`
	Level *string `json:"level" doc:"trace, debug, info, warn or error."`
}

type loggerName struct {
	Name string `json:"name" doc:"The room."`
}

func (s *System) levels() map[string]string {
	shown := map[string]string{}
	if s.Process.Levels != nil {
		for name, level := range s.Process.Levels.All() {
			shown[name] = logging.Name(level)
		}
	}
	return shown
}

func (s *System) readLoggers(context.Context, *backend.Call, *backend.None) (*map[string]string, error) {
	all := s.levels()
	return &all, nil
}

func (s *System) readLogger(_ context.Context, _ *backend.Call, req *loggerName) (*map[string]string, error) {
	level, ok := s.levels()[req.Name]
	if !ok {
		return nil, backend.Missing()
	}
	return &map[string]string{req.Name: level}, nil
}

func (s *System) writeLoggers(_ context.Context, _ *backend.Call, req *loggerRequest) (*backend.None, error) {
	switch {
	case req.Level == nil:
		return nil, backend.Invalidf("level is required")
	case *req.Level == "":
		return nil, backend.Invalidf("level is empty")
	}
	level, ok := logging.Parse(*req.Level)
	if !ok {
		return nil, backend.Invalidf("invalid level provided: unknown log level")
	}
	return nil, s.eachLogger(req.Name, func(names ...string) bool { return s.Process.Levels.Set(level, names...) })
}

func (s *System) revertLoggers(_ context.Context, _ *backend.Call, req *loggerName) (*backend.None, error) {
	return nil, s.eachLogger(req.Name, func(names ...string) bool { return s.Process.Levels.Revert(names...) })
}

// eachLogger changes one logger, or all when there is no name.
func (s *System) eachLogger(name string, change func(names ...string) bool) error {
	if name == "" {
		if s.Process.Levels != nil {
			change()
		}
		return nil
	}
	if !slices.Contains(slices.Collect(maps.Keys(s.levels())), name) || !change(name) {
		return backend.Invalidf("logger %q not found", name)
	}
	return nil
}
