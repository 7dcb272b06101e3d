package actors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"importer"
)

// importRun supervises one attempt at an import: it starts the pipeline,
// takes the import from step to step in the store, keeps the lease and says
// how the attempt ends.
//
//	scan ─▶ StartScan ─▶ StartWrite ─▶ write ─▶ reap ─▶ Complete ─▶ ended
//	  └── while uploading                        └────▶ Fail | Release
//
// It never blocks: the store is called beside it, one step at a time, and the
// lease is renewed beside the steps. ErrLeaseLost from anywhere ends the
// attempt without another word to the store.
type importRun struct {
	*settings
	claim   importer.Claim
	manager pid
	hub     pid
	began   time.Time

	life, work       context.Context // work ends with the pipeline, life with the attempt
	endLife, endWork context.CancelFunc
	parser, deduper  pid
	children         map[pid]bool // alive; true once reaped

	may     bool // scan
	place   bool // to run, granted by the manager
	whole   bool // the upload is
	started bool // StartScan is done
	scan    *scanned
	fault   *importer.Error // of the file
	second  bool            // the write pass runs
	drained bool

	outcome outcome
	why     importer.ImportError // with failed
	pause   time.Duration        // with released: before it may be claimed
	closed  bool

	steps steps
	lease lease
	gauge gauge
}

// outcome is how an attempt ends.
type outcome int

const (
	undecided outcome = iota
	completed
	failed
	released  // given back, for any machine to take up
	abandoned // no longer ours: nothing is said to the store
)

// step is what there is to say to the store at the end.
func (o outcome) step() step {
	switch o {
	case completed:
		return stepComplete
	case failed:
		return stepFail
	case released:
		return stepRelease
	default:
		return stepNone
	}
}

func newImportRun(s *settings, claim importer.Claim, manager, hub pid) *importRun {
	whole := claim.State != importer.Uploading
	r := &importRun{
		settings: s, claim: claim, manager: manager, hub: hub, began: s.Now(),
		children: map[pid]bool{},
		may:      whole, place: whole, whole: whole,
		lease: lease{good: s.Now()},
		gauge: newGauge(claim),
	}
	r.life, r.endLife = context.WithCancel(context.Background())
	r.work, r.endWork = context.WithCancel(r.life)
	return r
}

func (r *importRun) start(c *cell) error {
	c.concerns(c.about.With().Stringer("import_id", r.claim.ID).Int64("epoch", r.claim.Epoch).Logger())
	// What the store has to say is about the import, too.
	r.life, r.work = c.log.WithContext(r.life), c.log.WithContext(r.work)
	c.log.Info().Str("state", string(r.claim.State)).Int("attempt", r.claim.Attempts).Msg("import begins here")
	c.send(c.self, tick{})
	r.advance(c)
	return nil
}

// stop after a crash of the supervisor itself takes the pipeline with it.
func (r *importRun) stop(error) {
	r.endLife()
	r.reapAll()
	r.send(r.hub, importEnded{r.claim.ID})
}

func (r *importRun) handle(c *cell, msg any) error {
	if r.closed {
		return nil
	}
	switch m := msg.(type) {
	case scanAhead:
		r.may = true
	case uploaded:
		r.whole, r.gauge.dirty = true, true // another phase, perhaps a notice
	case goOn:
		r.may, r.place, r.whole, r.gauge.dirty = true, true, true, true
	case end:
		r.endLife() // also what hangs in the store
		if m.release {
			r.end(c, released)
		} else {
			r.end(c, abandoned)
		}
	case received:
		r.gauge.received = max(r.gauge.received, m.bytes)
		r.moved(c)
	case tick:
		r.onTick(c)
	case renewed:
		r.onRenewed(c, m)

	case scanning:
		r.gauge.scanning(m)
		r.moved(c)
	case scanned:
		r.scan = &m
		r.gauge.scanned(m.scan)
		r.reapOne(r.parser)
	case unreadable:
		r.fault = m.err
		r.gauge.head = m.head
	case wrote:
		r.lease.workGood()
		r.gauge.wrote(m.merged)
		r.moved(c)
	case recorded:
		r.lease.workGood()
	case stalled:
		r.lease.workBad(r.Now())
		r.gauge.dirty = true // the notice
		c.log.Debug().Err(m.err).Msg("writer waits for the database")
	case fenced:
		r.end(c, abandoned)
	case drained:
		r.onDrained(c, m)

	case stepped:
		r.onStepped(c, m)
	case again:
		r.steps.running = stepNone // settle or advance takes it again
		r.settle(c)
	case escalated:
		c.log.Error().Err(m.err).Str("child", m.name).Msg("pipeline failed")
		r.fail(c, pipelineFailed(m.err))
	case exited:
		delete(r.children, m.child)
		r.settle(c)
	}
	r.advance(c)
	return nil
}

// advance does what comes next, when all that it needs is there.
func (r *importRun) advance(c *cell) {
	if r.outcome != undecided {
		return
	}
	if r.may && r.deduper == nil {
		r.startScan(c)
	}
	switch {
	case !r.whole || !r.place || r.steps.running != stepNone:
	case !r.started:
		r.do(c, stepStartScan)
	case r.fault != nil:
		r.fail(c, faulty(r.fault))
	case r.scan == nil || r.second && !r.drained: // a pass runs
	case r.drained:
		r.end(c, completed)
	case r.scan.scan.Rows == 0:
		r.fail(c, faulty(importer.Errorf(importer.NoDataRows, "The file has a header but no rows.")))
	case r.scan.scan.Rows == r.scan.scan.Rejected:
		r.fail(c, faulty(importer.Errorf(importer.NoValidRows, "None of the rows in the file is valid.")))
	case !r.claim.DryRun:
		r.do(c, stepStartWrite)
	case r.scan.vague:
		r.startSecond(c, nil)
	default:
		r.end(c, completed)
	}
}

