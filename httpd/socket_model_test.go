package httpd

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"pgregory.net/rapid"
)

// modelFrame is what the model sends through an outbox. N counts all frames.
type modelFrame struct {
	Kind  string // event, update or other
	Topic string
	Seq   int // events of the topic so far, this one included
	N     int
	Pad   string
}

func (f modelFrame) String() string {
	return fmt.Sprintf("%s %d of topic %q (frame %d)", f.Kind, f.Seq, f.Topic, f.N)
}

// leftAt is a frame that the writer has taken.
type leftAt struct {
	modelFrame
	at time.Time
}

// outboxModel does things to an outbox and remembers what may come of it.
type outboxModel struct {
	t   *rapid.T
	out *outbox

	n       int
	seq     map[string]int
	pushed  []leftAt          // events and others, in order, with the time of the push
	newest  map[string]leftAt // the update of each topic that must still come
	stale   map[string]int    // updates of the topic up to this N must not come anymore
	blocked chan struct{}     // when set, writes wait for it
	stalled bool              // a write has waited: times say nothing
	left    []leftAt
	cut     error
	closed  bool
}

func newOutboxModel(t *rapid.T) *outboxModel {
	m := &outboxModel{t: t, seq: map[string]int{}, newest: map[string]leftAt{}, stale: map[string]int{}}
	m.out = &outbox{
		gap: 20 * time.Millisecond, limit: 150_000, write: m.write,
		end: func(websocket.StatusCode, string) { m.closed = true },
		cut: func(err error) { m.cut = err },
	}
	m.out.room.L = &m.out.mu
	return m
}

// write is the outbox's. What it is given counts as left, whether or not the
// client then takes its time to read.
func (m *outboxModel) write(message []byte) error {
	frames := []json.RawMessage{message}
	if message[0] == '[' {
		if err := json.Unmarshal(message, &frames); err != nil || len(frames) < 2 {
			m.t.Fatalf("wrote %s (%v), want an array of two frames or more", message, err)
		}
	}
	for _, b := range frames {
		var f modelFrame
		if err := json.Unmarshal(b, &f); err != nil {
			m.t.Fatalf("wrote %s: %v", b, err)
		}
		m.took(f)
	}
	if m.blocked != nil {
		<-m.blocked
	}
	return nil
}

// took checks a frame that leaves.
func (m *outboxModel) took(f modelFrame) {
	if f.Kind == "update" {
		if f.N <= m.stale[f.Topic] {
			m.t.Errorf("%v left, although an event, a forget or a newer update came", f)
		}
		m.stale[f.Topic] = f.N
		if sent := m.newest[f.Topic]; sent.N == f.N {
			if waited := time.Since(sent.at); !m.stalled && waited > m.out.gap {
				m.t.Errorf("%v waited for %v", f, waited)
			}
			delete(m.newest, f.Topic)
		}
	}
	m.left = append(m.left, leftAt{f, time.Now()})
}

func (m *outboxModel) frame(kind, topic string) (leftAt, []byte) {
	m.n++
	size := rapid.SampledFrom([]int{0, 0, 0, 30_000}).Draw(m.t, "size") // large ones fill a message, and the queue
	f := modelFrame{kind, topic, m.seq[topic], m.n, strings.Repeat("x", size)}
	b, err := json.Marshal(f)
	if err != nil {
		m.t.Fatal(err)
	}
	return leftAt{f, time.Now()}, b
}

func (m *outboxModel) event(topic string) {
	m.seq[topic]++
	f, b := m.frame("event", topic)
	m.outdate(topic)
	m.pushed = append(m.pushed, f)
	m.out.push(topic, b)
}

func (m *outboxModel) other() {
	f, b := m.frame("other", "")
	m.pushed = append(m.pushed, f)
	m.out.push("", b)
}

func (m *outboxModel) update(topic string) {
	f, b := m.frame("update", topic)
	if old, waits := m.newest[topic]; waits {
		m.stale[topic] = old.N
	}
	m.newest[topic] = f
	m.out.update(topic, b)
}

func (m *outboxModel) outdate(topic string) {
	delete(m.newest, topic)
	m.stale[topic] = m.n
}

