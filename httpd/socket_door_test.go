package httpd_test

import (
	"bufio"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"importer"
	"importer/httpd"
)

// refused checks that a handshake is answered with 503, and returns the
// seconds to come back after.
func (b *bench) refused() int {
	b.t.Helper()
	r := b.do("GET", "/ws", nil, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")
	b.problem(r, http.StatusServiceUnavailable, importer.Unavailable)
	after, err := strconv.Atoi(r.header.Get("Retry-After"))
	if err != nil || after < 1 || after > 10 {
		b.t.Errorf("got Retry-After %q, want 1 to 10 s", r.header.Get("Retry-After"))
	}
	return after
}

func TestSocketHandshakesASecond(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpd.Options) { o.Socket.Accept = 1 })
	b.connect()
	// A second may pass on a slow machine, and with it another may come in.
	times := map[int]bool{}
	for range 30 {
		resp, err := b.client.Get(b.url + "/ws")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusServiceUnavailable {
			after, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
			times[after] = true
		}
	}
	if len(times) < 2 {
		t.Errorf("got Retry-After %v, want different ones", times)
	}
}

func TestSocketsInAll(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpd.Options) { o.Socket.Conns = 2 })
	first := b.connect()
	b.connect()
	b.refused()
	first.ws.CloseNow()
	eventually(t, "room for another", func() bool {
		ws, _, err := websocket.Dial(t.Context(), b.url+"/ws", nil)
		if err != nil {
			return false
		}
		defer ws.CloseNow()
		_, hello, err := ws.Read(t.Context())
		return err == nil && strings.HasPrefix(string(hello), `{"type":"hello"`)
	})
}

func TestSocketsOfOneClient(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpd.Options) { o.Socket.PerLoopback = 2 })
	first := b.connect()
	b.connect()
	third := b.dialSocket("/ws")
	third.want(`{"type":"bye","code":4504,"reason":"too many connections of one client","reconnect":false}`)
	third.wantClose(4504)
	first.ws.Close(websocket.StatusNormalClosure, "")
	eventually(t, "room for another", func() bool {
		p := b.dialSocket("/ws")
		defer p.ws.CloseNow()
		return strings.HasPrefix(p.next(), `{"type":"hello"`)
	})
}

// slowHijack lets handshakes begin and holds them until it is told.
type slowHijack struct {
	http.ResponseWriter
	began chan<- struct{}
	goOn  <-chan struct{}
}

func (w slowHijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.began <- struct{}{}
	<-w.goOn
	return w.ResponseWriter.(http.Hijacker).Hijack()
}

// holdHandshakes puts a server in front that does so.
func (b *bench) holdHandshakes() (began <-chan struct{}, goOn chan<- struct{}) {
	in, out := make(chan struct{}, 10), make(chan struct{})
	held := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.server.Handler().ServeHTTP(slowHijack{w, in, out}, r)
	}))
	b.t.Cleanup(held.Close)
	b.url = held.URL
	return in, out
}

func TestSocketHandshakesAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpd.Options) { o.Socket.Handshakes = 1 })
	began, goOn := b.holdHandshakes()
	connected := make(chan error, 1)
	go func() {
		ws, _, err := websocket.Dial(t.Context(), b.url+"/ws", nil)
		if err == nil {
			defer ws.CloseNow()
		}
		connected <- err
	}()
	<-began
	b.refused()
	close(goOn)
	if err := <-connected; err != nil {
		t.Fatal(err)
	}
	// The client may have its answer before the server has counted it out.
	eventually(t, "the first is done", func() bool {
		ws, _, err := websocket.Dial(t.Context(), b.url+"/ws", nil)
		if err != nil {
			return false
		}
		ws.CloseNow()
		return true
	})
}

// Two come in through the last gap at once. One is let in, the other is told
// when to come back.
func TestSocketCapacityAfterTheUpgrade(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpd.Options) { o.Socket.Conns = 1 })
	began, goOn := b.holdHandshakes()
	type end struct {
		first string
		code  websocket.StatusCode
	}
	ends := make(chan end, 2)
	for range 2 {
		go func() {
			ws, _, err := websocket.Dial(t.Context(), b.url+"/ws", nil)
			if err != nil {
				ends <- end{first: err.Error()}
				return
			}
			_, first, err := ws.Read(t.Context())
			if err == nil && strings.HasPrefix(string(first), `{"type":"bye"`) {
				_, _, err = ws.Read(t.Context())
			}
			ends <- end{string(first), websocket.CloseStatus(err)}
			if err == nil {
				t.Cleanup(func() { ws.CloseNow() })
			}
		}()
	}
	<-began
	<-began
	close(goOn)
	one, other := <-ends, <-ends
	if other.code == 4004 {
		one, other = other, one
	}
	if want := (end{`{"type":"bye","code":4004,"reason":"the server is full","reconnect":true,"after_ms":[0,10000]}`, 4004}); one != want {
		t.Errorf("got %+v, want %+v", one, want)
	}
	if !strings.HasPrefix(other.first, `{"type":"hello"`) {
		t.Errorf("got %+v, want a hello", other)
	}
}
