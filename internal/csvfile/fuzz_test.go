package csvfile_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"importer"
	"importer/internal/csvfile"
)

// seeds are short files with one difficulty each.
var seeds = []string{
	"", "\n", "sku,name", "sku,name\n", "\xef\xbb\xbfsku,name\na,b",
	"sku,name,description\na,b,c\r\nd,e,f\n", "sku;name\ra;b\r\"c\rd\";e",
	"sep=|\nsku|name\na|b\n", "sku,name\n,,\n\"\",\n \na,b,c\na,b, \n",
	"sku,name\n\"a,b\nc,d\n", "sku,name\n\"a\"x,b\nc,\"d\"\"\"\n",
	"sku,name\nx\",\",\nx\",\",\nx\",\",\nx\",\",\n",
	"sku,name\na,\"b\nc,\"d\n\"e\",f\n", "sku,name\nsku,NAME\n\x00,b\n\xe9,x\n\xc3\xa9,y\n",
	"sku\tname\n a \t \"b\" \n", "\xff\xfes\x00k\x00u\x00,\x00n\x00a\x00m\x00e\x00\n\x00a\x00,\x00\x00\xd8\n\x00",
	"\x1f\x8b\x08\x00", "PK\x03\x04xl/", "\n,,\n;;\nsku;name\n1;2",
}

// FuzzReader holds that any file ends without panic, in the same result
// however it arrives, with records that keep the rules.
func FuzzReader(f *testing.F) {
	for i, s := range seeds {
		f.Add([]byte(s), uint64(i))
	}
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 0))
		open := func(source io.Reader) importer.RowReader {
			return csvfile.OpenSmall(source, 256, 100)
		}
		whole := collect(t, open(bytes.NewReader(text)))
		parts := collect(t, open(&pieces{text: text, random: random, most: 9}))
		if diff := cmp.Diff(whole, parts); diff != "" {
			t.Errorf("read in pieces differs (-whole +got):\n%s", diff)
		}
		// The real sizes must hold too.
		collect(t, csvfile.Open(bytes.NewReader(text), nil, 0))
	})
}

// collect reads to the end and checks what holds for every file.
func collect(t *testing.T, r importer.RowReader) file {
	t.Helper()
	var f file
	head, headErr := r.Head()
	var last int64
	for {
		rec, err := r.Next()
		if headErr != nil && !errors.Is(err, headErr) {
			t.Fatalf("got %v from Next, want the error of Head: %v", err, headErr)
		}
		if err != nil {
			if again, err2 := r.Next(); err2 != err {
				t.Fatalf("got %v, %v after the end, want %v again", again, err2, err)
			}
			f.Err = importer.ErrorCode(err)
			break
		}
		if rec.Reject == nil {
			checkRow(t, rec.Row, head)
			f.Rows = append(f.Rows, rec.Row)
			continue
		}
		if rec.Reject.Line <= last {
			t.Fatalf("got line %d after line %d", rec.Reject.Line, last)
		}
		last = rec.Reject.Line
		if !utf8.ValidString(rec.Reject.SKU + rec.Reject.Name) {
			t.Errorf("got reject %+v, want valid UTF-8", rec.Reject)
		}
		f.Rejects = append(f.Rejects, *rec.Reject)
	}
	f.Head, _ = r.Head()
	return f
}

func checkRow(t *testing.T, row importer.Row, head importer.Head) {
	t.Helper()
	if field, reason := importer.CheckProduct(row.SKU, row.Name, row.Description); reason != "" {
		t.Errorf("got row %+v: %s of %s", row, reason, field)
	}
	if row.Key != importer.SKUKey(row.SKU) {
		t.Errorf("got key %q of SKU %q", row.Key, row.SKU)
	}
	if text := row.SKU + row.Name + row.Description; !utf8.ValidString(text) || strings.Contains(text, "\x00") {
		t.Errorf("got row %+v, want valid UTF-8 without NUL", row)
	}
	if row.Description != "" && !head.HasDescription() {
		t.Errorf("got description %q from a file without that column", row.Description)
	}
}

// FuzzRecords compares with a reader that is too simple to be wrong, with
// records short enough to be too long.
func FuzzRecords(f *testing.F) {
	for _, s := range seeds {
		f.Add(s, false)
		f.Add(strings.ReplaceAll(s, "\n", "\r"), true)
	}
	f.Fuzz(func(t *testing.T, text string, cr bool) {
		checkOracle(t, text, cr)
	})
}

// TestOracle throws dice with what matters in a CSV file, which fuzzing takes
// long to find: quotes that stay open over lines, records too long by one byte.
func TestOracle(t *testing.T) {
	t.Parallel()
	parts := []string{"a", "b ", `"`, `"`, `""`, ",", ",", "\n", "\n", "\r", "\r\n", " ", "\t", "\x00", "0123456789"}
	random := rand.New(rand.NewPCG(3, 4))
	for i := range 10_000 {
		var text strings.Builder
		for range random.IntN(60) {
			text.WriteString(parts[random.IntN(len(parts))])
		}
		checkOracle(t, text.String(), i%2 == 0)
	}
}