// bounded checks the memory that the outbox holds.
func (m *outboxModel) bounded() {
	m.out.mu.Lock()
	defer m.out.mu.Unlock()
	size := 0
	for _, f := range m.out.queue {
		size += len(f)
	}
	if size != m.out.bytes || size > m.out.limit {
		m.t.Fatalf("the queue holds %d bytes and counts %d, want at most %d", size, m.out.bytes, m.out.limit)
	}
	if len(m.out.updates) != len(m.out.order) || len(m.out.updates) > 3 {
		m.t.Fatalf("%d updates wait in an order of %d, want at most one of each of 3 topics", len(m.out.updates), len(m.out.order))
	}
}

// Whatever is sent through an outbox: every event leaves once and in order
// until the client is cut, no update leaves after an event that came later,
// the newest one does leave, nothing waits longer than the gap, and memory is
// bounded.
func TestOutboxModel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(noDeadline{t}, func(t *rapid.T) {
			m := newOutboxModel(t)
			topic := rapid.SampledFrom([]string{"a", "b", "c"})
			actions := map[string]func(*rapid.T){
				"event":  func(t *rapid.T) { m.event(topic.Draw(t, "topic")) },
				"update": func(t *rapid.T) { m.update(topic.Draw(t, "topic")) },
				"other":  func(*rapid.T) { m.other() },
				"forget": func(t *rapid.T) {
					name := topic.Draw(t, "topic")
					m.outdate(name)
					m.out.forget(name)
				},
				"wait":    func(t *rapid.T) { time.Sleep(time.Duration(rapid.IntRange(0, 30).Draw(t, "ms")) * ms) },
				"block":   func(*rapid.T) { m.block() },
				"unblock": func(*rapid.T) { m.unblock() },
				"": func(*rapid.T) {
					synctest.Wait() // the writer has taken what is due, or hangs
					m.bounded()
				},
			}
			t.Repeat(actions)
			m.unblock()
			time.Sleep(time.Second)
			m.out.close(1012, "restart")
			synctest.Wait()
			m.check()
		})
	})
}

func (m *outboxModel) block() {
	if m.blocked == nil {
		m.setBlocked(make(chan struct{}))
		m.stalled = true
	}
}

func (m *outboxModel) unblock() {
	if goOn := m.blocked; goOn != nil {
		m.setBlocked(nil)
		close(goOn)
		synctest.Wait()
	}
}

// setBlocked holds the outbox's mutex, so that the race detector sees that
// the writer comes later.
func (m *outboxModel) setBlocked(c chan struct{}) {
	m.out.mu.Lock()
	defer m.out.mu.Unlock()
	m.blocked = c
}

// check compares what left with what was sent.
func (m *outboxModel) check() {
	var events []leftAt
	last := map[string]int{}
	for _, f := range m.left {
		if f.Kind == "update" {
			if f.Seq != last[f.Topic] {
				m.t.Errorf("%v left after event %d", f.modelFrame, last[f.Topic])
			}
			continue
		}
		last[f.Topic] = f.Seq
		events = append(events, f)
	}
	if m.cut == nil && len(events) != len(m.pushed) || len(events) > len(m.pushed) {
		m.t.Errorf("%d frames left, want %d (cut: %v)", len(events), len(m.pushed), m.cut)
	}
	for i, f := range events[:min(len(events), len(m.pushed))] {
		want := m.pushed[i]
		if f.modelFrame != want.modelFrame {
			m.t.Fatalf("frame %d is %v, want %v", i, f.modelFrame, want.modelFrame)
		}
		if waited := f.at.Sub(want.at); !m.stalled && waited > m.out.gap {
			m.t.Errorf("%v waited for %v", f.modelFrame, waited)
		}
	}
	if m.cut != nil {
		return
	}
	if len(m.newest) > 0 {
		m.t.Errorf("updates %v never left", fmt.Sprint(m.newest))
	}
	if !m.closed {
		m.t.Error("the outbox did not close")
	}
}

// noDeadline hides Deadline, which may not be asked in virtual time.
type noDeadline struct{ testing.TB }
