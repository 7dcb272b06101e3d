package httpd

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
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
	frameBeats bool // heartbeats are protocol pings, for plain tools
	out        outbox
	budget     budget // the reader's

	mu        sync.Mutex
	subs      map[string]*subscription
	heartbeat *time.Timer
	awaiting  bool // a heartbeat has no answer yet
	gone      bool
}

func newConn(s *sockets, ws *websocket.Conn, h *hijacker, frameBeats bool) *conn {
	ws.SetReadLimit(maxFrame)
	c := &conn{
		server: s, ws: ws, net: h.conn, id: s.nextID(), frameBeats: frameBeats,
		budget: budget{rate: float64(s.options.Rate), most: float64(s.options.Burst), left: float64(s.options.Burst), at: time.Now()},
		subs:   map[string]*subscription{},
	}
	c.log = s.log.With().Str("conn", c.id).Logger()
	c.out = outbox{gap: s.options.Coalesce, limit: s.options.Queue, write: c.write, end: c.sayClose, cut: c.cut}
	return c
}

func (c *conn) start() {
	c.out.push("", helloFrame(c.id, c.server.options))
	half := c.server.options.Ping / 2
	c.mu.Lock()
	// Somewhere in the second half, so that clients that came together do not
	// beat together.
	c.heartbeat = time.AfterFunc(half+rand.N(half), c.beat)
	c.mu.Unlock()
	go c.read()
}

// read takes what the client sends until the connection ends.
func (c *conn) read() {
	defer c.end()
	for {
		kind, b, err := c.ws.Read(context.Background())
		if err != nil {
			c.log.Debug().Err(err).Msg("socket ended")
			return
		}
		c.heard()
		if !c.budget.take(time.Now()) {
			c.out.close(closeRate, "too many messages")
			continue
		}
		if kind != websocket.MessageText {
			c.out.close(closeBadMessage, "only text messages are understood")
			continue
		}
		if !utf8.Valid(b) {
			c.out.close(websocket.StatusInvalidFramePayloadData, "not UTF-8")
			continue
		}
		f, ok := parseFrame(b)
		if !ok {
			c.out.close(closeBadMessage, "a message is one JSON object of the protocol")
			continue
		}
		c.take(f)
	}
}

func (c *conn) take(f clientFrame) {
	switch f.Type {
	case "subscribe":
		c.subscribe(f)
	case "unsubscribe":
		c.unsubscribe(f.Topic)
		c.out.push("", answerFrame("unsubscribed", f.ID, f.Topic))
	case "ping":
		c.out.push("", answerFrame("pong", f.ID, ""))
	case "pong":
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
	s := &subscription{conn: c, topic: f.Topic, id: f.ID}
	c.mu.Lock()
	old := c.subs[f.Topic]
	if old == nil && len(c.subs) >= maxTopics {
		c.mu.Unlock()
		c.out.push("", errorFrame(f.ID, importer.Limited, "This connection follows as many topics as it may."))
		return
	}
	c.subs[f.Topic] = s
	c.mu.Unlock()
	if old != nil {
		c.server.hub.Unsubscribe(f.Topic, old)
		c.out.forget(f.Topic)
	}
	c.server.hub.Subscribe(f.Topic, f.Since, s)
}

func (c *conn) unsubscribe(topic string) {
	c.mu.Lock()
	s := c.subs[topic]
	delete(c.subs, topic)
	c.mu.Unlock()
	if s != nil {
		c.server.hub.Unsubscribe(topic, s)
		c.out.forget(topic)
	}
}

// beat asks the client whether it is there, or ends the connection when it
// did not answer the last time.
func (c *conn) beat() {
	c.mu.Lock()
	if c.gone {
		c.mu.Unlock()
		return
	}
	silent := c.awaiting
	c.awaiting = true
	c.heartbeat.Reset(c.server.options.Pong)
	c.mu.Unlock()
	switch {
	case silent:
		c.out.close(closeNoPong, "no answer to a ping")
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
		c.heartbeat.Reset(c.server.options.Ping)
	}
}

// bye asks the client to leave and to come back within the time given.
func (c *conn) bye(reason string, after time.Duration) {
	c.out.push("", byeFrame(reason, after))
	c.out.close(closeRestart, reason)
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
	if err := c.ws.Close(code, why); err != nil {
		c.log.Debug().Err(err).Int("code", int(code)).Msg("socket closed without an answer")
	}
}

// cut resets the connection: one that is full carries no close frame, and
// what the kernel still holds for it is not worth keeping. The reader notices
// and cleans up.
func (c *conn) cut(why error) {
	if errors.Is(why, errSlow) {
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
	c.heartbeat.Stop()
	subs := c.subs
	c.subs = nil
	c.mu.Unlock()
	c.out.kill()
	for topic, s := range subs {
		c.server.hub.Unsubscribe(topic, s)
	}
	c.ws.CloseNow()
	c.server.remove(c)
}

// budget is a token bucket over the client's messages.
type budget struct {
	rate, most float64 // tokens a second, and at most
	left       float64
	at         time.Time
}

func (b *budget) take(now time.Time) bool {
	b.left = min(b.most, b.left+now.Sub(b.at).Seconds()*b.rate)
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
