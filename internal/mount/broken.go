package mount

import (
	"context"

	"jeton/internal/backend"
)

// broken stands in for a backend that could not be opened: its path is taken, and every call
// to it says so.
type broken struct{}

// Routes answer everything with the same error.
func (b broken) Routes() []backend.Route {
	e := backend.Handle(b.answer)
	row := backend.Route{Summary: "This mount could not be opened.", Read: e, Write: e, Patch: e, Delete: e, List: e}
	all := row
	all.Pattern = "{path...}"
	return []backend.Route{row, all}
}

func (broken) answer(context.Context, *backend.Call, *struct {
	All backend.Payload `json:"*"`
}) (*backend.None, error) {
	return nil, backend.Errorf(backend.Failed, "this mount could not be opened; the server's log says why")
}
