package csvfile_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"importer"
	"importer/internal/csvfile"
)

const header = "sku,name,description\n"

// TestRecords is about rows and rejects; every file is read in several ways.
func TestRecords(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 4<<20)
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		// Lines and their numbers.
		{"blank lines count", "\n\n" + header + "\n,x\n", []string{"5 missing_sku"}},
		{"sep line counts", "sep=;\nsku;name\n;x", []string{"3 missing_sku"}},
		{"line breaks in quotes count", header + "a,b,\"1\n2\r\n3\"\n,x", []string{"a|b|1\n2\r\n3", "5 missing_sku"}},
		{"CR in quotes counts in a CR file", "sku,name\r\"a\",\"b\r\nc\rd\"\r,x", []string{"a|b\r\nc\rd|", "5 missing_sku"}},
		{"LF and CRLF end lines in a CR file", "sku,name\ra,b\n,x\r\n,y", []string{"a|b|", "3 missing_sku", "4 missing_sku"}},
		{"header over two lines", "sku,\"name\n\"\na,b\n,x", []string{"a|b|", "4 missing_sku"}},
		{"a byte order mark is no line", "\xef\xbb\xbfsku,name\n,x", []string{"2 missing_sku"}},

		// Line breaks.
		{"lone CR is data", header + "a,b\rc,d\n", []string{"a|b\rc|d"}},
		{"CR CR LF", header + "a,b,c\r\r\n", []string{"a|b|c\r"}},
		{"CR at the end", header + "a,b,c\r", []string{"a|b|c\r"}},
		{"CR after a quote is no line end", header + "a,\"b\"\r,c\nd,e", []string{"d|e|", "2 bad_quote"}},
		{"CR in quotes does not decide", "sku,\"na\rme\",name\na,b,c\rd", []string{"a|c\rd|"}},
		{"sep line decides", "sep=,\rsku,name\ra,b\rc,d", []string{"a|b|", "c|d|"}},

		// Quotes.
		{"doubled", header + `a,"""b"" ""","` + "\n" + `"`, []string{"a|\"b\" \"|\n"}},
		{"white space around", header + "\"a\" ,\t\"b\"\t, \" c \" \n", []string{"a|b| c "}},
		{"inside plain text", header + `a"b,5" x "y",\"` + "\n", []string{`a"b|5" x "y"|\"`}},
		{"text behind", header + "a,\"b\"c\nd,e\n", []string{"d|e|", "2 bad_quote"}},
		{"open to the end", header + "a,\"b\nc,d\ne,f", []string{"c|d|", "e|f|", "2 unclosed_quote"}},
		{"open on every line", header + "x\",\",\na\",\",\ny,z", []string{"y|z|", "2 unclosed_quote", "3 unclosed_quote"}},
		{"open in the last line", header + "a,\"", []string{"2 unclosed_quote"}},
		{"open in a CR file", "sku,name\ra,\"b\rc,d\r", []string{"c|d|", "2 unclosed_quote"}},
		{"tab is no space in a tab file", "sku\tname\n\"a\"\t\"b\" \n\t\"c\"", []string{"a|b|", "3 missing_sku"}},

		// Length.
		{"longest", header + "a,b,c" + strings.Repeat(",", 4<<20-5) + "\r\nc,d", []string{"a|b|c", "c|d|"}},
		{"longest without line break", header + "a,b,c" + strings.Repeat(" ", 4<<20-5), []string{"2 description_too_long"}},
		{"too long by one", header + "a,b,c" + strings.Repeat(",", 4<<20-4) + "\nc,d", []string{"c|d|", "2 record_too_long"}},
		{"too long and last", header + "a," + long, []string{"2 record_too_long"}},
		{"too long with a quote", header + "a,\"" + long + "\nc,\"d\"", []string{"c|d|", "2 record_too_long"}},
		{"too long by an open quote", header + "a,\"b\n" + strings.Repeat("e,f,"+long[:1<<20-4]+"\n", 5),
			append(slices.Repeat([]string{"e|f|" + long[:1<<20-4]}, 5), "2 record_too_long")},
		{"too long in a CR file", "sku,name\ra,b" + long + "\r\nc,d", []string{"c|d|", "2 record_too_long"}},

		// Cells.
		{"short rows", header + "a,b\nc\n", []string{"a|b|", "3 missing_name"}},
		{"long rows", header + "a,b,c, ,\t\nd,e,f,g\n", []string{"a|b|c", "3 too_many_fields"}},
		{"long rows behind other columns", "x,sku,name,y\n1,a,b,2,3\n1,a,b,2, \n", []string{"a|b|", "2 too_many_fields"}},
		{"blank rows", header + ",,\n \t,\"\",\"  \"\n\u00a0\n,,,,,\na,b,\n", []string{"a|b|"}},
		{"blank rows in Windows-1252", header + "\xe9,b,\n\xa0,,\n", []string{"é|b|"}},
		{"description alone is no blank row", header + ",,x\n", []string{"2 missing_sku"}},
		{"other columns alone are no blank row", "sku,name,x\n,,1\n", []string{"2 missing_sku"}},
		{"repeated header", header + "a,b,\nSKU , Name,text\n\ufeffsku,name,description\nsku,b,\n",
			[]string{"a|b|", "sku|b|", "3 repeated_header", "4 repeated_header"}},

		// Values.
		{"description is verbatim", header + "a,b, c \n", []string{"a|b| c "}},
		{"name is trimmed", header + "a,\u200b\u00a0 b  c\u00a0,\n", []string{"a|b  c|"}},
		{"sku is cleaned", header + "\u00a0a\u00adb\u200b ,n,\ne\u0301,n,\n", []string{"ab|n|", "é|n|"}},
		{"text stays text", header + "00123,=1+1,1e5\n", []string{"00123|=1+1|1e5"}},

		// Encodings.
		{"first byte decides: UTF-8", header + "a,b,c\né,b,\n\xe9,b,\n", []string{"a|b|c", "é|b|", "4 invalid_encoding"}},
		{"first byte decides: Windows-1252", header + "\xe9,\x80,\n\xc3\xa9,b,\n", []string{"é|€|", "Ã©|b|"}},
		{"open bytes of Windows-1252", header + "a,b,\x81\x8d\x8f\x90\x9d\xa0\xff\n", []string{"a|b|\u0081\u008d\u008f\u0090\u009d\u00a0ÿ"}},
		{"a control character of Latin-1", header + "a\x81b,b,\n", []string{"2 invalid_sku"}},
		{"other columns decide too", "sku,name,x\na,b,\xe9\nc,\xe9,\n", []string{"a|b|", "c|é|"}},
		{"lost lines decide too", header + "a,\"\xe9\"x\nb,\xe9,\n", []string{"b|é|", "2 bad_quote"}},
		{"blank lines decide too", header + "\xa0,,\nb,\xe9,\n", []string{"b|é|"}},
		{"U+FFFD is kept", header + "a,\ufffd,\n", []string{"a|\ufffd|"}},
		{"mark decides: UTF-8", "\xef\xbb\xbf" + header + "\xe9,b,\na,b,\n", []string{"a|b|", "2 invalid_encoding"}},
		{"NUL", header + "a\x00,b,\nc,d,\x00\ne,f,\n", []string{"e|f|", "2 nul_byte", "3 nul_byte"}},
		{"UTF-16 with mark", "\xff\xfe" + toUTF16("sku;name\n漢,😀\n😀;b", false), []string{"😀|b|", "2 missing_name"}},
		{"UTF-16 without mark", toUTF16(header+"a,é,\n", true), []string{"a|é|"}},
		{"lone surrogate", "\xff\xfe" + toUTF16("sku,name\na,", false) + "\x00\xd8" + toUTF16("\nc,d\n", false), []string{"c|d|", "2 invalid_encoding"}},
		{"half a code unit", "\xfe\xff" + toUTF16("sku,name\na,b\nc,d", true) + "\x00", []string{"a|b|", "3 invalid_encoding"}},
		{"little endian without mark", toUTF16("sku,name\na,é\n", false), []string{"a|é|"}},
		{"lone low surrogate", "\xff\xfe" + toUTF16("sku,name\na,", false) + "\x00\xdc" + toUTF16("\nc,d\n", false), []string{"c|d|", "2 invalid_encoding"}},
		{"NUL in UTF-16", "\xff\xfe" + toUTF16("sku,name\na,\x00\n", false), []string{"2 nul_byte"}},

		// The order of faults.
		{"quote before NUL", header + "\x00,\"b\"c\n", []string{"2 bad_quote"}},
		{"NUL before encoding", "\xef\xbb\xbf" + header + "\xe9\x00,b,\n", []string{"2 nul_byte"}},
		{"encoding before cells", "\xef\xbb\xbf" + header + ",b,,x\xe9\n", []string{"2 invalid_encoding"}},
		{"header before cells", header + "sku,name,,x\n", []string{"2 repeated_header"}},
		{"cells before values", header + ",,,x\n", []string{"2 too_many_fields"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := readAllWays(t, tt.text, nil, 0)
			if got.Err != "" {
				t.Fatal(got.Message)
			}
			if diff := cmp.Diff(tt.want, brief(got)); diff != "" {
				t.Errorf("(-want +got):\n%.2000s", diff)
			}
		})
	}
}

