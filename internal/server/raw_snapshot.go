package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"jeton/internal/backend"
	"jeton/internal/node"
)

// The paths that hold more than fits into memory. Contract: sys §21; the check is Jeton's own.
const (
	snapshotPath      = "sys/storage/raft/snapshot"
	snapshotForcePath = "sys/storage/raft/snapshot-force"
	checkPath         = "sys/internal/check"
)

// bulkHandlers take and send snapshots, and check the data.
func (s *Server) bulkHandlers() map[string]rawHandler {
	restore := func(force bool) rawHandler {
		return func(ctx context.Context, r *http.Request) reply { return s.restore(ctx, r, force) }
	}
	return map[string]rawHandler{
		snapshotPath:      verbs(map[string]rawHandler{http.MethodGet: s.snapshot, http.MethodPut: restore(false)}),
		snapshotForcePath: verbs(map[string]rawHandler{http.MethodPut: restore(true)}),
		checkPath:         verbs(map[string]rawHandler{http.MethodGet: s.check}),
	}
}

// streamsBody says whether a request's body goes past memory, and so past its bounds.
func streamsBody(r *http.Request) bool {
	path := strings.TrimPrefix(r.URL.Path, apiPrefix)
	return path == snapshotPath || path == snapshotForcePath
}

// admitBulk authenticates, authorises and audits a request whose answer or body is a stream;
// nil lets it go on. Its body is not read.
func (s *Server) admitBulk(ctx context.Context, r *http.Request, sudo bool) *reply {
	house := s.node.Enter()
	if house == nil {
		out := s.errorReply(errSealed)
		return &out
	}
	defer house.Leave()
	bare := r.Clone(r.Context())
	bare.Body, bare.ContentLength = http.NoBody, 0
	req, err := s.read(bare)
	if err != nil {
		out := s.errorReply(err)
		return &out
	}
	// What help or wrapping would do to a stream is nothing that anyone asks for.
	req.help, req.wrapTTL = false, 0
	x := &exchange{house: house, request: req, path: req.path}
	err = x.admitRaw(ctx)
	if err == nil && sudo && !x.decision.Sudo && !x.decision.Root {
		x.decision.Allowed = false
		err = &backend.Error{Kind: backend.DeniedByPolicy}
	}
	if auditErr := s.auditRequest(ctx, x, err); auditErr != nil {
		out := s.refuse(x, auditErr)
		return &out
	}
	x.afterLastUse(ctx, s)
	if auditErr := s.auditResponse(ctx, x, err); auditErr != nil {
		out := s.refuse(x, auditErr)
		return &out
	}
	if err != nil {
		out := s.refuse(x, err)
		return &out
	}
	return nil
}

// streaming is an answer that write makes, in the house. One that fails half-way is cut off, so
// that nobody takes it for whole.
func (s *Server) streaming(contentType string, write func(ctx context.Context, house *node.House, w io.Writer) error) reply {
	return reply{status: http.StatusOK, contentType: contentType, stream: func(ctx context.Context, w http.ResponseWriter) {
		control := http.NewResponseController(w)
		// A stream outlives the time that a usual answer may take.
		_ = control.SetWriteDeadline(time.Time{})
		house := s.node.Enter()
		err := error(errSealed)
		if house != nil {
			inside, out := context.WithCancel(ctx)
			watch := s.cutAtSeal(inside, out, control)
			err = write(inside, house, w)
			out()
			watch.Wait()
			house.Leave()
		}
		if err != nil {
			if ctx.Err() == nil {
				s.log.Error("a stream was cut off", "error", err)
			}
			// Without the end of its encoding the client knows that something is missing.
			_ = control.SetWriteDeadline(time.Unix(1, 0))
		}
	}}
}

// cutAtSeal ends a stream when the server is being sealed: sealing waits for all who are in the
// house, and a client that has stopped reading would keep the keys in memory for as long as it
// likes. The watch ends with ctx.
func (s *Server) cutAtSeal(ctx context.Context, cancel context.CancelFunc, control *http.ResponseController) *sync.WaitGroup {
	watch := &sync.WaitGroup{}
	watch.Go(func() {
		look := time.NewTicker(monitorLooks)
		defer look.Stop()
		for !s.node.Sealed() {
			select {
			case <-ctx.Done():
				return
			case <-look.C:
			}
		}
		cancel()
		_ = control.SetWriteDeadline(time.Unix(1, 0))
	})
	return watch
}

// snapshot streams a copy of all data, as it is stored.
func (s *Server) snapshot(ctx context.Context, r *http.Request) reply {
	if refused := s.admitBulk(ctx, r, false); refused != nil {
		return *refused
	}
	return s.streaming("application/gzip", func(ctx context.Context, house *node.House, w io.Writer) error {
		return s.node.SnapshotTo(ctx, house, w)
	})
}

// restore replaces all data by a snapshot's and seals the server.
func (s *Server) restore(ctx context.Context, r *http.Request, force bool) reply {
	if refused := s.admitBulk(ctx, r, false); refused != nil {
		return *refused
	}
	if control, ok := r.Context().Value(controlKey{}).(*http.ResponseController); ok {
		// As long as it takes, from here on: the caller may do worse than be slow.
		_ = control.SetReadDeadline(time.Time{})
	}
	// Not ctx: it ends with the time that a usual request may take.
	done, err := s.node.Restore(r.Context(), r.Body, force)
	if err != nil {
		return s.errorReply(err)
	}
	return reply{status: http.StatusNoContent, warning: done.Warning()}
}

// controlKey is the context key of the *http.ResponseController of a request that streams its body.
type controlKey struct{}

// checkLine is one line of the answer to a check: a problem, or at the end what was done.
type checkLine struct {
	*node.Problem
	Records  *int64 `json:"records,omitempty"`
	Problems *int64 `json:"problems,omitempty"`
}

// check streams what is wrong with the data, a JSON object a line; the last says how many records
// were read and how many problems there are.
func (s *Server) check(ctx context.Context, r *http.Request) reply {
	if refused := s.admitBulk(ctx, r, true); refused != nil {
		return *refused
	}
	return s.streaming("application/x-ndjson", func(ctx context.Context, house *node.House, w io.Writer) error {
		out := json.NewEncoder(w)
		var problems int64
		var failed error
		records, err := house.Check(ctx, func(p node.Problem) {
			problems++
			if failed == nil {
				failed = out.Encode(checkLine{Problem: &p})
			}
		})
		if err = errors.Join(err, failed); err != nil {
			return err
		}
		return out.Encode(checkLine{Records: &records, Problems: &problems})
	})
}

// warningHeader is a text in the form of HTTP's Warning header.
func warningHeader(text string) string { return "299 jeton " + strconv.Quote(text) }
