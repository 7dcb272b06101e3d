package db

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"importer"
)

// maxFilterText bounds each text of a filter, in bytes.
const maxFilterText = 1000

// textField is what a word is looked for in.
type textField int

const (
	anyField textField = iota
	skuField
	nameField
	descriptionField
)

// word is a part of a filter: lower case, without white space.
type word struct {
	field textField
	text  string
}

// words takes the texts of a filter apart.
func words(f importer.ProductFilter) ([]word, error) {
	var all []word
	for _, given := range []struct {
		field         textField
		pointer, text string
	}{
		{anyField, "q", f.Q}, {skuField, "sku", f.SKU}, {nameField, "name", f.Name}, {descriptionField, "description", f.Description},
	} {
		wrong := ""
		switch {
		case !utf8.ValidString(given.text) || strings.ContainsRune(given.text, 0):
			wrong = "This is not valid text."
		case len(given.text) > maxFilterText:
			wrong = fmt.Sprintf("This is too long to look for; %d bytes are the most.", maxFilterText)
		}
		if wrong != "" {
			return nil, &importer.Error{Code: importer.Malformed, Message: wrong, Fields: []importer.FieldError{{Pointer: given.pointer, Detail: wrong}}}
		}
		for _, text := range strings.Fields(strings.ToLower(given.text)) {
			all = append(all, word{given.field, text})
		}
	}
	return all, nil
}

// query collects SQL and its arguments.
type query struct {
	args []any
}

// arg adds an argument and returns its placeholder.
func (q *query) arg(v any) string {
	q.args = append(q.args, v)
	return fmt.Sprintf("$%d", len(q.args))
}

// inDocument is the condition that the index row s has the word. Its first
// part is on the whole document, whatever the field (migration 6 has the
// layout): as LIKE the trigram index answers it, and with scan, or for words
// that index cannot find, there is none, so that Postgres does not try.
func (q *query) inDocument(w word, scan bool) string {
	part := func(text string) string { return "strpos(" + text + ", " + q.arg(w.text) + "::text) > 0" }
	var condition string
	run := longestRun(w.text)
	if scan || len(run) < 3 {
		run = ""
	}
	if run != "" {
		condition = "s.document LIKE " + q.arg("%"+run+"%") + "::text"
	}
	if run != w.text {
		condition = strings.TrimPrefix(condition+" AND "+part("s.document"), " AND ")
	}
	switch w.field {
	case skuField:
		condition += " AND " + part("s.sku_key")
	case nameField:
		condition += " AND " + part("substr(s.document, length(s.sku_key) + 2, length(s.name_key))")
	case descriptionField:
		condition += " AND " + part("substr(s.document, length(s.sku_key) + length(s.name_key) + 3)")
	}
	return condition
}

// inProduct is the condition that the catalogue's row p has the word, for
// rows that nobody has lowered yet. SQL cannot lower as Go does, but for text
// of ASCII alone; for other text the pattern has, for each letter, all letters
// that Go lowers to it, which takes five times as long.
func (q *query) inProduct(w word, variants map[rune][]rune) string {
	text := `(p.sku || E'\n' || p.name || E'\n' || p.description)`
	switch w.field {
	case skuField:
		return "strpos(p.sku_key, " + q.arg(w.text) + "::text) > 0"
	case nameField:
		text = "p.name"
	case descriptionField:
		text = "p.description"
	}
	return fmt.Sprintf(`CASE WHEN octet_length(%[1]s) = length(%[1]s) THEN strpos(lower(%[1]s COLLATE "C"), %[2]s::text) > 0 ELSE %[1]s COLLATE "C" ~ %[3]s::text END`,
		text, q.arg(w.text), q.arg(anyCase(w.text, variants)))
}

// signed is the condition that the products of the queue's row q may have all
// words, by their signature; NULL may have any.
func (q *query) signed(all []word) string {
	conditions := []string{"true"}
	seen := map[uint32]bool{}
	for _, w := range all {
		for _, h := range trigramsOf(w.text) {
			if !seen[h] {
				seen[h] = true
				conditions = append(conditions, fmt.Sprintf("get_bit(q.signature, %d & (8 * octet_length(q.signature) - 1)) = 1", h))
			}
		}
	}
	return "(q.signature IS NULL OR " + strings.Join(conditions, " AND ") + ")"
}

// mayHave is the same by keys and documents.
func (q *query) mayHave(keys, documents string, all []word) string {
	condition := "true"
	for _, w := range all {
		switch {
		case w.field == skuField:
			condition += " AND strpos(" + keys + ", " + q.arg(w.text) + "::text) > 0"
		case !strings.Contains(w.text, unitSeparator):
			condition += " AND (" + documents + " IS NULL OR strpos(" + documents + ", " + q.arg(w.text) + "::text) > 0)"
		}
	}
	return condition
}

// anyCase is a regular expression of Postgres for a text in lower case.
func anyCase(lower string, variants map[rune][]rune) string {
	var b strings.Builder
	for _, r := range lower {
		b.WriteByte('[')
		for _, v := range append(variants[r], r) {
			fmt.Fprintf(&b, `\U%08X`, v)
		}
		b.WriteByte(']')
	}
	return b.String()
}

// upperVariants returns, for each letter, the others that Go lowers to it.
func upperVariants() map[rune][]rune {
	variants := map[rune][]rune{}
	for _, span := range unicode.CaseRanges {
		for upper := rune(span.Lo); upper <= rune(span.Hi); upper++ {
			if lower := unicode.ToLower(upper); lower != upper {
				variants[lower] = append(variants[lower], upper)
			}
		}
	}
	return variants
}

// longestRun returns the part of a word that the trigram index is asked for:
// three letters or digits in a row it needs, and what stands between such runs
// is a burden: "sku-" would have it walk the trigrams of every product. So
// would the letters before a number, which tells products apart by itself.
func longestRun(text string) string {
	const telling = 5
	digits := longest(strings.FieldsFunc(text, func(r rune) bool { return r < '0' || r > '9' }))
	if len(digits) >= telling {
		return digits
	}
	return longest(strings.FieldsFunc(text, func(r rune) bool {
		return r >= utf8.RuneSelf || !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}))
}

func longest(runs []string) (found string) {
	for _, run := range runs {
		if len(run) > len(found) {
			found = run
		}
	}
	return found
}
