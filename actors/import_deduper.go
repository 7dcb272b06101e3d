package actors

import (
	"errors"
	"math"

	"github.com/google/uuid"

	"importer"
)

// deduper sees every row twice. In the scan it notes the last row of each key
// and passes rejects to the writers; in the write pass it drops superseded
// rows, sorts the rest by key within a window, cuts the window into numbered
// batches and hands those to the writers.
//
// It decides the pace: a chunk is asked for only while nothing waits for a
// writer. So it holds at most the window it fills, or the batches of one that
// it just cut, beside what the writers have in hand.
type deduper struct {
	id        uuid.UUID
	epoch     int64
	batchRows int
	run       pid

	parser pid
	pass   pass
	asked  int
	read   bool // the whole file, in this pass
	held   bool
	told   bool // the supervisor, that the pass is over

	keys    *keyTable
	ordinal uint32 // of the next valid row
	scan    importer.Scan

	rejects     []importer.Reject
	rejectBytes int

	window window
	ledger map[int]struct{}
	kept   int64

	writers []pid
	queue   []any // work that waits for a writer
	credit  []int // pieces of work each writer may still be sent
	working int   // pieces of work the writers have
}

type pass int

const (
	passNone pass = iota
	passScan
	passWrite
	passCount // a write pass that writes nothing
)

// chunksAhead lets the parser read one chunk while the last is looked at.
const chunksAhead = 2

// Rejects are recorded in pieces: a file may have no other rows.
const (
	recordRows  = 500
	recordBytes = 1 << 20
)

var errTooManyRows = errors.New("more rows than can be numbered")

func (d *deduper) start(*cell) error {
	d.keys = newKeyTable()
	return nil
}

func (d *deduper) stop(error) {}

func (d *deduper) handle(c *cell, msg any) error {
	switch m := msg.(type) {
	case scanFile:
		d.begin(passScan, m.parser)
		d.writers, d.credit = m.writers, make([]int, len(m.writers))
		for i := range d.credit {
			d.credit[i] = writerWindow
		}
	case writeFile:
		d.keys.seal()
		d.ledger = m.ledger
		d.window = window{limit: d.batchRows}
		d.scan.Head = m.head
		if m.dry {
			d.begin(passCount, m.parser)
		} else {
			d.begin(passWrite, m.parser)
		}
	case *chunk:
		d.asked--
		if err := d.take(c, m); err != nil {
			return err
		}
	case parsed:
		d.read = true
		if d.pass == passScan {
			d.scan.Head = m.head
		}
		d.flushRejects()
		d.cutWindow()
	case freed:
		d.credit[m.writer]++
		d.working--
	case hold:
		d.held = m.on
	}
	d.handOut(c)
	d.pull(c)
	d.conclude(c)
	return nil
}

func (d *deduper) begin(p pass, parser pid) {
	d.pass, d.parser = p, parser
	d.asked, d.ordinal, d.read, d.told = 0, 0, false, false
}

func (d *deduper) take(c *cell, m *chunk) error {
	if uint64(d.ordinal)+uint64(len(m.rows)) >= math.MaxUint32 {
		return errTooManyRows
	}
	switch d.pass {
	case passScan:
		for i := range m.rows {
			d.keys.add(m.rows[i].Key, d.ordinal)
			d.ordinal++
		}
		for i := range m.rejects {
			d.rejectBytes += rejectSize(&m.rejects[i])
		}
		d.rejects = append(d.rejects, m.rejects...)
		if len(d.rejects) >= recordRows || d.rejectBytes >= recordBytes {
			d.flushRejects()
		}
		d.scan.Rejected += int64(len(m.rejects))
		d.scan.Rows = int64(d.ordinal) + d.scan.Rejected
		d.scan.Duplicates = d.keys.repeats
		c.send(d.run, scanning{d.scan.Rows, d.scan.Duplicates, d.scan.Rejected, m.offset})
	case passWrite, passCount:
		for i := range m.rows {
			if d.keys.keeps(m.rows[i].Key, d.ordinal) {
				d.kept++
				if d.pass == passWrite && d.window.add(m.rows[i]) {
					d.cutWindow()
				}
			}
			d.ordinal++
		}
	}
	m.rows, m.rejects = nil, nil
	return nil
}

func (d *deduper) flushRejects() {
	if len(d.rejects) > 0 {
		d.queue = append(d.queue, &record{d.rejects})
		d.rejects, d.rejectBytes = nil, 0
	}
}

// cutWindow queues the window's batches, without those the ledger has.
func (d *deduper) cutWindow() {
	d.window.cut(func(number int, rows func() []importer.Row) {
		if _, done := d.ledger[number]; done {
			return
		}
		d.queue = append(d.queue, &merge{importer.Batch{
			ImportID: d.id, Epoch: d.epoch, Number: number, Rows: rows(),
			HasDescription: d.scan.HasDescription(),
		}})
	})
}

// handOut gives work to the writers with the most credit.
func (d *deduper) handOut(c *cell) {
	for len(d.queue) > 0 && !d.held {
		free := 0
		for i, n := range d.credit {
			if n > d.credit[free] {
				free = i
			}
		}
		if d.credit[free] == 0 {
			return
		}
		d.credit[free]--
		d.working++
		c.send(d.writers[free], d.queue[0])
		d.queue[0], d.queue = nil, d.queue[1:]
	}
}

// pull is the whole backpressure.
func (d *deduper) pull(c *cell) {
	if d.pass == passNone || d.read || len(d.queue) > 0 || d.held {
		return
	}
	if n := chunksAhead - d.asked; n > 0 {
		d.asked += n
		c.send(d.parser, demand{n})
	}
}

// conclude reports a pass that is over: all is read and all work is done.
func (d *deduper) conclude(c *cell) {
	if !d.read || d.told || len(d.queue) > 0 || d.working > 0 {
		return
	}
	d.told = true
	if d.pass == passScan {
		c.send(d.run, scanned{d.scan, d.keys.entries > 0})
		return
	}
	c.send(d.run, drained{int64(d.ordinal), int64(d.ordinal) - d.kept})
}
