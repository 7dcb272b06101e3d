package db_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"importer"
	"importer/db"
	"importer/db/dbtest"
)

func list(t interface {
	Helper()
	Fatalf(string, ...any)
}, d *db.DB, q importer.ProductQuery) importer.ProductPage {
	t.Helper()
	page, err := d.Products(context.Background(), q)
	if err != nil {
		t.Fatalf("list %+v: %v", q, err)
	}
	return page
}

// shelf is the catalogue as anyone would write it in Go.
type shelf map[int64]importer.Product

// selected returns what matches, in order.
func (s shelf) selected(q importer.ProductQuery) []importer.Product {
	has := func(text, filter string) bool {
		text = strings.ToLower(text)
		for _, w := range strings.Fields(strings.ToLower(filter)) {
			if !strings.Contains(text, w) {
				return false
			}
		}
		return true
	}
	var all []importer.Product
	for _, p := range s {
		if has(p.SKU+"\n"+p.Name+"\n"+p.Description, q.Q) && has(p.SKU, q.SKU) && has(p.Name, q.Name) &&
			has(p.Description, q.Description) && (q.Active == nil || *q.Active == p.Active) {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b importer.Product) int {
		order := 0
		switch q.Sort {
		case importer.SortSKU:
			order = cmp.Compare(importer.SKUKey(a.SKU), importer.SKUKey(b.SKU))
		case importer.SortName:
			order = cmp.Compare(asciiLower(a.Name), asciiLower(b.Name))
		case importer.SortUpdated:
			order = a.UpdatedAt.Compare(b.UpdatedAt)
		}
		if order = cmp.Or(order, cmp.Compare(a.ID, b.ID)); q.Desc {
			return -order
		}
		return order
	})
	return all
}

func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] += 'a' - 'A'
		}
	}
	return string(b)
}

