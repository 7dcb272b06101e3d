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
// or gets one twice. The log is read beside it, one read a topic at a time,
// which serves all who wait for it. Other machines' events take the same way
// in as those of this one: see hub_machines.go.
//
// Its state survives a crash of its own: the message at fault is dropped, and
// start brings everybody up to date.
type hub struct {
	*settings
	life    context.Context
	endLife context.CancelFunc
	topics  map[string]*topic
	begun   bool
	machines
}

const (
	logTimeout  = 5 * time.Second
	gapPatience = 50 * time.Millisecond // commits of one moment come in any order
	gapRetry    = 250 * time.Millisecond
)

func newHub(s *settings) *hub {
	h := &hub{settings: s, topics: map[string]*topic{}}
	h.life, h.endLife = context.WithCancel(context.Background())
	return h
}

func (h *hub) start(c *cell) error {
	if !h.begun {
		h.begun = true
		h.listen(c)
		c.after(progressEvery, progressDue{})
	}
	h.lookIn(c, 0)
	for _, t := range h.topics {
		t.mend()
		h.attend(c, t)
	}
	return nil
}

// stop keeps the topics through a failure of the hub itself.
func (h *hub) stop(reason error) {
	if reason == nil {
		h.endLife()
	}
}

func (h *hub) handle(c *cell, msg any) error {
	switch m := msg.(type) {
	case publish:
		h.tellOthers(c)
		h.offer(c, m.events)
	case progressed:
		t := h.topic(c, importer.ImportTopic(m.id))
		t.running = true
		t.report(m.update)
		h.show(c, t)
	case updateDue:
		if t := h.topics[m.topic]; t != nil {
			t.due = false
			h.show(c, t)
		}
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
			h.onSnapshot(c, t, m)
		}
	case logRead:
		if t := h.topics[m.topic]; t != nil {
			h.onLog(c, t, m)
		}
	case gapLasts:
		if t := h.topics[m.topic]; t != nil {
			t.patient = false
			if t.gap() && !t.reading {
				_, after, _ := t.need()
				h.readLog(c, t, after)
			} else {
				h.attend(c, t)
			}
		}
	default:
		h.handleMachines(c, msg)
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

func (h *hub) offer(c *cell, events []importer.Event) {
	for _, e := range events {
		if t := h.topics[e.Topic]; t != nil {
			t.offer(e)
			h.attend(c, t)
		}
	}
}

// attend reads from the log what the topic needs and does not have.
func (h *hub) attend(c *cell, t *topic) {
	if t.reading {
		return
	}
	t.settleAll()
	events, after, state := t.need()
	switch {
	case t.patient:
	case state && (t.stateUp || !events):
		h.readSnapshot(c, t)
	case events:
		h.readLog(c, t, after)
	case t.gap():
		t.patient = true
		c.after(gapPatience, gapLasts{t.name})
	default:
		h.forgetIdle(t)
	}
}

func (h *hub) forgetIdle(t *topic) {
	if t.idle() {
		delete(h.topics, t.name)
	}
}

func (h *hub) readSnapshot(c *cell, t *topic) {
	t.reading, t.stateUp = true, false
	name := t.name
	c.beside(func() any {
		ctx, cancel := context.WithTimeout(h.life, logTimeout)
		defer cancel()
		snap, err := h.Events.TopicSnapshot(ctx, name)
		return snapshotRead{name, snap, err}
	}, func(err error) any { return snapshotRead{topic: name, err: err} })
}

// readLog fills gaps and brings back what those missed who return. They share
// one read from the oldest of them, however many they are.
func (h *hub) readLog(c *cell, t *topic, after int64) {
	t.deepAt = t.now() // from here on recent may not lose what the read will join
	t.reading, t.stateUp = true, true
	for _, m := range t.waiting {
		m.asked = true
	}
	name, heard := t.name, t.head
	c.beside(func() any {
		ctx, cancel := context.WithTimeout(h.life, logTimeout)
		defer cancel()
		log, err := h.Events.ReadLog(ctx, name, after, replayMax)
		return logRead{name, after, heard, log, err}
	}, func(err error) any { return logRead{topic: name, err: err} })
}

func (h *hub) onSnapshot(c *cell, t *topic, m snapshotRead) {
	t.reading = false
	if m.err != nil {
		if t.refuse(m.err, true) {
			h.tryAgain(c, t, m.err)
			return
		}
	} else {
		t.answer(m.snap)
	}
	h.attend(c, t)
}

func (h *hub) onLog(c *cell, t *topic, m logRead) {
	t.reading = false
	if m.err != nil {
		if again := t.refuse(m.err, false); again || t.gap() {
			h.tryAgain(c, t, m.err)
			return
		}
	} else {
		t.learn(m.after, m.heard, m.log)
	}
	h.attend(c, t)
}

func (h *hub) tryAgain(c *cell, t *topic, err error) {
	t.patient = true
	c.after(gapRetry, gapLasts{t.name})
	c.log.Warn().Err(err).Str("topic", t.name).Msg("read events")
}

// show passes progress on, now or when the last is old enough.
func (h *hub) show(c *cell, t *topic) {
	if t.due {
		return
	}
	if wait := t.show(); wait > 0 {
		t.due = true
		c.after(wait, updateDue{t.name})
	}
}
