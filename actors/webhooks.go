package actors

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"importer"
)

// webhooks claims webhooks that have something due and runs one sender for
// each. It fans events out, renews the claims, and gives them back.
//
// A claim is for a quarter of a second or so: then the webhook stands in line again, behind
// those that were served less. Beside the claims there are as many slots, one
// for each request that is under way on this machine; of those, webhooks that
// fail have a quarter.
//
// While an import writes, wherever that is, what it has changed is not fanned
// out yet: to send it would take from the import what somebody waits for. The
// other events are few and go out at once.
//
// Its state survives a crash of its own: the message at fault is dropped.
type webhooks struct {
	*settings
	results pid
	pool    *webhookPool

	life    context.Context
	endLife context.CancelFunc
	sends   map[uuid.UUID]*send
	release []importer.WebhookRelease // that wait to be given back
	broken  map[uuid.UUID]time.Time   // breakers that are open, and when that was last heard
	begun   bool
	asking  bool // a claim is under way
	askMore bool // claim again after it
	fanning bool
	fanMore bool
	yields  int  // fan-outs in a row that left an import's changes for later
	giving  bool // releases are under way
	away    bool // the store could not be asked the last time
	closing chan<- struct{}
	closed  bool
}

// send is a webhook that has a sender here.
type send struct {
	pid   pid
	claim importer.WebhookClaim
	lost  bool // somebody else has it
}

// webhookPool is what all senders share.
type webhookPool struct {
	webhookClient
	slots   chan struct{} // see slot
	linger  chan struct{}
	slow    chan struct{} // one is held for each request to a webhook that fails
	renewed atomic.Int64  // when the last renewal that succeeded was asked for, in Unix ms
}

const (
	fanOutEvery    = time.Second // others commit events, too
	fanOutEvents   = 500
	maxFanYields   = 60 // an import that takes long does not hold up what it has changed for ever
	claimSendEvery = time.Second
	freshFor       = importer.LeaseTime - 2*time.Second // no request begins later after a renewal
	queueTimeout   = 10 * time.Second
	breakerHeard   = 3 * maxBreaker // else somebody else has closed it
	trimEvery      = time.Hour
	trimTimeout    = 5 * time.Minute
	releaseAgain   = time.Second
)

func newWebhooks(s *settings, results pid) *webhooks {
	m := &webhooks{
		settings: s, results: results, sends: map[uuid.UUID]*send{}, broken: map[uuid.UUID]time.Time{},
		pool: &webhookPool{
			webhookClient: newWebhookClient(s.WebhookTransport, s.Now),
			slots:         make(chan struct{}, s.WebhookSlots),
			linger:        make(chan struct{}, lingerers*s.WebhookSlots),
			slow:          make(chan struct{}, max(s.WebhookSlots/4, 1)),
		},
	}
	m.life, m.endLife = context.WithCancel(context.Background())
	return m
}

func (m *webhooks) start(c *cell) error {
	if !m.begun {
		m.begun = true
		c.send(c.self, fanOutDue{})
		c.send(c.self, claimDue{})
		c.send(c.self, renewDue{})
		c.send(c.self, trimDue{})
	}
	return nil
}

// stop after a failure keeps everything: start goes on with it.
func (m *webhooks) stop(error) {}

func (m *webhooks) handle(c *cell, msg any) error {
	switch msg := msg.(type) {
	case wakeWebhooks:
		m.fanOut(c)
		m.claim(c)
	case fanOutDue:
		m.fanOut(c)
		m.later(c, fanOutEvery, msg)
	case fannedOut:
		m.onFannedOut(c, msg)
	case claimDue:
		m.forgetBreakers()
		m.claim(c)
		m.later(c, claimSendEvery, msg)
	case webhooksClaimed:
		m.onClaimed(c, msg)
	case renewDue:
		m.renew(c)
		m.later(c, renewIdle, msg) // also while it closes: requests are still under way
	case webhooksRenewed:
		m.onRenewed(c, msg)
	case sent:
		m.onSent(c, msg)
	case webhooksReleased:
		m.onReleased(c, msg)
	case giveBackDue:
		m.giveBack(c)
	case trimDue:
		m.trim(c)
	case trimmed:
		m.complain(c, msg.err, "trim webhooks")
		m.later(c, trimEvery, trimDue{})
	case escalated:
		m.onEscalated(c, msg)
	case exited:
		m.onExited(c, msg)
	case shutDown:
		m.shutDown(c, msg)
	}
	return nil
}

