package actors

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"importer"
)

// imports claims imports that are due and runs one supervisor for each.
//
// An upload has its supervisor from its first byte, for the lease and the
// progress. It may scan ahead while fewer than MaxImports uploads do. Once
// its file is whole it needs one of MaxImports places to run, as every import
// does; those that are claimed come with one.
//
// Its state survives a crash of its own: the message at fault is dropped.
type imports struct {
	*settings
	hub pid

	life    context.Context
	endLife context.CancelFunc
	runs    map[uuid.UUID]*run
	queue   []uuid.UUID // whole uploads that wait for a place
	begun   bool
	asking  bool            // a claim is under way
	askMore bool            // claim again after it
	away    bool            // the store could not be asked the last time
	closing chan<- struct{} // set by a shutdown
	closed  bool            // closing was
}

// run is an import that has a supervisor here.
type run struct {
	pid   pid
	claim importer.Claim
	place bool            // it has one of MaxImports
	ahead bool            // it scans while it uploads
	next  *importer.Claim // a newer claim, to start when this one has ended
}

const (
	claimEvery   = 2 * time.Second
	claimTimeout = 10 * time.Second
)

func newImports(s *settings, hub pid) *imports {
	m := &imports{settings: s, hub: hub, runs: map[uuid.UUID]*run{}}
	m.life, m.endLife = context.WithCancel(context.Background())
	return m
}

func (m *imports) start(c *cell) error {
	if !m.begun {
		m.begun = true
		c.send(c.self, lookForWork{})
		c.send(c.self, keepHouse{})
	}
	return nil
}

// stop after a failure keeps everything: start goes on with it.
func (m *imports) stop(error) {}

func (m *imports) handle(c *cell, msg any) error {
	switch msg := msg.(type) {
	case begin:
		if m.closing == nil {
			m.run(c, msg.claim)
		}
	case wake:
		m.uploaded(c, msg.id)
		m.look(c)
	case uploaded:
		m.uploaded(c, msg.id)
	case halt:
		if r := m.runs[msg.id]; r != nil {
			r.next = nil
			c.send(r.pid, end{})
		}
	case received:
		if r := m.runs[msg.id]; r != nil {
			c.send(r.pid, msg)
		}
	case lookForWork:
		m.look(c)
		if m.closing == nil {
			c.after(claimEvery, lookForWork{})
		}
	case claimed:
		m.onClaimed(c, msg)
	case keepHouse:
		m.keepHouse(c)
	case houseKept:
		if msg.err != nil && m.life.Err() == nil {
			c.log.Warn().Err(msg.err).Msg("housekeeping")
		}
		if m.closing == nil {
			c.after(houseEvery, keepHouse{})
		}
	case cleanedUp:
		if msg.err != nil && !isLost(msg.err) {
			c.log.Warn().Err(msg.err).Stringer("import_id", msg.id).Msg("import not cleaned up, its lease runs out")
		}
	case ended:
		if r := m.runs[msg.id]; r != nil {
			c.reap(r.pid)
		}
	case escalated:
		m.onEscalated(c, msg)
	case exited:
		m.onExited(c, msg)
	case shutDown:
		m.shutDown(c, msg)
	}
	return nil
}

// run starts a supervisor, after the import's last one has ended.
func (m *imports) run(c *cell, claim importer.Claim) {
	if old := m.runs[claim.ID]; old != nil {
		if claim.Epoch > old.claim.Epoch {
			old.next = &claim
			c.send(old.pid, end{})
		}
		return
	}
	r := &run{claim: claim, place: claim.State != importer.Uploading}
	m.runs[claim.ID] = r
	r.pid = c.spawnChild(importSpec, func() behavior { return newImportRun(m.settings, claim, c.self, m.hub) })
	if !r.place && m.count(func(r *run) bool { return r.ahead && !r.place }) < m.MaxImports {
		r.ahead = true
		c.send(r.pid, scanAhead{})
	}
}

// uploaded notes that the file of a local import is whole.
func (m *imports) uploaded(c *cell, id uuid.UUID) {
	r := m.runs[id]
	if r == nil || r.place || slices.Contains(m.queue, id) {
		return
	}
	m.queue = append(m.queue, id)
	c.send(r.pid, uploaded{id})
	m.admit(c)
}

