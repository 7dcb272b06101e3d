package db_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"importer"
	"importer/db"
	"importer/db/dbtest"
)

// fields of a product with this SKU.
func fields(sku string) importer.ProductFields {
	return importer.ProductFields{SKU: new(sku), Name: new("name of " + sku)}
}

func create(t testing.TB, d *db.DB, sku string) importer.Product {
	t.Helper()
	p, err := d.CreateProduct(t.Context(), fields(sku))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// told is an event and what the outbox has of it.
type told struct {
	Kind, Data string
}

// productEvents returns the events of the catalogue, after checking that the
// outbox has the same, but for the ends of imports: webhooks hear of batches.
func productEvents(t testing.TB, d *db.DB, conn *pgx.Conn) []told {
	t.Helper()
	events := eventsOf(t, d, importer.TopicProducts)
	var all []told
	for _, e := range events {
		all = append(all, told{e.Kind, string(e.Data)})
	}
	events = slices.DeleteFunc(events, func(e importer.Event) bool { return e.Kind == importer.EventProductsChanged })
	rows, err := conn.Query(t.Context(), `SELECT id, type, payload, created_at, fanned_out FROM webhook_events
		WHERE type LIKE 'product.%' OR type = 'products.deleted_all' ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	var id, kind string
	var payload []byte
	var at time.Time
	var fannedOut bool
	n := 0
	_, err = pgx.ForEachRow(rows, []any{&id, &kind, &payload, &at, &fannedOut}, func() error {
		var body struct {
			Type      string
			Timestamp time.Time
			Data      map[string]any
		}
		if err := json.Unmarshal(payload, &body); err != nil {
			return err
		}
		if len(payload) > 64<<10 || !strings.HasPrefix(id, "msg_") || fannedOut || n >= len(events) {
			t.Errorf("outbox row %d: id %s, %d bytes, fanned out: %v", n, id, len(payload), fannedOut)
			return nil
		}
		e := events[n]
		n++
		want := map[string]any{}
		if err := json.Unmarshal(e.Data, &want); err != nil {
			return err
		}
		want["seq"] = float64(e.Seq)
		if kind != e.Kind || body.Type != e.Kind || !body.Timestamp.Equal(e.At) || !at.Equal(e.At) {
			t.Errorf("outbox row %d: got %s, %s at %v, want %s at %v", n, kind, body.Type, at, e.Kind, e.At)
		}
		if diff := gocmp.Diff(want, body.Data); diff != "" {
			t.Errorf("outbox row %d (-event +payload):\n%s", n, diff)
		}
		return nil
	})
	if err != nil || n != len(events) {
		t.Errorf("outbox: got %d rows, %v, want %d", n, err, len(events))
	}
	return all
}

func about(t testing.TB, kind string, p importer.Product) told {
	t.Helper()
	data, err := json.Marshal(map[string]any{"product": p})
	if err != nil {
		t.Fatal(err)
	}
	return told{kind, string(data)}
}

func TestProductLivesAndDies(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := dbtest.URL(t)
	now := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	d, conn := openAt(t, url, func() time.Time { return now }), connect(t, url)
	var heard []importer.Event
	d.OnCommit(func(e []importer.Event) { heard = append(heard, e...) })

	created, err := d.CreateProduct(ctx, importer.ProductFields{SKU: new(" A\u200b-1 "), Name: new("  Bolt "), Description: new(" as it is ")})
	if err != nil {
		t.Fatal(err)
	}
	want := importer.Product{ID: created.ID, SKU: "A-1", Name: "Bolt", Description: " as it is ", Active: true, Version: 1, CreatedAt: now, UpdatedAt: now}
	if diff := gocmp.Diff(want, created); diff != "" || created.ID == 0 {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	now = now.Add(time.Minute)
	changed, err := d.UpdateProduct(ctx, created.ID, 1, importer.ProductFields{SKU: new("a-1"), Active: new(false)})
	if err != nil {
		t.Fatal(err)
	}
	want.SKU, want.Active, want.Version, want.UpdatedAt = "a-1", false, 2, now
	if diff := gocmp.Diff(want, changed); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
	now = now.Add(time.Minute)
	same, err := d.UpdateProduct(ctx, created.ID, 0, importer.ProductFields{Name: new(" Bolt"), Active: new(false)})
	if diff := gocmp.Diff(want, same); err != nil || diff != "" {
		t.Errorf("changed to what it is: %v (-want +got):\n%s", err, diff)
	}
	read, err := d.Product(ctx, created.ID)
	if diff := gocmp.Diff(want, read); err != nil || diff != "" {
		t.Errorf("read: %v (-want +got):\n%s", err, diff)
	}

	for name, step := range map[string]func() error{
		"update": func() error {
			_, err := d.UpdateProduct(ctx, created.ID, 1, importer.ProductFields{Name: new("x")})
			return err
		},
		"delete": func() error { return d.DeleteProduct(ctx, created.ID, 3) },
	} {
		if err := step(); importer.ErrorCode(err) != importer.Precondition {
			t.Errorf("%s of another version: got %v, want %v", name, err, importer.Precondition)
		}
	}
	if err := d.DeleteProduct(ctx, created.ID, 2); err != nil {
		t.Fatal(err)
	}
	for name, step := range map[string]func() error{
		"read":   func() error { _, err := d.Product(ctx, created.ID); return err },
		"update": func() error { _, err := d.UpdateProduct(ctx, created.ID, 0, importer.ProductFields{}); return err },
		"delete": func() error { return d.DeleteProduct(ctx, created.ID, 0) },
	} {
		e, _ := errors.AsType[*importer.Error](step())
		if e == nil || e.Code != importer.NotFound || e.Message != "There is no such product." {
			t.Errorf("%s after the deletion: got %v", name, e)
		}
	}
	events := []told{
		about(t, importer.EventProductCreated, created), about(t, importer.EventProductUpdated, changed), about(t, importer.EventProductDeleted, changed),
	}
	if diff := gocmp.Diff(events, productEvents(t, d, conn)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if len(heard) != len(events) {
		t.Errorf("got %d events after commits, want %d", len(heard), len(events))
	}
	if page := list(t, d, importer.ProductQuery{}); page.Total != 0 || len(page.Items) != 0 {
		t.Errorf("got %+v, want nothing left", page)
	}
}

func TestProductFieldsAreChecked(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	p := create(t, d, "x")
	before := productEvents(t, d, conn)
	tests := []struct {
		name     string
		fields   importer.ProductFields
		pointers string
	}{
		{"no SKU", importer.ProductFields{SKU: new(" \u200b ")}, "/sku"},
		{"control character", importer.ProductFields{SKU: new("a\tb")}, "/sku"},
		{"long SKU", importer.ProductFields{SKU: new(strings.Repeat("ü", 256))}, "/sku"},
		{"no name", importer.ProductFields{Name: new(" ")}, "/name"},
		{"long name", importer.ProductFields{Name: new(strings.Repeat("ü", 513))}, "/name"},
		{"long description", importer.ProductFields{Description: new(strings.Repeat("x", 1<<20+1))}, "/description"},
		{"NUL", importer.ProductFields{Description: new("a\x00b")}, "/description"},
		{"not UTF-8", importer.ProductFields{SKU: new("a\xffb"), Name: new("\xff")}, "/sku /name"},
		{"all wrong", importer.ProductFields{SKU: new(""), Name: new(""), Description: new("\x00")}, "/description /sku /name"},
	}
	for _, test := range tests {
		full := fields("y")
		if test.fields.SKU != nil {
			full.SKU = test.fields.SKU
		}
		if test.fields.Name != nil {
			full.Name = test.fields.Name
		}
		full.Description = test.fields.Description
		_, created := d.CreateProduct(t.Context(), full)
		_, updated := d.UpdateProduct(t.Context(), p.ID, 0, test.fields)
		for step, err := range map[string]error{"create": created, "update": updated} {
			e, _ := errors.AsType[*importer.Error](err)
			if e == nil || e.Code != importer.Invalid {
				t.Errorf("%s, %s: got %v, want %v", test.name, step, err, importer.Invalid)
				continue
			}
			var pointers []string
			for _, f := range e.Fields {
				pointers = append(pointers, f.Pointer)
				if !strings.HasSuffix(f.Detail, ".") {
					t.Errorf("%s, %s: got %q, want a sentence", test.name, step, f.Detail)
				}
			}
			if got := strings.Join(pointers, " "); got != test.pointers {
				t.Errorf("%s, %s: got %s, want %s", test.name, step, got, test.pointers)
			}
		}
	}
	_, err := d.CreateProduct(t.Context(), importer.ProductFields{})
	if e, _ := errors.AsType[*importer.Error](err); e == nil || len(e.Fields) != 2 {
		t.Errorf("nothing at all: got %v, want SKU and name to be asked for", err)
	}
	fits := importer.ProductFields{SKU: new(strings.Repeat("ü", 255)), Name: new(strings.Repeat("ü", 512)), Description: new(strings.Repeat("x", 1<<20))}
	if _, err := d.CreateProduct(t.Context(), fits); err != nil {
		t.Errorf("the largest product: got %v", err)
	}
	after := productEvents(t, d, conn)
	if len(after) != len(before)+1 || !strings.Contains(after[len(after)-1].Data, `"description":"","`) ||
		!strings.HasSuffix(after[len(after)-1].Data, `"description_omitted":true}`) {
		t.Errorf("got %d events, the last %.200s", len(after), after[len(after)-1].Data)
	}
}

func TestOneSKUOneProduct(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	const tries = 8
	results := make(chan error, tries)
	for n := range tries {
		go func() {
			_, err := d.CreateProduct(t.Context(), fields([]string{"Kelvin É", "\u212aELVIN e\u0301"}[n%2]))
			results <- err
		}()
	}
	conflicts := 0
	for range tries {
		if err := <-results; err != nil {
			isSKUConflict(t, err)
			conflicts++
		}
	}
	if events := productEvents(t, d, conn); conflicts != tries-1 || len(events) != 1 {
		t.Errorf("got %d conflicts and %d events, want %d and 1", conflicts, len(events), tries-1)
	}
	other := create(t, d, "other")
	_, err := d.UpdateProduct(t.Context(), other.ID, 0, importer.ProductFields{SKU: new("kelvin é")})
	isSKUConflict(t, err)
	if got := list(t, d, importer.ProductQuery{}).Total; got != 2 {
		t.Errorf("got a total of %d, want 2", got)
	}
}

func isSKUConflict(t testing.TB, err error) {
	t.Helper()
	const why = "Another product already has this SKU (upper and lower case count as the same)."
	e, _ := errors.AsType[*importer.Error](err)
	if e == nil || e.Code != importer.Conflict || e.Message != why || !slices.Equal(e.Fields, []importer.FieldError{{Pointer: "/sku", Detail: why}}) {
		t.Errorf("got %v, want a conflict about the SKU", err)
	}
}

func TestAnswersAreRememberedForADay(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	url := dbtest.URL(t)
	d, conn := openAt(t, url, func() time.Time { return now }), connect(t, url)
	check := func(key, request, want string, code importer.Code) {
		t.Helper()
		got, err := d.Remembered(ctx, key, request)
		if string(got) != want || importer.ErrorCode(err) != code {
			t.Errorf("got %q, %v, want %q, %q", got, err, want, code)
		}
	}
	remember := func(key, answer string) {
		t.Helper()
		if err := d.Remember(ctx, key, "POST /x", []byte(answer), now); err != nil {
			t.Fatal(err)
		}
	}
	check("k", "POST /x", "", "")
	remember("k", "one")
	remember("k", "two")
	check("k", "POST /x", "one", "")
	check("k", "POST /y", "", importer.Conflict)
	now = now.Add(24*time.Hour - time.Second)
	check("k", "POST /x", "one", "")
	now = now.Add(time.Second)
	check("k", "POST /x", "", "")
	check("k", "POST /y", "", "")
	remember("l", "new")
	var left []string
	if err := conn.QueryRow(ctx, "SELECT array_agg(key) FROM remembered_answers").Scan(&left); err != nil || !slices.Equal(left, []string{"l"}) {
		t.Errorf("got %v kept, %v, want the new one only", left, err)
	}
	now = now.Add(25 * time.Hour)
	remember("l", "newer")
	check("l", "POST /x", "newer", "")
}

func TestEachProductIsOneSnapshot(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := dbtest.Open(t)
	c := writing(t, d, 0)
	var skus []string
	for i := range 2500 {
		skus = append(skus, fmt.Sprintf("sku %04d", i))
	}
	merge(t, d, c, 0, rowsOf(skus...))
	if _, err := d.CancelImport(ctx, c.ID); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := d.EachProduct(ctx, func(p importer.Product) error {
		if got = append(got, p.SKU); len(got) == 1 {
			create(t, d, "later")
			if err := d.DeleteProduct(ctx, p.ID+2000, 0); err != nil {
				return err
			}
			if _, err := d.DeleteAllProducts(ctx); importer.ErrorCode(err) != importer.Conflict {
				t.Errorf("delete all meanwhile: got %v, want %v", err, importer.Conflict)
			}
		}
		return nil
	})
	if diff := gocmp.Diff(skus, got); err != nil || diff != "" {
		t.Errorf("got %d products, %v (-want +got):\n%s", len(got), err, diff)
	}
	stop := errors.New("stop")
	if err := d.EachProduct(ctx, func(importer.Product) error { return stop }); err != stop {
		t.Errorf("got %v, want %v", err, stop)
	}
	ending, end := context.WithCancel(ctx)
	err = d.EachProduct(ending, func(importer.Product) error { end(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
