// Package cubbyhole owns the private store that every service token has: nobody but the
// holder of the token reads it, and it ends with the token. Contract: secrets §3, leases §6.
package cubbyhole

import (
	"context"
	"encoding/json"

	"jeton/internal/backend"
	"jeton/internal/engine/document"
	"jeton/internal/store"
)

// responsePath is where response wrapping keeps an answer. Contract: wrapping §4.5.
const responsePath = "response"

// wrappingPolicy is the one policy of a wrapping token. Contract: wrapping §3.
const wrappingPolicy = "response-wrapping"

// Holders knows whose tokens are there to hold a cubbyhole.
type Holders interface {
	// Stored says whether the token is on record, and not ended, in r, a state of the whole store.
	Stored(r store.Reader, id backend.TokenID) (bool, error)
}

type engine struct {
	area    *store.Area
	holders Holders
}

// New makes the factory of the cubbyhole mount's backend.
func New(holders Holders) backend.Factory {
	return func(_ context.Context, env backend.Env) (backend.Backend, error) {
		return &engine{area: env.Area, holders: holders}, nil
	}
}

// objectRequest takes whatever object the client sends.
type objectRequest struct {
	Object backend.Payload `json:"data" doc:"The object to keep: any members."`
}

// Routes are the engine's paths: all that are not empty.
func (e *engine) Routes() []backend.Route {
	return []backend.Route{
		{
			Pattern: "{path...}",
			Summary: "Keeps JSON objects for the calling token alone.",
			Detail:  "What is kept here can be read with no other token, and is erased when the token ends. Batch tokens have no cubbyhole.",
			Exists:  e.exists,
			Read:    backend.Reads(e.read),
			Write:   backend.Handle(e.write),
			Delete:  backend.Handle(e.delete),
			List:    backend.Reads(e.list),
		},
		{
			Pattern: "",
			Summary: "The top of the cubbyhole can only be listed.",
			Read:    backend.Reads(e.read),
			Write:   backend.Handle(e.write),
			Delete:  backend.Handle(e.delete),
		},
	}
}

// owner is the token whose cubbyhole a call reaches.
func owner(c *backend.Call) (backend.TokenID, error) {
	if c.Caller == nil || c.Caller.Batch || c.Caller.ID == (backend.TokenID{}) {
		return backend.TokenID{}, backend.Invalidf("cubbyhole operations are only supported by 'service' type tokens")
	}
	return c.Caller.ID, nil
}

func (e *engine) exists(ctx context.Context, c *backend.Call) (bool, error) {
	object, err := e.find(ctx, c)
	return object != nil, err
}

// find is the object at the call's path; nil when there is none.
func (e *engine) find(ctx context.Context, c *backend.Call) (object json.RawMessage, err error) {
	id, err := owner(c)
	if err != nil {
		return nil, err
	}
	err = e.area.View(ctx, func(r store.Reader) error {
		object, err = Get(r, id, c.Capture("path"))
		return err
	})
	return object, err
}

func (e *engine) read(ctx context.Context, c *backend.Call, _ *backend.None) (*backend.Response, error) {
	object, err := e.find(ctx, c)
	if err != nil || object == nil {
		return nil, err
	}
	if c.Capture("path") == responsePath && len(c.Caller.Policies) == 1 && c.Caller.Policies[0] == wrappingPolicy {
		c.Warn("Reading from 'cubbyhole/response' is deprecated. Please use sys/wrapping/unwrap to unwrap responses, " +
			"as it provides additional security checks and other benefits.")
	}
	return &backend.Response{Data: object}, nil
}

func (e *engine) write(ctx context.Context, c *backend.Call, req *objectRequest) (*backend.None, error) {
	id, err := owner(c)
	if err != nil {
		return nil, err
	}
	path := c.Capture("path")
	if err := document.CheckPath(path); err != nil {
		return nil, err
	}
	if len(req.Object) == 0 {
		return nil, backend.Invalidf("missing data fields")
	}
	object, err := document.Encode(req.Object)
	if err != nil {
		return nil, err
	}
	return nil, e.area.Joint(ctx, func(own, whole store.Tx) error {
		// A token that was revoked since the request was let in has had its cubbyhole erased:
		// what came after would stay, for whoever is given the same custom id.
		there, err := e.holders.Stored(whole, id)
		if err != nil {
			return err
		}
		if !there {
			return &backend.Error{Kind: backend.BadToken, Text: "invalid token"}
		}
		return Put(own, id, path, object)
	})
}

func (e *engine) delete(ctx context.Context, c *backend.Call, _ *backend.None) (*backend.None, error) {
	id, err := owner(c)
	if err != nil {
		return nil, err
	}
	path := c.Capture("path")
	if path == "" {
		return nil, document.CheckPath(path)
	}
	return nil, e.area.Update(ctx, func(tx store.Tx) error { return tx.Delete(objectKey(id, path)) })
}

func (e *engine) list(ctx context.Context, c *backend.Call, _ *backend.None) (*backend.Keys, error) {
	id, err := owner(c)
	if err != nil {
		return nil, err
	}
	var names []string
	err = e.area.View(ctx, func(r store.Reader) (err error) {
		names, err = document.List(r, id[:], c.Capture("path"), "", 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return backend.Listing(names), nil
}
