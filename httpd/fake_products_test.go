package httpd_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"importer"
)

// fakeProducts keeps a catalogue in memory under the contract of
// importer.ProductStore, as far as httpd can tell.
type fakeProducts struct {
	importer.ProductStore

	mu       sync.Mutex
	byID     map[int64]importer.Product
	last     int64
	answers  map[string][2]string // idempotency key to request and answer
	asked    importer.ProductQuery
	creating func() // called in CreateProduct, before anything happens
	down     error  // what every call returns while it is set

	each func(func(importer.Product) error) error // instead of the products there are
}

func newFakeProducts() *fakeProducts {
	return &fakeProducts{byID: map[int64]importer.Product{}, answers: map[string][2]string{}}
}

var productTime = time.Date(2026, 1, 2, 3, 4, 5, 678000, time.UTC)

func (f *fakeProducts) Product(_ context.Context, id int64) (importer.Product, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.find(id, 0)
}

func (f *fakeProducts) find(id, version int64) (importer.Product, error) {
	p, ok := f.byID[id]
	switch {
	case f.down != nil:
		return p, f.down
	case !ok:
		return p, importer.Errorf(importer.NotFound, "There is no product %d.", id)
	case version != 0 && version != p.Version:
		return p, importer.Errorf(importer.Precondition, "The product has changed meanwhile.")
	}
	return p, nil
}

func (f *fakeProducts) Products(_ context.Context, q importer.ProductQuery) (importer.ProductPage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = q
	if f.down != nil {
		return importer.ProductPage{}, f.down
	}
	var all []importer.Product
	for _, p := range f.byID {
		if strings.Contains(strings.ToLower(p.SKU+" "+p.Name+" "+p.Description), strings.ToLower(q.Q)) {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b importer.Product) int { return cmp.Compare(a.ID, b.ID) })
	page := importer.ProductPage{Total: int64(len(all))}
	from := max(0, q.Page-1) * q.Limit
	if q.Cursor != "" {
		if n, err := fmt.Sscanf(q.Cursor, "after %d", &from); n != 1 || err != nil {
			return page, importer.Errorf(importer.Malformed, "That is no cursor of this list.")
		}
	}
	from = min(from, len(all))
	to := min(from+q.Limit, len(all))
	page.Items = all[from:to]
	if to < len(all) {
		next := fmt.Sprintf("after %d", to)
		page.Next = &next
	}
	return page, nil
}

func (f *fakeProducts) CreateProduct(_ context.Context, n importer.ProductFields) (importer.Product, error) {
	if f.creating != nil {
		f.creating()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.save(importer.Product{ID: f.last + 1, Active: true, CreatedAt: productTime}, n)
}

func (f *fakeProducts) UpdateProduct(_ context.Context, id, version int64, n importer.ProductFields) (importer.Product, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, err := f.find(id, version)
	if err != nil {
		return p, err
	}
	return f.save(p, n)
}

func (f *fakeProducts) save(p importer.Product, n importer.ProductFields) (importer.Product, error) {
	for _, field := range []struct{ to, from *string }{{&p.SKU, n.SKU}, {&p.Name, n.Name}, {&p.Description, n.Description}} {
		if field.from != nil {
			*field.to = *field.from
		}
	}
	if n.Active != nil {
		p.Active = *n.Active
	}
	p.SKU = importer.CleanSKU(p.SKU)
	var wrong []importer.FieldError
	if p.SKU == "" {
		wrong = append(wrong, importer.FieldError{Pointer: "/sku", Detail: "is missing"})
	}
	if p.Name == "" {
		wrong = append(wrong, importer.FieldError{Pointer: "/name", Detail: "is missing"})
	}
	if wrong != nil {
		return p, &importer.Error{Code: importer.Invalid, Message: "The product has values that are not allowed.", Fields: wrong}
	}
	for _, other := range f.byID {
		if other.ID != p.ID && importer.SKUKey(other.SKU) == importer.SKUKey(p.SKU) {
			return p, &importer.Error{Code: importer.Conflict, Message: "Another product already has this SKU.", Fields: []importer.FieldError{{Pointer: "/sku", Detail: "is taken"}}}
		}
	}
	if f.down != nil {
		return p, f.down
	}
	p.Version++
	p.UpdatedAt = productTime
	f.last = max(f.last, p.ID)
	f.byID[p.ID] = p
	return p, nil
}

func (f *fakeProducts) DeleteProduct(_ context.Context, id, version int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.find(id, version)
	if err == nil {
		delete(f.byID, id)
	}
	return err
}

func (f *fakeProducts) DeleteAllProducts(context.Context) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.byID)
	if f.down == nil {
		clear(f.byID)
	}
	return int64(n), f.down
}

func (f *fakeProducts) EachProduct(ctx context.Context, do func(importer.Product) error) error {
	if f.each != nil {
		return f.each(do)
	}
	page, err := f.Products(ctx, importer.ProductQuery{Limit: 1_000_000})
	for _, p := range page.Items {
		err = errors.Join(err, do(p))
	}
	return err
}

func (f *fakeProducts) Indexing(context.Context) (importer.Indexing, error) {
	return importer.Indexing{Indexed: 7, Total: 10, Pending: 3}, nil
}

func (f *fakeProducts) Remembered(_ context.Context, key, request string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	kept, ok := f.answers[key]
	switch {
	case !ok:
		return nil, nil
	case kept[0] != request:
		return nil, importer.Errorf(importer.Conflict, "The key was used for another request.")
	}
	return []byte(kept[1]), nil
}

func (f *fakeProducts) Remember(_ context.Context, key, request string, answer []byte, _ time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[key] = [2]string{request, string(answer)}
	return nil
}

// fakeEvents is a log of one topic.
type fakeEvents struct {
	importer.EventLog
	events []importer.Event
}

func (f *fakeEvents) ReadLog(_ context.Context, topic string, after int64, limit int) (importer.Log, error) {
	log := importer.Log{Epoch: "e1", Head: int64(len(f.events))}
	for _, e := range f.events {
		if e.Topic == topic && e.Seq > after && len(log.Events) < limit {
			log.Events = append(log.Events, e)
		}
	}
	return log, nil
}
