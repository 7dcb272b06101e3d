package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"importer"
	"importer/client"
)

// front is what stands between clients and a server, as a load balancer does:
// its address stays, the server behind it changes, and connections break.
type front struct {
	listener net.Listener
	url      string

	mu     sync.Mutex
	target string
	open   map[net.Conn]struct{}
}

func newFront(t testing.TB, p *process) *front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{listener: l, url: "http://" + l.Addr().String(), open: map[net.Conn]struct{}{}}
	f.to(p)
	go f.accept()
	t.Cleanup(func() {
		l.Close()
		f.cut()
	})
	return f
}

// to sends new connections to a server; those that are open stay.
func (f *front) to(p *process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.target = strings.TrimPrefix(p.url, "http://")
}

// cut resets all connections on both sides.
func (f *front) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.open {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	clear(f.open)
}

func (f *front) accept() {
	for {
		in, err := f.listener.Accept()
		if err != nil {
			return
		}
		go f.carry(in)
	}
}

func (f *front) carry(in net.Conn) {
	defer in.Close()
	f.mu.Lock()
	target := f.target
	f.mu.Unlock()
	out, err := net.Dial("tcp", target)
	if err != nil {
		return // the server is gone, and so is the connection
	}
	defer out.Close()
	f.mu.Lock()
	f.open[in], f.open[out] = struct{}{}, struct{}{}
	f.mu.Unlock()
	done := make(chan struct{}, 2)
	for a, b := range map[net.Conn]net.Conn{in: out, out: in} {
		go func() {
			_, _ = io.Copy(a, b)
			done <- struct{}{}
		}()
	}
	<-done
	f.mu.Lock()
	delete(f.open, in)
	delete(f.open, out)
	f.mu.Unlock()
}

// subscriber follows topics and keeps what it was told.
type subscriber struct {
	name  string
	front *front

	mu     sync.Mutex
	topics map[string][]part
	downs  int
	gate   chan struct{} // closed while it reads; open makes it a slow reader
}

// part is what was told of a topic from a snapshot on.
type part struct {
	from   int64 // seq of the snapshot
	reason string
	events []string
}

func (p part) last() int64 { return p.from + int64(len(p.events)) }

func subscribe(t testing.TB, name string, f *front, topics ...string) *subscriber {
	t.Helper()
	c, err := client.New(client.Options{Server: f.url})
	if err != nil {
		t.Fatal(err)
	}
	s := &subscriber{name: name, front: f, topics: map[string][]part{}, gate: make(chan struct{})}
	close(s.gate)
	ctx, cancel := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	reading.Go(func() {
		for m, err := range c.Watch(ctx, topics...) {
			if err != nil {
				if ctx.Err() == nil {
					t.Errorf("%s: the stream ended: %v", name, err)
				}
				return
			}
			if err := s.take(ctx, m); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		reading.Wait()
	})
	return s
}

func (s *subscriber) take(ctx context.Context, m client.Message) error {
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	select {
	case <-gate:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case m.Snapshot != nil:
		s.topics[m.Topic] = append(s.topics[m.Topic], part{from: m.Snapshot.Seq, reason: m.Snapshot.Reason})
	case m.Event != nil:
		parts := s.topics[m.Topic]
		p := &parts[len(parts)-1]
		if want := p.last() + 1; m.Event.Seq != want {
			return fmt.Errorf("event %d of %s, want %d", m.Event.Seq, m.Topic, want)
		}
		p.events = append(p.events, eventLine(*m.Event))
	case m.Down != nil:
		s.downs++
	}
	return nil
}

// pause makes it read nothing until it is released.
func (s *subscriber) pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.gate:
		s.gate = make(chan struct{})
	default:
	}
}

func (s *subscriber) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.gate:
	default:
		close(s.gate)
	}
}

// seq is the last event it knows of a topic; -1 before the first snapshot.
func (s *subscriber) seq(topic string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := s.topics[topic]
	if len(parts) == 0 {
		return -1
	}
	return parts[len(parts)-1].last()
}

// A server may answer with a snapshot when more than this was missed.
const (
	replayEvents = 1_000
	replayBytes  = 256 << 10
)

// check compares what it was told of its topics with the log: every event
// once and in order, and a snapshot in their place only where it may be.
func (s *subscriber) check(t testing.TB, log eventLog) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, parts := range s.topics {
		for i, p := range parts {
			for n, got := range p.events {
				if want := log.at(topic, p.from+1+int64(n)); got != want {
					t.Errorf("%s: event %d of %s is %s, want %s", s.name, p.from+1+int64(n), topic, got, want)
				}
			}
			if i == 0 {
				continue
			}
			missed, size := p.from-parts[i-1].last(), 0
			for seq := parts[i-1].last() + 1; seq <= p.from; seq++ {
				size += len(log.at(topic, seq))
			}
			if missed <= replayEvents && size <= replayBytes {
				t.Errorf("%s: a snapshot of %s (%s) in place of %d events, %d bytes", s.name, topic, p.reason, missed, size)
			}
		}
		if got, want := parts[len(parts)-1].last(), int64(len(log[topic])); got != want {
			t.Errorf("%s: %s ends with event %d, want %d", s.name, topic, got, want)
		}
	}
}

func eventLine(e importer.Event) string { return fmt.Sprintf("%d %s %s", e.Seq, e.Kind, e.Data) }

// eventLog is what Postgres has: of each topic, event seq at index seq-1.
type eventLog map[string][]string

func (l eventLog) at(topic string, seq int64) string {
	if seq < 1 || seq > int64(len(l[topic])) {
		return "nothing"
	}
	return l[topic][seq-1]
}

func readLog(t testing.TB, url string) eventLog {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), "SELECT topic, seq, kind, data::text FROM stream_event ORDER BY topic, seq")
	if err != nil {
		t.Fatal(err)
	}
	log := eventLog{}
	var topic, kind, data string
	var seq int64
	_, err = pgx.ForEachRow(rows, []any{&topic, &seq, &kind, &data}, func() error {
		if want := int64(len(log[topic])) + 1; seq != want {
			return fmt.Errorf("the log of %s has event %d, want %d", topic, seq, want)
		}
		log[topic] = append(log[topic], eventLine(importer.Event{Seq: seq, Kind: kind, Data: []byte(data)}))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func (s *subscriber) downsSoFar() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.downs
}
