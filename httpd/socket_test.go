package httpd_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"importer"
	"importer/httpd"
)

// peer is a client of /ws that sees every frame, also those in arrays.
type peer struct {
	*bench
	ws      *websocket.Conn
	waiting []json.RawMessage
	schemas map[string]*jsonschema.Schema // what the server's frames are held against
}

func (b *bench) connect(options ...func(*websocket.DialOptions)) *peer {
	b.t.Helper()
	p := b.dialSocket("/ws", options...)
	if got := p.next(); !strings.HasPrefix(got, `{"type":"hello"`) {
		b.t.Fatalf("got %s first, want hello", got)
	}
	return p
}

func (b *bench) dialSocket(path string, options ...func(*websocket.DialOptions)) *peer {
	b.t.Helper()
	o := &websocket.DialOptions{HTTPClient: b.client, Subprotocols: []string{"importer.v1.json"}, HTTPHeader: http.Header{}}
	for _, f := range options {
		f(o)
	}
	ws, _, err := websocket.Dial(b.t.Context(), b.url+path, o)
	if err != nil {
		b.t.Fatal(err)
	}
	ws.SetReadLimit(-1)
	b.t.Cleanup(func() { ws.CloseNow() })
	return &peer{bench: b, ws: ws, schemas: schemas().outer}
}

// send sends a frame that the protocol allows, shout any.
func (p *peer) send(frame string) {
	p.t.Helper()
	checkFrame(p.t, schemas().loose, []byte(frame))
	p.shout(frame)
}

func (p *peer) shout(frame string) {
	p.t.Helper()
	if err := p.ws.Write(p.t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		p.t.Fatal(err)
	}
}

// next returns the next frame.
func (p *peer) next() string {
	p.t.Helper()
	if len(p.waiting) == 0 {
		p.read()
	}
	f := p.waiting[0]
	p.waiting = p.waiting[1:]
	return string(f)
}

func (p *peer) read() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	_, message, err := p.ws.Read(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	p.waiting = framesOf(p.t, message)
	for _, f := range p.waiting {
		checkFrame(p.t, p.schemas, f)
	}
}

// framesOf takes a message apart: a frame, or an array of several.
func framesOf(t *testing.T, message []byte) []json.RawMessage {
	t.Helper()
	if message[0] != '[' {
		return []json.RawMessage{message}
	}
	var frames []json.RawMessage
	if err := json.Unmarshal(message, &frames); err != nil {
		t.Fatal(err)
	}
	if len(frames) < 2 {
		t.Errorf("got an array of %d frames", len(frames))
	}
	return frames
}

func (p *peer) want(frames ...string) {
	p.t.Helper()
	for _, want := range frames {
		if d := cmp.Diff(want, p.next()); d != "" {
			p.t.Fatalf("frame (-want +got):\n%s", d)
		}
	}
}

// wantClose reads to the end and checks how it ended.
func (p *peer) wantClose(code websocket.StatusCode) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 15*time.Second)
	defer cancel()
	for {
		if _, _, err := p.ws.Read(ctx); err != nil {
			if got := websocket.CloseStatus(err); got != code {
				p.t.Errorf("got close code %d (%v), want %d", got, err, code)
			}
			var closed websocket.CloseError
			errors.As(err, &closed)
			return closed.Reason
		}
	}
}

func eventFrame(topic string, seq int) string {
	return fmt.Sprintf(`{"type":"event","topic":%q,"seq":%d,"kind":"import.queued","at":"2026-01-02T03:04:05Z","data":{}}`, topic, seq)
}

func TestSocketHello(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.dialSocket("/ws")
	p.want(`{"type":"hello","v":1,"conn":"c_1","ping_ms":20000,"pong_ms":10000,"limits":{"frame":16384,"queue":1048576,"topics":64}}`)
	if got := p.ws.Subprotocol(); got != "importer.v1.json" {
		t.Errorf("got subprotocol %q", got)
	}
	p.send(`{"type":"ping","id":9}`)
	p.want(`{"type":"pong","id":9}`)
	p.ws.Close(websocket.StatusNormalClosure, "")
}

