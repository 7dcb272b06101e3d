package httpd

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"github.com/rs/zerolog"

	"importer"
)

// conn is one client. Its reader goroutine lives as long as it does; writing
// and the heartbeat have none of their own.
type conn struct {
	server     *sockets
	ws         *websocket.Conn
	net        net.Conn
	log        zerolog.Logger
	id         string
	client     string // whose limits it counts for
	loopback   bool   // that is the address of this machine
	address    netip.Addr
	frameBeats bool // heartbeats are protocol pings, for plain tools
	out        outbox
	budget     budget // the reader's
	leaving    bool   // the reader's: what the client still says does not count
	entered    bool   // it has passed the door

	mu        sync.Mutex
	caller    importer.Caller
	subs      map[string]*subscription
	heartbeat *time.Timer
	awaiting  bool // a heartbeat has no answer yet
	pinged    time.Time
	busy      bool // the reader does not read, so there can be none
	gone      bool
}

// newConn makes the connection; about is the log of the request it began as.
func newConn(s *sockets, about zerolog.Logger, ws *websocket.Conn, h *hijacker, v *visit, frameBeats bool) *conn {
	ws.SetReadLimit(maxFrame)
	c := &conn{
		server: s, ws: ws, net: h.conn, id: s.nextID(), client: v.client(), address: v.address, caller: v.caller, frameBeats: frameBeats,
		loopback: v.client() == network(v.address).String() && v.address.IsLoopback(),
		budget:   budget{rate: float64(s.options.Rate), most: float64(s.options.Burst), left: float64(s.options.Burst), at: time.Now()},
		subs:     map[string]*subscription{},
	}
	c.log = about.With().Str("conn", c.id).Logger()
	c.out = outbox{gap: s.options.Coalesce, limit: s.options.Queue, write: c.write, end: c.sayClose, cut: c.cut, sent: s.observe.Sent}
	c.out.room.L = &c.out.mu
	return c
}

func (c *conn) start() {
	c.entered = true
	c.out.push("", helloFrame(c.id, c.server.options, c.caller.Expires))
	c.mu.Lock()
	c.heartbeat = time.AfterFunc(firstBeat(c.server.options.Ping), c.beat)
	c.mu.Unlock()
	go c.read()
}

// firstBeat is somewhere in the second half of the interval, so that clients
// that came together do not beat together.
func firstBeat(ping time.Duration) time.Duration { return ping/2 + rand.N(ping/2) }

// refuse ends a connection that must not be.
func (c *conn) refuse(code websocket.StatusCode, why string) {
	c.leaving = true
	c.out.close(code, why)
	go c.read()
}

// read takes what the client sends until the connection ends.
func (c *conn) read() {
	defer c.end()
	defer c.recovered()
	for {
		kind, b, err := c.ws.Read(context.Background())
		if err != nil {
			c.log.Debug().Err(err).Msg("socket ended")
			return
		}
		if c.leaving {
			continue
		}
		c.heard()
		if code, why := c.judge(kind, b); code != 0 {
			c.leaving = true
			c.out.close(code, why)
		}
	}
}

// judge takes one message, or returns the code and reason to close with.
func (c *conn) judge(kind websocket.MessageType, b []byte) (websocket.StatusCode, string) {
	if !c.budget.take(time.Now()) {
		return closeRate, "too many messages"
	}
	if kind != websocket.MessageText {
		return closeBadMessage, "only text messages are understood"
	}
	if !utf8.Valid(b) { // the library does not look
		return closeNotUTF8, "not UTF-8"
	}
	f, ok := parseFrame(b)
	if !ok {
		return closeBadMessage, "a message is one JSON object of the protocol"
	}
	c.take(f)
	return 0, ""
}

// recovered keeps a panic of the reader from ending the process.
func (c *conn) recovered() {
	if v := recover(); v != nil {
		c.log.Error().Bytes("stack", debug.Stack()).Msgf("socket panicked: %v", v)
		c.out.kill()
		c.sayClose(closeInternal, "something went wrong on the server")
	}
}

func (c *conn) take(f clientFrame) {
	switch f.Type {
	case "subscribe":
		c.subscribe(f)
	case "unsubscribe":
		c.leave(f.Topic)
		c.out.push("", answerFrame("unsubscribed", f.ID, f.Topic))
	case "ping":
		c.out.push("", answerFrame("pong", f.ID, ""))
	case "pong":
	case "auth":
		c.authenticate(f)
	default:
		c.out.push("", errorFrame(f.ID, importer.Malformed, "This server does not know the type of this message."))
	}
}

