package kv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"jeton/internal/backend"
	"jeton/internal/engine/document"
	"jeton/internal/record"
	"jeton/internal/store"
)

// maxMerged bounds what patches can make of an object, in bytes. A write is bounded by the
// edge; without this a key could be made to grow patch by patch.
const maxMerged = 32 << 20

// stamp is a time in Unix nanoseconds that clients read as RFC 3339 in UTC; 0 is "".
type stamp int64

// MarshalJSON writes the text in quotes.
func (s stamp) MarshalJSON() ([]byte, error) { return []byte(`"` + s.text() + `"`), nil }

func (s stamp) text() string {
	if s == 0 {
		return ""
	}
	return time.Unix(0, int64(s)).UTC().Format(time.RFC3339Nano)
}

// versionReply describes one version.
type versionReply struct {
	CreatedTime    stamp             `json:"created_time"`
	CustomMetadata map[string]string `json:"custom_metadata"`
	DeletionTime   stamp             `json:"deletion_time"`
	Destroyed      bool              `json:"destroyed"`
	Version        uint64            `json:"version"`
}

// secretReply is a version with its data, null when it is deleted or destroyed.
type secretReply struct {
	Data     json.RawMessage `json:"data"`
	Metadata *versionReply   `json:"metadata"`
}

// AppendJSON writes the description as encoding/json does.
func (r *versionReply) AppendJSON(dst []byte) ([]byte, error) {
	m := backend.NewMembers(dst)
	m.Text("created_time", r.CreatedTime.text())
	m.Pairs("custom_metadata", r.CustomMetadata)
	m.Text("deletion_time", r.DeletionTime.text())
	m.Bool("destroyed", r.Destroyed)
	m.Number("version", int64(r.Version))
	return m.End()
}

// AppendJSON writes the version as encoding/json does.
func (r *secretReply) AppendJSON(dst []byte) ([]byte, error) {
	m := backend.NewMembers(dst)
	m.Raw("data", r.Data)
	m.Object("metadata", r.Metadata)
	return m.End()
}

// subkeysReply is a version's structure.
type subkeysReply struct {
	Metadata *versionReply  `json:"metadata"`
	Subkeys  map[string]any `json:"subkeys"`
}

type readRequest struct {
	Version int64 `json:"version" doc:"The version to read; 0 for the current one."`
}

type subkeysRequest struct {
	Version int64 `json:"version" doc:"The version to look at; 0 for the current one."`
	Depth   int   `json:"depth" doc:"How deep to look: 1 for the top-level members; 0 for all."`
}

type writeRequest struct {
	Data    map[string]any `json:"data" doc:"The object to keep."`
	Options map[string]any `json:"options" doc:"cas: the current version that this write builds on."`
}

// reading is a version as a read finds it.
type reading struct {
	about *versionReply
	// data is nil when the version is deleted or destroyed.
	data json.RawMessage
}

// describe is what clients learn of version n.
func (k *keyRecord) describe(n uint64, state *versionState) *versionReply {
	return &versionReply{
		CreatedTime:    stamp(state.Created),
		CustomMetadata: k.Custom,
		DeletionTime:   stamp(state.Deleted),
		Destroyed:      state.Destroyed,
		Version:        n,
	}
}

// fetch finds a version, the current one for 0; nil when there is no such version.
func (v *versioned) fetch(ctx context.Context, path string, number int64) (found *reading, err error) {
	now := v.clock.Now()
	err = v.view(ctx, func(r store.Reader) error {
		found = nil
		key, err := record.Get[keyRecord](r, keyKey(path))
		if err != nil || key == nil || number < 0 {
			return err
		}
		n := uint64(number)
		if n == 0 {
			n = key.Current
		}
		state := key.version(n)
		if state == nil {
			return nil
		}
		found = &reading{about: key.describe(n, state)}
		if state.gone(now) {
			return nil
		}
		body, err := record.Get[versionRecord](r, versionKey(path, n))
		if err != nil {
			return err
		}
		if body == nil {
			return errors.New("kv: a version that is neither deleted nor destroyed has no data")
		}
		found.data = body.JSON
		return nil
	})
	return found, err
}

