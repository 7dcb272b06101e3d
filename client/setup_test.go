package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"importer/client"
	"importer/db/dbtest"
)

func TestMain(m *testing.M) {
	dbtest.Main(m)
	// toxiproxy now and then leaves a stage of a connection behind that was cut
	// while a toxic came or went.
	err := goleak.Find(goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).write"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// session plays the server's part of one connection.
type session func(p *peer)

// peer is the server's end of a connection.
type peer struct {
	t   *testing.T
	ctx context.Context
	ws  *websocket.Conn
}

// play starts a server in memory, so that it can live in a synctest bubble. It
// plays one session a connection, in order; a connection too many is a failure.
func play(t *testing.T, sessions ...session) *client.Client {
	t.Helper()
	var n atomic.Int64
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := int(n.Add(1)) - 1
		if i >= len(sessions) {
			t.Errorf("connection %d, want no more than %d", i+1, len(sessions))
			http.Error(w, "enough", http.StatusForbidden)
			return
		}
		p := accept(t, w, r)
		p.say(`{"type":"hello","v":1,"ping_ms":20000,"pong_ms":10000}`)
		sessions[i](p)
	}))
}

func accept(t *testing.T, w http.ResponseWriter, r *http.Request) *peer {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{client.Subprotocol}})
	if err != nil {
		t.Error(err)
		panic(http.ErrAbortHandler)
	}
	t.Cleanup(func() { ws.CloseNow() })
	return &peer{t: t, ctx: r.Context(), ws: ws}
}

func serve(t *testing.T, h http.Handler) *client.Client {
	t.Helper()
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	s := &http.Server{Handler: h}
	var served sync.WaitGroup
	served.Go(func() { _ = s.Serve(l) })
	transport := &http.Transport{DialContext: l.dial}
	t.Cleanup(func() {
		_ = s.Close()
		served.Wait()
		transport.CloseIdleConnections()
	})
	c, err := client.New(client.Options{Server: "http://importer.test", Token: "secret", HTTP: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// say sends messages as they are.
func (p *peer) say(messages ...string) {
	p.t.Helper()
	for _, m := range messages {
		if err := p.ws.Write(p.ctx, websocket.MessageText, []byte(m)); err != nil {
			p.t.Errorf("send %s: %v", m, err)
		}
	}
}

// want reads a frame of the client and compares it.
func (p *peer) want(frame string) {
	p.t.Helper()
	_, b, err := p.ws.Read(p.ctx)
	if err != nil {
		p.t.Errorf("waiting for %s: %v", frame, err)
		return
	}
	var got, want any
	if json.Unmarshal(b, &got) != nil || json.Unmarshal([]byte(frame), &want) != nil || !cmp.Equal(got, want) {
		p.t.Errorf("the client sent %s, want %s", b, frame)
	}
}

func (p *peer) close(code websocket.StatusCode) { _ = p.ws.Close(code, "") }

// wait stays connected until the client is gone.
func (p *peer) wait() {
	for {
		if _, _, err := p.ws.Read(p.ctx); err != nil {
			return
		}
	}
}

// pipes is a network in memory.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	a, b := net.Pipe()
	ours, theirs := buffer(a), buffer(b)
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// buffered is an end of a net.Pipe whose writes do not wait for the other end
// to read, as the kernel's do not.
type buffered struct {
	net.Conn
	out    chan []byte
	once   sync.Once
	closed chan struct{}
}

func buffer(c net.Conn) *buffered {
	b := &buffered{Conn: c, out: make(chan []byte, 1_000), closed: make(chan struct{})}
	go b.pump()
	return b
}

func (b *buffered) Write(p []byte) (int, error) {
	select {
	case <-b.closed:
		return 0, net.ErrClosed
	case b.out <- bytes.Clone(p):
		return len(p), nil
	}
}

func (b *buffered) Close() error {
	b.once.Do(func() {
		_ = b.Conn.SetDeadline(time.Now().Add(time.Second)) // for what is on its way
		close(b.closed)
	})
	return nil
}

func (b *buffered) pump() {
	defer b.Conn.Close()
	for {
		select {
		case p := <-b.out:
			if _, err := b.Conn.Write(p); err != nil {
				return
			}
		case <-b.closed:
			for len(b.out) > 0 {
				if _, err := b.Conn.Write(<-b.out); err != nil {
					return
				}
			}
			return
		}
	}
}
