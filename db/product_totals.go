package db

import "context"

// addToTotal says how many products a transaction adds. See migration 5.
func (t *tx) addToTotal(ctx context.Context, delta int64) error {
	_, err := t.ExecContext(ctx, "INSERT INTO product_totals (delta) VALUES (?)", delta)
	return err
}

const (
	totalProducts = "SELECT coalesce(sum(delta), 0)::bigint FROM product_totals"
	// foldTotals makes one row of those that are there. Of two machines that
	// fold the same rows, the second finds them gone and adds nothing.
	foldTotals = `
		WITH folded AS (DELETE FROM product_totals RETURNING delta)
		INSERT INTO product_totals SELECT sum(delta) FROM folded HAVING sum(delta) <> 0`
)