func TestSocketSubscribe(t *testing.T) {
	t.Parallel()
	b := setup(t)
	topic := importer.ImportTopic(uuid.New())
	b.hub.answer = func(topic string, since *importer.Cursor, s importer.Subscriber) {
		s.Subscribed(topic, importer.Subscription{Epoch: "k3f9", Seq: 19, Snapshot: json.RawMessage(`{"import":{"id":"x"}}`), Reason: "fresh",
			Update: &importer.Update{Topic: topic, Seq: 19, Rev: 88, Data: json.RawMessage(`{"rows":1}`)}})
	}
	p := b.connect()
	p.send(`{"type":"subscribe","id":1,"topic":"` + topic + `","future":true}`)
	p.want(`{"type":"subscribed","id":1,"topic":"` + topic + `","epoch":"k3f9","seq":19,"recovered":false,"reason":"fresh",` +
		`"snapshot":{"import":{"id":"x"},"update":{"topic":"` + topic + `","seq":19,"rev":88,"data":{"rows":1}}}}`)
	b.hub.event(topic, 20, "{}")
	p.want(eventFrame(topic, 20))
	b.hub.update(topic, 20, 3)
	p.want(`{"type":"update","topic":"` + topic + `","seq":20,"rev":3,"data":{}}`)

	p.send(`{"type":"unsubscribe","id":2,"topic":"` + topic + `"}`)
	p.want(`{"type":"unsubscribed","id":2,"topic":"` + topic + `"}`)
	if got := b.hub.count(topic); got != 0 {
		t.Errorf("got %d subscribers at the hub, want none", got)
	}
	p.send(`{"type":"unsubscribe","id":3,"topic":"never"}`)
	p.want(`{"type":"unsubscribed","id":3,"topic":"never"}`)
}

// What was missed goes out in one answer.
func TestSocketRecovers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cursors := make(chan importer.Cursor, 1)
	b.hub.answer = func(topic string, since *importer.Cursor, s importer.Subscriber) {
		cursors <- *since
		missed := func(seq int64) importer.Event {
			return importer.Event{Topic: topic, Seq: seq, Kind: importer.EventImportQueued, At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Data: json.RawMessage("{}")}
		}
		s.Subscribed(topic, importer.Subscription{Epoch: "e1", Seq: 19, Events: []importer.Event{missed(18), missed(19)}})
	}
	p := b.connect()
	p.send(`{"type":"subscribe","id":1,"topic":"imports","since":{"epoch":"e1","seq":17}}`)
	if got, want := <-cursors, (importer.Cursor{Epoch: "e1", Seq: 17}); got != want {
		t.Errorf("got cursor %+v, want %+v", got, want)
	}
	eventually(t, "the subscription", func() bool { return b.hub.count("imports") == 1 })
	b.hub.event("imports", 20, "{}")
	event := func(seq int) string {
		return fmt.Sprintf(`{"seq":%d,"kind":"import.queued","at":"2026-01-02T03:04:05Z","data":{}}`, seq)
	}
	p.want(`{"type":"subscribed","id":1,"topic":"imports","epoch":"e1","seq":19,"recovered":true,"events":[`+event(18)+`,`+event(19)+`]}`,
		eventFrame("imports", 20))
}

func TestSocketRecoversWithNothingMissed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hub.answer = func(topic string, since *importer.Cursor, s importer.Subscriber) {
		s.Subscribed(topic, importer.Subscription{Epoch: "e1", Seq: 17, Update: &importer.Update{Topic: topic, Seq: 17, Rev: 2, Data: json.RawMessage(`{}`)}})
	}
	p := b.connect()
	p.send(`{"type":"subscribe","id":1,"topic":"imports","since":{"epoch":"e1","seq":17}}`)
	p.want(`{"type":"subscribed","id":1,"topic":"imports","epoch":"e1","seq":17,"recovered":true,"events":[]}`,
		`{"type":"update","topic":"imports","seq":17,"rev":2,"data":{}}`)
}

// A client that found a gap subscribes again: nothing of the old subscription
// comes after the new answer.
func TestSocketSubscribeAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var subs []importer.Subscriber
	answer := b.hub.answer
	b.hub.answer = func(topic string, since *importer.Cursor, s importer.Subscriber) {
		subs = append(subs, s)
		answer(topic, since, s)
	}
	p := b.connect()
	p.send(`{"type":"subscribe","id":1,"topic":"imports"}`)
	p.next()
	p.send(`{"type":"subscribe","id":2,"topic":"imports"}`)
	if got := p.next(); !strings.HasPrefix(got, `{"type":"subscribed","id":2,`) {
		t.Fatalf("got %s, want the second answer", got)
	}
	if got := b.hub.count("imports"); got != 1 {
		t.Errorf("got %d subscriptions at the hub, want 1", got)
	}
	subs[0].Event(importer.Event{Topic: "imports", Seq: 1}, []byte(`{"type":"event","late":true}`))
	subs[0].Update(importer.Update{Topic: "imports"}, []byte(`{"type":"update","late":true}`))
	b.hub.event("imports", 1, "{}")
	p.want(eventFrame("imports", 1))
	p.send(`{"type":"ping","id":1}`)
	p.want(`{"type":"pong","id":1}`)
}

