package db

import (
	"context"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"importer"
)

type batchRow struct {
	bun.BaseModel `bun:"table:import_batches,alias:b"`

	ImportID  uuid.UUID `bun:",pk"`
	Batch     int       `bun:",pk"`
	Created   int64
	Updated   int64
	Unchanged int64
}

// Ledger returns the numbers of the batches that are written, and the sum of
// their counts.
func (d *DB) Ledger(ctx context.Context, id uuid.UUID) (map[int]struct{}, importer.Counts, error) {
	var rows []batchRow
	if err := d.bun.NewSelect().Model(&rows).Where("import_id = ?", id).Scan(ctx); err != nil {
		return nil, importer.Counts{}, domain("read ledger", err)
	}
	written := make(map[int]struct{}, len(rows))
	var sum importer.Counts
	for _, r := range rows {
		written[r.Batch] = struct{}{}
		sum.Created += r.Created
		sum.Updated += r.Updated
		sum.Unchanged += r.Unchanged
	}
	return written, sum, nil
}

// ledgerSum adds up what the batches of an import did.
func ledgerSum(ctx context.Context, q bun.IDB, id uuid.UUID) (importer.Counts, error) {
	var sum importer.Counts
	err := q.NewSelect().Table("import_batches").
		ColumnExpr("coalesce(sum(created), 0)::bigint, coalesce(sum(updated), 0)::bigint, coalesce(sum(unchanged), 0)::bigint").
		Where("import_id = ?", id).
		Scan(ctx, &sum.Created, &sum.Updated, &sum.Unchanged)
	return sum, err
}
