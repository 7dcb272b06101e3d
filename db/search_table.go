package db

import (
	"strings"

	"importer"
)

// table is where a search can look: rows with what they are sorted by.
type table struct {
	from, id, active   string
	sku, name, updated string
	matches            func(q *query, w word) string
	skuDecides         bool // no two rows have one
}

func (s *search) index(scan bool) table {
	return table{
		from: "product_search AS s", id: "s.id", active: "s.active",
		sku: "s.sku_key", name: "s.name_key", updated: "s.updated_at",
		matches: func(q *query, w word) string { return q.inDocument(w, scan) },
	}
}

func (s *search) catalogue() table {
	return table{
		from: "products AS p", id: "p.id", active: "p.active",
		sku: "p.sku_key", name: `lower(p.name COLLATE "C")`, updated: "p.updated_at",
		matches:    func(q *query, w word) string { return q.inProduct(w, s.variants) },
		skuDecides: true,
	}
}

// key is what the table's rows are sorted by, as an expression.
func (t table) key(sort importer.ProductSort) string {
	switch sort {
	case importer.SortSKU:
		return t.sku
	case importer.SortName:
		return t.name
	case importer.SortUpdated:
		return t.updated
	}
	return t.id
}

// columns are what decides the order of the table's rows.
func (t table) columns(sort importer.ProductSort) []string {
	switch {
	case sort == importer.SortID:
		return []string{t.id}
	case sort == importer.SortSKU && t.skuDecides:
		return []string{t.sku}
	}
	return []string{t.key(sort), t.id}
}

func order(columns []string, desc bool) string {
	direction := " ASC"
	if desc {
		direction = " DESC"
	}
	return strings.Join(columns, direction+", ") + direction
}
