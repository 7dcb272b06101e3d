package csvfile

import (
	"bytes"
	"io"
	"slices"

	"importer"
)

// delimiters in the order in which they are tried.
var delimiters = []byte{',', ';', '\t', '|'}

// attempt is what the header says when read with one delimiter.
type attempt struct {
	delimiter byte
	found     bool // a record that is not blank
	raw       []byte
	columns   []string
	cols      [3]int
	keys      [2]string // of the header's own sku and name cells
	err       error
}

// usable reports whether the header has a sku and a name column, be they
// ambiguous.
func (a attempt) usable() bool {
	code := importer.ErrorCode(a.err)
	return a.found && (code == "" || code == importer.DuplicateColumn)
}

// readHead finds the delimiter and the header: the first delimiter with which
// the header has a sku and a name column is the one. On error the head holds
// what is known nevertheless.
func (r *reader) readHead() (importer.Head, error) {
	candidates := delimiters
	if sep, err := r.sepLine(); err != nil {
		return importer.Head{}, err
	} else if sep != 0 {
		candidates = []byte{sep}
	}
	r.hold()
	defer r.release()
	fixed, lines, breaks := r.encoding, r.lines, r.scan.breaks
	try := func(delimiter byte) (attempt, error) {
		r.rewind()
		r.encoding, r.scan.windows = fixed, false
		r.lines, r.scan.breaks = lines, breaks
		return r.tryHeader(delimiter)
	}
	var best attempt
	for _, d := range candidates {
		a, err := try(d)
		if err != nil {
			return importer.Head{}, err
		}
		if a.usable() {
			best = a
			break
		}
		// The most columns make the most helpful message.
		if best.delimiter == 0 || a.found && (!best.found || len(a.columns) > len(best.columns)) {
			best = a
		}
	}
	// Others may have been tried since: read it again for good.
	best, err := try(best.delimiter)
	if err != nil {
		return importer.Head{}, err
	}
	return r.accept(best)
}

func (r *reader) accept(a attempt) (importer.Head, error) {
	if !a.found {
		return importer.Head{}, importer.Errorf(importer.EmptyFile,
			"The file is empty. Choose a CSV file with a header line and at least one product.")
	}
	if a.err != nil && bytes.IndexByte(a.raw, 0) >= 0 {
		return importer.Head{}, importer.Errorf(importer.UnsupportedFormat,
			"This is binary data, not a CSV file. Export the products as CSV and try again.")
	}
	head := importer.Head{Encoding: r.encoding.String(), Columns: a.columns, Raw: a.raw}
	if a.err != nil {
		return head, a.err
	}
	head.Delimiter = string(a.delimiter)
	head.Mapping = map[string]string{}
	for i, f := range fields {
		if a.cols[i] >= 0 {
			head.Mapping[f.name] = a.columns[a.cols[i]]
		}
	}
	r.scan.want, r.headKeys = a.cols, a.keys
	return head, nil
}

// tryHeader reads the first record that is not blank.
func (r *reader) tryHeader(delimiter byte) (attempt, error) {
	a := attempt{delimiter: delimiter}
	r.scan.delimiter, r.scan.header, r.scan.want = delimiter, true, [3]int{-1, -1, -1}
	defer func() { r.scan.header = false }()
	for {
		if r.base+int64(r.start)-r.held > int64(r.scan.longest) {
			return a, nil
		}
		rec, err := r.next()
		if err == io.EOF {
			return a, nil
		}
		if err != nil {
			return a, err
		}
		if rec.lost != "" {
			a.found = true
			a.err = importer.Errorf(importer.MissingColumn,
				"The header on line %d cannot be read (%s), so no column for sku and name was found. Columns found: none. Correct that line and try again.",
				rec.line, rec.lost)
			return a, nil
		}
		r.decide(rec)
		if r.scan.blank {
			continue
		}
		a.found = true
		r.describe(&a, rec)
		a.cols, a.err = resolve(a.columns, r.mapping)
		if a.err == nil {
			a.keys = [2]string{r.headKey(rec, a.cols[skuField]), r.headKey(rec, a.cols[nameField])}
		}
		r.scan.width = r.scan.count
		return a, nil
	}
}

func (r *reader) describe(a *attempt, rec record) {
	a.raw = r.raw(rec)
	for _, c := range r.scan.all {
		a.columns = append(a.columns, displayable(importer.CleanName(string(r.appendCell(nil, rec, c)))))
	}
}

func (r *reader) headKey(rec record, column int) string {
	return cellKey(string(r.appendCell(nil, rec, r.scan.all[column])))
}

// sepLine uses up a first line like "sep=;", which Excel writes and reads, and
// returns its delimiter; 0 if there is no such line.
func (r *reader) sepLine() (byte, error) {
	const line = "sep=;\r\n"
	for r.end-r.start < len(line) {
		if err := r.fill(); err == io.EOF {
			break
		} else if err != nil {
			return 0, err
		}
	}
	b := r.rest()
	if len(b) < 5 || !bytes.EqualFold(b[:4], []byte("sep=")) || !slices.Contains(delimiters, b[4]) {
		return 0, nil
	}
	// The rest of the line has to be empty; the scanner knows line breaks.
	r.scan.reset(doom{})
	if r.scan.scan(b[5:], r.whole()) != ended || r.scan.end != 0 {
		r.scan.breaks = unknownBreaks
		return 0, nil
	}
	r.take(5, 5+r.scan.next)
	return b[4], nil
}
