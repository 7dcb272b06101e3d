package db

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"importer"
)

// queueGroup is how many products share a row of the queue. Fewer make a
// sharper signature, and a longer queue to read: 31,000 rows and 14 MB for
// 500,000 products.
const queueGroup = 16

// queueRow is products that the search index does not know yet.
type queueRow struct {
	bun.BaseModel `bun:"table:search_queue,alias:q"`

	Seq       int64 `bun:",pk,autoincrement"`
	Keys      string
	Products  int
	Fresh     bool
	Signature []byte
	Deleted   *int64
}

// queueProduct says that a product is new or has changed.
func (t *tx) queueProduct(ctx context.Context, r *productRow, fresh bool) error {
	row := &queueRow{Keys: r.SKUKey, Products: 1, Fresh: fresh, Signature: signatureOf([]importer.Row{r.text()})}
	_, err := t.NewInsert().Model(row).Exec(ctx)
	return err
}

// dequeueProduct takes a product that is gone out of the index. The indexer
// may be about to put it there, so it has to look again.
func (t *tx) dequeueProduct(ctx context.Context, r *productRow) error {
	if _, err := t.NewDelete().Table("product_search").Where("id = ?", r.ID).Exec(ctx); err != nil {
		return err
	}
	_, err := t.NewInsert().Model(&queueRow{Keys: r.SKUKey, Products: 1, Signature: make([]byte, minSignature), Deleted: &r.ID}).Exec(ctx)
	return err
}

// queueBatch says which rows of a batch are new or changed; when that is not
// known exactly, rows are all of them. An import writes 10 % more WAL for it,
// and takes no longer.
func queueBatch(ctx context.Context, tx pgx.Tx, b importer.Batch, rows []importer.Row, m importer.Merged) error {
	if len(rows) == 0 {
		return nil
	}
	fresh := m.Created == int64(len(rows))
	// Without a description column the batch does not know all of an older
	// product's text.
	signed := b.HasDescription || fresh
	_, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(queueData(rows, fresh, signed)),
		"COPY search_queue (keys, products, fresh, signature) FROM STDIN BINARY")
	return err
}

func pick(rows []importer.Row, keys []string) []importer.Row {
	wanted := make(map[string]struct{}, len(keys))
	for _, k := range keys {
		wanted[k] = struct{}{}
	}
	return slices.DeleteFunc(slices.Clone(rows), func(r importer.Row) bool {
		_, ok := wanted[r.Key]
		return !ok
	})
}

// queueData is the input of COPY … (keys, products, fresh, signature).
func queueData(rows []importer.Row, fresh, signed bool) []byte {
	isFresh := string(binaryBool(fresh))
	buf := append(make([]byte, 0, 32*len(rows)+64), copyHeader...)
	var keys strings.Builder
	for group := range slices.Chunk(rows, queueGroup) {
		keys.Reset()
		for i := range group {
			if i > 0 {
				keys.WriteByte('\n')
			}
			keys.WriteString(group[i].Key)
		}
		buf = binary.BigEndian.AppendUint16(buf, 4)
		buf = appendText(buf, keys.String())
		buf = binary.BigEndian.AppendUint32(buf, 4)
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(group)))
		buf = appendText(buf, isFresh)
		if signed {
			buf = appendText(buf, string(signatureOf(group)))
		} else {
			const null = 1<<32 - 1
			buf = binary.BigEndian.AppendUint32(buf, null)
		}
	}
	return append(buf, copyTrailer...)
}
