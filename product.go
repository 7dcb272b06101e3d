package importer

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Limits of a product's fields. A value over its limit is rejected, never cut.
const (
	MaxSKU         = 255     // characters of the cleaned SKU
	MaxName        = 512     // characters; fits a btree tuple
	MaxDescription = 1 << 20 // bytes of UTF-8
)

// Product is one row of the catalogue.
type Product struct {
	ID          int64     `json:"id"`
	SKU         string    `json:"sku"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Active      bool      `json:"active"`
	Version     int64     `json:"version"` // grows with every change; the ETag
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// CleanSKU returns a SKU as it is stored: without format characters (Unicode
// Cf: zero-width, BOM, soft hyphen), trimmed of white space, in NFC. Case and
// inner spaces are kept.
func CleanSKU(s string) string {
	if isPlainASCII(s) {
		return s
	}
	return norm.NFC.String(strings.TrimSpace(dropFormat(s)))
}

// SKUKey returns what makes two SKUs the same product: a cleaned SKU, lower
// case, with every inner white-space rune as a plain space. It is computed
// only here and stored under a unique index; SQL never folds, because lower()
// depends on the cluster's locale.
func SKUKey(clean string) string {
	ascii, lower := true, true
	for i := 0; i < len(clean); i++ {
		c := clean[i]
		if c >= utf8.RuneSelf || c < ' ' {
			ascii = false
			break
		}
		lower = lower && (c < 'A' || c > 'Z')
	}
	if ascii {
		if lower {
			return clean
		}
		return strings.ToLower(clean)
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		return r
	}, strings.ToLower(clean))
}

// CleanName trims white space and format characters from both ends and keeps
// the inside verbatim.
func CleanName(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) })
}

// CheckProduct applies the rules that an import and an edit share to cleaned
// fields. It returns the field at fault and why, or two empty strings.
func CheckProduct(sku, name, description string) (field, reason string) {
	switch {
	case sku == "":
		return "sku", ReasonMissingSKU
	case strings.ContainsFunc(sku, unicode.IsControl):
		return "sku", ReasonInvalidSKU
	case len(sku) > MaxSKU && utf8.RuneCountInString(sku) > MaxSKU:
		return "sku", ReasonSKUTooLong
	case name == "":
		return "name", ReasonMissingName
	case len(name) > MaxName && utf8.RuneCountInString(name) > MaxName:
		return "name", ReasonNameTooLong
	case len(description) > MaxDescription:
		return "description", ReasonDescriptionTooLong
	}
	return "", ""
}

// isPlainASCII reports whether s needs no cleaning: printable ASCII without
// spaces at its ends. Nearly every SKU does, and this saves two allocations.
func isPlainASCII(s string) bool {
	if s == "" || s[0] == ' ' || s[len(s)-1] == ' ' {
		return s == ""
	}
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func dropFormat(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, s)
}
