package kv

import (
	"context"
	"encoding/json"
	"time"

	"jeton/internal/backend"
	"jeton/internal/engine/document"
	"jeton/internal/record"
	"jeton/internal/store"
)

// plain is version 1 of the engine. Contract: secrets §1.
type plain struct{ area *store.Area }

// plainRecord is what version 1 keeps of a path.
type plainRecord struct {
	// JSON is the object as document.Encode writes it.
	JSON []byte `cbor:"1,keyasint,omitempty"`
	// Advice, in nanoseconds, is what the object's ttl or lease member says; 0 when it says
	// nothing. It is worked out when the object is written, so that reads decode nothing.
	Advice int64 `cbor:"2,keyasint,omitempty"`
}

// objectRequest takes whatever object the client sends. The path is no field of it: an object
// may well have a member of that name.
type objectRequest struct {
	Object backend.Payload `json:"data" doc:"The object to keep: any members."`
}

// Routes are the engine's paths: all that are not empty.
func (p *plain) Routes() []backend.Route {
	return []backend.Route{
		{
			Pattern: "{path...}",
			Summary: "Keeps one JSON object at every path.",
			Detail:  "A write replaces the whole object. A member named ttl tells readers how often to come back; nothing expires.",
			Exists:  p.exists,
			Read:    backend.Reads(p.read),
			Write:   backend.Handle(p.write),
			Delete:  backend.Handle(p.delete),
			List:    backend.Reads(p.list),
		},
		{
			Pattern: "",
			Summary: "The top of the mount can only be listed.",
			Write:   backend.Handle(p.write),
			Delete:  backend.Handle(p.delete),
		},
	}
}

// view runs fn on one state of the mount, unless its data has been handed to version 2.
func (p *plain) view(ctx context.Context, fn func(store.Reader) error) error {
	return p.area.View(ctx, func(r store.Reader) error {
		if err := refuseUpgrading(r); err != nil {
			return err
		}
		return fn(r)
	})
}

func (p *plain) update(ctx context.Context, fn func(store.Tx) error) error {
	return p.area.Update(ctx, func(tx store.Tx) error {
		if err := refuseUpgrading(tx); err != nil {
			return err
		}
		return fn(tx)
	})
}

// refuseUpgrading is asked inside every transaction of version 1, so that no call sees, or
// writes to, data that is half moved: the marker is set before the first key is.
func refuseUpgrading(r store.Reader) error {
	begun, err := present(r, upgradeKey())
	if begun {
		return errUpgrading
	}
	return err
}

func (p *plain) exists(ctx context.Context, c *backend.Call) (exists bool, err error) {
	err = p.view(ctx, func(r store.Reader) error {
		exists, err = present(r, plainKey(c.Capture("path")))
		return err
	})
	return exists, err
}

func (p *plain) read(ctx context.Context, c *backend.Call, _ *backend.None) (*backend.Response, error) {
	var found *plainRecord
	err := p.view(ctx, func(r store.Reader) (err error) {
		found, err = record.Get[plainRecord](r, plainKey(c.Capture("path")))
		return err
	})
	if err != nil || found == nil {
		return nil, err
	}
	lease := time.Duration(found.Advice)
	if lease == 0 {
		lease = c.Mount.DefaultTTL
	}
	return &backend.Response{Data: json.RawMessage(found.JSON), LeaseDuration: backend.Seconds(lease)}, nil
}

func (p *plain) write(ctx context.Context, c *backend.Call, req *objectRequest) (*backend.None, error) {
	path := c.Capture("path")
	if err := document.CheckPath(path); err != nil {
		return nil, err
	}
	if len(req.Object) == 0 {
		return nil, backend.Invalidf("missing data fields")
	}
	text, err := document.Encode(req.Object)
	if err != nil {
		return nil, err
	}
	entry := &plainRecord{JSON: text, Advice: int64(advice(req.Object))}
	return nil, p.update(ctx, func(tx store.Tx) error { return record.Put(tx, plainKey(path), entry) })
}

func (p *plain) delete(ctx context.Context, c *backend.Call, _ *backend.None) (*backend.None, error) {
	path := c.Capture("path")
	if path == "" {
		return nil, document.CheckPath(path)
	}
	return nil, p.update(ctx, func(tx store.Tx) error { return tx.Delete(plainKey(path)) })
}

func (p *plain) list(ctx context.Context, c *backend.Call, _ *backend.None) (*backend.Keys, error) {
	var names []string
	err := p.view(ctx, func(r store.Reader) (err error) {
		names, err = document.List(r, []byte{plainSpace}, c.Capture("path"), "", 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return backend.Listing(names), nil
}

// advice is the duration that an object's ttl member gives, or its lease member when there is
// no ttl. What is no positive duration counts as none: the reader is then told the mount's
// default. Contract: secrets §1.
func advice(object map[string]any) time.Duration {
	value, ok := object["ttl"]
	if !ok {
		value = object["lease"]
	}
	var text string
	switch value := value.(type) {
	case string:
		text = value
	case json.Number:
		text = value.String()
	}
	d, err := backend.ParseDuration(text)
	if err != nil || d < 0 {
		return 0
	}
	return d
}
