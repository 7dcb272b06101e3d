package httpd_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"importer"
	"importer/db/dbtest"
	"importer/httpd"
)

const lamp = `{"sku":"LMP-1","name":"Desk lamp"}`

// create adds a product and returns it with its address.
func (b *bench) create(body string) (p importer.Product, path string) {
	b.t.Helper()
	r := b.do("POST", "/api/products", strings.NewReader(body))
	p = decode[importer.Product](b, r, http.StatusCreated)
	return p, r.header.Get("Location")
}

// inPostgres puts the real catalogue under the server.
func inPostgres(t *testing.T) func(*httpd.Options) {
	store := dbtest.Open(t)
	return func(o *httpd.Options) { o.Imports, o.Products, o.Events = store, store, store }
}

// stores are the catalogues that a test of the contract runs over.
func stores(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Run("fake", func(t *testing.T) { t.Parallel(); test(t, setup(t)) })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); test(t, setup(t, inPostgres(t))) })
}

// The JSON of a product, word for word: clients in other languages rely on it.
func TestProductJSON(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.do("POST", "/api/products", strings.NewReader(`{"sku":" LMP-1 ","name":"Desk <lamp>","description":"warm"}`))
	const want = `{"id":1,"sku":"LMP-1","name":"Desk <lamp>","description":"warm","active":true,"version":1,` +
		`"created_at":"2026-01-02T03:04:05.000678Z","updated_at":"2026-01-02T03:04:05.000678Z"}` + "\n"
	if d := cmp.Diff(want, string(r.body)); r.status != http.StatusCreated || d != "" {
		t.Errorf("status %d, body (-want +got):\n%s", r.status, d)
	}
	for name, want := range map[string]string{"Location": "/api/products/1", "ETag": `"1"`, "Content-Type": "application/json", "Idempotency-Replayed": ""} {
		if got := r.header.Get(name); got != want {
			t.Errorf("got %s %q, want %q", name, got, want)
		}
	}
	got := string(b.do("GET", "/api/products", nil).body)
	if want := `{"items":[` + strings.TrimSpace(want) + `],"next":null,"prev":null,"total":1,"total_is_floor":false}` + "\n"; got != want {
		t.Errorf("list: got %s, want %s", got, want)
	}
	if got := string(b.do("GET", "/api/products/indexing", nil).body); got != `{"indexed":7,"total":10,"pending":3}`+"\n" {
		t.Errorf("indexing: got %s", got)
	}
}

func TestProductLife(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, b *bench) {
		if got := string(b.do("GET", "/api/products", nil).body); got != `{"items":[],"next":null,"prev":null,"total":0,"total_is_floor":false}`+"\n" {
			t.Errorf("empty catalogue: got %s", got)
		}
		p, path := b.create(lamp)
		r := b.do("PATCH", path, strings.NewReader(`{"description":"warm","active":false}`), "If-Match", `"1"`)
		changed := decode[importer.Product](b, r, http.StatusOK)
		want := p
		want.Description, want.Active, want.Version, want.UpdatedAt = "warm", false, 2, changed.UpdatedAt
		if d := cmp.Diff(want, changed); d != "" || r.header.Get("ETag") != `"2"` {
			t.Errorf("ETag %s, changed product (-want +got):\n%s", r.header.Get("ETag"), d)
		}
		got := decode[importer.Product](b, b.do("GET", path, nil), http.StatusOK)
		if d := cmp.Diff(changed, got); d != "" {
			t.Errorf("read again (-want +got):\n%s", d)
		}
		if r := b.do("DELETE", path, nil); r.status != http.StatusNoContent || len(r.body) != 0 {
			t.Errorf("delete: got %d %q, want 204 and no body", r.status, r.body)
		}
		// What is gone is 404, to whatever method.
		b.problem(b.do("GET", path, nil), http.StatusNotFound, importer.NotFound)
		b.problem(b.do("PATCH", path, strings.NewReader(`{"name":"x"}`)), http.StatusNotFound, importer.NotFound)
		b.problem(b.do("PATCH", path, strings.NewReader(`{"name":"x"}`), "If-Match", `"2"`), http.StatusNotFound, importer.NotFound)
		b.problem(b.do("DELETE", path, nil), http.StatusNotFound, importer.NotFound)
	})
}

