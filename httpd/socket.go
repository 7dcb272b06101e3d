package httpd

import (
	"bufio"
	"cmp"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/rs/zerolog"

	"importer"
)

// SocketOptions are the limits of /ws; 0 means the default.
type SocketOptions struct {
	Conns       int // connections in all; 10,000
	PerClient   int // connections of one session or token, or from one address; 20
	PerLoopback int // connections from this machine, where a proxy may speak for everybody; as Conns
	Accept      int // handshakes a second; 500
	Handshakes  int // handshakes at once; 100

	Ping     time.Duration // between heartbeats; 20 s
	Pong     time.Duration // for the answer to one; 10 s
	Coalesce time.Duration // least time between two messages to one client; 20 ms
	Write    time.Duration // for one message to leave; 10 s
	Drain    time.Duration // for all clients to be sent away at shutdown; 3 s
	Queue    int           // bytes that may wait for one client; 1 MiB
	Rate     int           // messages a second from a client; 20
	Burst    int           // messages at once from a client; 50
}

func (o SocketOptions) withDefaults() SocketOptions {
	o.Conns = cmp.Or(o.Conns, 10_000)
	o.PerClient = cmp.Or(o.PerClient, 20)
	o.PerLoopback = cmp.Or(o.PerLoopback, o.Conns)
	o.Accept = cmp.Or(o.Accept, comeBackRate)
	o.Handshakes = cmp.Or(o.Handshakes, 100)
	o.Ping = cmp.Or(o.Ping, 20*time.Second)
	o.Pong = cmp.Or(o.Pong, 10*time.Second)
	o.Coalesce = cmp.Or(o.Coalesce, 20*time.Millisecond)
	o.Write = cmp.Or(o.Write, 10*time.Second)
	o.Drain = cmp.Or(o.Drain, 3*time.Second)
	o.Queue = cmp.Or(o.Queue, 1<<20)
	o.Rate = cmp.Or(o.Rate, 20)
	o.Burst = cmp.Or(o.Burst, 50)
	return o
}

const (
	subprotocol = "importer.v1.json"

	maxFrame  = 16 << 10 // bytes of a client's message
	maxTopics = 64       // a connection
	maxTopic  = 128      // bytes of a topic's name

	// A kernel buffer that tunes itself holds megabytes of stale progress.
	sendBuffer = 64 << 10

	// Clients that are sent away come back at this many a second, which is
	// also what the next server takes.
	comeBackRate = 500
)

// Close codes of the protocol. 4000 to 4499 ask to come back, those from 4500
// on to stay away. RFC 6455 has 1007 and 1009, which also say stay away, and
// 1011 and 1012, which do not.
const (
	closeInternal    = websocket.StatusInternalError
	closeRestart     = websocket.StatusServiceRestart
	closeNotUTF8     = websocket.StatusInvalidFramePayloadData
	closeSlow        = websocket.StatusCode(4000) // for the log: a full connection carries no close frame
	closeNoPong      = websocket.StatusCode(4001)
	closeExpired     = websocket.StatusCode(4002)
	closeRate        = websocket.StatusCode(4003)
	closeCapacity    = websocket.StatusCode(4004)
	closeBadMessage  = websocket.StatusCode(4500)
	closeUnknown     = websocket.StatusCode(4501)
	closeSubprotocol = websocket.StatusCode(4503)
	closeTooMany     = websocket.StatusCode(4504)
)

// sockets is the handler of /ws and all its connections.
type sockets struct {
	options SocketOptions
	hub     importer.Hub
	access  *access
	observe Observer
	log     zerolog.Logger
	lastID  atomic.Int64
	door    door

	mu     sync.Mutex
	conns  map[*conn]struct{}
	closed bool
	empty  chan struct{} // closed when the last connection is gone after closed
}

func newSockets(o SocketOptions, hub importer.Hub, who *access, observe Observer, log zerolog.Logger) *sockets {
	return &sockets{options: o, hub: hub, access: who, observe: observe, log: log, door: newDoor(o), conns: map[*conn]struct{}{}, empty: make(chan struct{})}
}

// ServeHTTP accepts a connection, starts its reader and returns: an idle
// connection costs one goroutine and no handler.
func (s *sockets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.draining() {
		tryLater(w, "The server is shutting down; come back in a moment.")
		return
	}
	if !sameOrigin(r) {
		fail(w, r, importer.Errorf(importer.Forbidden, "Pages of %s may not connect here.", r.Header.Get("Origin")))
		return
	}
	if !s.door.knock(time.Now()) {
		tryLater(w, "The server takes no more connections at the moment; come back soon.")
		return
	}
	defer s.door.shut()
	hijack := &hijacker{ResponseWriter: w}
	ws, err := websocket.Accept(hijack, r, &websocket.AcceptOptions{
		Subprotocols:       []string{subprotocol},
		InsecureSkipVerify: true, // sameOrigin is stricter: it compares the scheme too
	})
	if err != nil {
		zerolog.Ctx(r.Context()).Debug().Err(err).Msg("no websocket") // Accept has answered
		return
	}
	if tcp, ok := hijack.tcp(); ok {
		_ = tcp.SetWriteBuffer(sendBuffer)
	}
	c := newConn(s, *zerolog.Ctx(r.Context()), ws, hijack, visitOf(r.Context()), r.URL.Query().Get("ping") == "frame")
	if !s.add(c) {
		ws.CloseNow()
		return
	}
	if ws.Subprotocol() == "" && r.Header.Get("Sec-WebSocket-Protocol") != "" {
		c.refuse(closeSubprotocol, "only "+subprotocol+" is spoken here")
		return
	}
	if code, why := s.door.enter(c.client, c.loopback); code != 0 {
		c.bye(code, why, capacityWait)
		c.refuse(code, why)
		return
	}
	c.start()
}

func (s *sockets) draining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *sockets) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *sockets) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.checkEmpty()
}

// sameOrigin reports whether the request comes from one of our own pages, or
// from no page at all.
func sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	scheme := "http"
	if isTLS(r) {
		scheme = "https"
	}
	u, err := url.Parse(origin)
	return err == nil && u.Scheme == scheme && strings.EqualFold(u.Host, r.Host)
}

func (s *sockets) nextID() string { return "c_" + strconv.FormatInt(s.lastID.Add(1), 10) }

// hijacker keeps hold of the connection under a WebSocket, for deadlines and
// for a reset.
type hijacker struct {
	http.ResponseWriter
	conn net.Conn
}

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	h.conn = conn
	return conn, rw, err
}

func (h *hijacker) tcp() (*net.TCPConn, bool) {
	conn := h.conn
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
		conn = t.NetConn()
	}
	tcp, ok := conn.(*net.TCPConn)
	return tcp, ok
}
