package csvfile

import (
	"bytes"
	"encoding/binary"
	"io"
)

// windowSize is what nearly all files need; more is slower (cache).
const windowSize = 128 << 10

// window is the part of the text that is in memory: buf[start:end] is not
// used up yet. It grows only while one record does not fit.
type window struct {
	source     io.Reader
	buf        []byte
	start, end int
	base       int64 // offset of buf[0] in the text
	held       int64 // offset that rewind goes back to, or -1
	err        error // what the source ended with
}

func newWindow(size int) window {
	return window{buf: make([]byte, size), held: -1}
}

// rest is the text in memory that is not used up.
func (w *window) rest() []byte { return w.buf[w.start:w.end] }

// whole reports whether all of the text is in memory or used up.
func (w *window) whole() bool { return w.err == io.EOF }

// fill waits for one more read of the source. At its end it returns io.EOF.
func (w *window) fill() error {
	if w.err != nil {
		return w.err
	}
	if len(w.buf)-w.end < len(w.buf)/32 {
		w.makeRoom()
	}
	for {
		n, err := w.source.Read(w.buf[w.end:])
		w.end += n
		w.err = err
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// makeRoom moves what is still needed to the front, and doubles the buffer
// when that gains too little.
func (w *window) makeRoom() {
	keep := w.start
	if w.held >= 0 {
		keep = int(w.held - w.base)
	}
	buf := w.buf
	if len(buf)-(w.end-keep) < len(buf)/4 {
		buf = make([]byte, 2*len(buf))
	}
	copy(buf, w.buf[keep:w.end])
	w.buf = buf
	w.base += int64(keep)
	w.start -= keep
	w.end -= keep
}

// hold keeps everything from here on in memory, until release.
func (w *window) hold() { w.held = w.base + int64(w.start) }

func (w *window) release() { w.held = -1 }

// mark remembers where the next byte of some kind is, so that the text is
// searched for it once and not again for every record.
type mark struct {
	find func([]byte) int
	at   int64 // the text up to here holds none
}

// within reports whether such a byte is in buf[from:to]. The ranges asked for
// must not go backwards.
func (m *mark) within(w *window, from, to int) bool {
	at := max(from, int(m.at-w.base))
	if at < to {
		if i := m.find(w.buf[at:w.end]); i >= 0 {
			at += i
		} else {
			at = w.end
		}
	}
	m.at = w.base + int64(at)
	return at < to
}

func indexQuote(b []byte) int { return bytes.IndexByte(b, '"') }

func indexNUL(b []byte) int { return bytes.IndexByte(b, 0) }

// indexHigh returns the index of the first byte that is not ASCII, or -1.
func indexHigh(b []byte) int {
	i := 0
	for ; i+8 <= len(b); i += 8 {
		if binary.LittleEndian.Uint64(b[i:])&0x8080808080808080 != 0 {
			break
		}
	}
	for ; i < len(b); i++ {
		if b[i] >= 0x80 {
			return i
		}
	}
	return -1
}
