package csvfile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"

	"importer"
)

// peekSize is how much of a file is looked at for its encoding.
const peekSize = 4 << 10

// counter counts the bytes taken from the source and remembers its error, so
// that an error of the source is never taken for a damaged file, nor forgotten
// by a source that reports it once.
type counter struct {
	source io.Reader
	n      int64
	err    error
}

func (c *counter) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.source.Read(p)
	c.n += int64(n)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("read file: %w", err)
	}
	c.err = err
	return n, err
}

// open finds out what the source is and returns its text, as UTF-8 where it
// was UTF-16, after a byte order mark. The encoding is undecided if only the
// records can tell.
func open(source *counter, limit int64) (io.Reader, encoding, error) {
	raw := bufio.NewReaderSize(source, archivePeek)
	var plain io.Reader = raw
	if magic, _ := raw.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(raw)
		if err != nil {
			return nil, undecided, gunzipError(source, err)
		}
		plain = &gunzip{z: z, source: source}
	}
	if limit > 0 {
		plain = &limiter{source: plain, limit: limit, left: limit}
	}
	text := bufio.NewReaderSize(plain, archivePeek)
	start, err := text.Peek(peekSize)
	if err != nil && err != io.EOF && len(start) == 0 {
		return nil, undecided, err
	}
	if err := sniff(text, start); err != nil {
		return nil, undecided, err
	}
	enc, mark := detect(start)
	// The mark was peeked at, so it can be discarded.
	_, _ = text.Discard(mark)
	if enc == utf16LE || enc == utf16BE {
		return &utf16Reader{source: text, bigEndian: enc == utf16BE}, enc, nil
	}
	return text, enc, nil
}

// gunzip tells a damaged stream from a source that failed.
type gunzip struct {
	z      *gzip.Reader
	source *counter
}

func (g *gunzip) Read(p []byte) (int, error) {
	n, err := g.z.Read(p)
	if err != nil && err != io.EOF {
		err = gunzipError(g.source, err)
	}
	return n, err
}

func gunzipError(source *counter, err error) error {
	if source.err != nil && source.err != io.EOF {
		return source.err
	}
	return &importer.Error{
		Code:    importer.BadGzip,
		Message: "The gzip file is damaged or incomplete. Compress the file again, or upload it uncompressed.",
		Err:     err,
	}
}

// limiter fails once more than limit bytes have come.
type limiter struct {
	source      io.Reader
	limit, left int64
}

func (l *limiter) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, l.tooLarge()
	}
	// One byte more than allowed tells a file that is too large from one that
	// just fits.
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.source.Read(p)
	l.left -= int64(n)
	if l.left < 0 {
		return n - 1, l.tooLarge()
	}
	return n, err
}

func (l *limiter) tooLarge() error {
	return importer.Errorf(importer.TooLarge,
		"The file holds more than %s. Split it into smaller files and import them one by one.", size(l.limit))
}

// size writes a limit the way people set it.
func size(n int64) string {
	for _, unit := range []string{"bytes", "KiB", "MiB"} {
		if n < 1<<10 || n%(1<<10) != 0 {
			return fmt.Sprintf("%d %s", n, unit)
		}
		n >>= 10
	}
	return fmt.Sprintf("%d GiB", n)
}
