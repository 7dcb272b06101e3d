package db

import (
	"context"
	"database/sql"
	"errors"

	"importer"
)

// renameTimeout is how long a change of SKU waits for somebody who is about
// to take the new one. Imports lock by key, and a change from z to a does not:
// it gives up before Postgres looks for a deadlock, after a second.
const renameTimeout = "500ms"

// Product returns a product.
func (d *DB) Product(ctx context.Context, id int64) (importer.Product, error) {
	r := new(productRow)
	if err := d.bun.NewSelect().Model(r).Where("id = ?", id).Scan(ctx); err != nil {
		return importer.Product{}, productError("read product", err)
	}
	return r.toProduct(), nil
}

// CreateProduct adds a product. It is active unless f says otherwise.
func (d *DB) CreateProduct(ctx context.Context, f importer.ProductFields) (importer.Product, error) {
	fresh := productRow{Active: true, Version: 1}
	if _, err := fresh.apply(f); err != nil {
		return importer.Product{}, err
	}
	var r productRow
	err := d.write(ctx, func(ctx context.Context, t *tx) error {
		r = fresh
		r.CreatedAt = d.now()
		r.UpdatedAt = r.CreatedAt
		if _, err := t.NewInsert().Model(&r).Exec(ctx); err != nil {
			return err
		}
		if err := t.addToTotal(ctx, 1); err != nil {
			return err
		}
		if err := t.queueProduct(ctx, &r, true); err != nil {
			return err
		}
		return t.announceProduct(importer.EventProductCreated, r.toProduct(), r.CreatedAt)
	})
	if err != nil {
		return importer.Product{}, productError("create product", err)
	}
	return r.toProduct(), nil
}

// UpdateProduct changes what f names. A change to what is there already
// writes nothing, and the version stays.
func (d *DB) UpdateProduct(ctx context.Context, id, version int64, f importer.ProductFields) (importer.Product, error) {
	var result importer.Product
	err := d.changeProduct(ctx, id, version, func(ctx context.Context, t *tx, r *productRow) error {
		changed, err := r.apply(f)
		if err != nil {
			return err
		}
		if result = r.toProduct(); !changed {
			return nil
		}
		r.Version++
		r.UpdatedAt = d.now()
		if _, err := t.ExecContext(ctx, "SET LOCAL lock_timeout = '"+renameTimeout+"'"); err != nil {
			return err
		}
		if _, err := t.NewUpdate().Model(r).WherePK().ExcludeColumn("created_at").Exec(ctx); err != nil {
			return err
		}
		if err := t.queueProduct(ctx, r, false); err != nil {
			return err
		}
		result = r.toProduct()
		return t.announceProduct(importer.EventProductUpdated, result, r.UpdatedAt)
	})
	if err != nil {
		return importer.Product{}, productError("change product", err)
	}
	return result, nil
}

// DeleteProduct removes a product.
func (d *DB) DeleteProduct(ctx context.Context, id, version int64) error {
	err := d.changeProduct(ctx, id, version, func(ctx context.Context, t *tx, r *productRow) error {
		if _, err := t.NewDelete().Model(r).WherePK().Exec(ctx); err != nil {
			return err
		}
		if err := t.addToTotal(ctx, -1); err != nil {
			return err
		}
		if err := t.dequeueProduct(ctx, r); err != nil {
			return err
		}
		return t.announceProduct(importer.EventProductDeleted, r.toProduct(), d.now())
	})
	return productError("delete product", err)
}

// changeProduct locks a product and checks its version; 0 is any.
func (d *DB) changeProduct(ctx context.Context, id, version int64, change func(ctx context.Context, t *tx, r *productRow) error) error {
	return d.write(ctx, func(ctx context.Context, t *tx) error {
		r := new(productRow)
		if err := t.NewSelect().Model(r).Where("id = ?", id).For("UPDATE").Scan(ctx); err != nil {
			return err
		}
		if version != 0 && version != r.Version {
			return importer.Errorf(importer.Precondition, "Somebody has changed this product since you read it: it is at version %d, not %d. Read it again and repeat your change.", r.Version, version)
		}
		return change(ctx, t, r)
	})
}

// productError is domain for what can go wrong with one product.
func productError(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return importer.Errorf(importer.NotFound, "There is no such product.")
	case sqlState(err) == uniqueViolation:
		const why = "Another product already has this SKU (upper and lower case count as the same)."
		return &importer.Error{
			Code: importer.Conflict, Message: why, Err: err,
			Fields: []importer.FieldError{{Pointer: "/sku", Detail: why}},
		}
	case sqlState(err) == lockNotAvailable:
		return &importer.Error{
			Code: importer.Conflict, Err: err,
			Message: "An import is writing these products right now. Try again in a moment.",
		}
	}
	return domain(doing, err)
}
