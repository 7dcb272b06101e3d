package csvfile_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"importer"
	"importer/internal/csvfile"
)

// file is what a reader made of a file.
type file struct {
	Head    importer.Head
	Rows    []importer.Row
	Rejects []importer.Reject
	Err     importer.Code // of Head or Next; "" after io.EOF
	Message string
	Offset  int64
}

// read reads a file to its end.
func read(source io.Reader, mapping map[string]string, limit int64) file {
	var f file
	r := csvfile.Open(source, mapping, limit)
	var err error
	for err == nil {
		var rec importer.Record
		rec, err = r.Next()
		switch {
		case err != nil:
		case rec.Reject != nil:
			f.Rejects = append(f.Rejects, *rec.Reject)
		default:
			f.Rows = append(f.Rows, rec.Row)
		}
	}
	if err != io.EOF {
		f.Err = importer.ErrorCode(err)
		f.Message = err.Error()
	}
	f.Head, _ = r.Head()
	f.Offset = r.Offset()
	return f
}

// readAllWays reads a file whole, byte by byte and in pieces of random sizes,
// and fails the test if that makes any difference.
func readAllWays(t *testing.T, text string, mapping map[string]string, limit int64) file {
	t.Helper()
	whole := read(bytes.NewReader([]byte(text)), mapping, limit)
	ways := map[string]io.Reader{
		"EOF with data":    iotest.DataErrReader(bytes.NewReader([]byte(text))),
		"in larger pieces": &pieces{text: []byte(text), random: rand.New(rand.NewPCG(2, uint64(len(text)))), most: 5000},
	}
	if len(text) < 64<<10 { // or it takes too long
		ways["byte by byte"] = iotest.OneByteReader(bytes.NewReader([]byte(text)))
		ways["in small pieces"] = &pieces{text: []byte(text), random: rand.New(rand.NewPCG(1, uint64(len(text)))), most: 7}
	}
	for way, source := range ways {
		got := read(source, mapping, limit)
		if limit > 0 || whole.Err != "" {
			got.Offset = whole.Offset // reading ahead differs
		}
		// cmp is slow with long byte slices.
		if !reflect.DeepEqual(whole, got) {
			diff := cmp.Diff(whole, got)
			t.Errorf("read %s differs (-whole +got):\n%s", way, diff)
		}
	}
	return whole
}

// pieces yields text in pieces of random sizes.
type pieces struct {
	text   []byte
	random *rand.Rand
	most   int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.text) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.text[:min(len(p.text), p.random.IntN(p.most+1))])
	p.text = p.text[n:]
	return n, nil
}

// broken is a source that fails after some text.
func broken(text string) io.Reader {
	return io.MultiReader(bytes.NewReader([]byte(text)), iotest.ErrReader(errBroken))
}

var errBroken = errors.New("disk on fire")

// toUTF16 encodes text without a byte order mark.
func toUTF16(text string, bigEndian bool) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(text)) {
		if bigEndian {
			b = append(b, byte(u>>8), byte(u))
		} else {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return string(b)
}

// brief writes down rows and rejects in short, one string a record.
func brief(f file) []string {
	var out []string
	for _, r := range f.Rows {
		out = append(out, r.SKU+"|"+r.Name+"|"+r.Description)
	}
	for _, r := range f.Rejects {
		out = append(out, strconv.FormatInt(r.Line, 10)+" "+r.Reason)
	}
	return out
}
