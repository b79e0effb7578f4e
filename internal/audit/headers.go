package audit

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

// Header is how a request header is written: not at all unless it is in the table, hashed or in
// clear. Contract: sys §10, audit §6.
type Header struct {
	HMAC bool `json:"hmac"`
}

// headerTable is the table as entries use it. It is never changed, only replaced.
type headerTable struct {
	// hashed maps lower-case names to whether their values are hashed.
	hashed map[string]bool
	rows   []headerRow
}

type headerRow struct {
	// name is lower-case, as entries show it; canonical is the form that requests use.
	name, canonical string
	hashed          bool
}

func newHeaderTable(hashed map[string]bool) *headerTable {
	t := &headerTable{hashed: hashed}
	for _, name := range slices.Sorted(maps.Keys(hashed)) {
		t.rows = append(t.rows, headerRow{
			name:      name,
			canonical: textproto.CanonicalMIMEHeaderKey(name),
			hashed:    hashed[name] || carriesCredential(name),
		})
	}
	return t
}

// carriesCredential names the headers that are hashed whatever the table says: a slip there must
// not put tokens into the log.
func carriesCredential(name string) bool {
	switch name {
	case "x-vault-token", "authorization", "cookie", "proxy-authorization":
		return true
	}
	return false
}

// headers writes those of the request's headers that the table names.
func (l *line) headers(h map[string][]string, t *headerTable) {
	if t == nil || len(h) == 0 {
		return
	}
	started := false
	for _, row := range t.rows {
		values := h[row.canonical]
		if len(values) == 0 {
			continue
		}
		if !started {
			l.open("headers")
			started = true
		}
		l.comma()
		l.buf = appendString(l.buf, row.name)
		l.buf = append(l.buf, ':', '[')
		for _, v := range values {
			l.comma()
			if row.hashed {
				l.hashed(v)
			} else {
				l.buf = appendString(l.buf, v)
			}
		}
		l.buf = append(l.buf, ']')
	}
	if started {
		l.close()
	}
}

// Headers lists the table by lower-case name.
func (b *Broker) Headers() map[string]Header {
	out := map[string]Header{}
	for name, hashed := range b.state.Load().headers.hashed {
		out[name] = Header{HMAC: hashed}
	}
	return out
}

// Header looks a name up, whatever its case. An unknown one is refused as the contract has it.
func (b *Broker) Header(name string) (Header, error) {
	hashed, ok := b.state.Load().headers.hashed[strings.ToLower(name)]
	if !ok {
		return Header{}, invalid("Could not find header in config")
	}
	return Header{HMAC: hashed}, nil
}

// PutHeader has a header written from the next request on.
func (b *Broker) PutHeader(ctx context.Context, name string, h Header) error {
	name = strings.ToLower(strings.TrimSpace(name))
	if !isHeaderName(name) {
		return invalid("not a header name")
	}
	return b.changeHeaders(ctx, func(hashed map[string]bool) { hashed[name] = h.HMAC })
}

// DeleteHeader stops a header from being written. An absent one is no error.
func (b *Broker) DeleteHeader(ctx context.Context, name string) error {
	name = strings.ToLower(strings.TrimSpace(name))
	return b.changeHeaders(ctx, func(hashed map[string]bool) { delete(hashed, name) })
}

// changeHeaders stores the table as change leaves it, then puts it to use.
func (b *Broker) changeHeaders(ctx context.Context, change func(map[string]bool)) error {
	b.changing.Lock()
	defer b.changing.Unlock()
	hashed := maps.Clone(b.state.Load().headers.hashed)
	if hashed == nil {
		hashed = map[string]bool{}
	}
	change(hashed)
	err := b.area.Update(ctx, func(tx store.Tx) error {
		return record.Put(tx, headersKey, &headersRecord{Headers: hashed})
	})
	if err != nil {
		return backend.Errorf(backend.Internal, "store the audited headers").Because(err)
	}
	next := *b.state.Load()
	next.headers = newHeaderTable(hashed)
	b.state.Store(&next)
	return nil
}

// isHeaderName says whether name is an HTTP token of sane length.
func isHeaderName(name string) bool {
	if name == "" || len(name) > 256 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte("()<>@,;:\\\"/[]?={}", c) >= 0 {
			return false
		}
	}
	return true
}