func (v *versioned) read(ctx context.Context, c *backend.Call, req *readRequest) (*backend.Response, error) {
	path := c.Capture("path")
	if isFolder(path) {
		return stray(c), nil
	}
	found, err := v.fetch(ctx, path, req.Version)
	if err != nil || found == nil {
		return nil, err
	}
	return found.respond(&secretReply{Data: found.data, Metadata: found.about}), nil
}

// respond answers with data; a version that is gone is a 404 that still says what is known of
// it. Contract: secrets §2.2, read.
func (f *reading) respond(data any) *backend.Response {
	reply := &backend.Response{Data: data}
	if f.data == nil {
		reply.Status = http.StatusNotFound
	}
	return reply
}

func (v *versioned) subkeys(ctx context.Context, c *backend.Call, req *subkeysRequest) (*backend.Response, error) {
	path := c.Capture("path")
	if isFolder(path) {
		return stray(c), nil
	}
	if req.Depth < 0 {
		return nil, backend.Invalidf("depth cannot be negative")
	}
	found, err := v.fetch(ctx, path, req.Version)
	if err != nil || found == nil {
		return nil, err
	}
	reply := &subkeysReply{Metadata: found.about}
	if found.data != nil {
		object, err := document.Decode(found.data)
		if err != nil {
			return nil, err
		}
		reply.Subkeys = outline(object, req.Depth)
	}
	return found.respond(reply), nil
}

// outline is object with null for every value that is not an object with members, and for
// everything deeper than depth levels; 0 is no bound.
func outline(object map[string]any, depth int) map[string]any {
	lines := make(map[string]any, len(object))
	for name, value := range object {
		lines[name] = nil
		if inner, ok := value.(map[string]any); ok && len(inner) > 0 && depth != 1 {
			lines[name] = outline(inner, max(depth-1, 0))
		}
	}
	return lines
}

