package actors

import (
	"context"
	"time"

	"importer"
)

// lease is what a supervisor knows of its right to work and of the database
// that grants it.
type lease struct {
	good  time.Time // when it was last renewed
	tried time.Time
	asked bool // a renewal is under way
	held  bool // no new batches: the lease may have run out

	workDown time.Time // since when writers or steps do not reach the database
	down     time.Time // since when renewals do not
}

const (
	tickEvery    = 100 * time.Millisecond
	renewEvery   = time.Second     // while there is progress to save
	renewIdle    = 3 * time.Second // otherwise; a third of the lease
	holdAfter    = 8 * time.Second // without a renewal; short of importer.LeaseTime
	renewTimeout = 5 * time.Second
	giveUpAfter  = 60 * time.Second // of an absent database
)

func (l *lease) workGood() { l.workDown = time.Time{} }

func (l *lease) workBad(now time.Time) {
	if l.workDown.IsZero() {
		l.workDown = now
	}
}

// waits reports whether the database is away, and lost whether it has been
// for too long.
func (l *lease) waits(now time.Time) (waits, tooLong bool) {
	for _, since := range []time.Time{l.workDown, l.down} {
		if !since.IsZero() {
			waits = true
			tooLong = tooLong || now.Sub(since) >= giveUpAfter
		}
	}
	return waits, tooLong
}

func (r *importRun) onTick(c *cell) {
	now := r.Now()
	c.after(tickEvery, tick{})
	if _, tooLong := r.lease.waits(now); tooLong && r.outcome != released && r.outcome != abandoned {
		c.log.Warn().Msg("database is away for too long, import given back")
		r.pause = releasePause
		r.end(c, released)
	}
	if hold := now.Sub(r.lease.good) > holdAfter; hold != r.lease.held {
		r.holdBatches(c, hold)
	}
	every := renewIdle
	if r.gauge.unsaved || !r.lease.down.IsZero() {
		every = renewEvery
	}
	if !r.lease.asked && now.Sub(r.lease.tried) >= every {
		r.renew(c, now)
	}
	// While a step is on its way the state here may be behind its event.
	inStep := r.steps.running != stepNone && now.Sub(r.steps.since) < time.Second
	if (r.gauge.dirty || r.gauge.rate.perSecond > 0) && !inStep {
		r.show(c)
	}
}

func (r *importRun) holdBatches(c *cell, on bool) {
	r.lease.held = on
	if r.deduper != nil {
		c.send(r.deduper, hold{on})
	}
}

// renew also asks after an upload that may have been finished on another
// machine.
func (r *importRun) renew(c *cell, now time.Time) {
	r.lease.asked, r.lease.tried = true, now
	r.gauge.unsaved = false
	id, epoch, progress, counts, waiting := r.claim.ID, r.claim.Epoch, r.gauge.shown, r.gauge.counts, !r.whole
	c.beside(func() any {
		ctx, cancel := context.WithTimeout(r.life, renewTimeout)
		defer cancel()
		m := renewed{asked: now, err: r.Store.Renew(ctx, id, epoch, progress, counts)}
		if m.err == nil && waiting {
			imp, err := r.Store.Import(ctx, id)
			m.whole = err == nil && imp.State == importer.Queued
		}
		return m
	}, func(err error) any { return renewed{asked: now, err: err} })
}

func (r *importRun) onRenewed(c *cell, m renewed) {
	r.lease.asked = false
	switch {
	case m.err == nil:
		r.gauge.dirty = r.gauge.dirty || !r.lease.down.IsZero()
		r.lease.good, r.lease.down = m.asked, time.Time{}
		if m.whole && !r.whole {
			c.send(r.manager, uploaded{r.claim.ID})
		}
	case r.outcome != undecided: // its last step finds out by itself
	case isLost(m.err):
		r.end(c, abandoned)
	default:
		c.log.Warn().Err(m.err).Msg("lease not renewed")
		if r.lease.down.IsZero() {
			r.lease.down = m.asked
			r.gauge.dirty = true
		}
	}
}