// The hub answers again when it cannot fill a gap. An update from before must
// not follow the new snapshot.
func TestSocketSecondAnswerDiscardsUpdate(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpd.Options) { o.Socket.Coalesce = 100 * time.Millisecond })
	subs := make(chan importer.Subscriber, 1)
	b.hub.answer = func(topic string, _ *importer.Cursor, s importer.Subscriber) { subs <- s }
	p := b.connect()
	p.send(`{"type":"subscribe","id":1,"topic":"imports"}`)
	s := <-subs
	answer := importer.Subscription{Epoch: "e1", Seq: 7, Snapshot: json.RawMessage("{}"), Reason: "fresh"}
	s.Subscribed("imports", answer)
	s.Update(importer.Update{Topic: "imports", Seq: 7}, []byte(`{"type":"update","topic":"imports","seq":7,"rev":1,"data":{}}`))
	answer.Epoch, answer.Seq, answer.Reason = "e2", 1, "epoch"
	s.Subscribed("imports", answer)
	p.want(`{"type":"subscribed","id":1,"topic":"imports","epoch":"e1","seq":7,"recovered":false,"reason":"fresh","snapshot":{}}`,
		`{"type":"subscribed","id":1,"topic":"imports","epoch":"e2","seq":1,"recovered":false,"reason":"epoch","snapshot":{}}`)
	p.send(`{"type":"ping","id":2}`)
	p.want(`{"type":"pong","id":2}`)
}

func TestSocketSurvivesPanics(t *testing.T) {
	t.Parallel()
	b := setup(t)
	answer := b.hub.answer
	b.hub.answer = func(topic string, since *importer.Cursor, s importer.Subscriber) {
		if topic == "products" {
			panic("a bug")
		}
		answer(topic, since, s)
	}
	p := b.connect()
	p.send(`{"type":"subscribe","id":1,"topic":"products"}`)
	p.wantClose(1011)
	p = b.connect()
	p.send(`{"type":"subscribe","id":1,"topic":"imports"}`)
	if got := p.next(); !strings.HasPrefix(got, `{"type":"subscribed"`) {
		t.Errorf("got %s after the panic of another connection", got)
	}
}

func TestSocketErrors(t *testing.T) {
	t.Parallel()
	b := setup(t)
	answer := b.hub.answer
	gone, broken := importer.ImportTopic(uuid.New()), importer.ImportTopic(uuid.New())
	b.hub.answer = func(topic string, since *importer.Cursor, s importer.Subscriber) {
		switch topic {
		case gone:
			s.Refused(topic, importer.Errorf(importer.NotFound, "There is no such import."))
		case broken:
			s.Refused(topic, errors.New("secret"))
		default:
			answer(topic, since, s)
		}
	}
	p := b.connect()
	for _, test := range [][2]string{
		{`{"type":"subscribe","id":1,"topic":"weather"}`, `{"type":"error","id":1,"code":"not_found","message":"There is no such topic."}`},
		{`{"type":"subscribe","id":2}`, `{"type":"error","id":2,"code":"not_found","message":"There is no such topic."}`},
		{`{"type":"subscribe","id":3,"topic":"` + strings.Repeat("x", 129) + `"}`, `{"type":"error","id":3,"code":"malformed","message":"The name of the topic is too long."}`},
		{`{"type":"subscribe","id":4,"topic":"` + gone + `"}`, `{"type":"error","id":4,"code":"not_found","message":"There is no such import."}`},
		{`{"type":"subscribe","id":5,"topic":"` + broken + `"}`, `{"type":"error","id":5,"code":"internal","message":"The topic cannot be followed at the moment."}`},
		{`{"type":"subscribe","id":7,"topic":"imports","since":{"epoch":"e1","seq":-1}}`, `{"type":"error","id":7,"code":"malformed","message":"A seq is never negative."}`},
		{`{"type":"dance","id":6}`, `{"type":"error","id":6,"code":"malformed","message":"This server does not know the type of this message."}`},
	} {
		p.shout(test[0])
		p.want(test[1])
	}
}

