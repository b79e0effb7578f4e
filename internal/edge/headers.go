package edge

import (
	"context"
	"maps"
	"net/textproto"
	"slices"
	"strings"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// headerLetters are what a header's name is made of.
const headerLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

// headerRecord is a header of the web interface's files.
type headerRecord struct {
	Values []string `cbor:"1,keyasint"`
}

// HeaderNames are the headers that were set, sorted. Contract: sys §12.
func (s *Settings) HeaderNames() []string {
	return slices.Sorted(maps.Keys(s.current.Load().headers))
}

// Header is the values of a header of the web interface; nil for none.
func (s *Settings) Header(name string) []string {
	return s.current.Load().headers[textproto.CanonicalMIMEHeaderKey(name)]
}

// SetHeader replaces a header; no values remove it.
func (s *Settings) SetHeader(ctx context.Context, name string, values []string) error {
	name = textproto.CanonicalMIMEHeaderKey(name)
	if strings.HasPrefix(name, "X-Vault-") {
		return backend.Invalidf("X-Vault headers cannot be set")
	}
	if name == "" || strings.Trim(name, headerLetters) != "" {
		return backend.Invalidf("the name of a header has letters, digits, dashes and underscores")
	}
	for _, value := range values {
		// A line break would begin another header.
		if strings.ContainsAny(value, "\r\n\x00") {
			return backend.Invalidf("the value of a header must not have line breaks")
		}
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	next := *s.current.Load()
	next.headers = maps.Clone(next.headers)
	if len(values) == 0 {
		delete(next.headers, name)
		return s.change(ctx, &next, func(tx store.Tx) error { return tx.Delete(headerKey(name)) })
	}
	next.headers[name] = values
	return s.change(ctx, &next, func(tx store.Tx) error { return record.Put(tx, headerKey(name), &headerRecord{values}) })
}
