package importer

import "io"

// Reasons for which a row is rejected, in the order in which they are looked
// for: a row with several faults shows the first.
const (
	ReasonBadQuote           = "bad_quote"
	ReasonUnclosedQuote      = "unclosed_quote"
	ReasonRecordTooLong      = "record_too_long"
	ReasonNULByte            = "nul_byte"
	ReasonInvalidEncoding    = "invalid_encoding"
	ReasonRepeatedHeader     = "repeated_header"
	ReasonTooManyFields      = "too_many_fields"
	ReasonMissingSKU         = "missing_sku"
	ReasonInvalidSKU         = "invalid_sku"
	ReasonSKUTooLong         = "sku_too_long"
	ReasonMissingName        = "missing_name"
	ReasonNameTooLong        = "name_too_long"
	ReasonDescriptionTooLong = "description_too_long"
)

// Row is one valid record of a file, cleaned.
type Row struct {
	SKU, Key, Name, Description string
}

// Size is about what the row weighs in memory and on the wire, in bytes.
func (r *Row) Size() int {
	return len(r.SKU) + len(r.Key) + len(r.Name) + len(r.Description) + 64
}

// Reject is a record that was not imported, and why. It is data, not an error.
type Reject struct {
	Line   int64  `json:"line"` // 1-based physical line on which the record starts
	Reason string `json:"reason"`
	Field  string `json:"field"` // sku, name, description, or "" for the whole record
	SKU    string `json:"sku"`   // as far as it could be read
	Name   string `json:"name"`
	Raw    []byte `json:"-"` // the record's bytes as UTF-8 where they decode, without its line break; nil over 4 MiB
}

// Record is what a RowReader yields: a valid Row, or a Reject when not nil.
type Record struct {
	Row
	Reject *Reject
}

// Head is what the beginning of a file tells.
type Head struct {
	Encoding  string            `json:"encoding"`  // utf-8, utf-16le, utf-16be or windows-1252
	Delimiter string            `json:"delimiter"` // one of , ; tab |
	Mapping   map[string]string `json:"mapping"`   // field (sku, name, description) to the column's header text
	Columns   []string          `json:"columns"`   // all headers, in file order
	Raw       []byte            `json:"-"`         // the header record as UTF-8, without its line break
}

// HasDescription reports whether the file has a description column. Without
// one, an import leaves the descriptions of existing products alone.
func (h Head) HasDescription() bool { _, ok := h.Mapping["description"]; return ok }

// RowReader reads a product file record by record. It is not safe for use by
// several goroutines.
type RowReader interface {
	// Head reads up to the first record after the header. Its errors are
	// *Error with one of the File codes. The encoding may still change, from
	// utf-8 to windows-1252, until Next has returned io.EOF.
	Head() (Head, error)
	// Next returns the next data record; blank lines are skipped. io.EOF ends
	// the file. The strings belong to the caller.
	Next() (Record, error)
	// Offset is the number of bytes taken from the source so far.
	Offset() int64
}

// OpenRows starts to read a product file. mapping names columns by their
// header text and wins over the aliases; it may be nil. limit bounds the
// bytes after decompression.
type OpenRows func(source io.Reader, mapping map[string]string, limit int64) RowReader
