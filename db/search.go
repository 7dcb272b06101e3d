package db

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"importer"
)

// indexing is the advisory lock of whoever fills the index: one machine at a
// time, so that what is known last of a product is also written last.
const indexing = 0x696d706f72740002

// indexBytes is how much text of products a round holds in memory, and a
// little more.
const indexBytes = 4 << 20

// Indexing says how far search is behind. Pending may count a product twice
// that has changed twice.
func (d *DB) Indexing(ctx context.Context) (importer.Indexing, error) {
	i, err := readIndexing(ctx, d.pool)
	return i, domain("read state of indexing", err)
}

func readIndexing(ctx context.Context, q interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}) (i importer.Indexing, err error) {
	err = q.QueryRow(ctx, "SELECT ("+totalProducts+"), (SELECT coalesce(sum(products), 0) FROM search_queue WHERE deleted IS NULL)").
		Scan(&i.Total, &i.Pending)
	i.Pending = min(i.Pending, i.Total)
	i.Indexed = i.Total - i.Pending
	return i, err
}

// SearchIndexed reports whether searches have their trigram index. Without
// it, where the database may not have the extension pg_trgm, they are as
// right, but take about 0.3 s for each million products.
func (d *DB) SearchIndexed(ctx context.Context) (bool, error) {
	var valid bool
	err := d.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('product_search_trigrams') AND indisvalid)").Scan(&valid)
	return valid, domain("look for the search index", err)
}

// IndexProducts indexes about limit products that are waiting, those first
// that wait longest, in one transaction, and returns how many are left. While
// another machine does that, it does nothing.
func (d *DB) IndexProducts(ctx context.Context, limit int) (left int64, err error) {
	err = d.retry(ctx, func() error {
		return pgx.BeginTxFunc(ctx, d.pool, pgx.TxOptions{BeginQuery: beginIndexing}, func(tx pgx.Tx) error {
			var ours bool
			if err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1)", int64(indexing)).Scan(&ours); err != nil {
				return err
			}
			if ours {
				if err := indexSome(ctx, tx, limit); err != nil {
					return err
				}
			}
			return tx.QueryRow(ctx, "SELECT coalesce(sum(products), 0) FROM search_queue").Scan(&left)
		})
	})
	return left, domain("index products", err)
}

// beginIndexing locks the products first, as everybody does: see emptied. The
// index is made anew from the catalogue, so its commit need not wait for the
// disk.
const beginIndexing = `BEGIN;
	LOCK TABLE products IN ACCESS SHARE MODE;
	SET LOCAL synchronous_commit = off;
	SET LOCAL enable_seqscan = off;
	SET LOCAL jit = off;
	SET LOCAL idle_in_transaction_session_timeout = '10s'`

func indexSome(ctx context.Context, tx pgx.Tx, limit int) error {
	if _, err := tx.Exec(ctx, foldTotals); err != nil {
		return err
	}
	taken, err := takeQueue(ctx, tx, limit)
	if err != nil || len(taken.seqs) == 0 {
		return err
	}
	if len(taken.deleted) > 0 {
		if _, err := tx.Exec(ctx, "DELETE FROM product_search WHERE id = ANY ($1)", taken.deleted); err != nil {
			return err
		}
	}
	ids, err := outdated(ctx, tx, taken.keys)
	if err != nil {
		return err
	}
	for len(ids) > 0 {
		n, err := indexPart(ctx, tx, ids)
		if err != nil {
			return err
		}
		ids = ids[n:]
	}
	if _, err := tx.Exec(ctx, "DELETE FROM search_queue WHERE seq = ANY ($1)", taken.seqs); err != nil {
		return err
	}
	// The index takes new rows into a list at first, which each search has to
	// read through.
	_, err = tx.Exec(ctx, "SELECT gin_clean_pending_list(indexrelid) FROM pg_index WHERE indexrelid = to_regclass('product_search_trigrams')")
	return err
}

// taken is a part of the queue.
type taken struct {
	seqs    []int64
	keys    []string
	deleted []int64
}

func takeQueue(ctx context.Context, tx pgx.Tx, limit int) (taken, error) {
	var t taken
	rows, err := tx.Query(ctx, `
		SELECT seq, keys, deleted FROM (
			SELECT seq, keys, deleted, sum(products) OVER (ORDER BY seq) - products AS before
			FROM (SELECT * FROM search_queue ORDER BY seq LIMIT $1) AS head
		) AS counted
		WHERE before < $1`, limit)
	if err != nil {
		return t, err
	}
	var seq int64
	var keys string
	var deleted *int64
	_, err = pgx.ForEachRow(rows, []any{&seq, &keys, &deleted}, func() error {
		t.seqs = append(t.seqs, seq)
		t.keys = append(t.keys, strings.Split(keys, "\n")...)
		if deleted != nil {
			t.deleted = append(t.deleted, *deleted)
		}
		return nil
	})
	return t, err
}

// outdatedProduct is one that the index has of another version, or not at all.
type outdatedProduct struct {
	id, bytes int64
}

func outdated(ctx context.Context, tx pgx.Tx, keys []string) ([]outdatedProduct, error) {
	rows, err := tx.Query(ctx, `
		SELECT DISTINCT p.id, octet_length(p.name) + octet_length(p.description)
		FROM unnest($1::text[]) AS waiting (sku_key)
		CROSS JOIN LATERAL (SELECT * FROM products WHERE products.sku_key = waiting.sku_key COLLATE "C" OFFSET 0) AS p
		WHERE (SELECT s.version FROM product_search AS s WHERE s.id = p.id) IS DISTINCT FROM p.version
		ORDER BY p.id`, keys)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (p outdatedProduct, err error) {
		return p, row.Scan(&p.id, &p.bytes)
	})
}

// indexPart writes the first of the products, as many as fit into memory, and
// returns how many.
func indexPart(ctx context.Context, tx pgx.Tx, all []outdatedProduct) (n int, err error) {
	var ids []int64
	for bytes := int64(0); n < len(all) && bytes < indexBytes; n++ {
		ids = append(ids, all[n].id)
		bytes += all[n].bytes
	}
	products, err := readProducts(ctx, tx, `
		SELECT id, sku, name, description, active, version, created_at, updated_at
		FROM products WHERE id = ANY ($1) ORDER BY id`, ids)
	if err != nil {
		return 0, err
	}
	var c struct {
		ids, versions              []int64
		active                     []bool
		skus, names, at, documents []string
	}
	for _, p := range products {
		key := importer.SKUKey(p.SKU)
		c.ids = append(c.ids, p.ID)
		c.versions = append(c.versions, p.Version)
		c.active = append(c.active, p.Active)
		c.skus = append(c.skus, key)
		c.names = append(c.names, nameKey(p.Name))
		c.at = append(c.at, p.UpdatedAt.Format(keyTime))
		c.documents = append(c.documents, document(key, p.Name, p.Description))
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO product_search AS s (id, version, active, sku_key, name_key, updated_at, document)
		SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::boolean[], $4::text[], $5::text[], $6::text[]::timestamptz[], $7::text[])
		ON CONFLICT (id) DO UPDATE SET version = excluded.version, active = excluded.active, sku_key = excluded.sku_key,
			name_key = excluded.name_key, updated_at = excluded.updated_at, document = excluded.document`,
		c.ids, c.versions, c.active, c.skus, c.names, c.at, c.documents)
	return n, err
}

// document is all text of a product in lower case, a line each.
func document(key, name, description string) string {
	return key + "\n" + strings.ToLower(name) + "\n" + strings.ToLower(description)
}
