package db

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"importer"
)

// How EachProduct reads: so many rows at a time, fewer where they are large.
// Somebody who takes longer than the patience over a page, or the time in all,
// is cut off: the snapshot keeps dead rows alive, and the catalogue cannot be
// emptied before it ends.
const (
	eachPageRows  = 1000
	eachPageBytes = 4 << 20
	eachPatience  = "60s"
	eachTime      = time.Hour
)

// EachProduct calls f with every product of one snapshot, by id. It holds a
// page in memory, and one connection while f runs: two pages of one snapshot
// are two statements of one transaction.
//
// DeleteAllProducts answers Conflict meanwhile, for TRUNCATE would empty the
// pages to come.
func (d *DB) EachProduct(ctx context.Context, f func(importer.Product) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, eachTime, importer.Errorf(importer.Unavailable, "The export took longer than an hour and was ended."))
	defer cancel()
	var stopped error // by f
	err := d.snapshot(ctx, eachPatience, func(tx pgx.Tx) error {
		for after := int64(0); ; {
			page, err := readProducts(ctx, tx, `
				SELECT id, sku, name, description, active, version, created_at, updated_at FROM (
					SELECT *, sum(octet_length(description)) OVER (ORDER BY id) - octet_length(description) AS bytes_before
					FROM (SELECT * FROM products WHERE id > $1 ORDER BY id LIMIT $2) AS page
				) AS sized
				WHERE bytes_before < $3 ORDER BY id`, after, eachPageRows, eachPageBytes)
			if err != nil || len(page) == 0 {
				return err
			}
			for _, p := range page {
				if stopped = f(p); stopped != nil {
					return stopped
				}
			}
			after = page[len(page)-1].ID
		}
	})
	if stopped != nil {
		return stopped
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return domain("read all products", err)
}

// snapshot runs f in one transaction that reads the catalogue as it is at its
// first statement. The locks come before that, for TRUNCATE does not look at
// snapshots. patience is how long f may leave the transaction alone.
//
// Without sequential scans the planner reads the search index even for texts
// of which it wrongly expects many; where there is no other way it still does
// scan. One reader takes one core, and leaves the others to imports.
func (d *DB) snapshot(ctx context.Context, patience string, f func(tx pgx.Tx) error) error {
	begin := fmt.Sprintf(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
		LOCK TABLE %s IN ACCESS SHARE MODE;
		SET LOCAL idle_in_transaction_session_timeout = '%s';
		SET LOCAL enable_seqscan = off;
		SET LOCAL max_parallel_workers_per_gather = 0;
		SET LOCAL jit = off`, emptied, patience)
	return pgx.BeginTxFunc(ctx, d.pool, pgx.TxOptions{BeginQuery: begin}, f)
}

// readProducts runs a query for the columns of a product.
func readProducts(ctx context.Context, tx pgx.Tx, sql string, args ...any) ([]importer.Product, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (importer.Product, error) {
		var p importer.Product
		err := row.Scan(&p.ID, &p.SKU, &p.Name, &p.Description, &p.Active, &p.Version, &p.CreatedAt, &p.UpdatedAt)
		p.CreatedAt, p.UpdatedAt = p.CreatedAt.UTC(), p.UpdatedAt.UTC()
		return p, err
	})
}
