package sys

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"unicode/utf8"

	"jeton/internal/backend"
	"jeton/internal/store"
)

// rawRoutes show and change what is stored, past every rule of the rooms. They are there only
// where the configuration says raw_storage_endpoint. Contract: sys §20.
func (s *System) rawRoutes() []backend.Route {
	if !s.Process.Config.RawStorageEndpoint {
		return nil
	}
	list, read := backend.Handle(s.listRaw), backend.Handle(s.readRaw)
	return []backend.Route{
		{Pattern: "raw", Summary: "List what is stored.", Sudo: true, List: list},
		{Pattern: "raw/{path...}", Summary: "A stored value, decrypted. Bytes of a key that cannot be printed are written %XX.", Sudo: true,
			Read: read, List: list, Write: backend.Handle(s.writeRaw), Delete: backend.Handle(s.deleteRaw)},
	}
}

type rawRequest struct {
	Path        string  `json:"path" doc:"The key."`
	Value       *string `json:"value" doc:"The value."`
	Encoding    string  `json:"encoding" doc:"base64, or empty for text."`
	Compressed  *bool   `json:"compressed" doc:"Without effect: nothing is compressed."`
	Compression string  `json:"compression_type" doc:"Must be empty: nothing is compressed."`
}

type rawReply struct {
	Value string `json:"value"`
}

// sealPrefix is where the seal keeps its own, which the encrypted store does not show.
const sealPrefix = "seal/"

// key is the stored key that a path stands for.
func (r *rawRequest) key() ([]byte, error) {
	text, err := url.PathUnescape(r.Path)
	if err != nil {
		return nil, backend.Invalidf("the path has a malformed %%XX")
	}
	if text == "core/keyring" || strings.HasPrefix(text, "core/cluster/local/info") || strings.HasPrefix(text, sealPrefix) {
		return nil, backend.Invalidf("cannot access %q", text)
	}
	if r.Encoding != "" && r.Encoding != "base64" {
		return nil, backend.Invalidf("invalid encoding: want base64, or none")
	}
	return []byte(text), nil
}

func (s *System) readRaw(ctx context.Context, _ *backend.Call, req *rawRequest) (*rawReply, error) {
	key, err := req.key()
	if err != nil {
		return nil, err
	}
	var value []byte
	err = s.Whole.View(ctx, func(r store.Reader) (err error) {
		value, err = r.Get(key)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, backend.Missing()
	case err != nil:
		return nil, err
	case req.Encoding == "base64":
		return &rawReply{base64.StdEncoding.EncodeToString(value)}, nil
	case !utf8.Valid(value):
		return nil, backend.Invalidf("the value is not text: ask for it with encoding=base64")
	}
	return &rawReply{string(value)}, nil
}

func (s *System) writeRaw(ctx context.Context, _ *backend.Call, req *rawRequest) (*backend.None, error) {
	key, err := req.key()
	if err != nil {
		return nil, err
	}
	switch {
	case req.Value == nil:
		return nil, backend.Invalidf("missing value")
	case req.Compression != "":
		return nil, backend.Invalidf("compression is not supported: nothing is stored compressed")
	}
	value := []byte(*req.Value)
	if req.Encoding == "base64" {
		if value, err = base64.StdEncoding.DecodeString(*req.Value); err != nil {
			return nil, backend.Invalidf("value is not base64")
		}
	}
	return nil, s.Whole.Update(ctx, func(tx store.Tx) error { return tx.Put(key, value) })
}

func (s *System) deleteRaw(ctx context.Context, _ *backend.Call, req *rawRequest) (*backend.None, error) {
	key, err := req.key()
	if err != nil {
		return nil, err
	}
	return nil, s.Whole.Update(ctx, func(tx store.Tx) error { return tx.Delete(key) })
}

// maxRawKeys bounds one listing.
const maxRawKeys = 10_000

// listRaw lists the next segment of all keys below a path, one look for each: folders are not
// walked.
func (s *System) listRaw(ctx context.Context, c *backend.Call, req *rawRequest) (*backend.Keys, error) {
	prefix, err := req.key()
	if err != nil {
		return nil, err
	}
	if len(prefix) > 0 && prefix[len(prefix)-1] != '/' {
		prefix = append(prefix, '/')
	}
	var names []string
	err = s.Whole.View(ctx, func(r store.Reader) error {
		names = nil
		within := store.PrefixRange(prefix)
		within.KeysOnly, within.Limit = true, 1
		for len(names) < maxRawKeys {
			var found []byte
			err := r.Scan(within, func(key, _ []byte) (bool, error) {
				found = bytes.Clone(key)
				return false, nil
			})
			if err != nil || found == nil {
				return err
			}
			segment, _, folder := bytes.Cut(found[len(prefix):], []byte{'/'})
			if folder {
				segment = append(bytes.Clone(segment), '/')
				within.From = store.PrefixRange(append(bytes.Clone(prefix), segment...)).To
			} else {
				within.From = store.After(found)
			}
			names = append(names, printable(segment))
		}
		c.Warn("there are more keys than one listing shows")
		return nil
	})
	return backend.Listing(names), err
}

// printable is a key with the bytes that no client could send back written as %XX.
func printable(key []byte) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range key {
		if c > ' ' && c < 0x7f && c != '%' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}
