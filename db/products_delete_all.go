package db

import (
	"context"
	"errors"

	"importer"
)

// writingGate is the advisory lock between imports that start to write, which
// share it, and whoever empties the catalogue, alone. It is held to the end of
// the transaction.
const writingGate = 0x696d706f72740001

// deleteAllPatience bounds how long readers and writers queue up behind a
// deletion of everything that itself waits for some of them.
const deleteAllPatience = "3s"

// emptied are the tables that belong to the products, in the order in which
// every transaction that takes several of them takes its first lock on each.
const emptied = "products, product_totals, product_search, search_queue"

// DeleteAllProducts empties the catalogue at once, whatever its size. Conflict,
// naming the import, while one writes.
//
// The order of locks: the gate, the tables as in emptied, the topic. An import
// takes the gate after its own row and before it is in state writing: it is
// either seen here, or writes into the empty catalogue. Batches hold products
// and then look at their import, whose row is not locked here. What is counted
// is exact: no other transaction has a delta outstanding once the tables are
// ours.
//
// Ids are not used again, so that a page in somebody's browser cannot come to
// mean another product.
func (d *DB) DeleteAllProducts(ctx context.Context) (int64, error) {
	var deleted int64
	err := d.write(ctx, func(ctx context.Context, t *tx) error {
		if _, err := t.ExecContext(ctx, "SET LOCAL lock_timeout = '"+deleteAllPatience+"'"); err != nil {
			return err
		}
		if _, err := t.ExecContext(ctx, "SELECT pg_advisory_xact_lock(?)", int64(writingGate)); err != nil {
			return err
		}
		var writing []string
		if err := t.NewSelect().Table("imports").Column("filename").
			Where("state = 'writing'").OrderExpr("id").Limit(1).Scan(ctx, &writing); err != nil {
			return err
		}
		if len(writing) > 0 {
			return importer.Errorf(importer.Conflict, "The import of %q is writing products right now. Wait until it is done, or cancel it, then delete.", writing[0])
		}
		if _, err := t.ExecContext(ctx, "LOCK TABLE "+emptied+" IN ACCESS EXCLUSIVE MODE"); err != nil {
			return err
		}
		if err := t.NewRaw(totalProducts).Scan(ctx, &deleted); err != nil {
			return err
		}
		if deleted == 0 {
			return nil
		}
		if _, err := t.ExecContext(ctx, "TRUNCATE "+emptied); err != nil {
			return err
		}
		return t.announceBulk(importer.EventProductsDeletedAll, deletedAllData{deleted}, d.now())
	})
	if _, told := errors.AsType[*importer.Error](err); err != nil && !told && sqlState(err) == lockNotAvailable {
		return 0, &importer.Error{
			Code: importer.Conflict, Err: err,
			Message: "The products are being written or exported right now. Try again in a moment.",
		}
	}
	if err != nil {
		return 0, domain("delete all products", err)
	}
	return deleted, nil
}

// passWritingGate waits while the catalogue is emptied and keeps others from
// doing so until the transaction ends.
func (t *tx) passWritingGate(ctx context.Context) error {
	_, err := t.ExecContext(ctx, "SELECT pg_advisory_xact_lock_shared(?)", int64(writingGate))
	return err
}
