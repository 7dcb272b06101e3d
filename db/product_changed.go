package db

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"importer"
)

// wantsChanged asks whether some webhook wants to hear which products a batch
// changes. It takes no lock: a webhook that comes at this moment hears of the
// next batch.
func wantsChanged(ctx context.Context, tx pgx.Tx) (wanted bool, err error) {
	err = tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM webhooks WHERE "+wantedBy("$1::text")+")", importer.EventProductsChanged).Scan(&wanted)
	return wanted, err
}

// tellChanged leaves the SKUs of changed rows for webhooks, in the transaction
// that changes them.
func tellChanged(ctx context.Context, tx pgx.Tx, b importer.Batch, rows []importer.Row, at time.Time) error {
	var ids []string
	var payloads [][]byte
	for len(rows) > 0 {
		n := changedAtOnce(rows)
		skus := make([]string, n)
		for i := range skus {
			skus[i] = rows[i].SKU
		}
		row, err := newOutboxRow(importer.EventProductsChanged, at, importer.ProductsChangedEvent{ImportID: b.ImportID, Batch: b.Number, SKUs: skus})
		if err != nil {
			return err
		}
		ids, payloads, rows = append(ids, row.ID), append(payloads, row.Payload), rows[n:]
	}
	_, err := tx.Exec(ctx, `INSERT INTO webhook_events (id, type, payload, created_at)
		SELECT id, $3, payload, $4 FROM unnest($1::text[], $2::bytea[]) AS e (id, payload)`,
		ids, payloads, importer.EventProductsChanged, at)
	return err
}

// changedAtOnce is how many of the rows one event can name: MaxChangedSKUs,
// unless they are so long that the body would be too large.
func changedAtOnce(rows []importer.Row) int {
	const envelope = 512
	size := envelope
	for n := range min(len(rows), importer.MaxChangedSKUs) {
		// Quotes and a comma; no character takes more than six bytes.
		if size += 6*len(rows[n].SKU) + 3; size > importer.MaxPayload && n > 0 {
			return n
		}
	}
	return min(len(rows), importer.MaxChangedSKUs)
}

// changedRows are the rows of a batch that were created or updated.
func changedRows(b importer.Batch, m importer.Merged, changed string) []importer.Row {
	switch {
	case m.Created+m.Updated == 0:
		return nil
	case changed == "":
		return b.Rows
	}
	return pick(b.Rows, strings.Split(changed, "\n"))
}
