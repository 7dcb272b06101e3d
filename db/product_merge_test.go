package db_test

import (
	"testing"

	"importer"
	"importer/db"
)

// rowsOf makes rows with these SKUs, which must be sorted.
func rowsOf(skus ...string) []importer.Row {
	rows := make([]importer.Row, len(skus))
	for i, sku := range skus {
		rows[i] = importer.Row{SKU: sku, Key: importer.SKUKey(sku), Name: "name of " + sku, Description: "about " + sku}
	}
	return rows
}

// merge writes a batch of a claimed import.
func merge(t testing.TB, d *db.DB, c importer.Claim, number int, rows []importer.Row) importer.Merged {
	t.Helper()
	m, err := d.MergeBatch(t.Context(), importer.Batch{ImportID: c.ID, Epoch: c.Epoch, Number: number, Rows: rows, HasDescription: true}, "")
	if err != nil {
		t.Fatal(err)
	}
	return m
}
