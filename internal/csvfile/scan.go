package csvfile

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// maxRecord is the longest record that Open allows, in bytes without its line
// break. Bytes are those of the file, or of UTF-8 where the file is UTF-16.
const maxRecord = 4 << 20

// maxColumns is how many columns of a header are told apart, which is as many
// as Excel has. Those beyond are counted only.
const maxColumns = 16_384

// breaks is what ends the lines of a file, as its first line break outside
// quotes tells: if that is a lone CR, every lone CR ends a line, else none.
type breaks uint8

const (
	unknownBreaks breaks = iota
	lfBreaks             // LF and CRLF
	crBreaks             // CR, LF and CRLF
)

// find returns where the first physical line of b ends, and where the next
// one begins; -1 if no line break is in b. A CR at the very end of b counts as
// a whole line break.
func (k breaks) find(b []byte) (end, next int) {
	if k != crBreaks {
		i := bytes.IndexByte(b, '\n')
		if i > 0 && b[i-1] == '\r' {
			return i - 1, i + 1
		}
		return i, i + 1
	}
	i := bytes.IndexAny(b, "\r\n")
	if i >= 0 && b[i] == '\r' && i+1 < len(b) && b[i+1] == '\n' {
		return i, i + 2
	}
	return i, i + 1
}

// count returns the number of line breaks in b.
func (k breaks) count(b []byte) int64 {
	n := bytes.Count(b, []byte{'\n'})
	if k == crBreaks {
		n += bytes.Count(b, []byte{'\r'}) - bytes.Count(b, []byte("\r\n"))
	}
	return int64(n)
}

// cell is a cell's place in its record. Its zero value is an empty cell.
type cell struct {
	start, end int
	pairs      bool // holds doubled quotes
}

// verdict is what became of the scan of a record.
type verdict uint8

const (
	more verdict = iota // the record goes on beyond the bytes that are there
	ended
	badQuote
	unclosedQuote
	tooLong
)

// state is where in a record the scanner stands.
//
//	           other             delimiter
//	atStart ─────────▶ inPlain ───────────▶ atStart
//	   │ quote          quote               delimiter
//	   └─────▶ inQuotes ◀────▶ afterQuote ───▶ atStart
//	                              │ space  ▲
//	                              └▶ closed ┘   (anything else: badQuote)
//
// A line break ends the record in every state but inQuotes.
type state uint8

const (
	atStart    state = iota
	inPlain          // in a cell without quotes
	inQuotes         // in a quoted cell
	afterQuote       // a quote in a quoted cell: the closing one, or one of a pair
	closed           // after the closing quote
)

// scanner finds the cells of one record. It can stop wherever the bytes at
// hand end and go on with more of them. All positions count from the record's
// start.
type scanner struct {
	delimiter byte
	breaks    breaks
	longest   int    // bytes of a record
	windows   bool   // the text is Windows-1252
	want      [3]int // the columns of sku, name and description; -1 is none
	width     int    // columns of the header
	header    bool   // keep all cells

	pos       int
	state     state
	start     int  // of the cell at pos
	close     int  // where the last quote was seen
	pairs     bool // the cell at pos has doubled quotes
	end, next int  // of the record, once it has ended

	count int // cells so far
	cells [3]cell
	all   []cell
	blank bool // all cells so far are empty or white space
	extra bool // there is text beyond the header's last column

	doomed doom // what an earlier scan found out, positions from this record
	hopped bool // cells are not known because doomed was used
}

// doom is what a scan that failed leaves to the scans of the lines after its
// first, which are read again. In quotes at a line break the two stand in the
// same state and so have the same future: without this a file in which every
// line leaves a quote open would be read again to its end for each of them.
type doom struct {
	at      int64 // where the failed scan stopped
	verdict verdict
	state   state // after tooLong, to go on from
}

func (s *scanner) reset(d doom) {
	s.pos, s.state, s.start, s.pairs = 0, atStart, 0, false
	s.count, s.cells, s.all = 0, [3]cell{}, s.all[:0]
	s.blank, s.extra, s.hopped = true, false, false
	s.doomed = d
}

