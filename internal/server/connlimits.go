package server

import (
	"container/list"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"

	"jeton/internal/backend"
)

// Bounds are what all listeners of a server together let in. They stand before anyone knows who
// asks, so that no number of strangers can take what the others need.
type Bounds struct {
	// connections is how many may be open; requests how many may be worked on at once.
	connections, requests int64
	// bodies is how many bytes of large bodies may be held at once.
	bodies int64
	// queued is how many writes may wait for the store before those that come are turned away.
	queued int

	working atomic.Int64
	held    atomic.Int64

	// mu guards order, in which connections stand: before border those that nobody works for, the
	// one that has waited longest first, behind it the others; places, which are their elements, kept
	// for life as each request moves one twice; and open, which counts all connections.
	mu     sync.Mutex
	order  *list.List // of net.Conn, and border
	border *list.Element
	places map[net.Conn]*list.Element
	open   int64
}

// The usual bounds. A request that is worked on holds kilobytes, and the store commits
// thousands a second: what waits behind 4096 others is better told to come back.
const (
	mostConnections = 16384
	mostRequests    = 4096
	mostBodies      = 256 << 20
	// mostQueued is some tenths of a second's work of the store. Beyond it a queue adds latency and
	// costs throughput: those who wait have to be woken, and hold memory that has to be looked through.
	mostQueued = 1024
	// freeBody is the part of a body, in bytes, that counts against no bound: what issues, looks
	// up and renews tokens goes on while large bodies are turned away.
	freeBody = 16 << 10
	// spareFiles is how many files the store, the log and the audit devices may need.
	spareFiles = 1024
)

// NewBounds are the usual bounds, or less where the process may open fewer files.
func NewBounds() *Bounds {
	connections := int64(mostConnections)
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil && files.Cur < mostConnections+spareFiles {
		connections = max(int64(files.Cur)-spareFiles, int64(files.Cur)/2)
	}
	return newBounds(connections, mostRequests, mostBodies)
}

func newBounds(connections, requests, bodies int64) *Bounds {
	b := &Bounds{connections: connections, requests: requests, bodies: bodies, queued: mostQueued, order: list.New(), places: map[net.Conn]*list.Element{}}
	b.border = b.order.PushBack(nil)
	return b
}

// connState follows a connection. When there is one too many, the one that has kept the server
// waiting longest is closed: a stranger that opens connections and says nothing pushes out its
// own. Only where all are being worked for is the newest one closed.
func (b *Bounds) connState(conn net.Conn, state http.ConnState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch state {
	case http.StateNew:
		b.open++
		if b.open > b.connections {
			b.closeOne(conn)
		}
		b.places[conn] = b.order.InsertBefore(conn, b.border)
	case http.StateActive:
		b.work(conn)
	case http.StateIdle:
		b.wait(conn)
	case http.StateClosed, http.StateHijacked:
		b.open--
		b.forget(conn)
	}
}

// wait puts a connection behind all that wait. REQUIRES: mu is held.
func (b *Bounds) wait(conn net.Conn) {
	if at, ok := b.places[conn]; ok {
		b.order.MoveBefore(at, b.border)
	}
}

// work takes a connection out of those that wait. REQUIRES: mu is held.
func (b *Bounds) work(conn net.Conn) {
	if at, ok := b.places[conn]; ok {
		b.order.MoveToBack(at)
	}
}

// forget removes a connection that is closed. REQUIRES: mu is held.
func (b *Bounds) forget(conn net.Conn) {
	if at, ok := b.places[conn]; ok {
		b.order.Remove(at)
		delete(b.places, conn)
	}
}

// connKey is the context key of a request's connection.
type connKey struct{}

// connContext lets a request find its connection.
func connContext(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// reading puts a connection among those that wait while its peer sends a body; worked takes it
// out when the body is there. Without it strangers that dribble bodies could fill every place.
func (b *Bounds) reading(conn net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wait(conn)
}

func (b *Bounds) worked(conn net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.work(conn)
}

// closeOne closes the connection that has waited longest, or newest. REQUIRES: mu is held.
func (b *Bounds) closeOne(newest net.Conn) {
	victim := newest
	if first := b.order.Front(); first != b.border {
		victim = first.Value.(net.Conn)
		b.forget(victim)
	}
	// Beneath TLS, whose own way of closing can wait for the peer.
	if secure, ok := victim.(*tls.Conn); ok {
		victim = secure.NetConn()
	}
	// Its own goroutine notices, and reports it closed.
	_ = victim.Close()
}

// crowded says whether a request is turned away before anything of it is read: it may write, and
// enough writes wait for the store. Reads never wait there.
func (b *Bounds) crowded(method string, queued int) bool {
	return queued >= b.queued && method != http.MethodGet && method != http.MethodHead && method != "LIST"
}

// begin lets a request in, or not; end must be called when one that was let in has been answered.
func (b *Bounds) begin() bool {
	if b.working.Add(1) > b.requests {
		b.working.Add(-1)
		return false
	}
	return true
}

func (b *Bounds) end() { b.working.Add(-1) }

// full says that a request which came now would be turned away.
func (b *Bounds) full() bool { return b.working.Load() >= b.requests }

// errBusy answers what the bounds turn away.
var errBusy = backend.Errorf(backend.Overloaded, "the server is busy: try again shortly")

// retryAfter is what clients are told to wait, in seconds.
const retryAfter = "1"

// meter counts a body's bytes against the bounds while they are held. conn is nil for one that
// others share.
func (b *Bounds) meter(body io.ReadCloser, conn net.Conn) *meteredBody {
	if conn != nil {
		b.reading(conn)
	}
	return &meteredBody{ReadCloser: body, bounds: b, conn: conn}
}

// meteredBody is a body whose bytes are counted until release. It belongs to one request.
type meteredBody struct {
	io.ReadCloser
	bounds     *Bounds
	conn       net.Conn // while it waits for its peer
	read, held int64
}

// Read reads, or says that the server holds too much.
func (m *meteredBody) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	if err != nil && m.conn != nil {
		m.bounds.worked(m.conn)
		m.conn = nil
	}
	m.read += int64(n)
	if more := m.read - freeBody - m.held; more > 0 {
		m.held += more
		if m.bounds.held.Add(more) > m.bounds.bodies {
			return 0, errBusy
		}
	}
	return n, err
}

// release gives back what was counted.
func (m *meteredBody) release() { m.bounds.held.Add(-m.held); m.held = 0 }
