package httpd

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"importer"
)

// Errors of one field come from the store, all together, and not from the
// schema of the request: that would report the half of them that a schema can
// say.

type productList struct {
	Q           string `query:"q" maxLength:"1000" doc:"Words that must all occur in SKU, name or description; parts of words count, upper and lower case are alike."`
	SKU         string `query:"sku" maxLength:"1000" doc:"Words that must all occur in the SKU."`
	Name        string `query:"name" maxLength:"1000" doc:"Words that must all occur in the name."`
	Description string `query:"description" maxLength:"1000" doc:"Words that must all occur in the description."`
	Active      string `query:"active" enum:"true,false" doc:"Only active products, or only those that are not."`
	Sort        string `query:"sort" enum:"id,-id,sku,-sku,name,-name,updated,-updated" default:"id" doc:"The order; a leading - turns it round. id is the order of creation."`
	Page        int    `query:"page" minimum:"1" maximum:"1000000000" doc:"Number of the page, from 1. For long ways through the list, cursor is faster and misses nothing."`
	Cursor      string `query:"cursor" maxLength:"8192" doc:"The next or prev of another page of the same query; not together with page."`
	Limit       int    `query:"limit" minimum:"1" maximum:"200" default:"25" doc:"Products a page."`
}

func (s *Server) listProducts(ctx context.Context, in *productList) (*body[importer.ProductPage], error) {
	if in.Page != 0 && in.Cursor != "" {
		return nil, &importer.Error{Code: importer.Invalid, Message: "A page is asked for by its number or by a cursor, not both.",
			Fields: []importer.FieldError{{Pointer: "cursor", Detail: "cannot be together with page"}}}
	}
	q := importer.ProductQuery{
		ProductFilter: importer.ProductFilter{Q: in.Q, SKU: in.SKU, Name: in.Name, Description: in.Description},
		Cursor:        in.Cursor, Page: in.Page, Limit: in.Limit,
	}
	if in.Active != "" {
		active := in.Active == "true"
		q.Active = &active
	}
	sort, desc := strings.CutPrefix(in.Sort, "-")
	q.Sort, q.Desc = importer.ProductSort(sort), desc
	page, err := s.Products.Products(ctx, q)
	if err != nil {
		return nil, err
	}
	if page.Items == nil {
		page.Items = []importer.Product{}
	}
	return &body[importer.ProductPage]{page}, nil
}

func (s *Server) indexing(ctx context.Context, _ *struct{}) (*body[importer.Indexing], error) {
	state, err := s.Products.Indexing(ctx)
	if err != nil {
		return nil, err
	}
	return &body[importer.Indexing]{state}, nil
}

type productAnswer struct {
	ETag string `header:"ETag" doc:"The version, for If-Match and If-None-Match."`
	Body importer.Product
}

type getProduct struct {
	ID          int64  `path:"id" minimum:"1" doc:"The product's id."`
	IfNoneMatch string `header:"If-None-Match" doc:"An ETag: answers 304 while that is the product's."`
}

func (s *Server) getProduct(ctx context.Context, in *getProduct) (*productAnswer, error) {
	p, err := s.Products.Product(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if noneMatch(in.IfNoneMatch, p.Version) {
		return nil, notModified(p.Version)
	}
	return &productAnswer{etag(p.Version), p}, nil
}

type createProduct struct {
	IdempotencyKey string `header:"Idempotency-Key" doc:"Chosen by the client, for instance a UUID. The same request with the same key within a day gets the first answer again."`
	Body           NewProduct
}

type createdProduct struct {
	Location string `header:"Location" doc:"The product."`
	ETag     string `header:"ETag"`
	Replayed string `header:"Idempotency-Replayed" doc:"true when this is the answer to an earlier request with the same key."`
	Body     importer.Product
}

func (s *Server) createProduct(ctx context.Context, in *createProduct) (*createdProduct, error) {
	fields := in.Body.fields()
	request, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	p, replayed, err := once(ctx, s, in.IdempotencyKey, "POST /api/products "+string(request), func() (importer.Product, error) {
		return s.Products.CreateProduct(ctx, fields)
	})
	if err != nil {
		return nil, err
	}
	return &createdProduct{"/api/products/" + strconv.FormatInt(p.ID, 10), etag(p.Version), replayedHeader(replayed), p}, nil
}

type updateProduct struct {
	ID      int64  `path:"id" minimum:"1" doc:"The product's id."`
	IfMatch string `header:"If-Match" doc:"The ETag of the product that was changed. 412 when it is another by now; without this header the last change wins."`
	Body    ProductChange
}

func (s *Server) updateProduct(ctx context.Context, in *updateProduct) (*productAnswer, error) {
	version, err := matchVersion(in.IfMatch)
	if err != nil {
		return nil, err
	}
	p, err := s.Products.UpdateProduct(ctx, in.ID, version, in.Body.fields())
	if err != nil {
		return nil, s.withCurrent(ctx, in.ID, err)
	}
	return &productAnswer{etag(p.Version), p}, nil
}

type deleteProduct struct {
	ID      int64  `path:"id" minimum:"1" doc:"The product's id."`
	IfMatch string `header:"If-Match" doc:"As for PATCH."`
}

func (s *Server) deleteProduct(ctx context.Context, in *deleteProduct) (*struct{}, error) {
	version, err := matchVersion(in.IfMatch)
	if err != nil {
		return nil, err
	}
	return nil, s.withCurrent(ctx, in.ID, s.Products.DeleteProduct(ctx, in.ID, version))
}

// withCurrent adds to a failed precondition the product as it is, so that the
// client can show what changed without asking again.
func (s *Server) withCurrent(ctx context.Context, id int64, err error) error {
	if importer.ErrorCode(err) != importer.Precondition {
		return err
	}
	p, now := s.Products.Product(ctx, id)
	if now != nil {
		return now // deleted meanwhile
	}
	problem := problemOf(ctx, err)
	problem.Current = p
	problem.header = http.Header{"Etag": {etag(p.Version)}}
	return problem
}

type deleteProducts struct {
	Confirm string `query:"confirm" doc:"delete-all, word for word."`
}

// Deleted tells how many products were deleted.
type Deleted struct {
	Deleted int64 `json:"deleted"`
}

func (s *Server) deleteProducts(ctx context.Context, in *deleteProducts) (*body[Deleted], error) {
	const word = "delete-all"
	if in.Confirm != word {
		return nil, &importer.Error{Code: importer.Malformed, Message: "This deletes every product there is. To do so, send DELETE /api/products?confirm=" + word + ".",
			Fields: []importer.FieldError{{Pointer: "confirm", Detail: "is not " + word}}}
	}
	n, err := s.Products.DeleteAllProducts(ctx)
	if err != nil {
		return nil, err
	}
	return &body[Deleted]{Deleted{n}}, nil
}
