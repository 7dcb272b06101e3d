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

// A row of the queue has as many products as fill two of the pieces in which
// Postgres keeps long texts beside a row, 27 of the usual size: fewer rows are
// read faster, and of large ones more is taken apart for nothing. Documents
// longer than the most are not repeated there.
const (
	queueRowBytes  = 3500
	queueMostBytes = 64 << 10
)

// unitSeparator stands between the documents of a row.
const unitSeparator = "\x1f"

// queueRow is products that the search index does not know yet.
type queueRow struct {
	bun.BaseModel `bun:"table:search_queue,alias:q"`

	Seq       int64 `bun:",pk,autoincrement"`
	Keys      string
	Products  int
	Fresh     bool
	Signature []byte
	Documents *string // NULL: look at the products
	Deleted   *int64
}

// queueProduct says that a product is new or has changed.
func (t *tx) queueProduct(ctx context.Context, r *productRow, fresh bool) error {
	text := r.text()
	row := &queueRow{Keys: r.SKUKey, Products: 1, Fresh: fresh, Signature: signatureOf([]importer.Row{text})}
	if textBytes(&text) <= queueMostBytes {
		row.Documents = new(queuedDocument(&text))
	}
	_, err := t.NewInsert().Model(row).Exec(ctx)
	return err
}

// dequeueProduct takes a product that is gone out of the index. The indexer
// may be about to put it there, so it has to look again.
func (t *tx) dequeueProduct(ctx context.Context, r *productRow) error {
	if _, err := t.NewDelete().Table("product_search").Where("id = ?", r.ID).Exec(ctx); err != nil {
		return err
	}
	_, err := t.NewInsert().Model(&queueRow{Keys: r.SKUKey, Products: 1, Signature: make([]byte, minSignature), Documents: new(""), Deleted: &r.ID}).Exec(ctx)
	return err
}

// queueBatch says which rows of a batch are new or changed; when that is not
// known exactly, rows are all of them. An import writes a third more WAL for it
// and takes no longer: see docs/decisions/0005-what-waits-is-searched-as-it-waits.md.
func queueBatch(ctx context.Context, tx pgx.Tx, b importer.Batch, rows []importer.Row, m importer.Merged) error {
	if len(rows) == 0 {
		return nil
	}
	fresh := m.Created == int64(len(rows))
	// Without a description column the batch does not know all of an older
	// product's text.
	known := b.HasDescription || fresh
	_, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(queueData(rows, fresh, known)),
		"COPY search_queue (keys, products, fresh, signature, documents) FROM STDIN BINARY")
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

// queueData is the input of COPY … (keys, products, fresh, signature, documents).
func queueData(rows []importer.Row, fresh, known bool) []byte {
	isFresh := string(binaryBool(fresh))
	buf := append(make([]byte, 0, 200*len(rows)+64), copyHeader...)
	var keys, documents strings.Builder
	for len(rows) > 0 {
		n, size := 1, textBytes(&rows[0])
		for n < len(rows) && size+textBytes(&rows[n]) <= queueRowBytes {
			size += textBytes(&rows[n])
			n++
		}
		keys.Reset()
		documents.Reset()
		withDocuments := known && size <= queueMostBytes
		for i := range rows[:n] {
			if i > 0 {
				keys.WriteByte('\n')
				documents.WriteString(unitSeparator)
			}
			keys.WriteString(rows[i].Key)
			if withDocuments {
				documents.WriteString(queuedDocument(&rows[i]))
			}
		}
		buf = binary.BigEndian.AppendUint16(buf, 5)
		buf = appendText(buf, keys.String())
		buf = binary.BigEndian.AppendUint32(buf, 4)
		buf = binary.BigEndian.AppendUint32(buf, uint32(n))
		buf = appendText(buf, isFresh)
		if known {
			buf = appendText(buf, string(signatureOf(rows[:n])))
		} else {
			buf = appendNull(buf)
		}
		if withDocuments {
			buf = appendText(buf, documents.String())
		} else {
			buf = appendNull(buf)
		}
		rows = rows[n:]
	}
	return append(buf, copyTrailer...)
}

func appendNull(buf []byte) []byte { return binary.BigEndian.AppendUint32(buf, 1<<32-1) }

// textBytes is about what a row takes in the queue: its key comes twice.
func textBytes(r *importer.Row) int { return 2*len(r.Key) + len(r.Name) + len(r.Description) + 4 }

// queuedDocument is the document of a row, without what separates it from the
// next one. Who looks for a word with that in it looks at the products.
func queuedDocument(r *importer.Row) string {
	return strings.ReplaceAll(document(r.Key, r.Name, r.Description), unitSeparator, " ")
}