// admit gives free places to whole uploads, first come, first served.
func (m *imports) admit(c *cell) {
	for len(m.queue) > 0 && m.free() > 0 && m.closing == nil {
		id := m.queue[0]
		m.queue = m.queue[1:]
		if r := m.runs[id]; r != nil {
			r.place = true
			c.send(r.pid, goOn{})
		}
	}
}

func (m *imports) free() int {
	return m.MaxImports - m.count(func(r *run) bool { return r.place })
}

func (m *imports) count(is func(*run) bool) (n int) {
	for _, r := range m.runs {
		if is(r) {
			n++
		}
	}
	return n
}

// look asks the store for imports that are due, one question at a time.
func (m *imports) look(c *cell) {
	free := m.free() - len(m.queue)
	if m.asking || m.closing != nil || free <= 0 {
		m.askMore = m.asking
		return
	}
	m.asking = true
	c.beside(func() any {
		ctx, cancel := context.WithTimeout(m.life, claimTimeout)
		defer cancel()
		claims, err := m.Store.ClaimImports(ctx, m.Node, free)
		return claimed{claims, err}
	}, func(err error) any { return claimed{nil, err} })
}

func (m *imports) onClaimed(c *cell, msg claimed) {
	m.asking = false
	if msg.err != nil && !m.away && m.closing == nil {
		c.log.Warn().Err(msg.err).Msg("claim imports")
	}
	m.away = msg.err != nil
	for _, claim := range msg.claims {
		if m.closing != nil {
			m.giveBack(c, claim)
			continue
		}
		if claim.State != importer.Queued {
			m.Observe.TakenOver(claim.Expired)
		}
		m.run(c, claim)
	}
	switch {
	case m.closing != nil:
		m.closeIfDone()
	case m.askMore:
		m.askMore = false
		m.look(c)
	}
}

// giveBack releases a claim that came when the System was about to close.
func (m *imports) giveBack(c *cell, claim importer.Claim) {
	c.beside(func() any {
		ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
		defer cancel()
		return cleanedUp{claim.ID, m.Store.Release(ctx, claim.ID, claim.Epoch, m.Now())}
	}, func(err error) any { return cleanedUp{claim.ID, err} })
}

// onEscalated fails an import whose supervisor crashed: a crash that comes
// again on every machine would else be tried for ever.
func (m *imports) onEscalated(c *cell, msg escalated) {
	r := m.byPID(msg.child)
	if r == nil {
		return
	}
	c.reap(r.pid)
	why := importer.ImportError{
		Code: importer.PipelineFailed, Retry: true,
		Message: "The import stopped because of an internal error. What is written stays. A retry goes on where it stopped.",
	}
	c.beside(func() any {
		ctx, cancel := context.WithTimeout(m.life, stepTimeout)
		defer cancel()
		_, err := m.Store.Fail(ctx, r.claim.ID, r.claim.Epoch, importer.Scan{}, why)
		return cleanedUp{r.claim.ID, err}
	}, func(err error) any { return cleanedUp{r.claim.ID, err} })
}

func (m *imports) onExited(c *cell, msg exited) {
	r := m.byPID(msg.child)
	if r == nil {
		return
	}
	delete(m.runs, r.claim.ID)
	m.queue = slices.DeleteFunc(m.queue, func(id uuid.UUID) bool { return id == r.claim.ID })
	if m.closing != nil {
		m.closeIfDone()
		return
	}
	if r.next != nil {
		m.run(c, *r.next)
	}
	m.admit(c)
	m.look(c)
}

func (m *imports) byPID(p pid) *run {
	for _, r := range m.runs {
		if r.pid == p {
			return r
		}
	}
	return nil
}

func (m *imports) shutDown(c *cell, msg shutDown) {
	m.closing = msg.done
	m.endLife()
	for _, r := range m.runs {
		r.next = nil
		c.send(r.pid, end{release: true})
	}
	m.closeIfDone()
}

// closeIfDone also waits for a claim that is under way, to give it back.
func (m *imports) closeIfDone() {
	if len(m.runs) == 0 && !m.asking && !m.closed {
		m.closed = true
		close(m.closing)
	}
}