// scan goes on in the record that b begins with; whole says that nothing comes
// after b. The verdict does not depend on how much of the text was in b before.
func (s *scanner) scan(b []byte, whole bool) verdict {
	for {
		if s.state == inQuotes {
			if v := s.scanQuotes(b, whole); v != ended {
				return v
			}
		}
		if s.pos == len(b) {
			if !whole {
				return more
			}
			return s.finish(b, s.pos, s.pos)
		}
		c := b[s.pos]
		switch c {
		case '\n':
			if s.breaks == unknownBreaks {
				s.breaks = lfBreaks
			}
			return s.finish(b, s.pos, s.pos+1)
		case '\r':
			if s.pos+1 == len(b) && !whole {
				return more
			}
			if s.pos+1 < len(b) && b[s.pos+1] == '\n' {
				if s.breaks == unknownBreaks {
					s.breaks = lfBreaks
				}
				return s.finish(b, s.pos, s.pos+2)
			}
			if s.breaks != lfBreaks {
				s.breaks = crBreaks
				return s.finish(b, s.pos, s.pos+1)
			}
		}
		if s.pos >= s.longest {
			return tooLong
		}
		if s.state == afterQuote {
			if c == '"' {
				s.pairs = true
				s.state = inQuotes
				s.pos++
				continue
			}
			s.state = closed
		}
		switch {
		case c == s.delimiter:
			s.endCell(b, s.pos)
			s.start, s.pairs, s.state = s.pos+1, false, atStart
		case s.state == inPlain || c == ' ' || c == '\t':
		case s.state == closed:
			return badQuote
		case c == '"':
			s.start, s.state = s.pos+1, inQuotes
		default:
			s.state = inPlain
		}
		s.pos++
	}
}

// scanQuotes looks for the next quote. Its verdict is ended when it has one.
func (s *scanner) scanQuotes(b []byte, whole bool) verdict {
	inside := b[s.pos:min(len(b), s.longest)]
	if known := int(s.doomed.at) - s.pos; known > 0 {
		if i, _ := s.breaks.find(inside[:min(known, len(inside))]); i >= 0 {
			if bytes.IndexByte(inside[:i], '"') < 0 {
				return s.meetDoom(b, whole)
			}
		}
	}
	i := bytes.IndexByte(inside, '"')
	if i >= 0 {
		s.close = s.pos + i
		s.pos += i + 1
		s.state = afterQuote
		return ended
	}
	s.pos += len(inside)
	switch {
	case len(b) > s.longest:
		return tooLong
	case whole:
		return unclosedQuote
	}
	return more
}

// meetDoom takes over from the scan that failed.
func (s *scanner) meetDoom(b []byte, whole bool) verdict {
	d := s.doomed
	if d.verdict != tooLong {
		return d.verdict
	}
	// This record began later, so it may be shorter than the one too long.
	s.doomed, s.hopped = doom{}, true
	s.pos, s.state = int(d.at), d.state
	if s.state == inQuotes {
		return s.scanQuotes(b, whole)
	}
	return ended
}

// finish ends the last cell and the record.
func (s *scanner) finish(b []byte, end, next int) verdict {
	s.endCell(b, end)
	s.end, s.next = end, next
	return ended
}

func (s *scanner) endCell(b []byte, end int) {
	if s.state == afterQuote || s.state == closed {
		end = s.close
	}
	s.add(b, cell{s.start, end, s.pairs})
}

// split finds the cells of a record that has no quotes.
func (s *scanner) split(record []byte) {
	start, last := 0, max(s.want[0], s.want[1], s.want[2])
	for {
		// Behind our last column nothing matters, unless there is too much.
		if s.count == last+1 && !s.blank && !s.header {
			if n := bytes.Count(record[start:], []byte{s.delimiter}); s.count+n < s.width {
				return
			}
		}
		i := bytes.IndexByte(record[start:], s.delimiter)
		if i < 0 {
			s.add(record, cell{start: start, end: len(record)})
			return
		}
		s.add(record, cell{start: start, end: start + i})
		start += i + 1
	}
}

// add takes the next cell of the record.
func (s *scanner) add(b []byte, c cell) {
	if s.hopped {
		return // positions before the hop are not known
	}
	n := s.count
	s.count++
	for i, want := range s.want {
		if n == want {
			s.cells[i] = c
		}
	}
	if s.blank {
		s.blank = s.isBlank(b[c.start:c.end])
	}
	if s.header {
		if n < maxColumns {
			s.all = append(s.all, c)
		}
	} else if n >= s.width && !s.extra {
		s.extra = !s.isBlank(b[c.start:c.end])
	}
}

// isBlank reports whether a cell is white space only. As long as the encoding
// is open a byte 0xA0 that is not UTF-8 is taken for a no-break space.
func (s *scanner) isBlank(text []byte) bool {
	for len(text) > 0 {
		c := rune(text[0])
		size := 1
		if c >= utf8.RuneSelf {
			if r, n := utf8.DecodeRune(text); n > 1 && !s.windows {
				c, size = r, n
			} else if c != 0xa0 {
				return false
			}
		}
		if !unicode.IsSpace(c) {
			return false
		}
		text = text[size:]
	}
	return true
}
