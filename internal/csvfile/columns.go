package csvfile

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"importer"
)

// The fields, in the order in which the scanner wants their columns.
const (
	skuField = iota
	nameField
	descriptionField
)

var fields = [3]struct {
	name    string
	aliases []string // normalised headers, the best first
}{
	{"sku", []string{"sku", "product sku", "variant sku", "item sku", "sku code", "stock keeping unit"}},
	{"name", []string{"name", "product name", "item name", "title", "product title"}},
	{"description", []string{"description", "product description", "long description", "body (html)", "body html", "desc"}},
}

// normalise makes headers comparable: no format characters, no white space
// around, lower case, and runs of white space, "_" and "-" as one space.
func normalise(header string) string {
	var b strings.Builder
	gap := false
	for _, r := range strings.ToLower(strings.TrimSpace(dropFormat(header))) {
		if r == '_' || r == '-' || unicode.IsSpace(r) {
			gap = true
			continue
		}
		if gap {
			b.WriteByte(' ')
			gap = false
		}
		b.WriteRune(r)
	}
	if gap {
		b.WriteByte(' ')
	}
	return b.String()
}

func dropFormat(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, s)
}

// resolve finds the column of every field; -1 is none. mapping wins over the
// aliases, and a column it names is not taken for another field by alias.
func resolve(columns []string, mapping map[string]string) ([3]int, error) {
	normal := make([]string, len(columns))
	for i, c := range columns {
		normal[i] = normalise(c)
	}
	found := [3]int{-1, -1, -1}
	mapped := map[int]bool{}
	for i, f := range fields {
		header := mapping[f.name]
		if header == "" {
			continue
		}
		at := indexes(columns, header)
		if len(at) == 0 {
			at = indexes(normal, normalise(header))
		}
		if len(at) == 0 {
			return found, importer.Errorf(importer.MissingColumn,
				"The column %q, chosen for %s, is not in the file. %s Choose one of them.", header, f.name, list(columns))
		}
		if len(at) > 1 {
			return found, duplicate(columns, at, f.name)
		}
		found[i] = at[0]
		mapped[at[0]] = true
	}
	var missing []string
	var twice error
	for i, f := range fields {
		if found[i] >= 0 {
			continue
		}
		for _, alias := range f.aliases {
			at := slices.DeleteFunc(indexes(normal, alias), func(i int) bool { return mapped[i] })
			if len(at) == 0 {
				continue
			}
			if found[i] = at[0]; len(at) > 1 && twice == nil {
				twice = duplicate(columns, at, f.name)
			}
			break
		}
		if found[i] < 0 && i != descriptionField {
			missing = append(missing, f.name)
		}
	}
	if len(missing) > 0 {
		return found, importer.Errorf(importer.MissingColumn,
			"The file has no column for %s. %s The first line must name the columns: rename them, or choose which column is which.",
			strings.Join(missing, " and "), list(columns))
	}
	return found, twice
}

func indexes(columns []string, header string) []int {
	var at []int
	for i, c := range columns {
		if c == header {
			at = append(at, i)
		}
	}
	return at
}

func duplicate(columns []string, at []int, field string) error {
	return importer.Errorf(importer.DuplicateColumn,
		"Columns %d and %d are both called %q, so it is not clear which is the %s. Rename or remove one of them.",
		at[0]+1, at[1]+1, short(columns[at[0]]), field)
}

// list names the columns of a file, as far as people want to read.
func list(columns []string) string {
	const most = 20
	quoted := make([]string, 0, most)
	for _, c := range columns[:min(len(columns), most)] {
		quoted = append(quoted, fmt.Sprintf("%q", short(c)))
	}
	more := ""
	if n := len(columns) - most; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return "Columns found: " + strings.Join(quoted, ", ") + more + "."
}

func short(header string) string { return cut(header, 40) }

// cut returns at most the first n characters of s.
func cut(s string, n int) string {
	for i := range s {
		if n--; n < 0 {
			return s[:i] + "…"
		}
	}
	return s
}

// displayable returns a copy of text from a broken record that is safe for
// JSON and Postgres.
func displayable(s string) string {
	return strings.Clone(strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD"))
}
