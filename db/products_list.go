package db

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"importer"
)

// How many products a page may have.
const defaultProducts, maxProducts = 25, 200

// Products lists a part of the catalogue. Everything in a page is of one
// snapshot.
func (d *DB) Products(ctx context.Context, q importer.ProductQuery) (importer.ProductPage, error) {
	page := importer.ProductPage{Items: []importer.Product{}}
	if q.Sort == "" {
		q.Sort = importer.SortID
	}
	if q.Limit <= 0 {
		q.Limit = defaultProducts
	}
	q.Limit = min(q.Limit, maxProducts)
	if err := checkQuery(q); err != nil {
		return page, err
	}
	all, err := words(q.ProductFilter)
	if err != nil {
		return page, err
	}
	from, err := parseCursor(q)
	if err != nil {
		return page, err
	}

	back := from != nil && from.Before
	offset := max(q.Page-1, 0) * q.Limit
	const patience = "10s"
	err = d.snapshot(ctx, patience, func(tx pgx.Tx) error {
		s := &search{tx: tx, words: all, active: q.Active, sort: q.Sort, desc: q.Desc != back, from: from}
		if err := s.begin(ctx); err != nil {
			return err
		}
		// One more, to know whether there is another page.
		ids, total, floor, err := s.find(ctx, offset, q.Limit+1)
		if err != nil {
			return err
		}
		more := len(ids) > q.Limit
		ids = ids[:min(len(ids), q.Limit)]
		if back {
			slices.Reverse(ids)
		}
		items, err := readProducts(ctx, tx, `
			SELECT id, sku, name, description, active, version, created_at, updated_at
			FROM products WHERE id = ANY ($1) ORDER BY array_position($1, id)`, ids)
		if err != nil || len(items) == 0 {
			page.Total, page.TotalIsFloor = total, floor
			return err
		}
		page = importer.ProductPage{Items: items, Total: total, TotalIsFloor: floor}
		if last := items[len(items)-1]; more || back {
			next := position{Key: sortKey(q.Sort, last), ID: last.ID}.cursor(q)
			page.Next = &next
		}
		if more && back || !back && (from != nil || offset > 0) {
			prev := position{Key: sortKey(q.Sort, items[0]), ID: items[0].ID, Before: true}.cursor(q)
			page.Prev = &prev
		}
		return nil
	})
	return page, domain("list products", err)
}

func checkQuery(q importer.ProductQuery) error {
	refuse := func(pointer, why string) error {
		return &importer.Error{Code: importer.Malformed, Message: why, Fields: []importer.FieldError{{Pointer: pointer, Detail: why}}}
	}
	switch q.Sort {
	case importer.SortID, importer.SortSKU, importer.SortName, importer.SortUpdated:
	default:
		return refuse("sort", "Products can be sorted by id, sku, name or updated.")
	}
	const furthest = 1 << 40 / maxProducts
	switch {
	case q.Page < 0 || q.Page > furthest:
		return refuse("page", "Pages are numbered from 1.")
	case q.Page > 0 && q.Cursor != "":
		return refuse("page", "Ask for a page by its number or by a cursor, not both.")
	}
	return nil
}
