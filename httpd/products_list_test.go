package httpd_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"importer"
)

func TestListProductsAsksFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	yes, no := true, false
	for query, want := range map[string]importer.ProductQuery{
		"":                                     {Sort: "id", Limit: 25},
		"?q=desk+lamp&limit=200":               {ProductFilter: importer.ProductFilter{Q: "desk lamp"}, Sort: "id", Limit: 200},
		"?sku=a&name=b&description=c":          {ProductFilter: importer.ProductFilter{SKU: "a", Name: "b", Description: "c"}, Sort: "id", Limit: 25},
		"?active=true&sort=-updated":           {ProductFilter: importer.ProductFilter{Active: &yes}, Sort: "updated", Desc: true, Limit: 25},
		"?active=false&sort=name":              {ProductFilter: importer.ProductFilter{Active: &no}, Sort: "name", Limit: 25},
		"?page=3&limit=1":                      {Sort: "id", Page: 3, Limit: 1},
		"?cursor=after+0":                      {Sort: "id", Cursor: "after 0", Limit: 25},
		"?q=&active=&page=":                    {Sort: "id", Limit: 25},
		"?q=%25_%27%3B--%5C":                   {ProductFilter: importer.ProductFilter{Q: `%_';--\`}, Sort: "id", Limit: 25},
		"?q=" + strings.Repeat("%C3%B1", 1000): {ProductFilter: importer.ProductFilter{Q: strings.Repeat("ñ", 1000)}, Sort: "id", Limit: 25},
	} {
		decode[importer.ProductPage](b, b.do("GET", "/api/products"+query, nil), http.StatusOK)
		if d := cmp.Diff(want, b.products.asked); d != "" {
			t.Errorf("%.60s (-want +got):\n%s", query, d)
		}
	}
}

func TestListProductsRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for query, pointer := range map[string]string{
		"limit=0":                                "limit",
		"limit=201":                              "limit",
		"limit=1000000":                          "limit",
		"limit=-1":                               "limit",
		"limit=99999999999999999999":             "limit",
		"page=0":                                 "page",
		"page=x":                                 "page",
		"page=2&cursor=x":                        "cursor",
		"sort=price":                             "sort",
		"sort=--id":                              "sort",
		"active=maybe":                           "active",
		"colour=red":                             "colour",
		"Q=lamp":                                 "Q",
		"limit=1&limit=2":                        "limit",
		"q=%00":                                  "q",
		"q=%ff":                                  "q",
		"q=" + strings.Repeat("x", 1001):         "q",
		"name=" + strings.Repeat("x", 1_000_000): "name",
		"cursor=" + strings.Repeat("x", 8193):    "cursor",
	} {
		p := b.problem(b.do("GET", "/api/products?"+query, nil), http.StatusUnprocessableEntity, importer.Invalid)
		if !slices.Equal(pointers(p), []string{pointer}) {
			t.Errorf("%.60s: got errors %+v, want one at %s", query, p.Errors, pointer)
		}
	}
	p := b.problem(b.do("GET", "/api/products?colour=red&size=3&sort=price", nil), http.StatusUnprocessableEntity, importer.Invalid)
	if d := cmp.Diff([]string{"colour", "size"}, pointers(p)); d != "" || !strings.Contains(p.Errors[0].Detail, "active, cursor, description, limit, name, page, q, sku, sort") {
		t.Errorf("got %+v, want both, and what there is", p.Errors)
	}
	p = b.problem(b.do("GET", "/api/products?sort=price", nil), http.StatusUnprocessableEntity, importer.Invalid)
	if !strings.Contains(p.Errors[0].Detail, "-updated") {
		t.Errorf("got %+v, want the orders there are", p.Errors)
	}
	b.problem(b.do("GET", "/api/products?q=%zz", nil), http.StatusBadRequest, importer.Malformed)
	b.problem(b.do("GET", "/api/products/nonsense", nil), http.StatusUnprocessableEntity, importer.Invalid)
	if d := cmp.Diff(importer.ProductQuery{}, b.products.asked); d != "" {
		t.Errorf("the store was asked all the same:\n%s", d)
	}
}

// What is searched for is text, whatever it looks like.
func TestSearchTakesNothingForSyntax(t *testing.T) {
	t.Parallel()
	b := setup(t, inPostgres(t))
	for i, name := range []string{`100% wool`, `100 wool`, `snake_case`, `snakeXcase`, `it's`, `back\slash`, `'; DROP TABLE products; --`, `"quoted"`, `a & b | !c`, `(((`, `日本語 ランプ`} {
		b.create(fmt.Sprintf(`{"sku":"S-%d","name":%q}`, i, name))
	}
	for q, want := range map[string][]string{
		`100%`: {`100% wool`}, `%`: {`100% wool`}, `snake_`: {`snake_case`}, `_`: {`snake_case`}, `it's`: {`it's`}, `k\s`: {`back\slash`},
		`'; DROP TABLE products; --`: {`'; DROP TABLE products; --`}, `"quoted`: {`"quoted"`}, `& | !c`: {`a & b | !c`}, `(((`: {`(((`},
		`ランプ`: {`日本語 ランプ`}, `%%`: nil, `$1`: nil, `\\`: nil, `:*`: nil, `1 OR 1=1`: nil,
	} {
		page := decode[importer.ProductPage](b, b.do("GET", "/api/products?name="+url.QueryEscape(q), nil), http.StatusOK)
		var got []string
		for _, p := range page.Items {
			got = append(got, p.Name)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", q, d)
		}
	}
}

func TestPagesOfProducts(t *testing.T) {
	t.Parallel()
	b := setup(t, inPostgres(t))
	var want []string
	for i := range 7 {
		p, _ := b.create(fmt.Sprintf(`{"sku":"S-%d","name":"n%d"}`, i, i%3))
		want = append(want, p.SKU)
	}
	var forth []string
	var last importer.ProductPage
	for cursor := ""; ; cursor = "&cursor=" + *last.Next {
		last = decode[importer.ProductPage](b, b.do("GET", "/api/products?sort=sku&limit=3"+cursor, nil), http.StatusOK)
		for _, p := range last.Items {
			forth = append(forth, p.SKU)
		}
		if last.Next == nil {
			break
		}
	}
	if d := cmp.Diff(want, forth); d != "" || last.Total != 7 {
		t.Errorf("total %d, all pages (-want +got):\n%s", last.Total, d)
	}
	back := decode[importer.ProductPage](b, b.do("GET", "/api/products?sort=sku&limit=3&cursor="+*last.Prev, nil), http.StatusOK)
	third := decode[importer.ProductPage](b, b.do("GET", "/api/products?sort=sku&limit=3&page=2", nil), http.StatusOK)
	if d := cmp.Diff(third.Items, back.Items); d != "" {
		t.Errorf("by number and back by cursor (-number +cursor):\n%s", d)
	}
	for _, forged := range []string{"nonsense", *last.Prev + "x", strings.Repeat("A", 8000), "' OR 1=1", "%2e%2e%2f"} {
		b.problem(b.do("GET", "/api/products?sort=sku&cursor="+url.QueryEscape(forged), nil), http.StatusBadRequest, importer.Malformed)
	}
	b.problem(b.do("GET", "/api/products?sort=name&cursor="+*last.Prev, nil), http.StatusBadRequest, importer.Malformed)
}
