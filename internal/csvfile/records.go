package csvfile

import (
	"bytes"
	"io"

	"importer"
)

// records cuts the text into records and counts its physical lines.
type records struct {
	window
	scan  scanner
	lines int64 // physical lines before window.start
	doom  doom  // of the last failed scan, its position from the start of the text
	skip  bool  // the window starts in a line that is too long to be held

	quotes, nuls, highs mark
}

// record is the place of a record in the window; it is valid until the next
// read. Its cells are those of the scanner.
type record struct {
	from, to int
	line     int64  // 1-based physical line on which it starts
	lost     string // the reason if its quotes or its length make no sense
	dropped  bool   // too long even to be shown: from and to mean nothing
}

func newRecords(window, longest int) records {
	return records{
		window: newWindow(window),
		scan:   scanner{longest: longest},
		quotes: mark{find: indexQuote},
		nuls:   mark{find: indexNUL},
		highs:  mark{find: indexHigh},
	}
}

// rewind goes back to where hold was called, and forgets what was found since.
func (r *records) rewind() {
	r.start = int(r.held - r.base)
	r.doom, r.skip = doom{}, false
	r.quotes.at, r.nuls.at, r.highs.at = 0, 0, 0
}

// next finds the next record, blank ones too; io.EOF is the end. After any
// other error of the source what is left in the window is not a whole record,
// so it is not returned.
func (r *records) next() (record, error) {
	if r.skip {
		if err := r.skipLine(); err != nil {
			return record{}, err
		}
		r.skip = false
	}
	if r.start == r.end {
		if err := r.fill(); err != nil {
			return record{}, err
		}
	}
	if r.scan.breaks == lfBreaks {
		if rec, ok := r.plain(); ok {
			return rec, nil
		}
	}
	v, err := r.scanRecord()
	if err != nil {
		return record{}, err
	}
	if v != ended {
		return r.lose(v)
	}
	rec := r.take(r.scan.end, r.scan.next)
	r.lines += r.scan.breaks.count(r.text(rec))
	return rec, nil
}

// text returns the bytes of a record without its line break.
func (r *records) text(rec record) []byte { return r.buf[rec.from:rec.to] }

// plain is the way of nearly all records: a line without a quote.
func (r *records) plain() (record, bool) {
	line := r.rest()
	i := bytes.IndexByte(line, '\n')
	if i < 0 || i > r.scan.longest || r.quotes.within(&r.window, r.start, r.start+i) {
		return record{}, false
	}
	end := i
	if i > 0 && line[i-1] == '\r' {
		end--
	}
	r.scan.reset(doom{})
	r.scan.split(line[:end])
	return r.take(end, i+1), true
}

// take uses up a record of one line.
func (r *records) take(end, next int) record {
	r.lines++
	rec := record{from: r.start, to: r.start + end, line: r.lines}
	r.start += next
	return rec
}

func (r *records) scanRecord() (verdict, error) {
	at := r.base + int64(r.start)
	known := r.doom
	if known.at -= at; known.at <= 0 {
		known = doom{}
	}
	r.scan.reset(known)
	for {
		switch v := r.scan.scan(r.rest(), r.whole()); v {
		case more:
			if err := r.fill(); err != nil && err != io.EOF {
				return 0, err
			}
		case ended:
			if !r.scan.hopped {
				return ended, nil
			}
			r.scan.reset(doom{})
		default:
			if stopped := at + int64(r.scan.pos); stopped > r.doom.at {
				r.doom = doom{at: stopped, verdict: v, state: r.scan.state}
			}
			return v, nil
		}
	}
}

var lostReasons = map[verdict]string{
	badQuote:      importer.ReasonBadQuote,
	unclosedQuote: importer.ReasonUnclosedQuote,
	tooLong:       importer.ReasonRecordTooLong,
}

// lose gives up the physical line that a failed record starts on; reading goes
// on behind it. Cells that were read on that line are kept.
func (r *records) lose(v verdict) (record, error) {
	end, next, err := r.line()
	if err != nil {
		return record{}, err
	}
	if end > r.scan.longest {
		r.lines++
		r.skip = true
		return record{line: r.lines, lost: lostReasons[v], dropped: true}, nil
	}
	for i, c := range r.scan.cells {
		if c.end > end {
			r.scan.cells[i] = cell{}
		}
	}
	rec := r.take(end, next)
	rec.lost = lostReasons[v]
	return rec, nil
}

// line finds the end of the physical line at the start of the window, or
// returns an end over r.scan.longest.
func (r *records) line() (end, next int, err error) {
	searched := 0
	for {
		// A CR that was last may be followed by its LF now.
		from := max(0, searched-1)
		end, next = r.scan.breaks.find(r.rest()[from:])
		if end, next = end+from, next+from; end >= from {
			if next < len(r.rest()) || r.whole() || r.rest()[next-1] == '\n' {
				return end, next, nil
			}
		} else if r.whole() {
			return len(r.rest()), len(r.rest()), nil
		}
		// One byte of the line break may follow the longest record.
		if searched = len(r.rest()); searched > r.scan.longest+1 {
			return r.scan.longest + 1, 0, nil
		}
		if err := r.fill(); err != nil && err != io.EOF {
			return 0, 0, err
		}
	}
}

// skipLine drops a line that is too long to be held.
func (r *records) skipLine() error {
	for {
		_, next := r.scan.breaks.find(r.rest())
		if next > 0 && (next < len(r.rest()) || r.whole() || r.rest()[next-1] == '\n') {
			r.start += next
			return nil
		}
		if r.start = r.end; next > 0 {
			r.start-- // a CR whose LF may follow
		}
		if err := r.fill(); err == io.EOF {
			if next <= 0 {
				return nil
			}
		} else if err != nil {
			return err
		}
	}
}
