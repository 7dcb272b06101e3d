package httpd_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"importer"
	"importer/httpd"
)

// One client stops reading. It is cut off with a reset, and nobody else
// notices.
func TestSocketCutsSlowReaders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stuck := b.dial().(*net.TCPConn)
	stuck.SetReadBuffer(4 << 10)
	rawSubscribe(t, stuck, b, "imports")
	good := b.connect()
	good.send(`{"type":"subscribe","id":1,"topic":"imports"}`)
	good.next()
	eventually(t, "both subscriptions", func() bool { return b.hub.count("imports") == 2 })

	const events = 300
	data := `"` + strings.Repeat("x", 20_000) + `"`
	var seen atomic.Int64
	ended := make(chan error, 1)
	go func() {
		for seen.Load() < events {
			_, message, err := good.ws.Read(t.Context())
			if err != nil {
				ended <- err
				return
			}
			for range bytes.Count(message, []byte(`"type":"event"`)) {
				if seq := seen.Add(1); !bytes.Contains(message, fmt.Appendf(nil, `"seq":%d,`, seq)) {
					ended <- fmt.Errorf("event %d is missing", seq)
					return
				}
			}
		}
		ended <- nil
	}()
	for seq := int64(1); seq <= events; seq++ {
		b.hub.event("imports", seq, data)
		if seq%20 == 0 { // the one that reads keeps up
			poll(func() bool { return seen.Load() == seq })
		}
	}
	if err := <-ended; err != nil {
		t.Errorf("the client that reads: %v", err)
	}
	eventually(t, "the hub to be rid of the stuck client", func() bool { return b.hub.count("imports") == 1 })
	_, err := io.Copy(io.Discard, stuck)
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v at the stuck client, want a reset", err)
	}
}

// rawSubscribe opens a WebSocket by hand, so that nothing reads from it.
func rawSubscribe(t *testing.T, c net.Conn, b *bench, topic string) {
	t.Helper()
	host := strings.TrimPrefix(b.url, "http://")
	fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", host)
	status := make([]byte, len("HTTP/1.1 101"))
	if _, err := io.ReadFull(c, status); err != nil || string(status) != "HTTP/1.1 101" {
		t.Fatalf("got %q (%v), want 101", status, err)
	}
	if topic == "" {
		return
	}
	frame := `{"type":"subscribe","id":1,"topic":"` + topic + `"}`
	// A final text frame, masked with zeros (RFC 6455, 5.2).
	c.Write(append([]byte{0x81, 0x80 | byte(len(frame)), 0, 0, 0, 0}, frame...))
}

// A client that reads nothing is cut even if little waits for it.
func TestSocketWriteDeadline(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpd.Options) { o.Socket.Write, o.Socket.Queue = 200*time.Millisecond, 1<<40 })
	stuck := b.dial().(*net.TCPConn)
	stuck.SetReadBuffer(4 << 10)
	rawSubscribe(t, stuck, b, "imports")
	eventually(t, "the subscription", func() bool { return b.hub.count("imports") == 1 })
	data := `"` + strings.Repeat("x", 100_000) + `"`
	for seq := int64(1); seq <= 50; seq++ { // more than the kernel holds
		b.hub.event("imports", seq, data)
	}
	eventually(t, "the hub to be rid of the client", func() bool { return b.hub.count("imports") == 0 })
	if _, err := io.Copy(io.Discard, stuck); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v at the client, want a reset", err)
	}
}

