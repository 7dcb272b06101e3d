package db

import (
	"context"

	"importer"
)

func (d *DB) MergeBatch(ctx context.Context, b importer.Batch, way importer.MergeWay) (importer.Merged, error) {
	return importer.Merged{}, nil
}
