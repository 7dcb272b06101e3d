package actors

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// machines is how the hub keeps up with what other machines commit. Whoever
// has appended events says so without saying which; the others then look for
// those of the topics that are watched at them. A hint may get lost: the hub
// looks in any case, more often while it cannot hear.
type machines struct {
	hears    bool
	tried    bool        // to listen: what came of it is known
	hinted   atomic.Bool // a hint is in the mailbox
	looking  bool
	again    bool        // look again: there was a hint during a look
	away     bool        // the last look failed
	lookedAt time.Time   // the last time
	lookAt   time.Time   // the next time
	timer    *time.Timer // to lookAt

	telling bool // a hint was sent a moment ago
	more    bool // and there is more to tell

	reading bool // the progress of imports elsewhere
}

const (
	// hintsEvery bounds hints and looks to fifty a second.
	hintsEvery    = 20 * time.Millisecond
	lookLimit     = 1_000
	progressEvery = time.Second // is how often a machine saves it

	listenAgain    = 100 * time.Millisecond // after a lost connection; doubles
	listenAgainMax = 5 * time.Second
)

func (h *hub) handleMachines(c *cell, msg any) {
	switch m := msg.(type) {
	case heard:
		h.onHeard(c, m)
	case hinted:
		h.hinted.Store(false)
		h.lookAgainIn(c, hintsEvery-time.Since(h.lookedAt))
	case lookDue:
		h.look(c)
	case looked:
		h.onLooked(c, m)
	case told:
		c.after(hintsEvery, tellDue{})
		if m.err != nil {
			c.log.Debug().Err(m.err).Msg("hint")
		}
	case tellDue:
		h.telling = false
		if h.more {
			h.tellOthers(c)
		}
	case progressDue:
		c.after(progressEvery, progressDue{})
		h.readProgress(c)
	case progressRead:
		h.onProgressRead(c, m)
	}
}

// listen hears hints for as long as the hub lives, beside it.
func (h *hub) listen(c *cell) {
	house, self := c.house, c.self
	house.live.Go(func() {
		wait := listenAgain
		up := func() {
			wait = listenAgain
			house.send(self, heard{})
		}
		hint := func() {
			if !h.hinted.Swap(true) {
				house.send(self, hinted{})
			}
		}
		for {
			err := guard(func() error { return h.Events.Listen(h.life, up, hint) })
			house.send(self, heard{fmt.Errorf("listening ended: %w", err)})
			select {
			case <-h.life.Done():
				return
			case <-time.After(wait/2 + rand.N(wait)): // not all machines at once
			}
			wait = min(2*wait, listenAgainMax)
		}
	})
}

// onHeard looks at once: there was nobody to hear what came before.
func (h *hub) onHeard(c *cell, m heard) {
	heard := m.err == nil
	changed := h.hears != heard || !h.tried
	h.hears, h.tried = heard, true
	h.lookAgainIn(c, 0)
	switch {
	case heard:
		c.log.Debug().Msg("hears other machines")
	case changed && h.life.Err() == nil:
		c.log.Warn().Err(m.err).Dur("look_every", h.DeafEvery).Msg("hears no other machines")
	}
}

// lookAgainIn asks for a look that begins after now.
func (h *hub) lookAgainIn(c *cell, d time.Duration) {
	if h.looking {
		h.again = true
		return
	}
	h.lookIn(c, d)
}

// lookIn sees to it that the hub looks when d has passed, or earlier.
func (h *hub) lookIn(c *cell, d time.Duration) {
	at := time.Now().Add(max(0, d))
	switch {
	case h.timer == nil:
		h.timer = c.after(d, lookDue{})
	case h.lookAt.IsZero() || at.Before(h.lookAt):
		h.timer.Reset(d)
	default:
		return
	}
	h.lookAt = at
}

// look asks for the events that were appended to the watched topics, one
// question at a time for all of them.
func (h *hub) look(c *cell) {
	h.lookAt = time.Time{}
	if h.looking {
		return
	}
	h.lookedAt = time.Now()
	seen := map[string]int64{}
	for _, t := range h.topics {
		if t.watched() && t.seq != unknownSeq {
			seen[t.name] = t.seq
		}
	}
	if len(seen) == 0 {
		h.lookIn(c, h.lookEvery())
		return
	}
	h.looking = true
	c.beside(func() any {
		ctx, cancel := context.WithTimeout(h.life, logTimeout)
		defer cancel()
		news, err := h.Events.NewEvents(ctx, seen, lookLimit)
		return looked{seen, news, err}
	}, func(err error) any { return looked{err: err} })
}

func (h *hub) lookEvery() time.Duration {
	if h.hears {
		return h.CheckEvery
	}
	return h.DeafEvery
}

// onLooked passes on what is new in the same way as what is committed here:
// it may have come already, and it may come before its time.
func (h *hub) onLooked(c *cell, m looked) {
	h.looking = false
	switch {
	case len(m.news.Events) == lookLimit:
		h.lookIn(c, 0)
	case h.again:
		h.lookIn(c, hintsEvery)
	default:
		h.lookIn(c, h.lookEvery())
	}
	h.again = false
	wasAway := h.away
	h.away = m.err != nil
	if m.err != nil {
		if !wasAway && h.life.Err() == nil {
			c.log.Warn().Err(m.err).Msg("look for events of other machines")
		}
		return
	}
	for name := range m.seen {
		if t := h.topics[name]; t != nil && m.news.Epoch != "" && t.epoch != "" && t.epoch != m.news.Epoch {
			t.restart()
			h.attend(c, t)
		}
	}
	h.offer(c, m.news.Events)
	// Without a later event, nothing else would tell of the ones that are gone.
	for name, floor := range m.news.Floors {
		if t := h.topics[name]; t != nil && t.epoch == m.news.Epoch && t.seq != unknownSeq && t.seq < floor {
			t.restart()
			h.attend(c, t)
		}
	}
}

// tellOthers that there are new events. It is done beside, after the commit.
func (h *hub) tellOthers(c *cell) {
	if h.telling {
		h.more = true
		return
	}
	h.telling, h.more = true, false
	c.beside(func() any {
		ctx, cancel := context.WithTimeout(h.life, logTimeout)
		defer cancel()
		return told{h.Events.Hint(ctx)}
	}, func(err error) any { return told{err} })
}

// readProgress asks once a second for all imports that are watched here and
// run elsewhere.
func (h *hub) readProgress(c *cell) {
	var ids []uuid.UUID
	for _, t := range h.topics {
		t.trim()
		if t.runsElsewhere() {
			ids = append(ids, t.id)
		}
	}
	if len(ids) == 0 || h.reading {
		return
	}
	h.reading = true
	c.beside(func() any {
		ctx, cancel := context.WithTimeout(h.life, logTimeout)
		defer cancel()
		updates, err := h.Events.ImportUpdates(ctx, ids)
		return progressRead{updates, err}
	}, func(err error) any { return progressRead{err: err} })
}

func (h *hub) onProgressRead(c *cell, m progressRead) {
	h.reading = false
	if m.err != nil {
		c.log.Debug().Err(m.err).Msg("read progress of imports elsewhere")
	}
	for _, u := range m.updates {
		if t := h.topics[u.Topic]; t != nil {
			t.reportFar(u)
		}
	}
}
