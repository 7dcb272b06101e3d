package actors

import (
	"math"
	"time"

	"importer"
)

// gauge gathers the figures of an attempt and turns them into updates that
// only grow.
type gauge struct {
	shown  importer.Progress
	state  importer.State
	counts importer.Counts
	head   importer.Head // of a file that turned out to be unreadable

	received, size int64 // bytes
	offset         int64 // bytes scanned
	rowsScanned    int64
	rowsTotal      int64 // to write

	rate    rate
	shownAt time.Time
	dirty   bool // there is more than was shown
	unsaved bool // there is more than the row has
}

// showEvery bounds updates to ten a second.
const showEvery = 100 * time.Millisecond

func newGauge(claim importer.Claim) gauge {
	g := gauge{shown: claim.Progress, state: claim.State, counts: claim.Counts, size: claim.Size, received: claim.Progress.Bytes}
	if claim.State != importer.Uploading {
		g.received = claim.Size
	}
	return g
}

// enter takes over what the store says of the import after a step.
func (g *gauge) enter(imp importer.Import) {
	g.state = imp.State
	if imp.Size > 0 {
		g.size, g.received = imp.Size, imp.Size
	}
	if imp.State.Ended() {
		g.counts = imp.Counts
		g.shown = g.shown.Fold(imp.Progress)
	}
}

// scanning never falls below what an attempt before this one had found.
func (g *gauge) scanning(m scanning) {
	g.offset, g.rowsScanned = m.offset, m.rows
	// What has been read has arrived, perhaps at another machine.
	g.received = max(g.received, m.offset)
	g.counts.Rows = max(g.counts.Rows, m.rows)
	g.counts.Duplicates = max(g.counts.Duplicates, m.duplicates)
	g.counts.Rejected = max(g.counts.Rejected, m.rejected)
}

func (g *gauge) scanned(s importer.Scan) {
	g.rowsScanned = s.Rows
	g.counts.Rows, g.counts.Duplicates, g.counts.Rejected = s.Rows, s.Duplicates, s.Rejected
}

// known is what can be said of a file that was not scanned to its end.
func (g *gauge) known() importer.Scan {
	return importer.Scan{Head: g.head, Rows: g.counts.Rows, Duplicates: g.counts.Duplicates, Rejected: g.counts.Rejected}
}

// ledger is what earlier attempts wrote.
func (g *gauge) ledger(c importer.Counts) {
	g.counts.Created, g.counts.Updated, g.counts.Unchanged = c.Created, c.Updated, c.Unchanged
	g.rowsTotal = g.counts.Rows - g.counts.Rejected - g.counts.Duplicates
}

func (g *gauge) wrote(m importer.Merged) {
	g.counts.Created += m.Created
	g.counts.Updated += m.Updated
	g.counts.Unchanged += m.Unchanged
}

func (g *gauge) progress(phase importer.Phase, notice string) importer.Progress {
	p := importer.Progress{
		Phase: phase, Notice: notice,
		Bytes: g.received, BytesTotal: g.size, BytesScanned: g.offset,
		RowsScanned: g.rowsScanned, RowsPerSecond: math.Round(g.rate.perSecond),
	}
	if g.rowsTotal > 0 {
		p.RowsDone = g.counts.Written()
		p.RowsTotal = max(g.rowsTotal, p.RowsDone) // it may be too low by a few: see keyTable
	}
	return p
}

// moved says that there is something to show. The first byte is shown at once.
func (r *importRun) moved(c *cell) {
	r.gauge.dirty = true
	if r.gauge.shownAt.IsZero() {
		r.show(c)
	}
}

// show sends an update, unless the last is too fresh: then a tick does.
func (r *importRun) show(c *cell) {
	g, now := &r.gauge, r.Now()
	if now.Sub(g.shownAt) < showEvery && !g.state.Ended() {
		g.dirty = true
		return
	}
	if r.second && !r.claim.DryRun {
		g.rate.sample(now, seriesWritten, g.counts.Written())
	} else {
		g.rate.sample(now, seriesScanned, g.rowsScanned)
	}
	g.shown = g.shown.Fold(g.progress(r.phase(), r.notice(now)))
	g.shownAt, g.dirty, g.unsaved = now, false, true
	c.send(r.hub, progressed{r.claim.ID, importer.ImportUpdate{State: g.state, Counts: g.counts, Progress: g.shown}})
}

// phase is the word for what everything else waits for.
func (r *importRun) phase() importer.Phase {
	switch {
	case r.gauge.state == importer.Completed:
		return importer.PhaseComplete
	case r.gauge.state.Ended():
		return r.gauge.shown.Phase
	case !r.whole:
		return importer.PhaseUploading
	case r.scan == nil:
		return importer.PhaseParsing
	case r.second && !r.claim.DryRun:
		return importer.PhaseWriting
	default:
		return importer.PhaseValidating
	}
}

func (r *importRun) notice(now time.Time) string {
	waits, _ := r.lease.waits(now)
	switch {
	case r.gauge.state.Ended():
		return ""
	case waits:
		return "Waiting for the database"
	case r.whole && !r.place:
		return "Waiting for other imports to finish"
	default:
		return ""
	}
}

// rate smooths rows per second.
type rate struct {
	perSecond float64
	series    series
	count     int64
	at        time.Time
}

// series is what a rate counts; a new one begins afresh.
type series int

const (
	seriesNone series = iota
	seriesScanned
	seriesWritten
)

// rateMemory is the time after which a change shows by two thirds: batches
// come in lumps of 10,000 rows.
const rateMemory = 2 * time.Second

func (r *rate) sample(now time.Time, s series, count int64) {
	dt := now.Sub(r.at).Seconds()
	if s != r.series {
		*r = rate{series: s, count: count, at: now}
		return
	}
	if dt <= 0 {
		return
	}
	current := float64(count-r.count) / dt
	if r.perSecond == 0 {
		r.perSecond = current
	} else {
		r.perSecond += (current - r.perSecond) * (1 - math.Exp(-dt/rateMemory.Seconds()))
	}
	if r.perSecond < 0.5 {
		r.perSecond = 0
	}
	r.count, r.at = count, now
}