func TestSocketTopicLimit(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpd.Options) { o.Socket.Burst = 1000 })
	p := b.connect()
	var topics []string
	for i := range 65 {
		topics = append(topics, importer.ImportTopic(uuid.New()))
		p.send(fmt.Sprintf(`{"type":"subscribe","id":%d,"topic":%q}`, i+1, topics[i]))
		got := p.next()
		if want := i < 64; strings.HasPrefix(got, `{"type":"subscribed"`) != want {
			t.Fatalf("topic %d: got %s", i+1, got)
		}
	}
	p.send(fmt.Sprintf(`{"type":"unsubscribe","id":99,"topic":%q}`, topics[0]))
	p.next()
	p.send(fmt.Sprintf(`{"type":"subscribe","id":100,"topic":%q}`, topics[64]))
	if got := p.next(); !strings.HasPrefix(got, `{"type":"subscribed","id":100`) {
		t.Errorf("got %s, want room for one more", got)
	}
	p.ws.CloseNow()
	eventually(t, "the hub to be rid of the client", func() bool {
		for _, topic := range topics {
			if b.hub.count(topic) > 0 {
				return false
			}
		}
		return true
	})
}

func TestSocketClosesOnBadMessages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, test := range []struct {
		name    string
		kind    websocket.MessageType
		message string
		code    websocket.StatusCode
	}{
		{"no JSON", websocket.MessageText, `{"type":`, 4500},
		{"no object", websocket.MessageText, `["ping"]`, 4500},
		{"nothing", websocket.MessageText, ``, 4500},
		{"wrong type", websocket.MessageText, `{"type":"ping","id":"one"}`, 4500},
		{"binary", websocket.MessageBinary, `{"type":"ping"}`, 4500},
		{"no UTF-8", websocket.MessageText, "{\"type\":\"caf\xe9\"}", 1007},
		{"too long", websocket.MessageText, `{"type":"ping","x":"` + strings.Repeat("x", 16<<10) + `"}`, 1009},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := *b
			c.t = t
			p := c.connect()
			if err := p.ws.Write(t.Context(), test.kind, []byte(test.message)); err != nil {
				t.Fatal(err)
			}
			p.wantClose(test.code)
		})
	}
}

func TestSocketLongestMessage(t *testing.T) {
	t.Parallel()
	p := setup(t).connect()
	frame := `{"type":"ping","id":1,"x":""}`
	p.send(strings.Replace(frame, `""`, `"`+strings.Repeat("x", 16<<10-len(frame))+`"`, 1))
	p.want(`{"type":"pong","id":1}`)
}

func TestSocketRateLimit(t *testing.T) {
	t.Parallel()
	p := setup(t).connect()
	for range 80 {
		// The server may have hung up before the last of them.
		if p.ws.Write(t.Context(), websocket.MessageText, []byte(`{"type":"pong"}`)) != nil {
			break
		}
	}
	p.wantClose(4003)
}

func TestSocketSubprotocols(t *testing.T) {
	t.Parallel()
	b := setup(t)
	offer := func(names ...string) func(*websocket.DialOptions) {
		return func(o *websocket.DialOptions) { o.Subprotocols = names }
	}
	if got := b.connect(offer()).ws.Subprotocol(); got != "" {
		t.Errorf("nothing offered: got %q", got)
	}
	if got := b.connect(offer("importer.v9.cbor", "importer.v1.json")).ws.Subprotocol(); got != "importer.v1.json" {
		t.Errorf("ours among others: got %q", got)
	}
	b.dialSocket("/ws", offer("importer.v9.cbor")).wantClose(4503)
}