// later sends the actor msg, unless it has closed.
func (m *webhooks) later(c *cell, d time.Duration, msg any) {
	if !m.closed {
		c.after(d, msg)
	}
}

// complain logs that the store is away, once.
func (m *webhooks) complain(c *cell, err error, doing string) {
	if err != nil && !m.away && m.life.Err() == nil {
		c.log.Warn().Err(err).Msg(doing)
	}
	m.away = err != nil
}

func (m *webhooks) fanOut(c *cell) {
	if m.fanning || m.closing != nil {
		m.fanMore = m.fanning
		return
	}
	m.fanning = true
	yield := m.yields < maxFanYields
	c.beside(func() any {
		ctx, cancel := context.WithTimeout(m.life, queueTimeout)
		defer cancel()
		yielded := false
		if yield && m.Store != nil {
			writing, err := m.Store.Imports(ctx, importer.ImportPage{States: []importer.State{importer.Writing}, Limit: 1})
			if err != nil {
				return fannedOut{err: err}
			}
			yielded = writing.Total > 0
		}
		n, err := m.Webhooks.FanOut(ctx, fanOutEvents, !yielded)
		return fannedOut{n, yielded, err}
	}, func(err error) any { return fannedOut{err: err} })
}

func (m *webhooks) onFannedOut(c *cell, msg fannedOut) {
	m.fanning = false
	m.yields++
	if !msg.yielded {
		m.yields = 0
	}
	m.complain(c, msg.err, "fan events out")
	if msg.n > 0 || m.fanMore && msg.err == nil {
		m.fanMore = false
		m.fanOut(c)
	}
	if msg.n > 0 {
		m.claim(c)
	}
}

// claim asks the store for webhooks that have something due, one question at
// a time.
func (m *webhooks) claim(c *cell) {
	free := m.WebhookSlots - (len(m.sends) - len(m.pool.linger)) // one that hangs has one request
	if m.asking || m.closing != nil || free <= 0 {
		m.askMore = m.asking && m.closing == nil
		return
	}
	m.asking = true
	c.beside(func() any {
		ctx, cancel := context.WithTimeout(m.life, queueTimeout)
		defer cancel()
		asked := time.Now()
		claims, err := m.Webhooks.ClaimWebhooks(ctx, m.Node, free)
		return webhooksClaimed{asked, claims, err}
	}, func(err error) any { return webhooksClaimed{err: err} })
}

func (m *webhooks) onClaimed(c *cell, msg webhooksClaimed) {
	m.asking = false
	m.complain(c, msg.err, "claim webhooks")
	for _, claim := range msg.claims {
		if m.closing != nil || m.sends[claim.ID] != nil { // what was lost is not over yet
			m.release = append(m.release, importer.WebhookRelease{ID: claim.ID, Epoch: claim.Epoch, Failures: claim.Failures, Pause: claimSendEvery})
			continue
		}
		s := &send{claim: claim}
		m.sends[claim.ID] = s
		s.pid = c.spawnChild(senderSpec, func() behavior { return newSender(m.settings, m.pool, claim, msg.asked, c.self, m.results) })
	}
	m.giveBack(c)
	m.closeIfDone()
	if m.askMore {
		m.askMore = false
		m.claim(c)
	}
}

