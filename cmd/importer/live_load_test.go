package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"importer"
	"importer/client"
)

// listener is a subscriber of one topic that costs next to nothing: it looks
// for the numbers of events in the bytes and reads no more of them.
type listener struct {
	http  *http.Client
	url   string
	topic string
	sum   *tally
	ws    *websocket.Conn
	epoch string
	seq   atomic.Int64
	buf   bytes.Buffer
}

// tally is what all listeners of a load have seen together.
type tally struct {
	events, missed, repeated      atomic.Int64
	recovered, snapshots, refused atomic.Int64
}

// connect dials and subscribes, from where it was if it was there before. A
// server that is busy or not there yet is asked again, as the SDK does.
func (l *listener) connect(ctx context.Context) error {
	for tries := 1; ; tries++ {
		ws, resp, err := websocket.Dial(ctx, l.url+"/ws", &websocket.DialOptions{HTTPClient: l.http, Subprotocols: []string{client.Subprotocol}})
		if err == nil {
			l.ws = ws
			ws.SetReadLimit(-1)
			break
		}
		if ctx.Err() != nil {
			return err
		}
		wait := rand.N(500 * time.Millisecond << min(tries, 6))
		if resp != nil {
			l.sum.refused.Add(1)
			if s, _ := strconv.Atoi(resp.Header.Get("Retry-After")); s > 0 {
				wait = time.Duration(s)*time.Second + rand.N(time.Second)
			}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	ask := map[string]any{"type": "subscribe", "id": 1, "topic": l.topic}
	if l.epoch != "" {
		ask["since"] = importer.Cursor{Epoch: l.epoch, Seq: l.seq.Load()}
	}
	b, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	if err := l.ws.Write(ctx, websocket.MessageText, b); err != nil {
		return err
	}
	for {
		subscribed, err := l.read(ctx)
		if subscribed || err != nil {
			return err
		}
	}
}

// listen reads until the connection ends.
func (l *listener) listen(ctx context.Context) {
	for {
		if _, err := l.read(ctx); err != nil {
			return
		}
	}
}

var (
	eventStart      = []byte(`{"type":"event","topic":"`)
	seqField        = []byte(`","seq":`)
	subscribedStart = []byte(`{"type":"subscribed"`)
	replayStart     = []byte(`{"seq":`)
)

// read takes one message.
func (l *listener) read(ctx context.Context) (subscribed bool, err error) {
	_, r, err := l.ws.Reader(ctx)
	if err != nil {
		return false, err
	}
	l.buf.Reset()
	if _, err := l.buf.ReadFrom(r); err != nil {
		return false, err
	}
	message := l.buf.Bytes()
	if bytes.Contains(message, []byte(`{"type":"ping"}`)) {
		if err := l.ws.Write(ctx, websocket.MessageText, []byte(`{"type":"pong"}`)); err != nil {
			return false, err
		}
	}
	if bytes.Contains(message, subscribedStart) {
		subscribed = true
		if err := l.answered(message); err != nil {
			return true, err
		}
	}
	for rest := message; ; {
		i := bytes.Index(rest, eventStart)
		if i < 0 {
			break
		}
		rest = rest[i+len(eventStart):]
		if i = bytes.Index(rest, seqField); i < 0 {
			break
		}
		rest = rest[i+len(seqField):]
		l.event(number(rest))
	}
	return subscribed, nil
}

// answered takes the answer to subscribe. Of the events replayed it looks at
// the numbers only: 2,000 replays of 200 KB take seconds to parse.
func (l *listener) answered(message []byte) error {
	_, answer, _ := bytes.Cut(message, subscribedStart)
	head, body, replay := bytes.Cut(answer, []byte(`,"events":[`))
	if !replay {
		head, _, _ = bytes.Cut(answer, []byte(`,"snapshot":`))
	}
	var f struct {
		Epoch     string
		Seq       int64
		Recovered bool
	}
	if err := json.Unmarshal(slices.Concat([]byte("{"), head[1:], []byte("}")), &f); err != nil {
		return fmt.Errorf("subscribed: %w: %s", err, head)
	}
	if !f.Recovered {
		if l.epoch != "" {
			l.sum.snapshots.Add(1)
		}
		l.epoch = f.Epoch
		l.seq.Store(f.Seq)
		return nil
	}
	l.sum.recovered.Add(1)
	for l.seq.Load() < f.Seq {
		i := bytes.Index(body, replayStart)
		if i < 0 {
			return fmt.Errorf("replayed to %d, want %d", l.seq.Load(), f.Seq)
		}
		body = body[i+len(replayStart):]
		l.event(number(body))
	}
	return nil
}

// number reads the digits at the start of b.
func number(b []byte) (n int64) {
	for _, c := range b {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int64(c-'0')
	}
	return n
}

func (l *listener) event(seq int64) {
	last := l.seq.Load()
	if seq <= last {
		l.sum.repeated.Add(1)
		return
	}
	l.sum.missed.Add(seq - last - 1)
	l.sum.events.Add(1)
	l.seq.Store(seq)
}

// load is many listeners.
type load struct {
	tally
	listeners []*listener
	reading   sync.WaitGroup
}

// connect makes n listeners, at a pace the server lets in.
func connect(b *testing.B, url, topic string, n int) *load {
	b.Helper()
	l := &load{listeners: make([]*listener, n)}
	small := &http.Client{Transport: &http.Transport{ReadBufferSize: 1 << 10, WriteBufferSize: 1 << 10}}
	for i := range l.listeners {
		l.listeners[i] = &listener{http: small, url: url, topic: topic, sum: &l.tally}
	}
	l.each(32, func(x *listener) { l.start(b, x) })
	return l
}

// each runs f for every listener, so many at a time.
func (l *load) each(width int, f func(*listener)) {
	var running sync.WaitGroup
	places := make(chan struct{}, width)
	for _, x := range l.listeners {
		places <- struct{}{}
		running.Go(func() {
			f(x)
			<-places
		})
	}
	running.Wait()
}

func (l *load) start(b *testing.B, x *listener) {
	if err := x.connect(b.Context()); err != nil {
		b.Errorf("connect: %v", err)
		return
	}
	l.reading.Go(func() { x.listen(context.Background()) })
}

// resume connects all again, each at a moment of its own within the jitter,
// and returns how long that took.
func (l *load) resume(b *testing.B, jitter time.Duration) time.Duration {
	start := time.Now()
	l.each(len(l.listeners), func(x *listener) {
		time.Sleep(rand.N(jitter))
		l.start(b, x)
	})
	return time.Since(start)
}

// drop ends all connections at once.
func (l *load) drop() {
	for _, x := range l.listeners {
		if x.ws != nil {
			x.ws.CloseNow()
		}
	}
	l.reading.Wait()
}

// await waits until every listener has event seq, and returns how many events
// are still missing when that takes too long.
func (l *load) await(seq int64, most time.Duration) (missing int64) {
	deadline := time.Now().Add(most)
	for {
		missing = 0
		for _, x := range l.listeners {
			missing += max(0, seq-x.seq.Load())
		}
		if missing == 0 || time.Now().After(deadline) {
			return missing
		}
		time.Sleep(5 * time.Millisecond)
	}
}
