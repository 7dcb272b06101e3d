package csvfile_test

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"testing"

	"importer"
	"importer/internal/csvfile"
)

// repeat yields a header and then the same text for ever so often.
func repeat(header, text string, size int) io.Reader {
	block := []byte(strings.Repeat(text, 1+(64<<10)/len(text)))
	readers := []io.Reader{strings.NewReader(header)}
	for n := 0; n < size; n += len(block) {
		readers = append(readers, bytes.NewReader(block))
	}
	return io.MultiReader(readers...)
}

// TestMemoryIsBounded reads large files of several kinds and looks at the heap
// on the way. Nothing but the window may stay.
func TestMemoryIsBounded(t *testing.T) {
	size := 200 << 20
	if testing.Short() {
		size = 32 << 20
	}
	const most = 32 << 20
	for name, source := range map[string]io.Reader{
		"rows":              repeat("sku,name,description\n", "abc-123,A name,\"A \"\"description\"\" of it\"\n", size),
		"one endless line":  repeat("sku,name\n", "abc, def ", size/4),
		"one endless quote": repeat("sku,name\na,\"", "abc\n", size/32),
		"blank lines":       repeat("sku,name\n", "\n\n,\n", size/8),
		"delimiters":        repeat("sku,name\n", ",", size/8),
		"blank file":        repeat("", "\n\t", size/8),
		"header of commas":  repeat("", ",", size/8),
	} {
		var peak uint64
		r := csvfile.Open(&watched{source: source, peak: &peak}, nil, 0)
		for {
			if _, err := r.Next(); err != nil {
				if importer.ErrorCode(err) == importer.Internal && err != io.EOF {
					t.Error(err)
				}
				break
			}
		}
		if peak > most {
			t.Errorf("%s: got a heap of %d MiB, want at most %d", name, peak>>20, most>>20)
		}
	}
}

// watched measures the live heap after every 8 MiB.
type watched struct {
	source io.Reader
	n      int
	peak   *uint64
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.source.Read(p)
	if w.n += n; w.n >= 8<<20 {
		w.n = 0
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		*w.peak = max(*w.peak, m.HeapAlloc)
	}
	return n, err
}

// TestOpenQuotesTakeLinearTime reads files in which every line opens a quote
// that the next line closes and opens again, so that each is the start of a
// record without end. Reading on from each to the end would take an hour.
func TestOpenQuotesTakeLinearTime(t *testing.T) {
	t.Parallel()
	const lines = 300_000
	for end, reason := range map[string]string{
		"":    importer.ReasonUnclosedQuote,
		"\"x": importer.ReasonBadQuote,
	} {
		text := "sku,name\n" + strings.Repeat("x\",\",\n", lines) + end
		r := csvfile.Open(strings.NewReader(text), nil, 0)
		n := 0
		for {
			rec, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil || rec.Reject == nil || rec.Reject.Line != int64(n+2) {
				t.Fatalf("got %+v, %v after %d lines", rec, err, n)
			}
			if n++; n == lines && rec.Reject.Reason != reason {
				t.Errorf("got %s for the last of the lines, want %s", rec.Reject.Reason, reason)
			}
		}
		if n < lines {
			t.Errorf("got %d rejects, want %d", n, lines)
		}
	}
}

// TestAllocations: one string for the three cells, one for a key that is not
// the SKU itself.
func TestAllocations(t *testing.T) {
	const rows = 2000
	text := "sku,name,description\n" + strings.Repeat("abc-123,A name,\"A \"\"description\"\" of it\"\n", rows)
	got := testing.AllocsPerRun(5, func() {
		if f := csvfile.Open(strings.NewReader(text), nil, 0); count(f) != rows {
			t.Fatal("rows are missing")
		}
	})
	if got > rows+100 {
		t.Errorf("got %.0f allocations for %d rows, want about one each", got, rows)
	}
}

func count(r importer.RowReader) int {
	n := 0
	for {
		if _, err := r.Next(); err != nil {
			return n
		}
		n++
	}
}