func (m *webhooks) renew(c *cell) {
	var ids []uuid.UUID
	for id, s := range m.sends {
		if !s.lost {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return
	}
	c.beside(func() any {
		ctx, cancel := context.WithTimeout(context.Background(), renewTimeout)
		defer cancel()
		asked := time.Now()
		held, err := m.Webhooks.RenewWebhooks(ctx, m.Node, ids)
		return webhooksRenewed{asked, ids, held, err}
	}, func(err error) any { return webhooksRenewed{err: err} })
}

func (m *webhooks) onRenewed(c *cell, msg webhooksRenewed) {
	m.complain(c, msg.err, "renew webhooks")
	if msg.err != nil {
		return
	}
	for _, id := range msg.ids {
		if s := m.sends[id]; s != nil && !s.lost && msg.held[id] != s.claim.Epoch {
			s.lost = true
			c.send(s.pid, end{})
		}
	}
	m.pool.renewed.Store(msg.asked.UnixMilli())
}

// onSent takes a claim back from a sender that is through with it.
func (m *webhooks) onSent(c *cell, msg sent) {
	s := m.sends[msg.release.ID]
	if s == nil {
		return
	}
	m.release = append(m.release, msg.release)
	m.noteBreaker(msg.release)
	c.reap(s.pid)
}

// giveBack releases what waits, one batch at a time.
func (m *webhooks) giveBack(c *cell) {
	if m.giving || len(m.release) == 0 {
		return
	}
	m.giving = true
	batch := m.release
	m.release = nil
	c.beside(func() any {
		ctx, cancel := context.WithTimeout(context.Background(), queueTimeout)
		defer cancel()
		return webhooksReleased{batch, m.Webhooks.ReleaseWebhooks(ctx, batch)}
	}, func(err error) any { return webhooksReleased{batch, err} })
}

func (m *webhooks) onReleased(c *cell, msg webhooksReleased) {
	m.giving = false
	m.complain(c, msg.err, "release webhooks")
	switch {
	case msg.err == nil:
		for _, r := range msg.releases {
			if r.Disable != "" {
				m.Observe.WebhookDisabled()
			}
		}
		m.giveBack(c)
		m.claim(c)
	case m.closing == nil: // or else the leases run out
		m.release = append(msg.releases, m.release...)
		c.after(releaseAgain, giveBackDue{})
	}
	m.closeIfDone()
}

// noteBreaker counts the breakers that are open here.
func (m *webhooks) noteBreaker(r importer.WebhookRelease) {
	_, open := m.broken[r.ID]
	switch {
	case r.Failures >= breakerAfter && r.Disable == "":
		if !open {
			m.Observe.BreakerOpened()
		}
		m.broken[r.ID] = time.Now()
	case open:
		delete(m.broken, r.ID)
		m.Observe.BreakerClosed()
	}
}

// forgetBreakers drops those that another machine goes on with.
func (m *webhooks) forgetBreakers() {
	for id, at := range m.broken {
		if time.Since(at) > breakerHeard {
			delete(m.broken, id)
			m.Observe.BreakerClosed()
		}
	}
}

// onEscalated lets go of a sender that crashed. Its lease runs out, for what
// it has under way may still be answered.
func (m *webhooks) onEscalated(c *cell, msg escalated) {
	for _, s := range m.sends {
		if s.pid == msg.child {
			s.lost = true
			c.reap(s.pid)
		}
	}
}

func (m *webhooks) onExited(c *cell, msg exited) {
	for id, s := range m.sends {
		if s.pid == msg.child {
			delete(m.sends, id)
		}
	}
	m.giveBack(c)
	m.claim(c)
	m.closeIfDone()
}

func (m *webhooks) trim(c *cell) {
	if m.closing != nil {
		return
	}
	c.beside(func() any {
		ctx, cancel := context.WithTimeout(m.life, trimTimeout)
		defer cancel()
		for range trimRounds {
			n, err := m.Webhooks.TrimWebhooks(ctx, importer.WebhookRetention, trimAtOnce)
			if err != nil || n < trimAtOnce {
				return trimmed{err}
			}
		}
		return trimmed{}
	}, func(err error) any { return trimmed{err} })
}

// shutDown lets requests that are under way come to their end, and begins none.
func (m *webhooks) shutDown(c *cell, msg shutDown) {
	m.closing = msg.done
	m.endLife()
	for _, s := range m.sends {
		c.send(s.pid, end{})
	}
	m.closeIfDone()
}

// closeIfDone also waits for a claim that is under way, to give it back.
func (m *webhooks) closeIfDone() {
	if m.closing == nil || m.closed || len(m.sends) > 0 || m.asking || m.giving || len(m.release) > 0 {
		return
	}
	m.closed = true
	close(m.closing)
}
