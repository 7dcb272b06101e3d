package actors

import (
	"context"
	"math/rand/v2"
	"time"

	tokens "golang.org/x/time/rate"

	"importer"
)

// sender sends what is due to one webhook while it has the claim. It is the
// only one who does, so limits, order and breaker are its own fields.
//
//	fetching ⇄ sending ──▶ ending ──▶ gone
//
// It ends after its turn, when nothing is due, when the webhook is to rest, or
// when it is told to. Then it waits for the requests under way, and for their
// results to be saved, and hands the claim back: whoever claims next must not
// see as due what is delivered.
type sender struct {
	*settings
	pool     *webhookPool
	claim    importer.WebhookClaim
	webhooks pid
	results  pid
	claimed  time.Time // when the claim was asked for

	life    context.Context
	endLife context.CancelFunc
	limiter *tokens.Limiter // nil: no limit

	due      []importer.DueDelivery
	fetching bool
	dry      bool            // the last fetch had all there is
	busy     map[int64]*slot // under way, or not saved yet
	inFlight int
	slots    int
	failures int
	used     time.Duration
	turn     time.Time // when it is over: it begins with the first answer of the store, however slow that is
	pause    time.Duration
	disable  string
	ending   bool
	told     bool // that it is through
}

const (
	turnTime    = 250 * time.Millisecond
	dueForSlot  = 8           // deliveries a fetch, for each request that may be under way
	dueAtOnce   = 64          // at most: bodies are up to 64 KiB
	slowRest    = time.Second // of a failing webhook, at least, when its share of slots is taken
	fetchFailed = time.Second
)

func newSender(s *settings, pool *webhookPool, claim importer.WebhookClaim, asked time.Time, webhooks, results pid) *sender {
	x := &sender{
		settings: s, pool: pool, claim: claim, webhooks: webhooks, results: results, claimed: asked,
		busy: map[int64]*slot{}, slots: 1, failures: claim.Failures,
	}
	if claim.RatePerS > 0 {
		x.limiter = tokens.NewLimiter(tokens.Limit(claim.RatePerS), 1)
	}
	x.life, x.endLife = context.WithCancel(context.Background())
	return x
}

func (x *sender) start(c *cell) error {
	c.send(c.self, sendOn{})
	return nil
}

func (x *sender) stop(error) {
	x.endLife()
	for _, s := range x.busy {
		s.free()
	}
}

func (x *sender) handle(c *cell, msg any) error {
	switch msg := msg.(type) {
	case sendOn:
	case fetched:
		x.onFetched(msg)
	case answered:
		x.onAnswered(c, msg)
	case attemptsSaved:
		for _, id := range msg.deliveries {
			x.done(id)
		}
	case end:
		x.ending = true
	}
	x.sendOn(c)
	return nil
}

// sendOn does whatever can be done now.
func (x *sender) sendOn(c *cell) {
	x.ending = x.ending || x.pause > 0 || x.disable != "" || x.turnOver() || !x.fresh()
	for !x.ending && len(x.due) > 0 && x.mayBegin(c) {
		d := x.due[0]
		x.due = x.due[1:]
		x.begin(c, d)
	}
	if !x.ending && len(x.due) == 0 && !x.dry && !x.fetching && x.inFlight < x.slots && (!x.claim.StrictOrder || len(x.busy) == 0) {
		x.fetch(c)
	}
	idle := x.inFlight == 0 && !x.fetching && len(x.busy) == 0
	if idle && !x.told && (x.ending || len(x.due) == 0) {
		x.told = true
		c.send(x.webhooks, sent{importer.WebhookRelease{
			ID: x.claim.ID, Epoch: x.claim.Epoch, Failures: x.failures, Pause: x.restFor(), Used: x.used, Disable: x.disable,
		}})
	}
}

func (x *sender) turnOver() bool { return !x.turn.IsZero() && !time.Now().Before(x.turn) }

// fresh says that the lease cannot have run out by now.
func (x *sender) fresh() bool {
	renewed := time.UnixMilli(x.pool.renewed.Load())
	if x.claimed.After(renewed) {
		renewed = x.claimed
	}
	return time.Since(renewed) < freshFor
}

// mayBegin says whether another request may begin. When the rate does not
// allow it now, the sender is woken, or ends when that is after its turn.
func (x *sender) mayBegin(c *cell) bool {
	switch {
	case x.inFlight >= x.slots, x.claim.StrictOrder && len(x.busy) > 0:
		return false
	case x.limiter == nil:
		return true
	}
	now := time.Now()
	r := x.limiter.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait == 0 {
		return true
	}
	r.CancelAt(now)
	if now.Add(wait).Before(x.turn) {
		c.after(wait, sendOn{})
	} else {
		x.ending = true
	}
	return false
}

