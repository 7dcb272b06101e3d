package httpd_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"importer"
	"importer/httpd"
)

func headers(pairs ...string) func(*websocket.DialOptions) {
	return func(o *websocket.DialOptions) {
		if o.HTTPHeader == nil {
			o.HTTPHeader = http.Header{}
		}
		for i := 0; i < len(pairs); i += 2 {
			o.HTTPHeader.Set(pairs[i], pairs[i+1])
		}
	}
}

// handshake dials and returns the status that the handshake was answered with.
func (b *bench) handshake(path string, options ...func(*websocket.DialOptions)) int {
	b.t.Helper()
	o := &websocket.DialOptions{}
	for _, f := range options {
		f(o)
	}
	ws, resp, err := websocket.Dial(b.t.Context(), b.url+path, o)
	if err == nil {
		ws.CloseNow()
		return http.StatusSwitchingProtocols
	}
	if resp == nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode
}

// A browser sends the cookie to whoever asks, so it counts only with the name
// of our own page beside it.
func TestSocketCredentials(t *testing.T) {
	t.Parallel()
	b, cookie := withPassword(t)
	token := decode[importer.Token](b, b.send("POST", "/api/tokens", `{"name":"a","scope":"read"}`, "Cookie", cookie), 201).Token
	for _, c := range []struct {
		name    string
		headers []string
		want    int
	}{
		{"nothing", nil, 401},
		{"a cookie and our page", []string{"Cookie", cookie, "Origin", b.url}, 101},
		{"a cookie and no page", []string{"Cookie", cookie}, 401},
		{"a cookie and another page", []string{"Cookie", cookie, "Origin", "https://evil.example"}, 403},
		{"a cookie that is not known, and our page", []string{"Cookie", cookie + "x", "Origin", b.url}, 401},
		{"a token", []string{"Authorization", "Bearer " + token}, 101},
		{"a wrong token", []string{"Authorization", "Bearer " + token + "x"}, 401},
	} {
		if got := b.handshake("/ws", headers(c.headers...)); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestSocketTickets(t *testing.T) {
	t.Parallel()
	b := guarded(t)
	b.hub.answer = nil
	reader := b.token(importer.ScopeRead)
	ticket := decode[httpd.Ticket](b, b.do("POST", "/api/ws-tickets", nil, "Authorization", "Bearer "+reader), 201)
	p := b.dialSocket("/ws?ticket=" + ticket.Ticket)
	p.next()
	p.send(`{"type":"subscribe","id":7,"topic":"webhooks"}`)
	p.want(`{"type":"error","id":7,"code":"forbidden","message":"These credentials do not reach to this topic."}`)
	for _, path := range []string{"/ws?ticket=" + ticket.Ticket, "/ws?ticket=wrong", "/ws"} {
		if got := b.handshake(path); got != 401 {
			t.Errorf("%s: %d, want 401", path, got)
		}
	}
	if r := b.do("GET", "/api/products?ticket="+ticket.Ticket, nil); r.status != 401 {
		t.Errorf("a ticket elsewhere: %d", r.status)
	}
}

// What was revoked ends at the next heartbeat; what has an end says so first.
func TestSocketEndsWithItsCredentials(t *testing.T) {
	t.Parallel()
	b := guarded(t, func(o *httpd.Options) {
		o.Socket = httpd.SocketOptions{Ping: 60 * time.Millisecond, Pong: 5 * time.Second}
	})
	token := b.token(importer.ScopeRead)
	p := b.dialSocket("/ws", headers("Authorization", "Bearer "+token))
	p.next()
	id := decode[httpd.TokenList](b, b.do("GET", "/api/tokens", nil, "Authorization", "Bearer "+adminToken), 200).Items[0].ID
	if r := b.do("DELETE", "/api/tokens/"+id.String(), nil, "Authorization", "Bearer "+adminToken); r.status != 204 {
		t.Fatalf("revoke: %d", r.status)
	}
	for {
		frame := p.next()
		if frame == `{"type":"ping"}` {
			p.send(`{"type":"pong"}`)
			continue
		}
		if want := `{"type":"bye","code":4002,"reason":"the credentials have expired or were revoked","reconnect":true,"after_ms":[0,10000]}`; frame != want {
			t.Errorf("got %s, want %s", frame, want)
		}
		break
	}
	p.wantClose(4002)
}

// Anybody may stay only while anybody may come.
func TestSocketOfAnybodyEndsWithThePassword(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpd.Options) {
		o.Socket = httpd.SocketOptions{Ping: 60 * time.Millisecond, Pong: 5 * time.Second}
	})
	p := b.connect()
	if r := b.send("PUT", "/api/password", `{"password":"`+password+`"}`); r.status != 200 {
		t.Fatalf("set the password: %d", r.status)
	}
	for p.next() == `{"type":"ping"}` {
		p.send(`{"type":"pong"}`)
	}
	p.wantClose(4002)
}

// A connection outlives its credentials when it brings others.
func TestSocketTakesOtherCredentials(t *testing.T) {
	t.Parallel()
	b := guarded(t)
	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	r := b.send("POST", "/api/tokens", `{"name":"a","scope":"admin","expires_at":"`+expires.Format(time.RFC3339)+`"}`, "Authorization", "Bearer "+adminToken)
	ending := decode[importer.Token](b, r, 201).Token
	reader := b.token(importer.ScopeRead)
	newFakeLog(b.hub)
	p := b.dialSocket("/ws", headers("Authorization", "Bearer "+ending))
	if hello := p.next(); !strings.Contains(hello, `"auth":{"expires":"`+expires.Format(time.RFC3339)+`"}`) {
		t.Errorf("hello is %s", hello)
	}
	p.send(`{"type":"subscribe","id":1,"topic":"webhooks"}`)
	p.next()
	p.send(`{"type":"auth","id":2,"token":"` + reader + `"}`)
	p.want(`{"type":"unsubscribed","id":0,"topic":"webhooks"}`, `{"type":"authed","id":2}`)
	p.send(`{"type":"subscribe","id":3,"topic":"webhooks"}`)
	p.want(`{"type":"error","id":3,"code":"forbidden","message":"These credentials do not reach to this topic."}`)
	p.send(`{"type":"auth","id":4,"token":"imp_wrong"}`)
	p.want(`{"type":"bye","code":4501,"reason":"the credentials are not known here","reconnect":false}`)
	p.wantClose(4501)
}

// A token's connections are counted wherever they come from.
func TestSocketsOfOneToken(t *testing.T) {
	t.Parallel()
	b := guarded(t, func(o *httpd.Options) { o.Socket.PerClient = 2 })
	one, other := b.token(importer.ScopeRead), b.token(importer.ScopeRead)
	for _, token := range []string{one, one, other} {
		b.dialSocket("/ws", headers("Authorization", "Bearer "+token)).next()
	}
	p := b.dialSocket("/ws", headers("Authorization", "Bearer "+one))
	p.next()
	p.wantClose(4504)
}