func TestSocketHeartbeat(t *testing.T) {
	t.Parallel()
	quick := func(o *httpd.Options) {
		o.Socket = httpd.SocketOptions{Ping: 60 * time.Millisecond, Pong: 200 * time.Millisecond}
	}
	patient := func(o *httpd.Options) {
		o.Socket = httpd.SocketOptions{Ping: 60 * time.Millisecond, Pong: time.Second}
	}
	const pings = 25 // well over a ping and a pong
	t.Run("no answer", func(t *testing.T) {
		t.Parallel()
		p := setup(t, quick).connect()
		p.want(`{"type":"ping"}`)
		p.wantClose(4001)
	})
	t.Run("not at once", func(t *testing.T) {
		t.Parallel()
		began := time.Now()
		p := setup(t, patient).connect()
		p.want(`{"type":"ping"}`)
		if got := time.Since(began); got < 30*time.Millisecond {
			t.Errorf("the first ping came after %v, want half the interval at least", got)
		}
		p.send(`{"type":"pong"}`)
		began = time.Now()
		p.want(`{"type":"ping"}`)
		if got := time.Since(began); got < 55*time.Millisecond { // the pong may take a moment less than it took to send
			t.Errorf("the second ping came %v after the answer to the first, want the interval", got)
		}
	})
	t.Run("answers", func(t *testing.T) {
		t.Parallel()
		p := setup(t, patient).connect()
		for range pings {
			p.want(`{"type":"ping"}`)
			p.send(`{"type":"pong"}`)
		}
	})
	t.Run("protocol pings", func(t *testing.T) {
		t.Parallel()
		b := setup(t, patient)
		pinged := make(chan struct{}, 100)
		p := b.dialSocket("/ws?ping=frame", func(o *websocket.DialOptions) {
			o.OnPingReceived = func(context.Context, []byte) bool { pinged <- struct{}{}; return true }
		})
		p.next() // hello
		read := p.ws.CloseRead(t.Context())
		for range pings {
			select {
			case <-pinged:
			case <-read.Done():
				t.Fatal("the connection ended although pings were answered")
			}
		}
	})
	t.Run("protocol pings, no answer", func(t *testing.T) {
		t.Parallel()
		p := setup(t, quick).dialSocket("/ws?ping=frame", func(o *websocket.DialOptions) {
			o.OnPingReceived = func(context.Context, []byte) bool { return false }
		})
		p.wantClose(4001)
	})
}

func TestSocketOrigins(t *testing.T) {
	t.Parallel()
	b := setup(t)
	host := strings.TrimPrefix(b.url, "http://")
	for _, test := range []struct {
		origin, proto string
		ok            bool
	}{
		{"", "", true},
		{"http://" + host, "", true},
		{"http://" + strings.ToUpper(host), "", true},
		{"https://" + host, "", false},
		{"https://" + host, "https", true},
		{"http://" + host, "https", false},
		{"http://elsewhere.example", "", false},
		{"http://" + host + ".elsewhere.example", "", false},
		{"http://127.0.0.1:1", "", false},
		{"null", "", false},
	} {
		header := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="}
		if test.origin != "" {
			header = append(header, "Origin", test.origin)
		}
		if test.proto != "" {
			header = append(header, "X-Forwarded-Proto", test.proto)
		}
		c := b.dial()
		fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: %s\r\n", host)
		for i := 0; i < len(header); i += 2 {
			fmt.Fprintf(c, "%s: %s\r\n", header[i], header[i+1])
		}
		io.WriteString(c, "\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.StatusCode == http.StatusSwitchingProtocols; got != test.ok {
			t.Errorf("origin %q, proto %q: got status %d", test.origin, test.proto, resp.StatusCode)
		}
		if !test.ok {
			content, _ := io.ReadAll(resp.Body)
			b.problem(reply{resp.StatusCode, resp.Header, content}, http.StatusForbidden, importer.Forbidden)
		}
		c.Close()
	}
}

func TestSocketOverTLS(t *testing.T) {
	t.Parallel()
	b := setup(t)
	secure := httptest.NewTLSServer(b.server.Handler())
	t.Cleanup(secure.Close)
	b.url, b.client = secure.URL, secure.Client()
	p := b.connect(func(o *websocket.DialOptions) { o.HTTPHeader.Set("Origin", secure.URL) })
	p.send(`{"type":"ping","id":1}`)
	p.want(`{"type":"pong","id":1}`)
	p.ws.Close(websocket.StatusNormalClosure, "")
}

func TestSocketNeedsAnUpgrade(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if got := b.do("GET", "/ws", nil).status; got != http.StatusUpgradeRequired {
		t.Errorf("got status %d, want 426", got)
	}
}

// Not parallel: it counts the goroutines of the process.
func TestSocketIdleConnectionHasOneGoroutine(t *testing.T) {
	b := setup(t)
	warm := b.dial()
	rawSubscribe(t, warm, b, "imports")
	eventually(t, "the first subscription", func() bool { return b.hub.count("imports") == 1 })
	before := runtime.NumGoroutine()
	const conns = 100
	for range conns {
		rawSubscribe(t, b.dial(), b, "imports")
	}
	eventually(t, "all subscriptions", func() bool { return b.hub.count("imports") == conns+1 })
	eventually(t, fmt.Sprintf("%d goroutines for %d idle connections", conns, conns), func() bool { return runtime.NumGoroutine()-before == conns })
}
