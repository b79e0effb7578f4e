package node

import (
	"context"
	"log/slog"
	"time"

	"jeton/internal/audit"
	"jeton/internal/token"
)

// witness writes the ends that nobody asked for to the audit log: a token that expired, one
// that went with its parent, one whose uses were spent.
type witness struct {
	audit *audit.Broker
	log   *slog.Logger
}

// Ended writes one event for each token. A device that fails changes nothing: the tokens are
// dead whether or not anyone could write it down.
func (w *witness) Ended(ctx context.Context, endings []token.Ending) {
	for _, e := range endings {
		err := w.audit.LogEvent(ctx, &audit.Event{
			Time: time.Unix(0, e.End.At).UTC(), Name: "token.ended", Cause: string(e.End.Cause),
			Accessor: e.Token.Accessor, CausedBy: e.End.By, Path: e.Token.Origin.Path,
			Policies: e.Token.Policies, EntityID: e.Token.EntityID, DisplayName: e.Token.Origin.DisplayName, Job: e.End.Job,
		})
		if err != nil {
			w.log.Warn("the end of a token could not be written to the audit log", "cause", e.End.Cause, "error", err)
			return
		}
	}
}
