package actors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"importer"
)

// step is a call that moves the import in the store.
type step int

const (
	stepNone step = iota
	stepStartScan
	stepStartWrite
	stepComplete
	stepFail
	stepRelease
)

// steps is what a supervisor remembers of the step it takes.
type steps struct {
	running step // also while its backoff lasts
	since   time.Time
	stalls  int // tries that did not reach the database
	errors  int // tries that failed otherwise
	backoff *time.Timer
}

// hurry ends a backoff early.
func (s *steps) hurry() {
	if s.backoff != nil && s.backoff.Stop() {
		s.running = stepNone
	}
}

const (
	stepTimeout    = 30 * time.Second
	stepErrors     = 5               // then the import fails
	releaseTimeout = 5 * time.Second // on the way out there is one try
	releasePause   = 5 * time.Second // before a released import may be claimed
)

// do takes a step beside the supervisor; stepped tells how it went.
func (r *importRun) do(c *cell, s step) {
	r.steps.running, r.steps.since = s, r.Now()
	id, epoch, why := r.claim.ID, r.claim.Epoch, r.why
	scan := r.gauge.known()
	if r.scan != nil {
		scan = r.scan.scan
	}
	counts, until, log := r.gauge.counts, r.Now().Add(r.pause), c.log
	progress := r.gauge.shown.Fold(r.gauge.progress(r.gauge.shown.Phase, ""))
	call := func(ctx context.Context) (m stepped, err error) {
		switch s {
		case stepStartScan:
			m.imp, err = r.Store.StartScan(ctx, id, epoch)
		case stepStartWrite:
			if m.ledger, m.counts, err = r.Store.Ledger(ctx, id); err == nil {
				m.imp, err = r.Store.StartWrite(ctx, id, epoch, scan)
			}
		case stepComplete:
			// With the figures of the last moment, for those who look later.
			if err = r.Store.Renew(ctx, id, epoch, progress, counts); err == nil {
				m.imp, err = r.Store.Complete(ctx, id, epoch, scan)
			}
		case stepFail:
			written := counts.Written()
			if _, there, unknown := r.Store.Ledger(ctx, id); unknown == nil {
				written = there.Written()
			}
			m.imp, err = r.Store.Fail(ctx, id, epoch, scan, saved(why, written))
		case stepRelease:
			if err = r.Store.Renew(ctx, id, epoch, progress, counts); isLost(err) {
				return m, err
			}
			err = r.Store.Release(ctx, id, epoch, until)
		}
		return m, err
	}
	parent, timeout := r.life, stepTimeout
	if s == stepRelease {
		parent, timeout = context.Background(), releaseTimeout
	}
	c.beside(func() any {
		ctx, cancel := context.WithTimeout(parent, timeout)
		defer cancel()
		m, err := call(ctx)
		m.step, m.err = s, err
		if s == stepComplete && err == nil {
			if err := r.Spool.Remove(ctx, id); err != nil {
				log.Warn().Err(err).Msg("remove imported file") // housekeeping will
			}
		}
		return m
	}, func(err error) any { return stepped{step: s, err: err} })
}

func (r *importRun) onStepped(c *cell, m stepped) {
	if m.err != nil {
		r.stepFailed(c, m.step, m.err)
		return
	}
	r.steps = steps{}
	r.lease.workGood()
	switch m.step {
	case stepStartScan:
		r.started = true
		r.gauge.enter(m.imp)
	case stepStartWrite:
		r.gauge.ledger(m.counts)
		r.gauge.enter(m.imp)
		if r.outcome == undecided {
			r.startSecond(c, m.ledger)
		}
	case stepComplete, stepFail:
		r.Observe.Ended(m.imp)
		r.gauge.enter(m.imp)
		r.show(c)
		r.close(c)
		return
	case stepRelease:
		r.close(c)
		return
	}
	r.show(c)
	r.settle(c)
}

func (r *importRun) stepFailed(c *cell, s step, err error) {
	r.steps.running = stepNone
	switch {
	case r.outcome != undecided && s != r.outcome.step():
		r.settle(c) // the step no longer matters
	case errors.Is(err, importer.ErrLedgerShort):
		c.log.Error().Err(err).Msg("import is taken up again")
		r.steps = steps{}
		r.end(c, released)
	case isLost(err):
		r.end(c, abandoned)
	case s == stepRelease:
		c.log.Warn().Err(err).Msg("lease could not be given back and runs out")
		r.close(c)
	case isUnavailable(err):
		r.lease.workBad(r.Now())
		r.gauge.dirty = true
		r.retry(c, s, stallTime(r.steps.stalls))
		r.steps.stalls++
	case r.steps.errors < stepErrors:
		c.log.Warn().Err(err).Int("step", int(s)).Msg("step of import failed")
		r.retry(c, s, stallTime(r.steps.errors))
		r.steps.errors++
	case s == stepFail:
		c.log.Error().Err(err).Msg("import can neither go on nor fail; its lease runs out")
		r.end(c, abandoned)
	default:
		c.log.Error().Err(fmt.Errorf("step %d: %w", s, err)).Msg("import failed")
		r.steps = steps{}
		r.outcome = undecided
		r.fail(c, pipelineFailed(err))
	}
}

// retry keeps the place of the step while its backoff lasts.
func (r *importRun) retry(c *cell, s step, wait time.Duration) {
	r.steps.running = s
	r.steps.backoff = c.after(wait, again{})
}
