package main

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"importer"
	"importer/client"
	"importer/db/dbtest"
	"importer/internal/sample"
)

// What is exported goes back in and changes nothing, also what an editor or a
// spreadsheet would have changed.
func TestExportAndImportAgain(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := serveProcess(t, []string{"DATABASE_URL=" + dbtest.URL(t)}, "--data-dir", t.TempDir())
	file, want := writeCatalogue(t, sample.Options{Rows: 5_000, Repeats: 0.05, Seed: 7})
	checkCounts(t, importFile(t, p, file, client.Upload{}), want)
	for sku, texts := range map[string][2]string{
		"00123":     {"plain", ""},
		`a "b"`:     {"with, comma", "two\nlines\r\nand\rmore\n"},
		"=1+1":      {"@SUM(A1)", "-5"},
		"+4":        {"café 日本", "\tindented  "},
		"x;y":       {`5" pipe`, "  \"quoted\"  \r"},
		`\.`:        {"'apostrophe", "\ufeffmark"},
		"sep=;":     {"a|b", strings.Repeat("\"\n", 100_000)},
		"nel\u00a0": {"\u2028inside\u2028", "\u0085\v\f"},
	} {
		off := false
		if _, err := p.client.CreateProduct(ctx, importer.ProductFields{SKU: &sku, Name: &texts[0], Description: &texts[1], Active: &off}, ""); err != nil {
			t.Fatalf("%q: %v", sku, err)
		}
	}
	all := int64(want.Created) + 8
	before := allProducts(t, p)
	exported := filepath.Join(t.TempDir(), "products.csv")
	if err := os.WriteFile(exported, export(t, p), 0o600); err != nil {
		t.Fatal(err)
	}
	again := importFile(t, p, exported, client.Upload{})
	if d := cmp.Diff(importer.Counts{Rows: all, Unchanged: all}, again.Counts); d != "" || again.State != importer.Completed {
		t.Errorf("the export imported again: %s, counts (-want +got):\n%s", again.State, d)
	}
	if d := cmp.Diff(before, allProducts(t, p)); d != "" {
		t.Errorf("the catalogue has changed (-before +after):\n%s", d)
	}

	// And into an empty catalogue: the same products but for what an import
	// does not know.
	if n, err := p.client.DeleteAllProducts(ctx); n != all || err != nil {
		t.Fatalf("deleted %d (%v), want %d", n, err, all)
	}
	fresh := importFile(t, p, exported, client.Upload{})
	if d := cmp.Diff(importer.Counts{Rows: all, Created: all}, fresh.Counts); d != "" {
		t.Errorf("into an empty catalogue (-want +got):\n%s", d)
	}
	if d := cmp.Diff(texts(before), texts(allProducts(t, p))); d != "" {
		t.Errorf("the catalogue is another (-before +after):\n%s", d)
	}
}

// A megabyte to look for gets an answer that helps, two get one at all.
func TestVeryLongSearch(t *testing.T) {
	t.Parallel()
	p := serveProcess(t, []string{"DATABASE_URL=" + dbtest.URL(t)}, "--data-dir", t.TempDir())
	_, err := p.client.Products(t.Context(), importer.ProductQuery{ProductFilter: importer.ProductFilter{Q: strings.Repeat("x", 1<<20)}})
	if e, ok := errors.AsType[*importer.Error](err); !ok || e.Code != importer.Invalid || len(e.Fields) != 1 || e.Fields[0].Pointer != "q" || len(e.Error()) > 500 {
		t.Errorf("got %.500v, want a short answer about q", err)
	}
	resp, err := http.Get(p.url + "/api/products?q=" + strings.Repeat("x", 2<<20))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %d, want 431", resp.StatusCode)
	}
}

// The page of the API is there.
func TestPageOfTheAPI(t *testing.T) {
	t.Parallel()
	p := serveProcess(t, []string{"DATABASE_URL=" + dbtest.URL(t)}, "--data-dir", t.TempDir())
	for path, want := range map[string]int{
		"/docs":             http.StatusOK,
		"/api/openapi.json": http.StatusOK,
	} {
		resp, err := http.Get(p.url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%.40s: got %d, want %d", path, resp.StatusCode, want)
		}
	}
}

func export(t *testing.T, p *process) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := p.client.ExportProducts(t.Context(), &file, false); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// allProducts is all products by SKU.
func allProducts(t *testing.T, p *process) map[string]importer.Product {
	t.Helper()
	all := map[string]importer.Product{}
	for product, err := range p.client.EachProduct(t.Context(), importer.ProductQuery{Limit: 200}) {
		if err != nil {
			t.Fatal(err)
		}
		all[product.SKU] = product
	}
	return all
}

func texts(products map[string]importer.Product) map[string][2]string {
	all := map[string][2]string{}
	for sku, p := range products {
		all[sku] = [2]string{p.Name, p.Description}
	}
	return all
}
