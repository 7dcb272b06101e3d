package httpd_test

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"importer"
)

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, b *bench) {
		key := uuid.NewString()
		first := b.do("POST", "/api/products", strings.NewReader(lamp), "Idempotency-Key", key)
		decode[importer.Product](b, first, http.StatusCreated)
		b.do("PATCH", first.header.Get("Location"), strings.NewReader(`{"name":"changed since"}`))
		// Quoted is the same key, and white space is not another request.
		for _, again := range []reply{
			b.do("POST", "/api/products", strings.NewReader(lamp), "Idempotency-Key", key),
			b.do("POST", "/api/products", strings.NewReader(`{ "name":"Desk lamp", "sku":"LMP-1" }`), "Idempotency-Key", `"`+key+`"`),
		} {
			if d := cmp.Diff(string(first.body), string(again.body)); again.status != http.StatusCreated || d != "" {
				t.Errorf("again: status %d, body (-first +again):\n%s", again.status, d)
			}
			for _, name := range []string{"Location", "ETag"} {
				if got, want := again.header.Get(name), first.header.Get(name); got != want {
					t.Errorf("again: got %s %q, want %q", name, got, want)
				}
			}
			if got := again.header.Get("Idempotency-Replayed"); got != "true" {
				t.Errorf("again: got Idempotency-Replayed %q, want true", got)
			}
		}
		p := b.problem(b.do("POST", "/api/products", strings.NewReader(`{"sku":"other","name":"x"}`), "Idempotency-Key", key), http.StatusUnprocessableEntity, importer.Invalid)
		if !slices.Equal(pointers(p), []string{"Idempotency-Key"}) {
			t.Errorf("got errors %+v, want one at the header", p.Errors)
		}
		for _, bad := range []string{`""`, "with space", "naïve", strings.Repeat("k", 256)} {
			b.problem(b.do("POST", "/api/products", strings.NewReader(lamp), "Idempotency-Key", bad), http.StatusBadRequest, importer.Malformed)
		}
		// A failure is not kept.
		b.problem(b.do("POST", "/api/products", strings.NewReader(`{"sku":"later"}`), "Idempotency-Key", "k2"), http.StatusUnprocessableEntity, importer.Invalid)
		if r := b.do("POST", "/api/products", strings.NewReader(`{"sku":"later","name":"x"}`), "Idempotency-Key", "k2"); r.status != http.StatusCreated {
			t.Errorf("mended: got %d, want 201: %s", r.status, r.body)
		}
	})
}

// Duplicates that are under way at the same time: one creates, the others get
// its answer.
func TestIdempotencyKeyAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	inside, goOn := make(chan struct{}, 8), make(chan struct{})
	b.products.creating = func() { inside <- struct{}{}; <-goOn }
	replies := make([]reply, 8)
	var wg sync.WaitGroup
	for i := range replies {
		wg.Go(func() {
			replies[i] = b.do("POST", "/api/products", strings.NewReader(lamp), "Idempotency-Key", "at-once")
		})
	}
	<-inside
	close(goOn)
	wg.Wait()
	replayed := 0
	for _, r := range replies {
		if r.status != http.StatusCreated || !bytes.Equal(r.body, replies[0].body) {
			t.Errorf("got %d %s, want 201 and the same body", r.status, r.body)
		}
		if r.header.Get("Idempotency-Replayed") == "true" {
			replayed++
		}
	}
	if replayed != 7 || len(inside) != 0 {
		t.Errorf("got %d replayed and %d more creations, want 7 and none", replayed, len(inside))
	}
}

func TestIdempotencyKeyOfUploads(t *testing.T) {
	t.Parallel()
	b := setup(t)
	content := csv(5_000)
	first := b.do("POST", "/api/imports?filename=a.csv", bytes.NewReader(content), "Idempotency-Key", "upload-1")
	imp := decode[importer.Import](b, first, http.StatusAccepted)
	again := b.do("POST", "/api/imports?filename=a.csv", bytes.NewReader(content), "Idempotency-Key", "upload-1")
	if again.status != http.StatusAccepted || again.header.Get("Idempotency-Replayed") != "true" || !bytes.Equal(first.body, again.body) {
		t.Errorf("again: got %d, replayed %q: %s", again.status, again.header.Get("Idempotency-Replayed"), again.body)
	}
	if got, err := b.store.only(); err != nil || got.ID != imp.ID {
		t.Errorf("got %v, want one import", err)
	}
	b.problem(b.do("POST", "/api/imports?filename=a.csv&dry_run", bytes.NewReader(content), "Idempotency-Key", "upload-1"), http.StatusUnprocessableEntity, importer.Invalid)
	b.problem(b.do("POST", "/api/imports?filename=a.csv", bytes.NewReader(content[1:]), "Idempotency-Key", "upload-1"), http.StatusUnprocessableEntity, importer.Invalid)
	b.problem(b.do("POST", "/api/products", strings.NewReader(lamp), "Idempotency-Key", "upload-1"), http.StatusUnprocessableEntity, importer.Invalid)
}