// checkOracle compares records after a header that ends with LF or CR.
func checkOracle(t *testing.T, text string, cr bool) {
	t.Helper()
	const longest = 32
	header := "sku,name,description\n"
	if cr {
		header = "sku,name,description\r"
	}
	// Encodings have tests of their own; CR LF after the header would be one
	// line break, and many NULs would be UTF-16.
	if strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) ||
		cr && strings.HasPrefix(text, "\n") || strings.Count(text, "\x00")*8 > len(text) {
		return
	}
	text = header + text
	want := oracle{cr: cr, longest: longest}.read(text)
	r := csvfile.OpenSmall(iotest.HalfReader(strings.NewReader(text)), 64, longest)
	var got []string
	for {
		rec, err := r.Next()
		if err == io.EOF || importer.ErrorCode(err) == importer.NoDataRows {
			break
		}
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if rec.Reject != nil {
			got = append(got, fmt.Sprint(rec.Reject.Line, " ", rec.Reject.Reason))
			continue
		}
		got = append(got, fmt.Sprintf("%q %q %q", rec.SKU, rec.Name, rec.Description))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q (-want +got):\n%s", text, cmp.Diff(want, got))
	}
}

// FuzzDifferential compares with encoding/csv where both mean the same.
func FuzzDifferential(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Add("a,b,c\n\"d, e\",\"f \"\"g\"\"\",\"h\ni\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		// By design only we skip white space before quotes, keep a CR, decode
		// and take a byte order mark; all rows must have few enough cells.
		if !utf8.ValidString(text) || strings.ContainsAny(text, "\r\x00\ufeff") {
			return
		}
		std := csv.NewReader(strings.NewReader(text))
		std.FieldsPerRecord = -1
		rows, err := std.ReadAll()
		if err != nil {
			return
		}
		var want []string
		for _, cells := range rows {
			cells = append(cells, "", "", "")
			sku, name := importer.CleanSKU(cells[0]), importer.CleanName(cells[1])
			_, reason := importer.CheckProduct(sku, name, cells[2])
			if reason == "" && strings.TrimSpace(strings.Join(cells[3:], "")) == "" &&
				(importer.SKUKey(sku) != "sku" || importer.SKUKey(importer.CleanSKU(name)) != "name") {
				want = append(want, fmt.Sprintf("%q %q %q", sku, name, cells[2]))
			}
		}
		var got []string
		for _, r := range read(strings.NewReader("sku,name,description\n"+text), nil, 0).Rows {
			got = append(got, fmt.Sprintf("%q %q %q", r.SKU, r.Name, r.Description))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-encoding/csv +got):\n%s", text, diff)
		}
	})
}

// FuzzDecodeUTF16 holds that valid text comes out as the standard library has
// it, invalid text as invalid UTF-8, and that pieces make no difference.
func FuzzDecodeUTF16(f *testing.F) {
	f.Add([]byte("a\x00\xe9\x00"), false, uint64(1))
	f.Add([]byte("\xd8\x3d\xde\x00"), true, uint64(2))
	f.Add([]byte("\x3d\xd8\x3d\xd8\x00\xdeq"), false, uint64(3))
	f.Fuzz(func(t *testing.T, text []byte, bigEndian bool, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 0))
		got, err := io.ReadAll(csvfile.DecodeUTF16(bytes.NewReader(text), bigEndian))
		if err != nil {
			t.Fatal(err)
		}
		source := &pieces{text: text, random: random, most: 5}
		parts, err := io.ReadAll(shortReads{csvfile.DecodeUTF16(source, bigEndian)})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, parts) {
			t.Errorf("got %q in pieces, want %q", parts, got)
		}
		units := make([]uint16, len(text)/2)
		for i := range units {
			if units[i] = uint16(text[2*i]) | uint16(text[2*i+1])<<8; bigEndian {
				units[i] = units[i]<<8 | units[i]>>8
			}
		}
		runes := utf16.Decode(units)
		valid := len(text)%2 == 0 && cmp.Equal(utf16.Encode(runes), units)
		if valid != utf8.Valid(got) {
			t.Errorf("got %q from %x, want valid UTF-8: %v", got, text, valid)
		}
		if valid && string(got) != string(runes) {
			t.Errorf("got %q, want %q", got, string(runes))
		}
	})
}

// shortReads gives a reader little room, but as much as UTF-16 needs.
type shortReads struct{ source io.Reader }

func (s shortReads) Read(p []byte) (int, error) { return s.source.Read(p[:min(len(p), 6)]) }
