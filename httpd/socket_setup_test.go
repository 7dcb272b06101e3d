package httpd_test

import (
	"context"
	"encoding/json"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"importer"
)

// fakeLog makes a fakeHub remember events, and replay them like the real one.
type fakeLog struct {
	hub    *fakeHub
	window int // events replayed at most, else a snapshot

	mu     sync.Mutex
	events map[string][]importer.Event
}

func newFakeLog(h *fakeHub) *fakeLog {
	l := &fakeLog{hub: h, window: 1000, events: map[string][]importer.Event{}}
	h.answer = l.answer
	return l
}

func (l *fakeLog) answer(topic string, since *importer.Cursor, s importer.Subscriber) {
	l.mu.Lock()
	defer l.mu.Unlock()
	events := l.events[topic]
	head := int64(len(events))
	answer := importer.Subscription{Epoch: "e1", Seq: head, Snapshot: json.RawMessage("{}")}
	if topic == importer.TopicImports {
		answer.Snapshot = json.RawMessage(`{"imports":[]}`)
	}
	switch {
	case since == nil:
		answer.Reason = "fresh"
	case since.Epoch != "e1":
		answer.Reason = "epoch"
	case since.Seq > head:
		answer.Reason = "ahead"
	case head-since.Seq > int64(l.window):
		answer.Reason = "gap"
	default:
		answer.Snapshot, answer.Events = nil, slices.Clone(events[since.Seq:])
	}
	s.Subscribed(topic, answer)
}

// append logs an event and publishes it.
func (l *fakeLog) append(topic, data string) {
	l.mu.Lock()
	seq := int64(len(l.events[topic])) + 1
	l.events[topic] = append(l.events[topic], importer.Event{
		Topic: topic, Seq: seq, Kind: "import.queued", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Data: json.RawMessage(data),
	})
	l.mu.Unlock()
	l.hub.event(topic, seq, data)
}

func (l *fakeLog) head(topic string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.events[topic])
}

// uuidOf is always the same for the same number.
func uuidOf(i int) uuid.UUID { return uuid.NewSHA1(uuid.Nil, []byte{byte(i), byte(i >> 8)}) }

func (b *bench) listen() net.Listener {
	b.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	return l
}

// serve answers on a listener of the test's own until stop is called, or the
// test ends.
func (b *bench) serve(l net.Listener) (stop func()) {
	served := make(chan error, 1)
	go func() { served <- b.server.Serve(context.WithoutCancel(b.t.Context()), l) }()
	b.url = "http://" + l.Addr().String()
	stop = sync.OnceFunc(func() {
		if err := b.server.Shutdown(context.Background()); err != nil {
			b.t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			b.t.Errorf("serve: %v", err)
		}
	})
	b.t.Cleanup(stop)
	return stop
}
