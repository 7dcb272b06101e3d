package httpd_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"importer"
	"importer/httpd"
)

func TestSocketShutdown(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpd.Options) { o.Socket.Drain = 300 * time.Millisecond })
	p := b.connect()
	p.send(`{"type":"subscribe","id":1,"topic":"imports"}`)
	p.next()
	deaf := b.dial()
	rawSubscribe(t, deaf, b, "imports") // will not answer the close
	eventually(t, "both subscriptions", func() bool { return b.hub.count("imports") == 2 })

	done := make(chan error, 1)
	go func() { done <- b.server.Shutdown(context.Background()) }()
	p.want(`{"type":"bye","code":1012,"reason":"restart","reconnect":true,"after_ms":[0,1000]}`)
	if got := p.wantClose(1012); got != "restart" {
		t.Errorf("got reason %q, want restart", got)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("shutdown: %v", err)
		}
	case <-time.After(4 * time.Second): // a close waits 5 s for its answer
		t.Fatal("the client that does not answer holds the shutdown up")
	}
	if got := b.hub.count("imports"); got != 0 {
		t.Errorf("got %d subscriptions left, want none", got)
	}
	r := b.do("GET", "/ws", nil)
	b.problem(r, http.StatusServiceUnavailable, importer.Unavailable)
	if r.header.Get("Retry-After") == "" {
		t.Error("got no Retry-After")
	}
}

func TestServeAndShutdown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- b.server.Serve(ctx, l) }()
	b.url = "http://" + l.Addr().String()
	if got := b.do("GET", "/healthz", nil).status; got != http.StatusOK {
		t.Fatalf("got status %d", got)
	}
	cancel() // the signal came; requests and sockets go on until Shutdown
	p := b.connect()
	b.client.CloseIdleConnections()
	if err := b.server.Shutdown(t.Context()); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	p.wantClose(1012)
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
}

// The first step of a shutdown keeps others from coming and sends nobody away.
func TestUnready(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.connect()
	b.server.Unready()
	if got := b.do("GET", "/readyz", nil).status; got != http.StatusServiceUnavailable {
		t.Errorf("readyz: got status %d, want 503", got)
	}
	b.problem(b.do("GET", "/ws", nil), http.StatusServiceUnavailable, importer.Unavailable)
	if got := b.do("GET", "/api/imports", nil).status; got != http.StatusOK {
		t.Errorf("imports: got status %d, want 200", got)
	}
	p.send(`{"type":"ping","id":1}`)
	p.want(`{"type":"pong","id":1}`)
}

func TestSocketShutdownOfAThousand(t *testing.T) {
	t.Parallel()
	const conns, drain = 1000, 3 * time.Second
	b := setup(t, func(o *httpd.Options) { o.Socket.Accept, o.Socket.Ping = 2*conns, time.Hour })
	peers := make([]*websocket.Conn, conns)
	for i := range peers {
		peers[i] = b.connect().ws
	}
	type farewell struct {
		Type  string
		Code  int
		After []int `json:"after_ms"`
		close websocket.StatusCode
	}
	var wg sync.WaitGroup
	got := make([]farewell, conns)
	for i, ws := range peers {
		wg.Go(func() {
			_, message, err := ws.Read(t.Context())
			if err == nil {
				err = json.Unmarshal(message, &got[i])
			}
			if err == nil {
				_, _, err = ws.Read(t.Context())
			}
			got[i].close = websocket.CloseStatus(err)
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*drain)
	defer cancel()
	began := time.Now()
	if err := b.server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d sockets were gone after %v", conns, time.Since(began))
	wg.Wait()
	for i, f := range got {
		if want := "bye 1012 [0 2000] StatusCode(1012)"; fmt.Sprintf("%s %d %v StatusCode(%d)", f.Type, f.Code, f.After, f.close) != want {
			t.Fatalf("socket %d: got %+v, want %s", i, f, want)
		}
	}
}

// More than the slices can take at their usual size still hear it in time.
func TestSocketShutdownInLargerSlices(t *testing.T) {
	t.Parallel()
	const conns = 120
	b := setup(t, func(o *httpd.Options) { o.Socket.Drain = 150 * time.Millisecond }) // time for one slice
	var peers []*peer
	for range conns {
		peers = append(peers, b.connect())
	}
	if err := b.server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, p := range peers {
		p.want(`{"type":"bye","code":1012,"reason":"restart","reconnect":true,"after_ms":[0,1000]}`)
	}
}
