package client_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"importer"
	"importer/client"
	"importer/db/dbtest"
	"importer/httpd"
)

// Change a product that nobody else has changed meanwhile.
func ExampleClient_UpdateProduct() {
	server, stop := exampleServer()
	defer stop()
	ctx := context.Background()
	c, err := client.New(client.Options{Server: server})
	if err != nil {
		log.Fatal(err)
	}
	sku, name, better := "LMP-1", "Desk lamp", "Desk lamp, brass"
	p, err := c.CreateProduct(ctx, importer.ProductFields{SKU: &sku, Name: &name}, "order-4711")
	if err != nil {
		log.Fatal(err)
	}
	changed, err := c.UpdateProduct(ctx, p.ID, p.Version, importer.ProductFields{Name: &better})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(changed.SKU, changed.Name, changed.Version)

	// p is old by now.
	_, err = c.UpdateProduct(ctx, p.ID, p.Version, importer.ProductFields{Name: &name})
	fmt.Println(importer.ErrorCode(err))
	// Output:
	// LMP-1 Desk lamp, brass 2
	// precondition
}

// Go through all products that match, however many there are.
func ExampleClient_EachProduct() {
	server, stop := exampleServer()
	defer stop()
	ctx := context.Background()
	c, err := client.New(client.Options{Server: server})
	if err != nil {
		log.Fatal(err)
	}
	for _, tea := range []string{"Green tea", "Black tea", "Coffee", "White tea"} {
		sku := strings.ToUpper(tea[:3])
		if _, err := c.CreateProduct(ctx, importer.ProductFields{SKU: &sku, Name: &tea}, ""); err != nil {
			log.Fatal(err)
		}
	}
	teas := importer.ProductQuery{ProductFilter: importer.ProductFilter{Name: "tea"}, Sort: importer.SortName, Limit: 2}
	for p, err := range c.EachProduct(ctx, teas) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(p.SKU, p.Name)
	}
	// Output:
	// BLA Black tea
	// GRE Green tea
	// WHI White tea
}

func TestProductsOverTheWire(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	l, err := startLive(dbtest.URL(t), httpd.SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.stop(); err != nil {
			t.Error(err)
		}
	})
	c, err := client.New(client.Options{Server: l.url})
	if err != nil {
		t.Fatal(err)
	}
	sku, name, off := "=A&B/1", "Näme", false
	p, err := c.CreateProduct(ctx, importer.ProductFields{SKU: &sku, Name: &name, Active: &off}, "k1")
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.CreateProduct(ctx, importer.ProductFields{SKU: &sku, Name: &name, Active: &off}, "k1")
	if d := cmp.Diff(p, again); err != nil || d != "" {
		t.Errorf("created again under the same key: %v (-first +again):\n%s", err, d)
	}
	got, err := c.Product(ctx, p.ID)
	if d := cmp.Diff(p, got); err != nil || d != "" || p.Active || p.Version != 1 {
		t.Errorf("read: %v (-created +read):\n%s", err, d)
	}
	page, err := c.Products(ctx, importer.ProductQuery{
		ProductFilter: importer.ProductFilter{Q: "a&b", SKU: "=A", Name: "näme", Active: &off}, Desc: true, Page: 1, Limit: 1,
	})
	if err != nil || page.Total != 1 || page.Items[0].ID != p.ID {
		t.Errorf("list: got %+v (%v), want the one product", page, err)
	}
	var file bytes.Buffer
	if err := c.ExportProducts(ctx, &file, true); err != nil || file.String() != "\ufeffsku,name,description,active\n'=A&B/1,Näme,,false\n" {
		t.Errorf("export: got %q (%v)", file.String(), err)
	}
	if _, err := c.CreateProduct(ctx, importer.ProductFields{SKU: &sku, Name: &name}, ""); importer.ErrorCode(err) != importer.Conflict {
		t.Errorf("the same SKU: got %v, want a conflict", err)
	}
	if err := c.DeleteProduct(ctx, p.ID, 7); importer.ErrorCode(err) != importer.Precondition {
		t.Errorf("delete of another version: got %v, want a failed precondition", err)
	}
	if err := c.DeleteProduct(ctx, p.ID, 1); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := c.Product(ctx, p.ID); importer.ErrorCode(err) != importer.NotFound {
		t.Errorf("deleted: got %v, want not found", err)
	}
	if _, err := c.CreateProduct(ctx, importer.ProductFields{SKU: &sku, Name: &name}, ""); err != nil {
		t.Fatal(err)
	}
	if state, err := c.Indexing(ctx); err != nil || state.Total != 1 {
		t.Errorf("indexing: got %+v (%v), want a total of 1", state, err)
	}
	if n, err := c.DeleteAllProducts(ctx); n != 1 || err != nil {
		t.Errorf("delete all: got %d (%v), want 1", n, err)
	}
	for _, err := range c.EachProduct(ctx, importer.ProductQuery{Cursor: "forged"}) {
		if importer.ErrorCode(err) != importer.Malformed {
			t.Errorf("a forged cursor: got %v, want malformed", err)
		}
	}
}

// An export that breaks off is an error, and so is one that never begins.
func TestExportThatFails(t *testing.T) {
	t.Parallel()
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("spreadsheet") == "true" {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"code":"unavailable","detail":"The database cannot be reached."}`)
			return
		}
		fmt.Fprint(w, strings.Repeat("x", 100_000))
		panic(http.ErrAbortHandler)
	}))
	var file bytes.Buffer
	if err := c.ExportProducts(t.Context(), &file, false); err == nil {
		t.Errorf("got %d bytes and no error", file.Len())
	}
	err := c.ExportProducts(t.Context(), &file, true)
	if importer.ErrorCode(err) != importer.Unavailable || !strings.Contains(err.Error(), "database") {
		t.Errorf("got %v, want what the server said", err)
	}
}