func TestProductPreconditions(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, b *bench) {
		_, path := b.create(lamp)
		newest := decode[importer.Product](b, b.do("PATCH", path, strings.NewReader(`{"name":"Floor lamp"}`)), http.StatusOK)
		for _, match := range []string{`"1"`, `W/"2"`, `"of another time"`, `"99999999999999999999"`} {
			for _, r := range []reply{
				b.do("PATCH", path, strings.NewReader(`{"name":"Lost"}`), "If-Match", match),
				b.do("DELETE", path, nil, "If-Match", match),
			} {
				b.problem(r, http.StatusPreconditionFailed, importer.Precondition)
				current := decode[struct{ Current importer.Product }](b, r, http.StatusPreconditionFailed).Current
				if d := cmp.Diff(newest, current); d != "" || r.header.Get("ETag") != `"2"` {
					t.Errorf("%s: ETag %q, current product (-want +got):\n%s", match, r.header.Get("ETag"), d)
				}
			}
		}
		for _, match := range []string{"2", `"1", "2"`, `"`, `"2`} {
			b.problem(b.do("DELETE", path, nil, "If-Match", match), http.StatusBadRequest, importer.Malformed)
		}
		for match, status := range map[string]int{`"2"`: 304, `W/"2"`: 304, `"1", "2"`: 304, "*": 304, `"1"`: 200, "2": 200} {
			r := b.do("GET", path, nil, "If-None-Match", match)
			if r.status != status || r.header.Get("ETag") != `"2"` || (status == 304) != (len(r.body) == 0) {
				t.Errorf("If-None-Match %s: got %d %q with ETag %q, want %d", match, r.status, r.body, r.header.Get("ETag"), status)
			}
		}
		if r := b.do("PATCH", path, strings.NewReader(`{"name":"Any"}`), "If-Match", "*"); r.status != http.StatusOK {
			t.Errorf("If-Match *: got %d, want 200", r.status)
		}
		if r := b.do("DELETE", path, nil, "If-Match", `"3"`); r.status != http.StatusNoContent {
			t.Errorf("the newest version: got %d, want 204", r.status)
		}
	})
}

// Everything wrong with a product is told at once, each with its pointer.
func TestProductValuesThatAreNotAllowed(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, b *bench) {
		_, path := b.create(lamp)
		for _, test := range []struct {
			method, path, body string
			pointers           []string
		}{
			{"POST", "/api/products", `{}`, []string{"/name", "/sku"}},
			{"POST", "/api/products", `{"sku":" ","name":""}`, []string{"/name", "/sku"}},
			{"POST", "/api/products", `{"sku":5,"name":[],"active":"yes"}`, []string{"/active", "/name", "/sku"}},
			{"POST", "/api/products", `{"sku":"a","name":"b","price":1,"SKU":"c"}`, []string{"/SKU", "/price"}},
			{"POST", "/api/products", `{"sku":"a","name":"b","active":null}`, []string{"/active"}},
			{"PATCH", path, `{"sku":"","name":""}`, []string{"/name", "/sku"}},
			{"PATCH", path, `{"name":null,"description":null}`, []string{"/description", "/name"}},
			{"PATCH", path, `{"id":7}`, []string{"/id"}},
			{"PATCH", path, `[]`, []string{""}},
		} {
			p := b.problem(b.do(test.method, test.path, strings.NewReader(test.body)), http.StatusUnprocessableEntity, importer.Invalid)
			if d := cmp.Diff(test.pointers, pointers(p)); d != "" {
				t.Errorf("%s %s (-want +got):\n%s%+v", test.method, test.body, d, p.Errors)
			}
		}
		if got := decode[importer.Product](b, b.do("GET", path, nil), http.StatusOK); got.Version != 1 {
			t.Errorf("got version %d, want the product unchanged", got.Version)
		}
	})
}

// Limits that only the real store knows.
func TestProductLimits(t *testing.T) {
	t.Parallel()
	b := setup(t, inPostgres(t))
	long := func(n int) string { return strings.Repeat("ñ", n) }
	quote := func(sku, name, description string) string {
		return fmt.Sprintf(`{"sku":%q,"name":%q,"description":%q}`, sku, name, description)
	}
	p := b.problem(b.do("POST", "/api/products", strings.NewReader(quote(long(256), long(513), strings.Repeat("x", 1<<20+1)))), 422, importer.Invalid)
	if d := cmp.Diff([]string{"/description", "/name", "/sku"}, pointers(p)); d != "" {
		t.Errorf("too long (-want +got):\n%s", d)
	}
	p = b.problem(b.do("POST", "/api/products", strings.NewReader(`{"sku":"a\u0000","name":"b\u0000","description":"c\u0000"}`)), 422, importer.Invalid)
	if d := cmp.Diff([]string{"/description", "/name", "/sku"}, pointers(p)); d != "" {
		t.Errorf("NUL (-want +got):\n%s", d)
	}
	b.create(quote("  "+long(255)+"  ", " "+long(512)+" ", strings.Repeat("\u00e9", 1<<19)))
}

