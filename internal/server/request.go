package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"jeton/internal/backend"
)

// request is what the edge has read of an HTTP request: within its limits, its path canonical,
// its body decoded. Nothing behind the edge reads the HTTP request itself.
type request struct {
	id        string
	operation backend.Operation
	// path is without "/v1/"; for a list it ends in a slash.
	path string
	// data is the body, form or query; raw is the same as JSON, for the audit entry.
	data map[string]any
	raw  json.RawMessage
	// hasBody says that there was a body, even an empty object.
	hasBody bool
	token   string
	remote  netip.AddrPort
	wrapTTL time.Duration
	help    bool
	// ofRaw says that the help is about a path with a raw handler.
	ofRaw   bool
	headers http.Header
	tls     *tls.ConnectionState
	// certifier is the proxy that vouches for tls's certificate; invalid where the connection showed it.
	certifier netip.Addr
	// policyOverride is recorded in the audit log and otherwise without effect.
	policyOverride bool
	uri            string
}

// apiPrefix begins every path of the API.
const apiPrefix = "/v1/"

// read turns an HTTP request below /v1/ into a request, or into the error that answers it.
// None of this needs a token: what it refuses is refused to everyone, before any work.
func (s *Server) read(r *http.Request) (*request, error) {
	req := &request{id: newRequestID(), headers: r.Header, tls: r.TLS, uri: r.RequestURI, token: presentedToken(r.Header)}
	req.remote, req.certifier = remoteOf(r.Context(), r.RemoteAddr), certifiedBy(r.Context())
	var query url.Values
	if r.URL.RawQuery != "" {
		query = r.URL.Query()
	}
	if err := req.setOperation(r.Method, query); err != nil {
		return nil, err
	}
	if err := req.setPath(r.URL); err != nil {
		return nil, err
	}
	if err := req.readHeaders(r.Header); err != nil {
		return nil, err
	}
	if query.Has("read_snapshot_id") || query.Has("recover_snapshot_id") {
		// What is there now is no answer to who asks for what was there once.
		return nil, backend.Invalidf("this server reads no snapshots: restore one to see what is in it")
	}
	switch req.operation {
	case backend.Update, backend.Patch:
		if strings.HasSuffix(req.path, "/") {
			return nil, backend.Invalidf("cannot write to a path ending in '/'")
		}
		return req, req.readBody(r, s.limits)
	}
	return req, req.readQuery(query)
}

// newRequestID is a random UUID.
func newRequestID() string {
	var id uuid.UUID
	_, _ = rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id.String()
}

// setOperation maps the verb. Contract: http §2.
func (q *request) setOperation(method string, query url.Values) error {
	switch method {
	case http.MethodGet:
		q.operation = backend.Read
		if text, ok := query["list"]; ok {
			list, err := strconv.ParseBool(text[0])
			if err != nil {
				return &backend.Error{Kind: backend.Invalid}
			}
			if list {
				q.operation = backend.List
			}
		}
	case "LIST":
		q.operation = backend.List
	case http.MethodPost, http.MethodPut:
		q.operation = backend.Update
	case http.MethodPatch:
		q.operation = backend.Patch
	case http.MethodDelete:
		q.operation = backend.Delete
	case "HELP":
		q.operation, q.help = backend.Read, true
	case http.MethodHead:
		return backend.Errorf(backend.UnsupportedOperation, "unsupported operation")
	case http.MethodOptions:
		return backend.Invalidf("cannot handle internal-only request operation")
	default:
		return &backend.Error{Kind: backend.UnsupportedOperation}
	}
	if query.Get("help") != "" {
		q.help = true
	}
	return nil
}

// asksHelp says whether a request reads, and what it reads is the help of its path.
func asksHelp(r *http.Request) bool {
	return r.Method == "HELP" || r.Method == http.MethodGet && r.URL.Query().Get("help") != ""
}

// setPath takes the path, percent-decoded once, and refuses every form that two readers could
// take for different paths: the ACL and the handler must see the same bytes.
// Contract: http §5, §10.16; observed, http §10.16; CVE-2026-3605.
func (q *request) setPath(u *url.URL) error {
	path := strings.TrimPrefix(u.Path, apiPrefix)
	if !utf8.ValidString(path) {
		return backend.Invalidf("the path is not valid UTF-8")
	}
	for _, r := range path {
		// What nobody can see makes two names look like one.
		if !unicode.IsPrint(r) {
			return backend.Invalidf("the path has a character that cannot be printed")
		}
	}
	for rest, more := path, true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		switch {
		case segment == "." || segment == "..":
			return backend.Invalidf("relative paths not supported")
		case segment == "" && more:
			return backend.Invalidf("the path has an empty segment")
		}
	}
	if q.operation == backend.List && path != "" && !strings.HasSuffix(path, "/") {
		path += "/"
	}
	q.path = path
	return nil
}

// readHeaders reads what steers the request. Contract: http §3, wrapping §1.
func (q *request) readHeaders(h http.Header) error {
	if inNamespace(h) {
		return backend.Errorf(backend.NotFound, "namespace not found: this server has no namespaces")
	}
	if text := h.Get("X-Vault-Policy-Override"); text != "" {
		override, err := strconv.ParseBool(text)
		if err != nil {
			return backend.Invalidf("failed to parse X-Vault-Policy-Override header: want true or false")
		}
		q.policyOverride = override
	}
	if text := h.Get("X-Vault-Wrap-Ttl"); text != "" {
		ttl, err := backend.ParseDuration(text)
		if err != nil {
			return backend.Invalidf("error parsing X-Vault-Wrap-TTL header: %s", err)
		}
		if ttl < 0 {
			return backend.Invalidf("error parsing X-Vault-Wrap-TTL header: requested wrap ttl cannot be negative")
		}
		q.wrapTTL = ttl
	}
	return nil
}