func (r *importRun) startScan(c *cell) {
	d := &deduper{id: r.claim.ID, epoch: r.claim.Epoch, batchRows: r.claim.BatchRows, run: c.self}
	r.deduper = r.child(c, deduperSpec, func() behavior { return d })
	r.startParser(c, true)
	writers := make([]pid, r.Writers)
	for i := range writers {
		w := writer{
			ctx: r.work, store: r.Store, observe: r.Observe, id: r.claim.ID, epoch: r.claim.Epoch,
			index: i, run: c.self, deduper: r.deduper,
		}
		writers[i] = r.child(c, writerSpec, func() behavior { fresh := w; return &fresh })
	}
	c.send(r.deduper, scanFile{r.parser, writers})
	c.send(r.deduper, hold{r.lease.held})
}

// startSecond reads the file again, to write it or, in a dry run, to count.
func (r *importRun) startSecond(c *cell, ledger map[int]struct{}) {
	r.second = true
	r.startParser(c, false)
	c.send(r.deduper, writeFile{parser: r.parser, head: r.scan.scan.Head, ledger: ledger, dry: r.claim.DryRun})
}

func (r *importRun) startParser(c *cell, rejects bool) {
	p := &parser{
		ctx: r.work, spool: r.Spool, open: r.OpenRows, id: r.claim.ID, mapping: r.claim.Mapping,
		limit: r.MaxFileBytes, rejects: rejects, run: c.self, deduper: r.deduper,
	}
	r.parser = r.child(c, parserSpec, func() behavior { return p })
}

func (r *importRun) child(c *cell, spec childSpec, build func() behavior) pid {
	p := c.spawnChild(spec, build)
	r.children[p] = false
	return p
}

func (r *importRun) reapAll() {
	for p := range r.children {
		r.reapOne(p)
	}
}

// reapOne ends a child once; exited will tell.
func (r *importRun) reapOne(p pid) {
	if reaped, alive := r.children[p]; alive && !reaped {
		r.children[p] = true
		r.reap(p)
	}
}

// onDrained makes the number of duplicates exact.
func (r *importRun) onDrained(c *cell, m drained) {
	s := &r.scan.scan
	if valid := s.Rows - s.Rejected; m.rows != valid {
		c.log.Error().Int64("rows", m.rows).Int64("scanned", valid).Msg("file has changed since the scan")
		r.fault = importer.Errorf(importer.StorageLost, "The uploaded file has changed since it was checked.")
		return
	}
	s.Duplicates = m.duplicates
	r.gauge.scanned(*s)
	r.drained = true
}

// fail ends the attempt and the import.
func (r *importRun) fail(c *cell, why importer.ImportError) {
	r.why = why
	r.end(c, failed)
}

// end stops the pipeline; what the outcome asks for follows when it is gone.
// The first outcome holds, but one that says nothing more overrides it.
func (r *importRun) end(c *cell, o outcome) {
	first := r.outcome == undecided
	if first || o == abandoned || o == released && r.outcome != abandoned {
		r.outcome = o
	}
	if first {
		r.endWork()
		r.reapAll()
	}
	r.steps.hurry()
	r.settle(c)
}

// settle takes the last step once the pipeline is gone.
func (r *importRun) settle(c *cell) {
	if r.outcome == undecided || r.closed || len(r.children) > 0 || r.steps.running != stepNone {
		return
	}
	if last := r.outcome.step(); last != stepNone {
		r.do(c, last)
	} else {
		r.close(c)
	}
}

// close is the last thing of an attempt.
func (r *importRun) close(c *cell) {
	r.closed = true
	r.endLife()
	c.send(r.manager, ended{r.claim.ID})
	line := c.log.Info().Str("state", string(r.gauge.state)).Dur("took", r.Now().Sub(r.began)).
		Int64("rows", r.gauge.counts.Rows).Int64("written", r.gauge.counts.Written()).Int64("rejected", r.gauge.counts.Rejected)
	if r.outcome == failed {
		line.Str("code", string(r.why.Code))
	}
	line.Msg("import ends here")
}

// faulty explains a file that cannot be imported, however often it is tried.
func faulty(e *importer.Error) importer.ImportError {
	return importer.ImportError{Code: e.Code, Message: e.Message}
}

// pipelineFailed explains what a retry may cure.
func pipelineFailed(err error) importer.ImportError {
	why := importer.ImportError{Code: importer.PipelineFailed, Message: "The import stopped because of an internal error.", Retry: true}
	if e, ok := errors.AsType[*importer.Error](err); ok && e.Code != importer.Internal {
		why.Code, why.Message = e.Code, e.Message
	}
	return why
}

// saved says what became of the rows, of which the ledger knows: machines that
// had the import before may have written more than this one was told.
func saved(why importer.ImportError, written int64) importer.ImportError {
	switch {
	case why.Retry:
		why.Message += fmt.Sprintf(" %d rows are written and stay; a retry goes on from there.", written)
	case written > 0:
		why.Message += fmt.Sprintf(" %d rows were written before and stay.", written)
	default:
		why.Message += " Nothing was written."
	}
	return why
}
