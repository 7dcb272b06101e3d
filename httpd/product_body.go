package httpd

import (
	"encoding/json"
	"errors"
	"reflect"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"importer"
)

// maxBody is enough for the longest description there may be, and then for
// every other character of it to be escaped.
const maxBody = 2 << 20

// NewProduct is the body of POST /api/products. Fields not given are empty,
// and active is true.
type NewProduct ProductChange

// ProductChange is the body of PATCH /api/products/{id}: a field not given
// stays as it is.
type ProductChange struct {
	SKU         member[string] `json:"sku,omitzero" doc:"Unique; upper and lower case count as the same. Up to 255 characters without the white space around them."`
	Name        member[string] `json:"name,omitzero" doc:"Up to 512 characters without the white space around them."`
	Description member[string] `json:"description,omitzero" doc:"Up to 1,048,576 bytes of UTF-8, kept as it is."`
	Active      member[bool]   `json:"active,omitzero" doc:"An import never changes it."`
}

func (c ProductChange) fields() importer.ProductFields {
	return importer.ProductFields{SKU: c.SKU.value, Name: c.Name.value, Description: c.Description.value, Active: c.Active.value}
}

func (n NewProduct) fields() importer.ProductFields { return ProductChange(n).fields() }

// member is a member of a JSON object that may be left out. Null is not the
// same as left out; it is an error, because some mean "as it was" by it and
// some mean "empty".
type member[T any] struct {
	value *T
	null  bool
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *member[T]) UnmarshalJSON(b []byte) error {
	m.null = string(b) == "null"
	return json.Unmarshal(b, &m.value)
}

// Resolve implements huma.ResolverWithPath.
func (m *member[T]) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	if m.null {
		return []error{&huma.ErrorDetail{Location: at.String(), Message: "is null; leave it out to keep it as it is"}}
	}
	return nil
}

// Schema implements huma.SchemaProvider.
func (m *member[T]) Schema(r huma.Registry) *huma.Schema {
	return huma.SchemaFromType(r, reflect.TypeFor[T]())
}

// strictJSON refuses what encoding/json would silently replace.
var strictJSON = huma.Format{
	Marshal: huma.DefaultJSONFormat.Marshal,
	Unmarshal: func(data []byte, v any) error {
		if !utf8.Valid(data) {
			return errors.New("is not UTF-8")
		}
		return json.Unmarshal(data, v)
	},
}