// TestHead is about delimiters, columns and the errors of whole files.
func TestHead(t *testing.T) {
	t.Parallel()
	mapping := func(pairs ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	for _, tt := range []struct {
		name, text string
		chosen     map[string]string // by the user
		delimiter  string
		mapping    map[string]string
		err        importer.Code
		names      []string // in the message
	}{
		{name: "comma", text: "sku,name\na,b", delimiter: ",", mapping: mapping("sku", "sku", "name", "name")},
		{name: "more semicolons than commas", text: "a;b;c;d,sku,name\n1,2,3", delimiter: ",", mapping: mapping("sku", "sku", "name", "name")},
		{name: "quoted semicolon", text: "\"sku\";\"name\"\n1;2", delimiter: ";", mapping: mapping("sku", "sku", "name", "name")},
		{name: "tab", text: "\tsku\tname\n\t1\t2", delimiter: "\t", mapping: mapping("sku", "sku", "name", "name")},
		{name: "sep wins", text: "SEP=|\r\nsku|name\r\n1|2", delimiter: "|", mapping: mapping("sku", "sku", "name", "name")},
		{name: "blank rows before", text: ",,\n\"\",\nsku,name\n1,2", delimiter: ",", mapping: mapping("sku", "sku", "name", "name")},
		{name: "aliases", text: "\u200b Product-Title,STOCK  keeping_unit,Body (HTML)\n1,2,3", delimiter: ",",
			mapping: mapping("sku", "STOCK  keeping_unit", "name", "Product-Title", "description", "Body (HTML)")},
		{name: "format characters inside", text: "s\u00adku,na\u200bme\n1,2", delimiter: ",", mapping: mapping("sku", "s\u00adku", "name", "na\u200bme")},
		{name: "nearly a sep line", text: "sep=;x\nsku;name\n1;2", err: importer.MissingColumn, names: []string{`"sep="`, `"x"`}},
		{name: "an underscore is a space", text: "sku_,name\n1,2", err: importer.MissingColumn, names: []string{"sku"}},
		{name: "best alias", text: "title,title,variant sku,product name,sku,desc,description\na,b,c,d,e,f,g", delimiter: ",",
			mapping: mapping("sku", "sku", "name", "product name", "description", "description")},
		{name: "chosen", text: "code,name,label,sku\na,b,c,d", chosen: mapping("sku", "code", "name", "Label"), delimiter: ",",
			mapping: mapping("sku", "code", "name", "label")},
		{name: "chosen by exact text", text: "Code,code,name\na,b,c", chosen: mapping("sku", "code"), delimiter: ",",
			mapping: mapping("sku", "code", "name", "name")},
		{name: "chosen for another field", text: "sku,name,title\na,b,c", chosen: mapping("description", "name"), delimiter: ",",
			mapping: mapping("sku", "sku", "name", "title", "description", "name")},
		{name: "one column for two fields", text: "sku;x\na;b", chosen: mapping("name", "sku", "sku", "sku"), delimiter: ";",
			mapping: mapping("sku", "sku", "name", "sku")},
		{name: "chosen, not there", text: "sku,name\na,b", chosen: mapping("sku", "Kode"), err: importer.MissingColumn, names: []string{`"Kode"`, "sku", `"name"`}},
		{name: "chosen, there twice", text: "x,x,name\na,b,c", chosen: mapping("sku", "x"), err: importer.DuplicateColumn, names: []string{`"x"`}},

		{name: "no name", text: "sku;price;x,y\n1;2", err: importer.MissingColumn, names: []string{"name", `"price"`, `"x,y"`}},
		{name: "many columns", text: "sku" + strings.Repeat(",c", 30) + "\n", err: importer.MissingColumn, names: []string{"and 11 more"}},
		{name: "long column", text: strings.Repeat("é", 500) + "\n", err: importer.MissingColumn, names: []string{strings.Repeat("é", 40) + "…"}},
		{name: "bad quote in the header", text: "\"sku\"x,name\na,b", err: importer.MissingColumn, names: []string{"line 1", "bad_quote"}},
		{name: "twice", text: "sku,Product_Name,product  name\na,b,c", err: importer.DuplicateColumn, names: []string{"Columns 2 and 3", "name"}},
		{name: "white space only", text: "\xef\xbb\xbf \r\n\t\n\u00a0", err: importer.EmptyFile, names: []string{"empty"}},
		{name: "much white space", text: strings.Repeat(strings.Repeat(" ", 99)+"\n", 50_000), err: importer.EmptyFile},
		{name: "sep only", text: "sep=,", err: importer.EmptyFile},
		{name: "no rows but blank ones", text: "sku,name\n,\n\n", delimiter: ",", err: importer.NoDataRows},
		{name: "rejects are rows", text: "sku,name\n,x\n", delimiter: ",", mapping: mapping("sku", "sku", "name", "name")},

		{name: "PNG", text: "\x89PNG\r\n\x1a\n....", err: importer.UnsupportedFormat, names: []string{"PNG"}},
		{name: "PDF", text: "%PDF-1.7\n", err: importer.UnsupportedFormat, names: []string{"PDF"}},
		{name: "xls", text: "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1....", err: importer.UnsupportedFormat, names: []string{"xls"}},
		{name: "ods", text: "PK\x03\x04mimetypeapplication/vnd.oasis.opendocument.spreadsheet", err: importer.UnsupportedFormat, names: []string{"ods"}},
		{name: "xlsx late", text: "PK\x03\x04" + strings.Repeat("x", 9000) + "xl/workbook.xml", err: importer.UnsupportedFormat, names: []string{"xlsx"}},
		{name: "docx", text: "PK\x03\x04word/document.xml", err: importer.UnsupportedFormat, names: []string{"docx"}},
		{name: "tar", text: strings.Repeat("x", 257) + "ustar", err: importer.UnsupportedFormat, names: []string{"tar"}},
		{name: "web page", text: "\xef\xbb\xbf\n <!DOCTYPE HTML><p>Log in", err: importer.UnsupportedFormat, names: []string{"HTML"}},
		{name: "JSON", text: `{"products": []}`, err: importer.UnsupportedFormat, names: []string{"JSON"}},
		{name: "gzip twice", text: zip(zip(header)), err: importer.UnsupportedFormat, names: []string{"gzip"}},
		{name: "some binary", text: "\x7fELF\x02\x01\x00\x00 and so on\n", err: importer.UnsupportedFormat, names: []string{"binary"}},
		{name: "UTF-32", text: "\xff\xfe\x00\x00s\x00\x00\x00", err: importer.UnsupportedFormat, names: []string{"UTF-32"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := readAllWays(t, tt.text, tt.chosen, 0)
			if got.Err != tt.err {
				t.Fatalf("got %q (%s), want %q", got.Err, got.Message, tt.err)
			}
			for _, name := range tt.names {
				if !strings.Contains(got.Message, name) {
					t.Errorf("got message %q, want %q in it", got.Message, name)
				}
			}
			if got.Head.Delimiter != tt.delimiter {
				t.Errorf("got delimiter %q, want %q", got.Head.Delimiter, tt.delimiter)
			}
			if diff := cmp.Diff(tt.mapping, got.Head.Mapping); diff != "" && tt.err == "" {
				t.Errorf("mapping (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHeadTellsColumnsAndRaw(t *testing.T) {
	t.Parallel()
	text := "\xef\xbb\xbfsku; Name ;\"a\n\"\"b\"\"\"\r\n1;2;3\n"
	got := readAllWays(t, text, nil, 0).Head
	want := importer.Head{
		Encoding:  "utf-8",
		Delimiter: ";",
		Mapping:   map[string]string{"sku": "sku", "name": "Name"},
		Columns:   []string{"sku", "Name", "a\n\"b\""},
		Raw:       []byte("sku; Name ;\"a\n\"\"b\"\"\""),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHeadFollowsTheEncoding(t *testing.T) {
	t.Parallel()
	r := csvfile.Open(strings.NewReader(header+"a,b,\nc,\xe9,\n"), nil, 0)
	var got []string
	for range 4 {
		head, err := r.Head()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, head.Encoding)
		if _, err := r.Next(); err != nil && err != io.EOF {
			t.Fatal(err)
		}
	}
	if want := []string{"utf-8", "utf-8", "windows-1252", "windows-1252"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRejects(t *testing.T) {
	t.Parallel()
	text := "name,sku\n" +
		"N1, A ,x\r\n" +
		"N2\x00,\"B\"\"\"\n" +
		"N3,\"C\nD,E\"x\n" +
		" N4 ,\n" +
		"\"N\xc3\xa95\",F\n" +
		"N\xe96,G\n" +
		"N7," + strings.Repeat("s", 300) + "\n"
	want := []importer.Reject{
		{Line: 2, Reason: "too_many_fields", SKU: "A", Name: "N1", Raw: []byte("N1, A ,x")},
		{Line: 3, Reason: "nul_byte", SKU: `B"`, Name: "N2\ufffd", Raw: []byte("N2\x00,\"B\"\"\"")},
		{Line: 4, Reason: "bad_quote", Name: "N3", Raw: []byte(`N3,"C`)},
		{Line: 6, Reason: "missing_sku", Field: "sku", Name: "N4", Raw: []byte(" N4 ,")},
		{Line: 8, Reason: "invalid_encoding", SKU: "G", Name: "N\ufffd6", Raw: []byte("N\xe96,G")},
		{Line: 9, Reason: "sku_too_long", Field: "sku", SKU: strings.Repeat("s", 255) + "…", Name: "N7",
			Raw: []byte("N7," + strings.Repeat("s", 300))},
	}
	got := readAllWays(t, text, nil, 0)
	if diff := cmp.Diff(want, got.Rejects); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{`E"x|D|`, "F|Né5|"}, brief(file{Rows: got.Rows})); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestRejectsOfOtherEncodingsAreUTF8(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"windows-1252": header + ",caf\xe9,\x80",
		"utf-16le":     "\xff\xfe" + toUTF16(header+",café,€", false),
	} {
		got := readAllWays(t, text, nil, 0)
		want := []importer.Reject{{Line: 2, Reason: "missing_sku", Field: "sku", Name: "café", Raw: []byte(",café,€")}}
		if diff := cmp.Diff(want, got.Rejects); diff != "" || got.Head.Encoding != name {
			t.Errorf("%s, got %s (-want +got):\n%s", name, got.Head.Encoding, diff)
		}
	}
}

// TestLongRaw: a reject shows no more than the longest record, decoded.
func TestLongRaw(t *testing.T) {
	t.Parallel()
	text := header + ",b," + strings.Repeat("\x80", 3<<20) + "\n,b," + strings.Repeat("\x80", 1<<20) + "\n"
	got := readAllWays(t, text, nil, 0).Rejects
	if len(got) != 2 || got[0].Raw != nil || len(got[1].Raw) != 3+(3<<20) {
		t.Errorf("got %d rejects, want 2, the first without its text", len(got))
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	text := header + "a,b,c\nd,e,f\n"
	size := int64(len(text))
	for _, source := range []string{text, zip(text)} {
		if got := readAllWays(t, source, nil, size); got.Err != "" || len(got.Rows) != 2 {
			t.Errorf("got %q and %d rows, want 2 from a file that just fits", got.Err, len(got.Rows))
		}
		got := readAllWays(t, source, nil, size-1)
		if diff := cmp.Diff([]string{"a|b|c"}, brief(got)); diff != "" || got.Err != importer.TooLarge {
			t.Errorf("got %q, want file_too_large after the whole records (-want +got):\n%s", got.Err, diff)
		}
		if got := readAllWays(t, source, nil, 10); got.Err != importer.TooLarge {
			t.Errorf("got %q from the head, want file_too_large", got.Err)
		}
	}
	long := header + strings.Repeat("a,b,c\n", 1000)
	for limit, want := range map[int64]string{1: "1 bytes", 1000: "1000 bytes", 2 << 10: "2 KiB"} {
		if got := read(strings.NewReader(long), nil, limit).Message; !strings.Contains(got, want) {
			t.Errorf("got message %q, want %q in it", got, want)
		}
	}
}

func TestDamagedGzip(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString(header)
	for i := range 5000 {
		fmt.Fprintf(&text, "sku-%d,Name %d,%d\n", i, i, i*i*i*7919)
	}
	whole := zip(text.String())
	for _, source := range []string{whole[:len(whole)/2], whole[:len(whole)-1], whole + "and more"} {
		got := readAllWays(t, source, nil, 0)
		if got.Err != importer.BadGzip || len(got.Rejects) > 0 {
			t.Errorf("got %q and rejects %v, want bad_gzip alone", got.Err, got.Rejects)
		}
		for i, row := range got.Rows {
			if want := fmt.Sprintf("%d", i*i*i*7919); row.Description != want {
				t.Fatalf("got %q, want %q: half a row was let through", row.Description, want)
			}
		}
		if len(got.Rows) < 1000 {
			t.Errorf("got %d rows, want what was readable", len(got.Rows))
		}
	}
	for _, n := range []int{2, 5, 12} {
		if got := readAllWays(t, whole[:n], nil, 0); got.Err != importer.BadGzip {
			t.Errorf("got %q after %d bytes, want bad_gzip", got.Err, n)
		}
	}
}

// TestSourceFails: trouble of the source is no fault of the file, and what it
// leaves of the last record is no row.
func TestSourceFails(t *testing.T) {
	t.Parallel()
	text := header + "a,b,c\nd,e,\"f\n"
	z := zip(text)
	for name, source := range map[string]io.Reader{
		"in rows":    broken(text),
		"in gzip":    broken(z[:len(z)-4]),
		"in header":  broken("sku,na"),
		"at once":    broken(""),
		"at magic":   broken("\x1f\x8b"),
		"after rows": broken(text + "\""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := read(source, nil, 1<<20)
			if got.Err != importer.Internal || !strings.Contains(got.Message, errBroken.Error()) {
				t.Errorf("got %q, %s, want the error of the source", got.Err, got.Message)
			}
			if len(got.Rejects) > 0 || len(got.Rows) > 1 {
				t.Errorf("got %v, want whole records only", brief(got))
			}
		})
	}
}

// TestOffset: progress is measured in bytes of the source, not of the text.
func TestOffset(t *testing.T) {
	t.Parallel()
	z := zip(header + strings.Repeat("a,b,c\n", 10_000))
	r := csvfile.Open(strings.NewReader(z), nil, 0)
	if r.Offset() != 0 {
		t.Errorf("got offset %d before reading, want 0", r.Offset())
	}
	got := read(strings.NewReader(z), nil, 0)
	if got.Offset != int64(len(z)) || len(got.Rows) != 10_000 {
		t.Errorf("got offset %d and %d rows, want %d and 10000", got.Offset, len(got.Rows), len(z))
	}
}

// TestRowsComeAsTheyArrive: a file that is still being uploaded is read as far
// as it is there.
func TestRowsComeAsTheyArrive(t *testing.T) {
	t.Parallel()
	source, upload := io.Pipe()
	r := csvfile.Open(source, nil, 0)
	next := make(chan string)
	go func() {
		defer close(next)
		for {
			rec, err := r.Next()
			if err != nil {
				return
			}
			next <- rec.SKU
		}
	}()
	// The encoding is looked for in the first 4 KiB.
	_, _ = io.WriteString(upload, header+"first,"+strings.Repeat("n", 500)+","+strings.Repeat("d", 4<<10)+"\n")
	if got := <-next; got != "first" {
		t.Errorf("got %q, want first", got)
	}
	_, _ = io.WriteString(upload, "second,b,c\nthi")
	if got := <-next; got != "second" {
		t.Errorf("got %q, want second", got)
	}
	_, _ = io.WriteString(upload, "rd,b,c")
	_ = upload.Close()
	if got := <-next; got != "third" {
		t.Errorf("got %q, want third", got)
	}
	if got, ok := <-next; ok {
		t.Errorf("got %q after the end", got)
	}
}

func zip(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}