// restFor is the pause that the store is told of: the rate holds across turns.
func (x *sender) restFor() time.Duration {
	rest := x.pause
	if x.limiter != nil && x.used > 0 {
		now := time.Now()
		r := x.limiter.ReserveN(now, 1)
		rest = max(rest, r.DelayFrom(now))
		r.CancelAt(now)
	}
	return rest
}

// fetch asks the store what is due; while the breaker is open for one delivery
// to try with, by turns the one tried least and the one tried most.
func (x *sender) fetch(c *cell) {
	x.fetching = true
	claim, probe, most := x.claim, x.failures >= breakerAfter, x.failures%2 == 1
	limit := min(x.slots*dueForSlot, dueAtOnce)
	busy := make([]int64, 0, len(x.busy))
	for id := range x.busy {
		busy = append(busy, id)
	}
	c.beside(func() any {
		ctx, cancel := context.WithTimeout(x.life, queueTimeout)
		defer cancel()
		if probe {
			due, err := x.Webhooks.ProbeDelivery(ctx, claim, most)
			return fetched{due, true, err}
		}
		due, err := x.Webhooks.DueDeliveries(ctx, claim, busy, limit)
		return fetched{due, len(due) < limit, err}
	}, func(err error) any { return fetched{err: err} })
}

func (x *sender) onFetched(msg fetched) {
	x.fetching = false
	if msg.err != nil { // the store is away; the manager says so
		x.ending, x.pause = true, max(x.pause, fetchFailed)
		return
	}
	if x.turn.IsZero() {
		x.turn = time.Now().Add(turnTime)
	}
	x.due, x.dry = msg.due, msg.all
}

// begin makes a request beside the actor.
func (x *sender) begin(c *cell, d importer.DueDelivery) {
	slow := x.failures > 0
	if slow {
		select {
		case x.pool.slow <- struct{}{}:
		default:
			x.pause = slowRest + rand.N(slowRest)
			x.ending = true
			return
		}
	}
	s := &slot{of: x.pool.slots, linger: x.pool.linger}
	x.busy[d.ID] = s
	x.inFlight++
	c.beside(func() any {
		if slow {
			defer func() { <-x.pool.slow }()
		}
		if !s.take(x.life) || !x.fresh() { // it may have waited long for its slot
			return answered{delivery: d, err: errCutOff}
		}
		began := time.Now()
		a, err := x.pool.post(x.life, x.claim.WebhookTarget, d.EventID, d.Payload)
		s.keep()
		return answered{d, a, began, err}
	}, func(err error) any { return answered{delivery: d, err: err} })
}

func (x *sender) onAnswered(c *cell, msg answered) {
	x.inFlight--
	if msg.err != nil {
		x.done(msg.delivery.ID)
		x.ending = true
		if msg.err != errCutOff {
			c.log.Error().Err(msg.err).Stringer("webhook_id", x.claim.ID).Msg("webhook not sent")
			x.pause = max(x.pause, maxBreaker)
		}
		return
	}
	a := msg.answer
	x.used += a.took
	a.N = msg.delivery.Tries + 1
	v := judge(a, msg.delivery.Tries, x.failures, x.failingFor())
	if v.failed {
		x.failures++
	} else if a.OK {
		if x.failures >= breakerAfter {
			x.dry = false // it is well again: go on with all of it
		}
		x.failures = 0
	}
	x.slots = slots(x.slots, x.claim.MaxInFlight, a.OK)
	x.pause = max(x.pause, v.pause)
	if x.claim.StrictOrder && !a.OK {
		x.pause = max(x.pause, v.retryIn) // nothing overtakes it
	}
	if x.disable == "" {
		x.disable = v.disable
	}
	class := a.Error
	if a.OK {
		class = "delivered"
	}
	x.Observe.Attempted(class, a.took)
	c.send(x.results, attempted{c.self, importer.AttemptResult{
		Webhook: x.claim.ID, Epoch: x.claim.Epoch, Delivery: msg.delivery.ID, EventID: msg.delivery.EventID,
		Attempt: a.Attempt, RetryIn: v.retryIn, GiveUp: v.giveUp, Spared: v.spared,
	}, msg.began})
}

// done frees the slot of a delivery that needs none any more.
func (x *sender) done(id int64) {
	if s := x.busy[id]; s != nil {
		s.free()
		delete(x.busy, id)
	}
}

// failingFor is how long every attempt has failed, as of now.
func (x *sender) failingFor() time.Duration {
	if x.failures == 0 || x.claim.Failures == 0 {
		return 0
	}
	return x.claim.FailingFor + time.Since(x.claimed)
}
