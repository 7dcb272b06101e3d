package csvfile

import (
	"bufio"
	"bytes"

	"importer"
)

// archivePeek is how much of an archive is searched for the names of its
// first members: the workbook part of an xlsx comes early.
const archivePeek = 64 << 10

// format is a kind of file that is often uploaded and is no CSV.
type format struct {
	name   string // as in "This is …"
	magic  string
	offset int
	advice string
}

const (
	saveSheet = "Save the sheet as CSV and try again."
	exportCSV = "Export the products as CSV and try again."
	unpack    = "Unpack it and import the CSV file inside."
)

var formats = []format{
	{"a PNG image", "\x89PNG\r\n\x1a\n", 0, exportCSV},
	{"a JPEG image", "\xff\xd8\xff", 0, exportCSV},
	{"a GIF image", "GIF87a", 0, exportCSV},
	{"a GIF image", "GIF89a", 0, exportCSV},
	{"a PDF document", "%PDF-", 0, exportCSV},
	{"an old Excel workbook or another Office document (xls)", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0, saveSheet},
	{"an RTF document", `{\rtf`, 0, exportCSV},
	{"a RAR archive", "Rar!\x1a\x07", 0, unpack},
	{"a 7z archive", "7z\xbc\xaf\x27\x1c", 0, unpack},
	{"a bzip2 file", "1AY&SY", 4, unpack},
	{"an xz file", "\xfd7zXZ\x00", 0, unpack},
	{"a Zstandard file", "\x28\xb5\x2f\xfd", 0, unpack},
	{"a gzip file inside a gzip file", "\x1f\x8b", 0, unpack},
	{"a tar archive", "ustar", 257, unpack},
	{"a Parquet file", "PAR1", 0, exportCSV},
	{"an SQLite database", "SQLite format 3\x00", 0, exportCSV},
	{"text in UTF-32", "\xff\xfe\x00\x00", 0, "Save the file as UTF-8 and try again."},
	{"text in UTF-32", "\x00\x00\xfe\xff", 0, "Save the file as UTF-8 and try again."},
}

// markup is how text that is no CSV begins, after white space.
var markup = []format{
	{"a web page (HTML)", "<!doctype html", 0, exportCSV},
	{"a web page (HTML)", "<html", 0, exportCSV},
	{"an XML file", "<?xml", 0, exportCSV},
	{"a JSON file", `{"`, 0, exportCSV},
	{"a JSON file", "[{", 0, exportCSV},
}

// sniff refuses content that is no CSV, whatever the file is called.
func sniff(text *bufio.Reader, start []byte) error {
	for _, f := range formats {
		if len(start) >= f.offset && bytes.HasPrefix(start[f.offset:], []byte(f.magic)) {
			return unsupported(f.name, f.advice)
		}
	}
	if bytes.HasPrefix(start, []byte("PK\x03\x04")) || bytes.HasPrefix(start, []byte("PK\x05\x06")) {
		start, _ = text.Peek(archivePeek)
		return unsupported(archive(start))
	}
	trimmed := bytes.TrimSpace(bytes.TrimPrefix(start, []byte("\xef\xbb\xbf")))
	for _, f := range markup {
		if len(trimmed) >= len(f.magic) && bytes.EqualFold(trimmed[:len(f.magic)], []byte(f.magic)) {
			return unsupported(f.name, f.advice)
		}
	}
	return nil
}

// archive tells what a ZIP file is by the names of its members, which stand
// uncompressed before each of them.
func archive(start []byte) (name, advice string) {
	switch {
	case bytes.Contains(start, []byte("opendocument.spreadsheet")):
		return "an OpenDocument spreadsheet (ods)", saveSheet
	case bytes.Contains(start, []byte("xl/")):
		return "an Excel workbook (xlsx)", saveSheet
	case bytes.Contains(start, []byte("word/")):
		return "a Word document (docx)", exportCSV
	}
	return "a ZIP archive (zip)", unpack
}

func unsupported(name, advice string) error {
	return importer.Errorf(importer.UnsupportedFormat, "This is %s, not a CSV file. %s", name, advice)
}
