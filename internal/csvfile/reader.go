package csvfile

import (
	"bytes"
	"io"
	"unicode/utf8"

	"importer"
)

var _ importer.OpenRows = Open

// Open starts to read a product file; nothing is read before Head or Next is
// called. mapping (field to header text) wins over the aliases of the columns;
// empty texts in it are ignored. limit bounds the bytes after decompression; 0
// means no limit.
//
// Besides the errors of importer.RowReader, Head and Next return BadGzip,
// TooLarge and errors of the source, once every record that was read as a
// whole before is through. Errors stay.
func Open(source io.Reader, mapping map[string]string, limit int64) importer.RowReader {
	return newReader(source, mapping, limit, windowSize, maxRecord)
}

func newReader(source io.Reader, mapping map[string]string, limit int64, window, longest int) *reader {
	return &reader{
		records: newRecords(window, longest),
		source:  &counter{source: source},
		mapping: mapping,
		limit:   limit,
	}
}

// reader makes rows of records.
type reader struct {
	records
	source   *counter
	mapping  map[string]string
	limit    int64
	encoding encoding

	opened   bool
	head     importer.Head
	headKeys [2]string // what a repeated header has as its SKU key and name
	headErr  error
	first    importer.Record // read by Head, not yet returned by Next
	hasFirst bool

	scratch []byte
}

func (r *reader) Offset() int64 { return r.source.n }

func (r *reader) Head() (importer.Head, error) {
	if !r.opened {
		r.opened = true
		r.head, r.headErr = r.open()
	}
	head := r.head
	if head.Encoding != "" {
		head.Encoding = r.encoding.String()
	}
	return head, r.headErr
}

func (r *reader) Next() (importer.Record, error) {
	if !r.opened {
		_, _ = r.Head() // its error is returned below
	}
	if r.headErr != nil {
		return importer.Record{}, r.headErr
	}
	if r.hasFirst {
		first := r.first
		r.first, r.hasFirst = importer.Record{}, false
		return first, nil
	}
	return r.read()
}

func (r *reader) open() (importer.Head, error) {
	text, enc, err := open(r.source, r.limit)
	if err != nil {
		return importer.Head{}, err
	}
	r.encoding = enc
	r.window.source = text
	head, err := r.readHead()
	if err != nil {
		return head, err
	}
	r.first, err = r.read()
	if err == io.EOF {
		return head, importer.Errorf(importer.NoDataRows,
			"The file has a header but no products. Add at least one line below the header and try again.")
	}
	r.hasFirst = err == nil
	return head, err
}

// read returns the next record that is not blank.
func (r *reader) read() (importer.Record, error) {
	for {
		rec, err := r.next()
		if err != nil {
			return importer.Record{}, err
		}
		if rec.from == rec.to && rec.lost == "" {
			continue
		}
		valid := r.decide(rec)
		row, field, reason := r.row(rec, valid)
		if reason == "" {
			return importer.Record{Row: row}, nil
		}
		if reason == importer.ReasonMissingSKU && r.scan.blank {
			continue
		}
		return importer.Record{Reject: &importer.Reject{
			Line:   rec.line,
			Reason: reason,
			Field:  field,
			SKU:    displayable(cut(row.SKU, importer.MaxSKU)),
			Name:   displayable(cut(row.Name, importer.MaxName)),
			Raw:    r.raw(rec),
		}}, nil
	}
}

// decide lets the first record with a byte over 0x7f decide the encoding, and
// reports whether the record is valid in it.
func (r *reader) decide(rec record) bool {
	if rec.dropped || !r.highs.within(&r.window, rec.from, rec.to) {
		return true
	}
	if r.encoding == windows1252 {
		return true
	}
	valid := utf8.Valid(r.text(rec))
	if r.encoding == undecided {
		if r.encoding = utf8Text; !valid {
			r.encoding = windows1252
			r.scan.windows = true
			valid = true
		}
	}
	return valid
}

// row cleans the cells of a record and looks for faults, in the order of the
// reasons in package importer.
func (r *reader) row(rec record, valid bool) (row importer.Row, field, reason string) {
	sku, name, description := r.values(rec)
	row.SKU = importer.CleanSKU(sku)
	row.Name = importer.CleanName(name)
	switch {
	case rec.lost != "":
		return row, "", rec.lost
	case r.nuls.within(&r.window, rec.from, rec.to):
		return row, "", importer.ReasonNULByte
	case !valid:
		return row, "", importer.ReasonInvalidEncoding
	}
	row.Key = importer.SKUKey(row.SKU)
	row.Description = description
	if row.Key == r.headKeys[skuField] && cellKey(name) == r.headKeys[nameField] {
		return row, "", importer.ReasonRepeatedHeader
	}
	if r.scan.extra {
		return row, "", importer.ReasonTooManyFields
	}
	field, reason = importer.CheckProduct(row.SKU, row.Name, row.Description)
	return row, field, reason
}

// cellKey is what two header cells have in common when one repeats the other.
func cellKey(text string) string { return importer.SKUKey(importer.CleanSKU(text)) }

// values returns the cells of the three fields. They share one allocation, and
// nothing of the other columns.
func (r *reader) values(rec record) (sku, name, description string) {
	b := r.scratch[:0]
	if rec.dropped {
		return "", "", ""
	}
	b = r.appendCell(b, rec, r.scan.cells[skuField])
	i := len(b)
	b = r.appendCell(b, rec, r.scan.cells[nameField])
	j := len(b)
	b = r.appendCell(b, rec, r.scan.cells[descriptionField])
	r.scratch = b
	s := string(b)
	return s[:i], s[i:j], s[j:]
}

// appendCell appends what a cell says, as UTF-8.
func (r *reader) appendCell(dst []byte, rec record, c cell) []byte {
	text := r.buf[rec.from+c.start : rec.from+c.end]
	if !c.pairs {
		return r.appendText(dst, text)
	}
	for {
		i := bytes.IndexByte(text, '"')
		if i < 0 {
			return r.appendText(dst, text)
		}
		dst = r.appendText(dst, text[:i+1])
		text = text[i+2:]
	}
}

func (r *reader) appendText(dst, text []byte) []byte {
	if r.encoding == windows1252 {
		return appendWindows1252(dst, text)
	}
	return append(dst, text...)
}

// raw returns a copy of the record as UTF-8, or its bytes where they are not;
// nil if that is too long.
func (r *reader) raw(rec record) []byte {
	if rec.dropped {
		return nil
	}
	raw := r.appendText(make([]byte, 0, rec.to-rec.from), r.text(rec))
	if len(raw) > r.scan.longest {
		return nil
	}
	return raw
}
