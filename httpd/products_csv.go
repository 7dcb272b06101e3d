package httpd

import (
	"bufio"
	"encoding/csv"
	"net/http"
	"strconv"
	"strings"

	"github.com/rs/zerolog"

	"importer"
)

// productsCSV sends the whole catalogue. Every text is as it is stored, so an
// import of the file changes nothing; the column active is for people, imports
// ignore it. With ?spreadsheet=true the file is for opening in a spreadsheet:
// what would run there as a formula gets an apostrophe in front, and a byte
// order mark tells the encoding.
func (s *Server) productsCSV(w http.ResponseWriter, r *http.Request) {
	spreadsheet, err := exportFlag(r)
	if err != nil {
		fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="products.csv"`)
	if r.Method == http.MethodHead {
		return
	}
	cell := func(s string) string { return s }
	answer := &patientWriter{w: w, control: http.NewResponseController(w), each: s.AnswerTime}
	buffer := bufio.NewWriterSize(answer, 64<<10) // the csv.Writer makes it its own
	if spreadsheet {
		cell = neutral
		buffer.WriteString("\uFEFF")
	}
	// Line feeds alone: with CRLF the writer would change the line breaks
	// inside of descriptions too.
	out := csv.NewWriter(buffer)
	record := []string{"sku", "name", "description", "active"}
	_ = out.Write(record) // a csv.Writer keeps its first error
	err = s.Products.EachProduct(r.Context(), func(p importer.Product) error {
		record[0], record[1], record[2] = cell(p.SKU), cell(p.Name), cell(p.Description)
		record[3] = strconv.FormatBool(p.Active)
		return out.Write(record)
	})
	if err != nil && !answer.begun {
		w.Header().Del("Content-Disposition")
		fail(w, r, err)
		return
	}
	out.Flush()
	if err == nil {
		err = out.Error()
	}
	if err != nil {
		// The status is out: a broken connection is the only way left to say
		// that rows are missing.
		zerolog.Ctx(r.Context()).Warn().Err(err).Msg("products were not sent in full")
		panic(http.ErrAbortHandler)
	}
}

func exportFlag(r *http.Request) (spreadsheet bool, err error) {
	if err := checkQuery(r.URL.RawQuery, exportParams()); err != nil {
		return false, err
	}
	if spreadsheet, err = parseFlag(r.URL.Query(), "spreadsheet"); err != nil {
		err = &importer.Error{Code: importer.Invalid, Message: "The request has values that are not allowed.",
			Fields: []importer.FieldError{{Pointer: "spreadsheet", Detail: "is neither true nor false"}}}
	}
	return spreadsheet, err
}

// neutral keeps a spreadsheet from taking a text for a formula (OWASP, "CSV
// Injection").
func neutral(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
