package sys

import (
	"bytes"
	"context"
	"os"
	"runtime/pprof"
	"runtime/trace"
	"slices"
	"strings"
	"time"

	"jeton/internal/backend"
)

// ProfileNames are what sys/pprof/ has besides its index.
func ProfileNames() []string {
	return []string{"allocs", "block", "cmdline", "goroutine", "heap", "mutex", "profile", "threadcreate", "trace"}
}

func (s *System) profileRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "pprof", Summary: "List the profiles of the running process.", Read: backend.Handle(s.profileIndex)},
		{Pattern: "pprof/{name}", Summary: "A profile of the running process.", Read: backend.Handle(s.profile)},
	}
}

// profileIndex lists the profiles, one in a line.
func (s *System) profileIndex(context.Context, *backend.Call, *backend.None) (*backend.Response, error) {
	return plainText(200, strings.Join(ProfileNames(), "\n")+"\n"), nil
}

type profileRequest struct {
	Name    string          `json:"name" doc:"The profile."`
	Debug   int             `json:"debug" doc:"1 or 2 for text."`
	Seconds backend.Seconds `json:"seconds" doc:"How long profile and trace watch: 30 and 1 unless given."`
}

// profile takes a profile. Profiles have the names of functions and the sizes of memory, never
// what is in it.
func (s *System) profile(ctx context.Context, _ *backend.Call, req *profileRequest) (*backend.Response, error) {
	var out bytes.Buffer
	switch {
	case !slices.Contains(ProfileNames(), req.Name):
		return nil, backend.Errorf(backend.NotFound, "unsupported path: there is no such profile")
	case req.Name == "cmdline":
		return plainText(200, strings.Join(withoutSecrets(os.Args), "\x00")), nil
	case req.Name == "profile":
		err := s.watch(ctx, req.Seconds.Duration(), 30*time.Second, func() error { return pprof.StartCPUProfile(&out) }, pprof.StopCPUProfile)
		if err != nil {
			return nil, err
		}
	case req.Name == "trace":
		err := s.watch(ctx, req.Seconds.Duration(), time.Second, func() error { return trace.Start(&out) }, trace.Stop)
		if err != nil {
			return nil, err
		}
	default:
		if err := pprof.Lookup(req.Name).WriteTo(&out, req.Debug); err != nil {
			return nil, err
		}
		if req.Debug > 0 {
			return plainText(200, out.String()), nil
		}
	}
	return &backend.Response{Raw: &backend.Raw{ContentType: "application/octet-stream", Body: out.Bytes()}}, nil
}

// watch runs a profile for so long. One that would outlast its request is refused.
func (s *System) watch(ctx context.Context, wanted, otherwise time.Duration, start func() error, stop func()) error {
	if wanted <= 0 {
		wanted = otherwise
	}
	// The timer of a request's end runs from its beginning, which was a moment ago.
	over, cancel := context.WithTimeout(ctx, wanted)
	defer cancel()
	if end, bounded := ctx.Deadline(); bounded {
		if mine, _ := over.Deadline(); !mine.Before(end) {
			return backend.Invalidf("profile duration exceeds the duration that a request may take")
		}
	}
	if err := start(); err != nil {
		return backend.Invalidf("a profile is being taken already").Because(err)
	}
	defer stop()
	<-over.Done()
	return ctx.Err()
}

// withoutSecrets blanks what must not be read by who may read profiles: a development server's
// root token stands in its command line.
func withoutSecrets(args []string) []string {
	shown := slices.Clone(args)
	for i, arg := range shown {
		name, _, joined := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if name != "dev-root-token-id" {
			continue
		}
		if joined {
			shown[i] = "-" + name + "=[hidden]"
		} else if i+1 < len(shown) {
			shown[i+1] = "[hidden]"
		}
	}
	return shown
}