func (v *versioned) write(ctx context.Context, c *backend.Call, req *writeRequest) (*versionReply, error) {
	path := c.Capture("path")
	if err := document.CheckPath(path); err != nil {
		return nil, err
	}
	cas, err := req.check()
	if err != nil {
		return nil, err
	}
	body, err := encodeVersion(req.Data)
	if err != nil {
		return nil, err
	}
	var reply *versionReply
	err = v.update(ctx, func(tx store.Tx) error {
		key, config, err := keyAndSettings(tx, path)
		if err != nil {
			return err
		}
		if err := cas.check(key, config); err != nil {
			return err
		}
		now := v.clock.Now()
		if key == nil {
			key = newKeyRecord(now)
		}
		if err := putVersion(tx, path, key, config, body, now); err != nil {
			return err
		}
		reply = key.describe(key.Current, key.version(key.Current))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return reply, nil
}

// check is what can be said of a write or a patch before looking at the key.
func (w *writeRequest) check() (casOption, error) {
	if w.Data == nil {
		return casOption{}, backend.Invalidf("no data provided")
	}
	return parseCAS(w.Options)
}

// encodeVersion is the record of a version with this object.
func encodeVersion(object map[string]any) ([]byte, error) {
	text, err := document.Encode(object)
	if err != nil {
		return nil, err
	}
	return record.Encode(&versionRecord{JSON: text})
}

// keyAndSettings reads what a write needs to know; the key is nil when there is none.
func keyAndSettings(r store.Reader, path string) (*keyRecord, configRecord, error) {
	config, err := settings(r)
	if err != nil {
		return nil, config, err
	}
	key, err := record.Get[keyRecord](r, keyKey(path))
	return key, config, err
}

// casOption is a write's check-and-set condition.
type casOption struct {
	given bool
	// version must be the current one; 0 for a key that was never written.
	version int64
}

func parseCAS(options map[string]any) (casOption, error) {
	value, given := options["cas"]
	if !given {
		return casOption{}, nil
	}
	var text string
	switch value := value.(type) {
	case json.Number:
		text = value.String()
	case string:
		text = value
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		// The cause quotes the client's text, so it is dropped.
		return casOption{}, backend.Invalidf("error parsing check-and-set parameter")
	}
	return casOption{given: true, version: n}, nil
}

// check refuses a write that does not build on the current version of key (nil for none), and
// one without a condition where one is required. A key cannot waive what its mount requires.
func (o casOption) check(key *keyRecord, config configRecord) error {
	required, current := config.CASRequired, uint64(0)
	if key != nil {
		required, current = required || key.CASRequired, key.Current
	}
	switch {
	case !o.given && required:
		return backend.Invalidf("check-and-set parameter required for this call")
	case o.given && (o.version < 0 || uint64(o.version) != current):
		return backend.Invalidf("check-and-set parameter did not match the current version")
	}
	return nil
}

// deleteLatest marks the current version as deleted; what is gone already stays as it is.
func (v *versioned) deleteLatest(ctx context.Context, c *backend.Call, _ *backend.None) (*backend.Response, error) {
	path := c.Capture("path")
	if isFolder(path) {
		return stray(c), nil
	}
	return nil, v.update(ctx, func(tx store.Tx) error {
		key, err := record.Get[keyRecord](tx, keyKey(path))
		if err != nil || key == nil {
			return err
		}
		now := v.clock.Now()
		state := key.version(key.Current)
		if state == nil || state.gone(now) {
			return nil
		}
		state.Deleted = now.UnixNano()
		return record.Put(tx, keyKey(path), key)
	})
}

// errStale says that the version a patch was computed from is no longer the current one.
var errStale = errors.New("kv: the patched version has been replaced")

// patch merges into the current version and stores the result as a new one.
//
// Decoding, merging and encoding are done outside the transaction, which runs under the
// store's lock; inside it the patch is only applied if it was computed from the very bytes
// that are current now, else it is computed again. A round that is repeated means that
// another write got through, so this ends.
func (v *versioned) patch(ctx context.Context, c *backend.Call, req *writeRequest) (*backend.Response, error) {
	path := c.Capture("path")
	if isFolder(path) {
		return stray(c), nil
	}
	cas, err := req.check()
	if err != nil {
		return nil, err
	}
	for {
		base, err := v.fetch(ctx, path, 0)
		if err != nil {
			return nil, err
		}
		var body []byte
		if base != nil && base.data != nil {
			if body, err = merged(base.data, req.Data); err != nil {
				return nil, err
			}
		}
		reply, err := v.applyPatch(ctx, path, cas, base, body)
		if !errors.Is(err, errStale) {
			return reply, err
		}
	}
}

// merged is the record of the version that a patch makes of data.
func merged(data json.RawMessage, patch map[string]any) ([]byte, error) {
	object, err := document.Decode(data)
	if err != nil {
		return nil, err
	}
	body, err := encodeVersion(mergePatch(object, patch))
	if err == nil && len(body) > maxMerged {
		return nil, backend.Errorf(backend.TooLarge, "the patched object is too large")
	}
	return body, err
}

// applyPatch stores body as the new version, provided that base is still current. A nil base,
// or one without data, has nothing to patch, and the state found is what answers.
func (v *versioned) applyPatch(ctx context.Context, path string, cas casOption, base *reading, body []byte) (reply *backend.Response, err error) {
	err = v.update(ctx, func(tx store.Tx) error {
		reply = nil
		key, config, err := keyAndSettings(tx, path)
		if err != nil {
			return err
		}
		if key == nil || key.Current == 0 {
			return backend.Missing()
		}
		if err := cas.check(key, config); err != nil {
			return err
		}
		now := v.clock.Now()
		state := key.version(key.Current)
		if state.gone(now) {
			reply = &backend.Response{Status: http.StatusNotFound, Data: key.describe(key.Current, state)}
			return nil
		}
		current, err := record.Get[versionRecord](tx, versionKey(path, key.Current))
		if err != nil {
			return err
		}
		if body == nil || current == nil || base.about.Version != key.Current || !bytes.Equal(current.JSON, base.data) {
			return errStale
		}
		if err := putVersion(tx, path, key, config, body, now); err != nil {
			return err
		}
		reply = &backend.Response{Data: key.describe(key.Current, key.version(key.Current))}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return reply, nil
}