func (c *conn) subscribe(f clientFrame) {
	if len(f.Topic) > maxTopic {
		c.out.push("", errorFrame(f.ID, importer.Malformed, "The name of the topic is too long."))
		return
	}
	if _, ok := importer.ParseTopic(f.Topic); !ok {
		c.out.push("", errorFrame(f.ID, importer.NotFound, "There is no such topic."))
		return
	}
	if f.Since != nil && f.Since.Seq < 0 {
		c.out.push("", errorFrame(f.ID, importer.Malformed, "A seq is never negative."))
		return
	}
	if !c.may(importer.TopicScope(f.Topic)) {
		c.out.push("", errorFrame(f.ID, importer.Forbidden, "These credentials do not reach to this topic."))
		return
	}
	if !c.leave(f.Topic) && c.topics() >= maxTopics {
		c.out.push("", errorFrame(f.ID, importer.Limited, "This connection follows as many topics as it may."))
		return
	}
	c.awaitRoom()
	s := &subscription{conn: c, topic: f.Topic, id: f.ID}
	c.mu.Lock()
	c.subs[f.Topic] = s
	c.mu.Unlock()
	c.server.hub.Subscribe(f.Topic, f.Since, s)
}

// awaitRoom waits until the answer to one more subscribe fits the queue.
func (c *conn) awaitRoom() {
	c.mu.Lock()
	c.busy = true
	c.mu.Unlock()
	c.out.promise()
	c.mu.Lock()
	c.busy = false
	c.mu.Unlock()
	c.heard() // what it said meanwhile is still to be read
}

func (c *conn) topics() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.subs)
}

// leave ends the subscription of a topic and reports whether there was one.
func (c *conn) leave(topic string) bool {
	c.mu.Lock()
	s := c.subs[topic]
	delete(c.subs, topic)
	if s != nil {
		s.answered()
	}
	c.mu.Unlock()
	if s == nil {
		return false
	}
	c.server.hub.Unsubscribe(topic, s)
	c.out.forget(topic)
	return true
}

// beat asks the client whether it is there, or ends the connection when it
// did not answer the last time.
func (c *conn) beat() {
	c.mu.Lock()
	if c.gone {
		c.mu.Unlock()
		return
	}
	silent, caller := c.awaiting && !c.busy, c.caller
	c.awaiting, c.pinged = true, time.Now()
	c.heartbeat.Reset(c.server.options.Pong)
	c.mu.Unlock()
	switch {
	case silent:
		c.out.close(closeNoPong, "no answer to a ping")
	case !c.server.holds(caller):
		c.bye(closeExpired, expired, capacityWait)
		c.out.close(closeExpired, expired)
	case c.frameBeats:
		ctx, cancel := context.WithTimeout(context.Background(), c.server.options.Pong)
		defer cancel()
		if c.ws.Ping(ctx) == nil {
			c.heard()
		}
	default:
		c.out.push("", pingFrame)
	}
}

// heard notes a sign of life; any message is one.
func (c *conn) heard() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.awaiting && !c.gone {
		c.awaiting = false
		c.server.observe.Ponged(time.Since(c.pinged))
		c.heartbeat.Reset(c.server.options.Ping)
	}
}

// bye tells the client that the connection is about to be closed with a code,
// and within what time to come back, if it may.
func (c *conn) bye(code websocket.StatusCode, why string, after time.Duration) {
	c.out.push("", byeFrame(code, why, after))
}

// write is the outbox's. A deadline on the connection costs less than a
// context, and must not stay: control frames are written besides.
func (c *conn) write(message []byte) error {
	if err := c.net.SetWriteDeadline(time.Now().Add(c.server.options.Write)); err != nil {
		return err
	}
	if err := c.ws.Write(context.Background(), websocket.MessageText, message); err != nil {
		return err
	}
	return c.net.SetWriteDeadline(time.Time{})
}

func (c *conn) sayClose(code websocket.StatusCode, why string) {
	c.server.observe.Cut(int(code))
	if err := c.ws.Close(code, why); err != nil {
		c.log.Debug().Err(err).Int("code", int(code)).Msg("socket closed without an answer")
	}
}

// cut resets the connection: one that is full carries no close frame, and
// what the kernel still holds for it is not worth keeping. The reader notices
// and cleans up.
func (c *conn) cut(why error) {
	if errors.Is(why, errSlow) || errors.Is(why, os.ErrDeadlineExceeded) {
		c.server.observe.Cut(int(closeSlow))
		c.log.Info().Int("code", int(closeSlow)).Msg("socket cut: the client reads too slowly")
	}
	if tcp, ok := (&hijacker{conn: c.net}).tcp(); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.net.Close()
}

// end is the last thing of a connection, whoever closed it.
func (c *conn) end() {
	c.mu.Lock()
	c.gone = true
	if c.heartbeat != nil {
		c.heartbeat.Stop()
	}
	subs := c.subs
	c.subs = nil
	c.mu.Unlock()
	c.out.kill()
	for topic, s := range subs {
		c.server.hub.Unsubscribe(topic, s)
	}
	c.ws.CloseNow()
	if c.entered {
		c.server.door.leave(c.client)
	}
	c.server.remove(c)
}
