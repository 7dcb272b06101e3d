package db

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"importer"
)

type productRow struct {
	bun.BaseModel `bun:"table:products,alias:p"`

	ID          int64 `bun:",pk,autoincrement"`
	SKU         string
	SKUKey      string
	Name        string
	Description string
	Active      bool
	Version     int64
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

func (r *productRow) toProduct() importer.Product {
	return importer.Product{
		ID: r.ID, SKU: r.SKU, Name: r.Name, Description: r.Description, Active: r.Active,
		Version: r.Version, CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
}

// text is what the search index is to know of the product.
func (r *productRow) text() importer.Row {
	return importer.Row{SKU: r.SKU, Key: r.SKUKey, Name: r.Name, Description: r.Description}
}

// apply takes in what f says, cleaned as an import does. It reports whether
// that changed anything. The error is Invalid and names every wrong field.
func (r *productRow) apply(f importer.ProductFields) (changed bool, err error) {
	before := *r
	var wrong []importer.FieldError
	set := func(field *string, pointer string, value *string, clean func(string) string) {
		switch {
		case value == nil:
		case !utf8.ValidString(*value):
			wrong = append(wrong, importer.FieldError{Pointer: pointer, Detail: "This is not valid UTF-8 text."})
		case strings.ContainsRune(*value, 0):
			wrong = append(wrong, importer.FieldError{Pointer: pointer, Detail: "This holds a NUL character, which cannot be stored."})
		default:
			*field = clean(*value)
		}
	}
	set(&r.SKU, "/sku", f.SKU, importer.CleanSKU)
	set(&r.Name, "/name", f.Name, importer.CleanName)
	set(&r.Description, "/description", f.Description, func(s string) string { return s })
	if f.Active != nil {
		r.Active = *f.Active
	}
	r.SKUKey = importer.SKUKey(r.SKU)

	wrong = append(wrong, r.check(wrong)...)
	if len(wrong) > 0 {
		return false, &importer.Error{Code: importer.Invalid, Message: wrong[0].Detail, Fields: wrong}
	}
	return *r != before, nil
}

// check looks at one field after the other, so that a form shows all that is
// wrong at once; those in known are left out.
func (r *productRow) check(known []importer.FieldError) (wrong []importer.FieldError) {
	const fine = "x"
	for _, given := range [][3]string{{r.SKU, fine, ""}, {fine, r.Name, ""}, {fine, fine, r.Description}} {
		field, reason := importer.CheckProduct(given[0], given[1], given[2])
		if reason == "" || pointsAt(known, "/"+field) {
			continue
		}
		wrong = append(wrong, importer.FieldError{Pointer: "/" + field, Detail: sentence(reason)})
	}
	return wrong
}

func pointsAt(fields []importer.FieldError, pointer string) bool {
	for _, f := range fields {
		if f.Pointer == pointer {
			return true
		}
	}
	return false
}

// sentence tells a person why a field is refused.
func sentence(reason string) string {
	switch reason {
	case importer.ReasonMissingSKU:
		return "A product needs a SKU."
	case importer.ReasonInvalidSKU:
		return "The SKU holds a control character, such as a tab or a line break."
	case importer.ReasonSKUTooLong:
		return "The SKU is longer than 255 characters."
	case importer.ReasonMissingName:
		return "A product needs a name."
	case importer.ReasonNameTooLong:
		return "The name is longer than 512 characters."
	case importer.ReasonDescriptionTooLong:
		return "The description is longer than 1 MiB."
	}
	return "This value is not allowed."
}