// TestProductsAgainstAModel makes random edits, imports and deletions, with
// rounds of the indexer in between, and compares random lists, page by page
// in both directions, with a map.
func TestProductsAgainstAModel(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	conn := connect(t, url)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	d := openAt(t, url, func() time.Time { return now })

	// Texts that meet: letters that lower oddly (Kelvin, dotted I, sharp S,
	// final sigma), signs that LIKE and regular expressions know, short words.
	pieces := []string{
		"Bolt", "bolt", "BOLTED", "nut", "ab", "a", "100%", "a_b", "a\\b", "[x]", "K", "\u212ait", "kit", "kit12345x", "2345", "\u0130stanbul", "istanbul",
		"stra\u00dfe", "STRA\u1e9eE", "\u03a3\u0399\u03a3\u03a5\u03a6\u039f\u03a3", "\u03c3\u03c2", "\u65e5\u672c\u8a9e", "\U00010400\U0001f642", "^$.*(+)?", "'\"", "\u00c5ngstr\u00f6m",
	}
	piece := rapid.SampledFrom(append(slices.Clone(pieces), "a\x1fb")) // the queue separates by that
	text := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(piece, 0, 3).Draw(t, "pieces"), rapid.SampledFrom([]string{" ", "", "\n"}).Draw(t, "glue"))
	})
	filter := rapid.OneOf(rapid.Just(""), rapid.Just(""), piece, text, rapid.Custom(func(t *rapid.T) string {
		r := []rune(piece.Draw(t, "whole"))
		from := rapid.IntRange(0, len(r)-1).Draw(t, "from")
		return string(r[from:rapid.IntRange(from, len(r)).Draw(t, "to")])
	}))
	skus := rapid.Custom(func(t *rapid.T) string {
		return rapid.SampledFrom(pieces).Draw(t, "kind") + fmt.Sprint(rapid.IntRange(1, 3).Draw(t, "n"))
	})
	name := rapid.Custom(func(t *rapid.T) string { return importer.CleanName("n " + text.Draw(t, "name")) })

	rapid.Check(t, func(rt *rapid.T) {
		mustExec(t, conn, "TRUNCATE products, product_totals, product_search, search_queue")
		mustExec(t, conn, "UPDATE imports SET state = 'cancelled'")
		model := shelf{}
		byKey := func(key string) (importer.Product, bool) {
			for _, p := range model {
				if importer.SKUKey(p.SKU) == key {
					return p, true
				}
			}
			return importer.Product{}, false
		}
		some := func() (importer.Product, bool) {
			if len(model) == 0 {
				return importer.Product{}, false
			}
			all := model.selected(importer.ProductQuery{})
			return all[rapid.IntRange(0, len(all)-1).Draw(rt, "which")], true
		}
		put := func(what string, p importer.Product, err error) {
			if code := importer.ErrorCode(err); err != nil && code != importer.Conflict {
				rt.Fatalf("%s: %v", what, err)
			}
			if err == nil {
				model[p.ID] = p
			}
		}
		var c importer.Claim
		batch := 0
		rt.Repeat(map[string]func(*rapid.T){
			"create": func(rt *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 1).Draw(rt, "later")) * time.Second)
				sku := skus.Draw(rt, "sku")
				_, taken := byKey(importer.SKUKey(importer.CleanSKU(sku)))
				p, err := d.CreateProduct(context.Background(), importer.ProductFields{
					SKU: &sku, Name: new(name.Draw(rt, "name")), Description: new(text.Draw(rt, "description")), Active: new(rapid.Bool().Draw(rt, "active")),
				})
				if taken != (err != nil) {
					rt.Fatalf("create %q: got %v, taken: %v", sku, err, taken)
				}
				put("create", p, err)
			},
			"update": func(rt *rapid.T) {
				if old, ok := some(); ok {
					f := importer.ProductFields{}
					if rapid.Bool().Draw(rt, "rename") {
						f.SKU = new(skus.Draw(rt, "sku"))
					}
					if rapid.Bool().Draw(rt, "text") {
						f.Name, f.Description = new(name.Draw(rt, "name")), new(text.Draw(rt, "description"))
					}
					if rapid.Bool().Draw(rt, "switch") {
						f.Active = new(!old.Active)
					}
					p, err := d.UpdateProduct(context.Background(), old.ID, old.Version, f)
					put("update", p, err)
				}
			},
			"delete": func(rt *rapid.T) {
				if old, ok := some(); ok {
					if err := d.DeleteProduct(context.Background(), old.ID, 0); err != nil {
						rt.Fatal(err)
					}
					delete(model, old.ID)
				}
			},
			"import": func(rt *rapid.T) {
				if batch == 0 {
					c = writing(t, d, 0)
				}
				rows := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) importer.Row {
					sku := importer.CleanSKU(skus.Draw(t, "sku"))
					return importer.Row{SKU: sku, Key: importer.SKUKey(sku), Name: name.Draw(t, "name"), Description: text.Draw(t, "description")}
				}), 0, 40, func(r importer.Row) string { return r.Key }).Draw(rt, "rows")
				slices.SortFunc(rows, func(a, b importer.Row) int { return cmp.Compare(a.Key, b.Key) })
				b := batchOf(c, batch, rows)
				batch++
				if b.HasDescription = rapid.Bool().Draw(rt, "has description"); !b.HasDescription {
					for i := range rows {
						rows[i].Description = ""
					}
				}
				if _, err := d.MergeBatch(context.Background(), b, rapid.SampledFrom(ways).Draw(rt, "way")); err != nil {
					rt.Fatal(err)
				}
				for id, p := range products(t, conn) { // the merge has a model of its own
					model[id] = p
				}
			},
			"delete all": func(rt *rapid.T) {
				if rapid.IntRange(0, 9).Draw(rt, "seldom") == 0 {
					if batch > 0 {
						if _, err := d.CancelImport(context.Background(), c.ID); err != nil {
							rt.Fatal(err)
						}
						batch = 0
					}
					n, err := d.DeleteAllProducts(context.Background())
					if err != nil || n != int64(len(model)) {
						rt.Fatalf("delete all: got %d, %v, want %d", n, err, len(model))
					}
					clear(model)
				}
			},
			"index": func(rt *rapid.T) {
				limit := rapid.SampledFrom([]int{1, 5, 1000}).Draw(rt, "limit")
				left, err := d.IndexProducts(context.Background(), limit)
				if err != nil || limit == 1000 && left != 0 {
					rt.Fatalf("index: got %d left, %v", left, err)
				}
			},
			"list": func(rt *rapid.T) {
				q := importer.ProductQuery{
					ProductFilter: importer.ProductFilter{
						Q: filter.Draw(rt, "q"), SKU: filter.Draw(rt, "sku"), Name: filter.Draw(rt, "name"), Description: filter.Draw(rt, "description"),
						Active: rapid.SampledFrom([]*bool{nil, nil, new(true), new(false)}).Draw(rt, "active"),
					},
					Sort:  rapid.SampledFrom([]importer.ProductSort{importer.SortID, importer.SortSKU, importer.SortName, importer.SortUpdated}).Draw(rt, "sort"),
					Desc:  rapid.Bool().Draw(rt, "desc"),
					Limit: rapid.IntRange(1, 8).Draw(rt, "limit"),
				}
				compare(rt, d, q, model.selected(q))
			},
			"": func(rt *rapid.T) {
				if got := list(rt, d, importer.ProductQuery{}).Total; got != int64(len(model)) {
					rt.Fatalf("got a total of %d, want %d", got, len(model))
				}
			},
		})
	})
}

