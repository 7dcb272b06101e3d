package httpd

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"importer"
)

// strictQuery refuses a query that huma would read in part: one that cannot be
// decoded, names a parameter that does not exist, or repeats one. A filter
// with a typing error must not answer with everything.
func strictQuery(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	if err := checkQuery(r.URL.RawQuery, ctx.Operation().Parameters); err != nil {
		fail(w, r, err)
		return
	}
	next(ctx)
}

// checkQuery holds a query against the parameters of the document.
func checkQuery(raw string, params []*huma.Param) error {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return importer.Errorf(importer.Malformed, "The query cannot be read: %v. Percent-encode what is no letter or digit.", err)
	}
	known := map[string]*huma.Param{}
	var names []string
	for _, p := range params {
		if p.In == "query" {
			known[p.Name] = p
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	var wrong []importer.FieldError
	for name, values := range query {
		p := known[name]
		var detail string
		switch {
		case p == nil && len(names) == 0:
			detail = "is unknown; there are no parameters here"
		case p == nil:
			detail = "is unknown; there are " + strings.Join(names, ", ")
		case len(values) > 1 && p.Schema.Type != huma.TypeArray:
			detail = "is given more than once"
		case !slices.ContainsFunc(values, isNoText):
			continue
		default:
			detail = "is no text: it holds a NUL or is not UTF-8"
		}
		wrong = append(wrong, importer.FieldError{Pointer: shortened(name), Detail: detail})
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.SortFunc(wrong, func(a, b importer.FieldError) int { return cmp.Compare(a.Pointer, b.Pointer) })
	return &importer.Error{Code: importer.Invalid, Message: "The query has parameters that are not allowed.", Fields: wrong}
}

// isNoText reports what Postgres cannot take for a text.
func isNoText(s string) bool { return strings.ContainsRune(s, 0) || !utf8.ValidString(s) }

// shortened keeps an answer from growing with what somebody sent.
func shortened(name string) string {
	name = strings.ToValidUTF8(name, "\uFFFD")
	if r := []rune(name); len(r) > 64 {
		return string(r[:64]) + "…"
	}
	return name
}
