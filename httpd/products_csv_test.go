package httpd_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"importer"
	"importer/internal/csvfile"
)

// awkward are texts that a careless export changes.
var awkward = []importer.Product{
	{ID: 1, SKU: "00123", Name: "plain", Description: "", Active: true},
	{ID: 2, SKU: `a "b"`, Name: "with, comma", Description: "two\nlines\r\nand\rmore\n"},
	{ID: 3, SKU: "=1+1", Name: "@SUM(A1)", Description: "-5", Active: true},
	{ID: 4, SKU: "+4", Name: "café 日本", Description: "\tindented  "},
	{ID: 5, SKU: "x;y", Name: `5" pipe`, Description: "  \"quoted\"  \r"},
	{ID: 6, SKU: "6", Name: "NULL", Description: "\r=cmd|' /C calc'!A0"},
	{ID: 7, SKU: `\.`, Name: "'apostrophe", Description: "\ufeffmark"},
	{ID: 8, SKU: "sep=;", Name: "a|b", Description: strings.Repeat("\"\n", 10_000)},
}

func TestExport(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, p := range awkward[:4] {
		b.products.byID[p.ID] = p
	}
	r := b.do("GET", "/api/products/export.csv", nil)
	want := "sku,name,description,active\n00123,plain,,true\n\"a \"\"b\"\"\",\"with, comma\",\"two\nlines\r\nand\rmore\n\",false\n" +
		"=1+1,@SUM(A1),-5,true\n+4,café 日本,\"\tindented  \",false\n"
	if d := cmp.Diff(want, string(r.body)); r.status != http.StatusOK || d != "" {
		t.Errorf("status %d, file (-want +got):\n%s", r.status, d)
	}
	for name, want := range map[string]string{"Content-Type": "text/csv; charset=utf-8", "Content-Disposition": `attachment; filename="products.csv"`} {
		if got := r.header.Get(name); got != want {
			t.Errorf("got %s %q, want %q", name, got, want)
		}
	}
	sheet := string(b.do("GET", "/api/products/export.csv?spreadsheet=true", nil).body)
	want = "\ufeffsku,name,description,active\n00123,plain,,true\n\"a \"\"b\"\"\",\"with, comma\",\"two\nlines\r\nand\rmore\n\",false\n" +
		"'=1+1,'@SUM(A1),'-5,true\n'+4,café 日本,'\tindented  ,false\n"
	if d := cmp.Diff(want, sheet); d != "" {
		t.Errorf("for spreadsheets (-want +got):\n%s", d)
	}
	if got := b.do("HEAD", "/api/products/export.csv", nil); got.status != http.StatusOK || len(got.body) != 0 {
		t.Errorf("HEAD: got %d and %d bytes", got.status, len(got.body))
	}
	for query, pointer := range map[string]string{"spreadsheet=perhaps": "spreadsheet", "spredsheet=true": "spredsheet", "q=lamp": "q"} {
		p := b.problem(b.do("GET", "/api/products/export.csv?"+query, nil), http.StatusUnprocessableEntity, importer.Invalid)
		if d := cmp.Diff([]string{pointer}, pointers(p)); d != "" {
			t.Errorf("%s (-want +got):\n%s", query, d)
		}
	}
}

// What is exported is read back as it was.
func TestExportGoesBackIn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, p := range awkward {
		b.products.byID[p.ID] = p
	}
	rows := csvfile.Open(bytes.NewReader(b.do("GET", "/api/products/export.csv", nil).body), nil, 1<<20)
	head, err := rows.Head()
	if err != nil || head.Encoding != "utf-8" || head.Delimiter != "," {
		t.Fatalf("got head %+v (%v)", head, err)
	}
	for _, p := range awkward {
		got, err := rows.Next()
		want := importer.Record{Row: importer.Row{SKU: p.SKU, Key: importer.SKUKey(p.SKU), Name: p.Name, Description: p.Description}}
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%v (-want +got):\n%s", err, d)
		}
	}
	if _, err := rows.Next(); err != io.EOF {
		t.Errorf("got %v after the last product, want the end", err)
	}
}

// A download that breaks off must not look whole.
func TestExportBreaksOffVisibly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	away := importer.Errorf(importer.Unavailable, "The database cannot be reached.")
	b.products.each = func(f func(importer.Product) error) error {
		return errors.Join(f(importer.Product{SKU: "a", Description: strings.Repeat("x", 200_000)}), away)
	}
	resp, err := b.client.Get(b.url + "/api/products/export.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("got %d bytes and a proper end, want an error", n)
	}
	// Nothing was sent yet: there is still a better way to say it.
	b.products.each = func(f func(importer.Product) error) error { return errors.Join(f(importer.Product{SKU: "a"}), away) }
	r := b.do("GET", "/api/products/export.csv", nil)
	b.problem(r, http.StatusServiceUnavailable, importer.Unavailable)
	if got := r.header.Get("Content-Disposition"); got != "" {
		t.Errorf("got Content-Disposition %q of a problem, want none", got)
	}
}

// The reader going away ends the walk through the catalogue.
func TestExportEndsWithItsReader(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ended := make(chan error, 1)
	b.products.each = func(f func(importer.Product) error) error {
		for {
			if err := f(importer.Product{SKU: "a", Description: strings.Repeat("x", 100_000)}); err != nil {
				ended <- err
				return err
			}
		}
	}
	resp, err := b.client.Get(b.url + "/api/products/export.csv")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if err := <-ended; err == nil {
		t.Error("got no error")
	}
}

// The memory of an export does not depend on the number of products. The
// store is one that makes them up, so that only the server's memory counts.
func TestExportNeedsLittleMemory(t *testing.T) {
	b := setup(t)
	const products = 500_000
	description := strings.Repeat("words ", 20)
	var before, during runtime.MemStats
	peak := uint64(0)
	b.products.each = func(f func(importer.Product) error) error {
		for i := range products {
			if err := f(importer.Product{ID: int64(i), SKU: fmt.Sprint("SKU-", i), Name: "Name", Description: description}); err != nil {
				return err
			}
			if i%(products/10) == 0 {
				runtime.GC()
				runtime.ReadMemStats(&during)
				peak = max(peak, during.HeapAlloc)
			}
		}
		return nil
	}
	runtime.GC()
	runtime.ReadMemStats(&before)
	live := httptest.NewServer(b.server.Handler())
	defer live.Close()
	resp, err := live.Client().Get(live.URL + "/api/products/export.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || n < products*100 {
		t.Fatalf("got %d bytes (%v), want %d products", n, err, products)
	}
	if grown := int64(peak) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("the heap grew by %d KiB for %d MiB of export, want at most 8 MiB", grown>>10, n>>20)
	}
}