// compare walks through a list to its end and back, and by numbers.
func compare(rt *rapid.T, d *db.DB, q importer.ProductQuery, want []importer.Product) {
	check := func(how string, page importer.ProductPage, from int) {
		rt.Helper()
		to := min(from+q.Limit, len(want))
		if diff := gocmp.Diff(append([]importer.Product{}, want[min(from, to):to]...), page.Items); diff != "" {
			rt.Fatalf("%+v, %s at %d (-want +got):\n%s", q, how, from, diff)
		}
		if page.Total != int64(len(want)) || page.TotalIsFloor || (page.Next != nil) != (to < len(want)) || (page.Prev != nil) != (from > 0 && from < len(want)) {
			rt.Fatalf("%+v, %s at %d: got total %d (floor %v), next %v, prev %v, want total %d",
				q, how, from, page.Total, page.TotalIsFloor, page.Next != nil, page.Prev != nil, len(want))
		}
	}
	page := list(rt, d, q)
	from := 0
	check("first", page, from)
	for page.Next != nil {
		from += q.Limit
		q.Cursor = *page.Next
		page = list(rt, d, q)
		check("next", page, from)
	}
	for page.Prev != nil {
		from -= q.Limit
		q.Cursor = *page.Prev
		page = list(rt, d, q)
		check("prev", page, from)
	}
	q.Cursor = ""
	for q.Page = 1; q.Page <= len(want)/q.Limit+2; q.Page++ {
		check("page", list(rt, d, q), (q.Page-1)*q.Limit)
	}
}

// products reads the catalogue behind the package's back.
func products(t testing.TB, conn *pgx.Conn) shelf {
	t.Helper()
	rows, err := conn.Query(context.Background(), "SELECT id, sku, name, description, active, version, created_at, updated_at FROM products")
	if err != nil {
		t.Fatal(err)
	}
	all := shelf{}
	var p importer.Product
	_, err = pgx.ForEachRow(rows, []any{&p.ID, &p.SKU, &p.Name, &p.Description, &p.Active, &p.Version, &p.CreatedAt, &p.UpdatedAt}, func() error {
		p.CreatedAt, p.UpdatedAt = p.CreatedAt.UTC(), p.UpdatedAt.UTC()
		all[p.ID] = p
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