// inNamespace says whether the request names another namespace than the root, which is the
// only one: acting on the root in its place would be acting on the wrong data.
func inNamespace(h http.Header) bool {
	name := strings.Trim(h.Get("X-Vault-Namespace"), "/ ")
	return name != "" && name != "root"
}

// presentedToken is the token that came along. Contract: http §3.
func presentedToken(h http.Header) string {
	if token := h.Get("X-Vault-Token"); token != "" {
		return token
	}
	if bearer, ok := strings.CutPrefix(h.Get("Authorization"), "Bearer "); ok {
		return strings.TrimSpace(bearer)
	}
	return ""
}

// readQuery makes data of the query. Contract: http §2.
func (q *request) readQuery(query url.Values) error {
	query.Del("help")
	if q.operation == backend.List {
		query.Del("list")
	}
	if len(query) == 0 {
		return nil
	}
	q.data = make(map[string]any, len(query))
	for name, values := range query {
		if len(values) == 1 {
			q.data[name] = values[0]
			continue
		}
		list := make([]any, len(values))
		for i, v := range values {
			list[i] = v
		}
		q.data[name] = list
	}
	var err error
	q.raw, err = json.Marshal(q.data)
	return err
}

const mergePatch = "application/merge-patch+json"

// readBody reads and decodes a body: JSON, or a form. Contract: http §1.3 to §1.5, §2.
func (q *request) readBody(r *http.Request, limits limits) error {
	media, mediaErr := "application/json", error(nil)
	if written := r.Header.Get("Content-Type"); written != media {
		media, _, mediaErr = mime.ParseMediaType(written)
	}
	if q.operation == backend.Patch {
		switch {
		case mediaErr != nil:
			return backend.Invalidf("PATCH requires Content-Type of %s", mergePatch)
		case media != mergePatch:
			return backend.Errorf(backend.UnsupportedMedia, "PATCH requires Content-Type of %s, provided %s", mergePatch, media)
		}
	}
	body, err := readAll(r, limits.size)
	if err != nil {
		return err
	}
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	if len(trimmed) == 0 {
		return nil
	}
	q.hasBody = true
	if media == "application/x-www-form-urlencoded" && trimmed[0] != '{' && trimmed[0] != '[' {
		return q.readForm(string(body))
	}
	return q.readJSON(trimmed, limits)
}

// readAll reads a body no longer than most; most below 0 is no bound.
func readAll(r *http.Request, most int64) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	reader := io.Reader(r.Body)
	if most >= 0 {
		if r.ContentLength > most {
			return nil, backend.Errorf(backend.TooLarge, "http: request body too large")
		}
		reader = http.MaxBytesReader(nil, r.Body, most)
	}
	body, err := readUntilEnd(reader, r.ContentLength)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, backend.Errorf(backend.TooLarge, "http: request body too large")
	case busy(err):
		return nil, err
	case err != nil:
		return nil, backend.Invalidf("the request body could not be read").Because(err)
	}
	return body, nil
}

// firstRead bounds what is set aside for a body before anything of it has come, in bytes: strangers
// on every connection may announce much and send nothing.
const firstRead = 4 << 10

// readUntilEnd reads everything. announced is how much that is said to be, which may be a lie.
func readUntilEnd(r io.Reader, announced int64) ([]byte, error) {
	// One byte more, for the end to be seen without growing.
	body := make([]byte, 0, min(max(announced+1, 512), firstRead))
	for {
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case err == io.EOF:
			return body, nil
		case err != nil:
			return body, err
		case len(body) == cap(body):
			body = slices.Grow(body, len(body))
		}
	}
}

func (q *request) readForm(body string) error {
	form, err := url.ParseQuery(body)
	if err != nil {
		return backend.Invalidf("error parsing form")
	}
	q.data = make(map[string]any, len(form))
	for name, values := range form {
		q.data[name] = strings.Join(values, ",")
	}
	q.raw, err = json.Marshal(q.data)
	return err
}

// readJSON decodes an object, numbers exact. What follows the object is ignored, as clients
// expect. The error never repeats what was sent.
func (q *request) readJSON(body []byte, limits limits) error {
	if err := limits.check(body); err != nil {
		return err
	}
	if object, end, ok := readPlain(body); ok {
		q.data, q.raw = object, body[:end]
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if len(body) == 0 || body[0] != '{' {
		var other json.RawMessage
		if err := decoder.Decode(&other); err != nil {
			return backend.Invalidf("error parsing JSON").Because(syntaxOnly(err))
		}
		if string(other) == "null" {
			return nil
		}
		return backend.Invalidf("error parsing JSON: want an object")
	}
	if err := decoder.Decode(&q.data); err != nil {
		q.data = nil
		return backend.Invalidf("error parsing JSON").Because(syntaxOnly(err))
	}
	q.raw = body[:decoder.InputOffset()]
	return nil
}

// syntaxOnly keeps the place of a JSON error and drops its text, which repeats input.
func syntaxOnly(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return errors.New("syntax error at byte " + strconv.FormatInt(syntax.Offset, 10))
	}
	return errors.New("malformed")
}

// remoteKey is the context key of the address that a trusted proxy named.
type remoteKey struct{}

// remoteOf is the client's address.
func remoteOf(ctx context.Context, fallback string) netip.AddrPort {
	if named, ok := ctx.Value(remoteKey{}).(netip.AddrPort); ok {
		return named
	}
	addr, err := netip.ParseAddrPort(fallback)
	if err != nil {
		// A unix socket has no address.
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
}
