package actors

import (
	"context"
	"time"

	"importer"
)

// hub fans events and updates out to subscribers. It decides who gets what;
// how bytes reach a socket is httpd's.
//
// One actor serialises publish and subscribe, so that nobody misses an event
// or gets one twice. The log is read beside it, one read a topic at a time.
type hub struct {
	*settings
	life    context.Context
	endLife context.CancelFunc
	topics  map[string]*topic
}

const (
	logTimeout  = 5 * time.Second
	gapPatience = 50 * time.Millisecond // commits of one moment come in any order
	gapRetry    = 250 * time.Millisecond
	refillLimit = 1_000
)

func newHub(s *settings) *hub {
	h := &hub{settings: s, topics: map[string]*topic{}}
	h.life, h.endLife = context.WithCancel(context.Background())
	return h
}

func (h *hub) start(*cell) error { return nil }

// stop keeps the topics through a failure of the hub itself.
func (h *hub) stop(reason error) {
	if reason == nil {
		h.endLife()
	}
}

func (h *hub) handle(c *cell, msg any) error {
	switch m := msg.(type) {
	case publish:
		for _, e := range m.events {
			if t := h.topics[e.Topic]; t != nil {
				t.offer(e)
				h.attend(c, t)
			}
		}
	case progressed:
		return h.onProgress(c, m)
	case importEnded:
		if t := h.topics[importer.ImportTopic(m.id)]; t != nil {
			t.running = false
			h.forgetIdle(t)
		}
	case subscribe:
		t := h.topic(c, m.topic)
		t.join(m.s, m.since)
		h.attend(c, t)
	case unsubscribe:
		if t := h.topics[m.topic]; t != nil {
			t.leave(m.s)
			h.forgetIdle(t)
		}
	case snapshotRead:
		if t := h.topics[m.topic]; t != nil {
			t.reading = false
			t.answer(m.snap, m.err)
			h.attend(c, t)
		}
	case gapLasts:
		if t := h.topics[m.topic]; t != nil {
			t.waiting = false
			if t.gap() && !t.reading {
				h.refill(c, t)
			}
		}
	case refilled:
		if t := h.topics[m.topic]; t != nil {
			t.reading = false
			h.onRefilled(c, t, m)
		}
	}
	return nil
}

// topic returns the state of a topic, new when nobody has asked for it yet.
func (h *hub) topic(c *cell, name string) *topic {
	t := h.topics[name]
	if t == nil {
		t = newTopic(name, h.Now, c.log)
		h.topics[name] = t
	}
	return t
}

// attend reads from the log what the topic needs and does not have.
func (h *hub) attend(c *cell, t *topic) {
	switch {
	case t.reading:
	case t.wantsSnapshot():
		h.readSnapshot(c, t)
	case t.gap() && !t.waiting:
		t.waiting = true
		c.after(gapPatience, gapLasts{t.name})
	default:
		h.forgetIdle(t)
	}
}

func (h *hub) forgetIdle(t *topic) {
	if t.idle() && !t.reading {
		delete(h.topics, t.name)
	}
}

func (h *hub) readSnapshot(c *cell, t *topic) {
	t.reading = true
	name := t.name
	c.beside(func() any {
		ctx, cancel := context.WithTimeout(h.life, logTimeout)
		defer cancel()
		snap, err := h.Events.TopicSnapshot(ctx, name)
		return snapshotRead{name, snap, err}
	}, func(err error) any { return snapshotRead{topic: name, err: err} })
}

func (h *hub) refill(c *cell, t *topic) {
	t.reading = true
	name, after := t.name, t.seq
	c.beside(func() any {
		ctx, cancel := context.WithTimeout(h.life, logTimeout)
		defer cancel()
		events, err := h.Events.EventsAfter(ctx, name, after, refillLimit)
		return refilled{name, events, err}
	}, func(err error) any { return refilled{topic: name, err: err} })
}

// onRefilled fills the gap. A log that has lost the events in question cannot:
// then everybody gets a snapshot.
func (h *hub) onRefilled(c *cell, t *topic, m refilled) {
	if m.err != nil {
		c.log.Warn().Err(m.err).Str("topic", t.name).Msg("read events")
		t.waiting = true
		c.after(gapRetry, gapLasts{t.name})
		return
	}
	before := t.seq
	for _, e := range m.events {
		t.offer(e)
	}
	if t.gap() && t.seq == before {
		t.restart()
	}
	h.attend(c, t)
}

func (h *hub) onProgress(c *cell, m progressed) error {
	t := h.topic(c, importer.ImportTopic(m.id))
	t.running = true
	return t.update(m.update)
}