// Who was cut comes back with its cursor and misses nothing.
func TestSocketResumesAfterACut(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpd.Options) { o.Socket.Queue = 100_000 })
	log := newFakeLog(b.hub)
	p := b.connect()
	p.send(`{"type":"subscribe","id":1,"topic":"imports"}`)
	p.next()
	var last int64
	follow := func(frame string) {
		var f struct {
			Type   string
			Seq    int64
			Events []struct{ Seq int64 }
		}
		if err := json.Unmarshal([]byte(frame), &f); err != nil {
			t.Fatal(err)
		}
		for _, e := range f.Events {
			if e.Seq != last+1 {
				t.Fatalf("replayed event %d after %d", e.Seq, last)
			}
			last++
		}
		if f.Type == "event" {
			if f.Seq != last+1 {
				t.Fatalf("event %d after %d", f.Seq, last)
			}
			last++
		}
	}
	data := `{"x":"` + strings.Repeat("x", 10_000) + `"}`
	log.append("imports", data)
	follow(p.next())
	const events = 2000 // 20 MB: more than the queue and the kernel hold
	for log.head("imports") < events {
		log.append("imports", data)
	}
	eventually(t, "the hub to be rid of the client", func() bool { return b.hub.count("imports") == 0 })
	for { // what is still in the kernel
		_, message, err := p.ws.Read(t.Context())
		if err != nil {
			break
		}
		for _, f := range framesOf(t, message) {
			follow(string(f))
		}
	}
	if last >= events {
		t.Fatalf("got all %d events, want to have been cut before", last)
	}
	t.Logf("cut after event %d", last)

	log.window = events // the hub's limits are not the matter here
	again := setup(t)
	again.hub.answer = b.hub.answer
	p = again.connect()
	p.send(fmt.Sprintf(`{"type":"subscribe","id":2,"topic":"imports","since":{"epoch":"e1","seq":%d}}`, max(last, events-50)))
	last = max(last, events-50)
	follow(p.next())
	if last != events {
		t.Errorf("got events up to %d after the resume, want %d", last, events)
	}
}

// A client that resumes many topics at once, each with a long answer, is not
// slow: the answers wait for one another.
func TestSocketManyLongAnswers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	answers := make(chan func(), 100)
	go func() { // like the hub: later, and from elsewhere
		for answer := range answers {
			answer()
		}
	}()
	t.Cleanup(func() { close(answers) })
	data := json.RawMessage(`{"x":"` + strings.Repeat("x", 250_000) + `"}`)
	b.hub.answer = func(topic string, _ *importer.Cursor, s importer.Subscriber) {
		answers <- func() {
			s.Subscribed(topic, importer.Subscription{Epoch: "e1", Seq: 1, Events: []importer.Event{{Seq: 1, Kind: "import.queued", At: time.Unix(0, 0).UTC(), Data: data}}})
		}
	}
	p := b.connect()
	const topics = 30
	for i := range topics {
		p.send(fmt.Sprintf(`{"type":"subscribe","id":%d,"topic":"import:%s","since":{"epoch":"e1","seq":0}}`, i+1, uuidOf(i)))
	}
	for i := range topics {
		if got, want := p.next(), fmt.Sprintf(`{"type":"subscribed","id":%d,`, i+1); !strings.HasPrefix(got, want) {
			t.Fatalf("got %.80s, want %s…", got, want)
		}
	}
}

// While the answers to its subscribes are late the server does not read what
// the client says, and does not take that for silence.
func TestSocketLateAnswers(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpd.Options) { o.Socket.Ping, o.Socket.Pong = 60*time.Millisecond, time.Second })
	const topics = 6 // more than answers fit at once
	subs := make(chan func(), topics)
	b.hub.answer = func(topic string, _ *importer.Cursor, s importer.Subscriber) {
		subs <- func() {
			s.Subscribed(topic, importer.Subscription{Epoch: "e1", Seq: 1, Reason: "fresh", Snapshot: json.RawMessage("{}")})
		}
	}
	p := b.connect()
	for i := range topics {
		p.send(fmt.Sprintf(`{"type":"subscribe","id":%d,"topic":"import:%s"}`, i+1, uuidOf(i)))
	}
	for range 3 { // over a ping and a pong
		p.want(`{"type":"ping"}`)
		p.send(`{"type":"pong"}`)
	}
	for i := range topics {
		(<-subs)()
		for got := p.next(); !strings.HasPrefix(got, fmt.Sprintf(`{"type":"subscribed","id":%d,`, i+1)); got = p.next() {
			if got != `{"type":"ping"}` {
				t.Fatalf("got %s, want the answer for topic %d", got, i+1)
			}
			p.send(`{"type":"pong"}`)
		}
	}
}

// The kernel must not hold megabytes of stale progress.
func TestSocketSendBuffer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l := &accepted{Listener: b.listen()}
	b.serve(l)
	b.connect()
	raw, err := l.last.Load().SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var got int
	if cerr := raw.Control(func(fd uintptr) { got, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	if got != 64<<10 && got != 128<<10 { // Linux doubles it, for its own books
		t.Errorf("got a send buffer of %d, want 64 KiB", got)
	}
}

// accepted remembers the last connection that came in.
type accepted struct {
	net.Listener
	last atomic.Pointer[net.TCPConn]
}

func (l *accepted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		l.last.Store(tcp)
	}
	return c, err
}