func TestProductBodies(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, test := range []struct {
		name, kind, body string
		status           int
		code             importer.Code
	}{
		{"none", "application/json", ``, 400, importer.Malformed},
		{"cut", "application/json", `{"sku":`, 400, importer.Malformed},
		{"two", "application/json", lamp + lamp, 400, importer.Malformed},
		{"not UTF-8", "application/json", "{\"sku\":\"caf\xe9\",\"name\":\"x\"}", 400, importer.Malformed},
		{"deep", "application/json", strings.Repeat("[", 20_000), 400, importer.Malformed},
		{"a form", "application/x-www-form-urlencoded", `sku=a`, 415, importer.Malformed},
		{"plain text", "text/plain", lamp, 415, importer.Malformed},
		{"too large", "application/json", `{"description":"` + strings.Repeat("x", 2<<20) + `"}`, 413, importer.TooLarge},
	} {
		p := b.problem(b.do("POST", "/api/products", strings.NewReader(test.body), "Content-Type", test.kind), test.status, test.code)
		if len(p.Detail) > 200 {
			t.Errorf("%s: the answer repeats the request: %.300s", test.name, p.Detail)
		}
	}
	if len(b.products.byID) != 0 {
		t.Errorf("got %d products, want none", len(b.products.byID))
	}
	// As large as it may be.
	body := `{"sku":"a","name":"b","description":"` + strings.Repeat("x", 1<<20) + `"}`
	b.create(body + strings.Repeat(" ", 2<<20-len(body)))
}

func TestSameSKUInAnotherCase(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, b *bench) {
		_, path := b.create(lamp)
		_, other := b.create(`{"sku":"B","name":"b"}`)
		for _, r := range []reply{
			b.do("POST", "/api/products", strings.NewReader(`{"sku":"lmp-1","name":"x"}`)),
			b.do("PATCH", other, strings.NewReader(`{"sku":"Lmp-1 "}`)),
		} {
			if p := b.problem(r, http.StatusConflict, importer.Conflict); !slices.Equal(pointers(p), []string{"/sku"}) {
				t.Errorf("got errors %+v, want one at /sku", p.Errors)
			}
		}
		if got := decode[importer.Product](b, b.do("PATCH", path, strings.NewReader(`{"sku":"lmp-1"}`)), 200).SKU; got != "lmp-1" {
			t.Errorf("got SKU %q, want the product's own in another case", got)
		}
	})
}

func TestTwoCreateTheSameSKUAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, inPostgres(t))
	statuses := make([]int, 8)
	var wg sync.WaitGroup
	for i := range statuses {
		wg.Go(func() {
			sku := []string{"lmp-9", "LMP-9", " Lmp-9", "lMP-9 "}[i%4]
			statuses[i] = b.do("POST", "/api/products", strings.NewReader(fmt.Sprintf(`{"sku":%q,"name":"x"}`, sku))).status
		})
	}
	wg.Wait()
	slices.Sort(statuses)
	if d := cmp.Diff([]int{201, 409, 409, 409, 409, 409, 409, 409}, statuses); d != "" {
		t.Errorf("statuses (-want +got):\n%s", d)
	}
}

func TestDeleteAllProducts(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, b *bench) {
		b.create(lamp)
		b.create(`{"sku":"B","name":"b"}`)
		for _, query := range []string{"", "?confirm=", "?confirm=true", "?confirm=DELETE-ALL"} {
			p := b.problem(b.do("DELETE", "/api/products"+query, nil), http.StatusBadRequest, importer.Malformed)
			if !strings.Contains(p.Detail, "confirm=delete-all") {
				t.Errorf("%s: got %q, want it to say what to send", query, p.Detail)
			}
		}
		b.problem(b.do("DELETE", "/api/products?confirm=delete-all&confirm=no", nil), http.StatusUnprocessableEntity, importer.Invalid)
		b.problem(b.do("DELETE", "/api/products?confirm=delete-all&active=false", nil), http.StatusUnprocessableEntity, importer.Invalid)
		if got := decode[importer.ProductPage](b, b.do("GET", "/api/products", nil), 200).Total; got != 2 {
			t.Fatalf("got %d products, want both still there", got)
		}
		if got := string(b.do("DELETE", "/api/products?confirm=delete-all", nil).body); got != `{"deleted":2}`+"\n" {
			t.Errorf("got %s, want 2 deleted", got)
		}
		if got := decode[importer.ProductPage](b, b.do("GET", "/api/products", nil), 200).Total; got != 0 {
			t.Errorf("got %d products, want none", got)
		}
	})
}

func TestProductsWithoutDatabase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, path := b.create(lamp)
	b.products.mu.Lock()
	b.products.down = &importer.Error{Code: importer.Unavailable, Message: "The database cannot be reached.", Err: io.ErrClosedPipe}
	b.products.mu.Unlock()
	for _, r := range []reply{
		b.do("GET", "/api/products", nil), b.do("GET", path, nil), b.do("PATCH", path, strings.NewReader(`{}`)), b.do("DELETE", path, nil),
		b.do("POST", "/api/products", strings.NewReader(`{"sku":"x","name":"y"}`)), b.do("DELETE", "/api/products?confirm=delete-all", nil),
		b.do("GET", "/api/products/export.csv", nil),
	} {
		b.problem(r, http.StatusServiceUnavailable, importer.Unavailable)
		if r.header.Get("Retry-After") == "" {
			t.Error("got no Retry-After")
		}
	}
}

func pointers(p httpd.Problem) []string {
	all := []string{}
	for _, e := range p.Errors {
		all = append(all, e.Pointer)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
