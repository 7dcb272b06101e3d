package csvfile

import (
	"bytes"
	"io"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// encoding is how the bytes of a file stand for characters.
type encoding uint8

const (
	undecided encoding = iota // ASCII so far: the first byte over 0x7f decides
	utf8Text
	utf16LE
	utf16BE
	windows1252
)

func (e encoding) String() string {
	switch e {
	case utf16LE:
		return "utf-16le"
	case utf16BE:
		return "utf-16be"
	case windows1252:
		return "windows-1252"
	}
	return "utf-8"
}

// detect looks for a byte order mark and returns its length, or else for the
// NULs that UTF-16 puts beside ASCII: they fill at least 40 % of the bytes at
// odd (little endian) or even offsets, and none of the others.
func detect(start []byte) (enc encoding, mark int) {
	switch {
	case bytes.HasPrefix(start, []byte("\xef\xbb\xbf")):
		return utf8Text, 3
	case bytes.HasPrefix(start, []byte("\xff\xfe")):
		return utf16LE, 2
	case bytes.HasPrefix(start, []byte("\xfe\xff")):
		return utf16BE, 2
	}
	var nuls [2]int
	for i, c := range start {
		if c == 0 {
			nuls[i%2]++
		}
	}
	even, odd := (len(start)+1)/2, len(start)/2
	switch {
	case nuls[0] == 0 && nuls[1] > 0 && nuls[1]*10 >= odd*4:
		return utf16LE, 0
	case nuls[1] == 0 && nuls[0] > 0 && nuls[0]*10 >= even*4:
		return utf16BE, 0
	}
	return undecided, 0
}

// appendWindows1252 appends text decoded to UTF-8. The five bytes that
// Windows-1252 leaves open stand for the control characters of Latin-1.
func appendWindows1252(dst, text []byte) []byte {
	for len(text) > 0 {
		ascii := indexHigh(text)
		if ascii < 0 {
			return append(dst, text...)
		}
		dst = append(dst, text[:ascii]...)
		r := charmap.Windows1252.DecodeByte(text[ascii])
		if r == utf8.RuneError {
			r = rune(text[ascii])
		}
		dst = utf8.AppendRune(dst, r)
		text = text[ascii+1:]
	}
	return dst
}

// utf16Reader turns UTF-16 into UTF-8. What is no character, a surrogate
// without its other half or half a code unit at the end, becomes bytes that
// are not valid UTF-8, so that the record that holds it is rejected.
type utf16Reader struct {
	source    io.Reader
	bigEndian bool

	in   [8 << 10]byte
	n    int    // bytes in in that are not decoded yet: at most one between reads
	high uint16 // a high surrogate that waits for the low one, or 0
	err  error
}

// utf8Max is the room a code unit may need: a lone surrogate, then a character.
const utf8Max = 3 + 3

// Read needs room for at least utf8Max bytes.
func (u *utf16Reader) Read(p []byte) (int, error) {
	if len(p) < utf8Max {
		return 0, io.ErrShortBuffer
	}
	if u.err != nil {
		return 0, u.err
	}
	// A code unit becomes at most three bytes; three more are for a surrogate
	// kept from before.
	room := min(len(u.in), max(2, (len(p)-3)/3*2))
	n, err := u.source.Read(u.in[u.n:room])
	u.n += n
	out := p[:0]
	i := 0
	for ; i+1 < u.n; i += 2 {
		unit := uint16(u.in[i]) | uint16(u.in[i+1])<<8
		if u.bigEndian {
			unit = unit<<8 | unit>>8
		}
		if u.high == 0 && unit < utf8.RuneSelf {
			out = append(out, byte(unit))
			continue
		}
		out = u.appendUnit(out, unit)
	}
	u.n = copy(u.in[:], u.in[i:u.n])
	if err == io.EOF {
		if u.high != 0 {
			out = appendSurrogate(out, u.high)
		}
		if u.n > 0 {
			out = append(out, 0xff)
		}
	}
	u.err = err
	if len(out) > 0 {
		return len(out), nil
	}
	return 0, err
}

func (u *utf16Reader) appendUnit(out []byte, unit uint16) []byte {
	high := u.high
	u.high = 0
	if high != 0 {
		if r := utf16.DecodeRune(rune(high), rune(unit)); r != utf8.RuneError {
			return utf8.AppendRune(out, r)
		}
		out = appendSurrogate(out, high)
	}
	switch {
	case unit >= 0xd800 && unit < 0xdc00:
		u.high = unit
		return out
	case unit >= 0xdc00 && unit < 0xe000:
		return appendSurrogate(out, unit)
	}
	return utf8.AppendRune(out, rune(unit))
}

// appendSurrogate writes a lone surrogate the way UTF-8 would, if it did not
// forbid them.
func appendSurrogate(out []byte, unit uint16) []byte {
	return append(out, 0xe0|byte(unit>>12), 0x80|byte(unit>>6)&0x3f, 0x80|byte(unit)&0x3f)
}
