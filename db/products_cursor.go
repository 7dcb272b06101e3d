package db

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"

	"importer"
)

// position is a place in a sorted list, just beside a product: after it in
// the order of the list, or before it.
type position struct {
	Key    string `json:"k,omitempty"` // what the list is sorted by, unless that is the id
	ID     int64  `json:"i"`
	Before bool   `json:"b,omitempty"`
}

// A cursor is base64url of a version, a check sum, and a position. The sum is
// also taken over what was asked, so that a cursor fits no other question.
const (
	cursorVersion = 1
	cursorSum     = 8
)

func (p position) cursor(q importer.ProductQuery) string {
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // a struct of a string, a number and a bool
	}
	sum := cursorCheck(q, body)
	return base64.RawURLEncoding.EncodeToString(append(append([]byte{cursorVersion}, sum...), body...))
}

// parseCursor returns nil for no cursor, and Malformed for one that is not of
// this query.
func parseCursor(q importer.ProductQuery) (*position, error) {
	if q.Cursor == "" {
		return nil, nil
	}
	var p position
	raw, err := base64.RawURLEncoding.Strict().DecodeString(q.Cursor)
	if err != nil || len(raw) < 1+cursorSum || raw[0] != cursorVersion ||
		!bytes.Equal(raw[1:1+cursorSum], cursorCheck(q, raw[1+cursorSum:])) || json.Unmarshal(raw[1+cursorSum:], &p) != nil {
		const why = "This cursor does not belong to this list. Take the next or prev of a page with the same filter and order, or start at the beginning."
		return nil, &importer.Error{Code: importer.Malformed, Message: why, Fields: []importer.FieldError{{Pointer: "cursor", Detail: why}}}
	}
	return &p, nil
}

func cursorCheck(q importer.ProductQuery, body []byte) []byte {
	asked, err := json.Marshal(struct {
		importer.ProductFilter
		Sort importer.ProductSort
		Desc bool
	}{q.ProductFilter, q.Sort, q.Desc})
	if err != nil {
		panic(err) // texts and bools
	}
	sum := sha256.Sum256(append(append(asked, '\n'), body...))
	return sum[:cursorSum]
}

// sortKey is what a list is sorted by, as text; ids decide among equals. It
// compares by bytes.
func sortKey(sort importer.ProductSort, p importer.Product) string {
	switch sort {
	case importer.SortSKU:
		return importer.SKUKey(p.SKU)
	case importer.SortName:
		return nameKey(p.Name)
	case importer.SortUpdated:
		return p.UpdatedAt.Format(keyTime)
	}
	return ""
}

// keyTime is a time as Postgres reads it, of one length.
const keyTime = "2006-01-02T15:04:05.000000Z07:00"

// nameKey lowers A-Z, as lower(… COLLATE "C") does in every database.
func nameKey(name string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}, name)
}
