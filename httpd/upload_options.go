package httpd

import (
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"importer"
)

const maxFilename = 255 // bytes, as in most file systems

// newImport reads the options of POST /api/imports.
func newImport(q url.Values) (importer.NewImport, error) {
	n := importer.NewImport{Filename: q.Get("filename")}
	var wrong []importer.FieldError
	var err error
	if n.DryRun, err = parseFlag(q, "dry_run"); err != nil {
		wrong = append(wrong, importer.FieldError{Pointer: "dry_run", Detail: "is neither true nor false"})
	}
	for name := range q {
		field, ok := strings.CutPrefix(name, "map[")
		if !ok {
			if name != "filename" && name != "dry_run" {
				// "dry-run" must not import.
				wrong = append(wrong, importer.FieldError{Pointer: shortened(name), Detail: "is unknown; there are dry_run, filename, map[sku], map[name] and map[description]"})
			}
			continue
		}
		field, closed := strings.CutSuffix(field, "]")
		if !closed {
			field = ""
		}
		if detail := setMapping(&n, field, q.Get(name)); detail != "" {
			wrong = append(wrong, importer.FieldError{Pointer: name, Detail: detail})
		}
	}
	if len(wrong) > 0 {
		return n, &importer.Error{Code: importer.Invalid, Message: "The request has values that are not allowed.", Fields: wrong}
	}
	return n, nil
}

// parseFlag takes ?flag for true.
func parseFlag(q url.Values, name string) (bool, error) {
	if !q.Has(name) {
		return false, nil
	}
	if q.Get(name) == "" {
		return true, nil
	}
	return strconv.ParseBool(q.Get(name))
}

// setMapping returns what is wrong with a field mapped by hand. An empty
// header text is a form field left alone.
func setMapping(n *importer.NewImport, field, header string) (detail string) {
	switch {
	case field != "sku" && field != "name" && field != "description":
		return "only sku, name and description can be mapped"
	case !utf8.ValidString(header) || strings.ContainsRune(header, 0):
		return "is no text"
	case header == "":
		return ""
	}
	if n.Mapping == nil {
		n.Mapping = map[string]string{}
	}
	n.Mapping[field] = header
	return ""
}

// baseName makes a file's name safe to show and to store: no path, valid
// UTF-8, nothing that controls a terminal or turns the reading direction.
func baseName(name string) string {
	name = strings.ToValidUTF8(name, "\uFFFD")
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, name))
	for len(name) > maxFilename {
		_, last := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-last]
	}
	if name == "" || name == "." || name == ".." {
		return "upload.csv"
	}
	return name
}
