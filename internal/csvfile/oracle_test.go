package csvfile_test

import (
	"fmt"
	"strings"

	"importer"
)

// oracle reads a file of ASCII in memory, in the simplest way that follows the
// rules, to compare with: after the header "sku,name,description", lines end
// with CR (too) if cr is true. It does not look for values that are too long.
type oracle struct {
	cr      bool
	longest int
}

// read returns every row and reject in short, in file order.
func (o oracle) read(text string) []string {
	var out []string
	for line := 1; text != ""; {
		cells, size, reason := o.record(text)
		if reason != "" {
			out = append(out, fmt.Sprint(line, " ", reason))
			text = text[o.line(text):]
			line++
			continue
		}
		if line > 1 {
			if row, reason := o.judge(cells, text[:size]); row != "" {
				out = append(out, row)
			} else if reason != "" {
				out = append(out, fmt.Sprint(line, " ", reason))
			}
		}
		for rest := text[:size]; o.line(rest) > 0 && rest != ""; rest = rest[o.line(rest):] {
			line++
		}
		text = text[size:]
	}
	return out
}

// judge returns the row or a reason, or neither for a blank record.
func (o oracle) judge(cells []string, record string) (row, reason string) {
	if strings.TrimSpace(strings.Join(cells, "")) == "" && !strings.Contains(record, "\x00") {
		return "", ""
	}
	extra := strings.TrimSpace(strings.Join(cells[min(3, len(cells)):], ""))
	cells = append(cells, "", "", "")
	sku, name := importer.CleanSKU(cells[0]), importer.CleanName(cells[1])
	_, reason = importer.CheckProduct(sku, name, cells[2])
	switch {
	case strings.Contains(record, "\x00"):
		return "", importer.ReasonNULByte
	case strings.EqualFold(sku, "sku") && strings.EqualFold(name, "name"):
		return "", importer.ReasonRepeatedHeader
	case extra != "":
		return "", importer.ReasonTooManyFields
	case reason != "":
		return "", reason
	}
	return fmt.Sprintf("%q %q %q", sku, name, cells[2]), ""
}

// record returns the cells of the first record, and its size with the line
// break.
func (o oracle) record(text string) (cells []string, size int, reason string) {
	i := 0
	for {
		cell, quoted, isQuoted := "", false, false
		if trimmed := strings.TrimLeft(text[i:], " \t"); strings.HasPrefix(trimmed, `"`) {
			i = len(text) - len(trimmed) + 1
			quoted, isQuoted = true, true
		}
		for ; ; i++ {
			switch {
			case quoted && i >= o.longest && (i > o.longest || i < len(text)):
				return nil, 0, importer.ReasonRecordTooLong
			case quoted && i == len(text):
				return nil, 0, importer.ReasonUnclosedQuote
			case quoted && strings.HasPrefix(text[i:], `""`):
				cell += `"`
				if i++; i >= o.longest {
					return nil, 0, importer.ReasonRecordTooLong
				}
				continue
			case quoted && text[i] == '"':
				quoted = false
				continue
			case quoted:
				cell += text[i : i+1]
				continue
			case i == len(text):
				if i > o.longest {
					return nil, 0, importer.ReasonRecordTooLong
				}
				return append(cells, cell), i, ""
			case o.ends(text[i:]) > 0:
				if i > o.longest {
					return nil, 0, importer.ReasonRecordTooLong
				}
				return append(cells, cell), i + o.ends(text[i:]), ""
			case i >= o.longest:
				return nil, 0, importer.ReasonRecordTooLong
			case text[i] == ',':
			case !isQuoted:
				cell += text[i : i+1]
				continue
			case text[i] == ' ' || text[i] == '\t':
				continue
			default:
				return nil, 0, importer.ReasonBadQuote
			}
			break // at a comma
		}
		cells = append(cells, cell)
		i++
	}
}

// ends returns the size of the line break that text begins with, or 0.
func (o oracle) ends(text string) int {
	switch {
	case strings.HasPrefix(text, "\n"):
		return 1
	case strings.HasPrefix(text, "\r\n"):
		return 2
	case o.cr && strings.HasPrefix(text, "\r"):
		return 1
	}
	return 0
}

// line returns the size of the first physical line with its line break.
func (o oracle) line(text string) int {
	for i := range len(text) {
		if n := o.ends(text[i:]); n > 0 {
			return i + n
		}
	}
	return len(text)
}
