package importer

import (
	"context"
	"time"
)

// Event kinds of the topic products.
const (
	EventProductCreated     = "product.created"      // data {"product": …}
	EventProductUpdated     = "product.updated"      // data {"product": …}
	EventProductDeleted     = "product.deleted"      // data {"product": …}, as it was
	EventProductsChanged    = "products.changed"     // data {"import_id": …, "created": n, "updated": n}: an import has ended, and this is new since it began or ended before
	EventProductsDeletedAll = "products.deleted_all" // data {"deleted": n}
)

// ProductFields is what a person or a program says of a product. A nil field
// is left as it is; creating needs SKU and Name.
type ProductFields struct {
	SKU         *string `json:"sku,omitempty"`
	Name        *string `json:"name,omitempty"`
	Description *string `json:"description,omitempty"`
	Active      *bool   `json:"active,omitempty"`
}

// ProductSort is the order of a list of products. Ties go by id.
type ProductSort string

// The orders. A leading minus turns one round.
const (
	SortID      ProductSort = "id" // the order of creation
	SortSKU     ProductSort = "sku"
	SortName    ProductSort = "name"
	SortUpdated ProductSort = "updated"
)

// ProductFilter selects products. Texts match any part, upper and lower case
// alike; several words must all occur. % and _ are plain text.
type ProductFilter struct {
	Q           string // over sku, name and description together
	SKU         string
	Name        string
	Description string
	Active      *bool
}

// Empty reports whether the filter selects everything.
func (f ProductFilter) Empty() bool { return f == ProductFilter{} }

// ProductQuery asks for a part of the catalogue: by Cursor, the Next or Prev of
// another page of the same query, or by Page number from 1, not both.
type ProductQuery struct {
	ProductFilter
	Sort   ProductSort
	Desc   bool
	Cursor string
	Page   int
	Limit  int // 1 to 200
}

// ProductPage is a part of the catalogue. Total is exact unless TotalIsFloor:
// then there are more than Total, and counting them all would take too long.
type ProductPage struct {
	Items        []Product `json:"items"`
	Next         *string   `json:"next"`
	Prev         *string   `json:"prev"`
	Total        int64     `json:"total"`
	TotalIsFloor bool      `json:"total_is_floor"`
}

// Indexing tells how far the search index is behind the catalogue. Answers are
// complete meanwhile, only slower.
type Indexing struct {
	Indexed int64 `json:"indexed"` // products in the index
	Total   int64 `json:"total"`
	Pending int64 `json:"pending"` // products still to be indexed
}

// ProductStore keeps the catalogue. db implements it. Every change appends its
// event and its outbox row in the same transaction. Errors are *Error: Invalid
// with a pointer a field, NotFound, Conflict when another product has the SKU,
// Precondition when version is not the product's (0 means any), Malformed for
// a cursor that is not one of ours, Unavailable.
type ProductStore interface {
	Product(ctx context.Context, id int64) (Product, error)
	Products(ctx context.Context, q ProductQuery) (ProductPage, error)
	CreateProduct(ctx context.Context, f ProductFields) (Product, error)
	UpdateProduct(ctx context.Context, id, version int64, f ProductFields) (Product, error)
	DeleteProduct(ctx context.Context, id, version int64) error
	// DeleteAllProducts empties the catalogue at once. Conflict, naming the
	// import, while one writes.
	DeleteAllProducts(ctx context.Context) (deleted int64, err error)
	// EachProduct calls f with every product of one snapshot, by id, in memory
	// that does not grow with the catalogue.
	EachProduct(ctx context.Context, f func(Product) error) error
	// Indexing says how far search is behind.
	Indexing(ctx context.Context) (Indexing, error)
	// IndexProducts indexes up to limit products that are waiting and returns
	// how many were left to do at least; 0 means nothing waits.
	IndexProducts(ctx context.Context, limit int) (left int64, err error)
	// Remembered returns the answer stored under an idempotency key, nil when
	// there is none; Conflict when the key was used for another request.
	Remembered(ctx context.Context, key, request string) ([]byte, error)
	// Remember keeps an answer for a day.
	Remember(ctx context.Context, key, request string, answer []byte, at time.Time) error
}
