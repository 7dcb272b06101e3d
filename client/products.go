package client

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"strconv"

	"github.com/go-resty/resty/v2"

	"importer"
)

// Product returns one product.
func (c *Client) Product(ctx context.Context, id int64) (importer.Product, error) {
	r, err := c.request(ctx).SetResult(&importer.Product{}).Get(productPath(id))
	return finish[importer.Product](r, err)
}

// Products returns one page of the products that match; the zero query is the
// first page of all, by order of creation.
func (c *Client) Products(ctx context.Context, q importer.ProductQuery) (importer.ProductPage, error) {
	r, err := c.request(ctx).SetQueryParams(productQuery(q)).SetResult(&importer.ProductPage{}).Get("/api/products")
	return finish[importer.ProductPage](r, err)
}

// EachProduct goes through all products that match, a page at a time, from
// q.Cursor or q.Page on. An error ends it.
func (c *Client) EachProduct(ctx context.Context, q importer.ProductQuery) iter.Seq2[importer.Product, error] {
	return func(yield func(importer.Product, error) bool) {
		for {
			page, err := c.Products(ctx, q)
			if err != nil {
				yield(importer.Product{}, err)
				return
			}
			for _, p := range page.Items {
				if !yield(p, nil) {
					return
				}
			}
			if page.Next == nil {
				return
			}
			q.Cursor, q.Page = *page.Next, 0
		}
	}
}

// CreateProduct adds a product. A key of your choice, for instance a UUID, lets
// you send the same again after an error without creating two: within a day
// the answer is the first one's. "" is no key.
func (c *Client) CreateProduct(ctx context.Context, f importer.ProductFields, key string) (importer.Product, error) {
	q := c.request(ctx).SetBody(f).SetResult(&importer.Product{})
	if key != "" {
		q.SetHeader("Idempotency-Key", key)
	}
	r, err := q.Post("/api/products")
	return finish[importer.Product](r, err)
}

// UpdateProduct changes the fields that are set. With the version that they
// were made for, the change is refused (importer.Precondition) when the
// product is another by now; 0 changes any.
func (c *Client) UpdateProduct(ctx context.Context, id, version int64, f importer.ProductFields) (importer.Product, error) {
	r, err := ifMatch(c.request(ctx), version).SetBody(f).SetResult(&importer.Product{}).Patch(productPath(id))
	return finish[importer.Product](r, err)
}

// DeleteProduct deletes a product; version as for UpdateProduct.
func (c *Client) DeleteProduct(ctx context.Context, id, version int64) error {
	return done(ifMatch(c.request(ctx), version).Delete(productPath(id)))
}

// DeleteAllProducts empties the catalogue and returns how many products were
// deleted. It is refused (importer.Conflict) while an import writes.
func (c *Client) DeleteAllProducts(ctx context.Context) (int64, error) {
	type answer struct{ Deleted int64 }
	r, err := c.request(ctx).SetQueryParam("confirm", "delete-all").SetResult(&answer{}).Delete("/api/products")
	a, err := finish[answer](r, err)
	return a.Deleted, err
}

// Indexing tells how far the search index is behind.
func (c *Client) Indexing(ctx context.Context) (importer.Indexing, error) {
	r, err := c.request(ctx).SetResult(&importer.Indexing{}).Get("/api/products/indexing")
	return finish[importer.Indexing](r, err)
}

// ExportProducts writes all products as CSV to w, as they come. The file can
// be imported again. With spreadsheet it is for opening in one: what would run
// there as a formula is made harmless. After an error w has a part of it.
func (c *Client) ExportProducts(ctx context.Context, w io.Writer, spreadsheet bool) error {
	r, err := c.request(ctx).SetDoNotParseResponse(true).
		SetQueryParam("spreadsheet", strconv.FormatBool(spreadsheet)).Get("/api/products/export.csv")
	if err != nil {
		return unreachable(err)
	}
	body := r.RawBody()
	defer body.Close()
	if r.IsError() {
		_ = json.NewDecoder(io.LimitReader(body, 64<<10)).Decode(r.Error()) // what is no problem is told by its status
		return failure(r)
	}
	_, err = io.Copy(w, body)
	return err
}

func productPath(id int64) string { return "/api/products/" + strconv.FormatInt(id, 10) }

func ifMatch(r *resty.Request, version int64) *resty.Request {
	if version != 0 {
		r.SetHeader("If-Match", `"`+strconv.FormatInt(version, 10)+`"`)
	}
	return r
}

// productQuery leaves out what is not set.
func productQuery(q importer.ProductQuery) map[string]string {
	params := map[string]string{"q": q.Q, "sku": q.SKU, "name": q.Name, "description": q.Description, "sort": string(q.Sort), "cursor": q.Cursor}
	if q.Desc {
		params["sort"] = "-" + string(q.Sort)
		if q.Sort == "" {
			params["sort"] = "-" + string(importer.SortID)
		}
	}
	if q.Active != nil {
		params["active"] = strconv.FormatBool(*q.Active)
	}
	if q.Page > 0 {
		params["page"] = strconv.Itoa(q.Page)
	}
	if q.Limit > 0 {
		params["limit"] = strconv.Itoa(q.Limit)
	}
	for name, value := range params {
		if value == "" {
			delete(params, name)
		}
	}
	return params
}
