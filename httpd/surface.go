package httpd

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"importer"
)

// right is what a route asks of its caller: a scope, or one of the two that
// ask for none.
type right string

const (
	public = right("public") // nobody is asked who they are
	anyone = right("anyone") // callers are recognised, strangers too may come

	reads   = right(importer.ScopeRead)
	imports = right(importer.ScopeImport)
	writes  = right(importer.ScopeWrite)
	admin   = right(importer.ScopeAdmin)
)

// surface is what the server answers to. Every pattern of the mux has its
// right: what has none is not let through, see Server.admit.
type surface struct {
	mux    *http.ServeMux
	api    huma.API
	rights map[string]right    // by pattern
	limits map[string]*limiter // by pattern: what costs much

	answerTime time.Duration
}

// serve registers a handler that no document tells of.
func (sf *surface) serve(need right, pattern string, h http.Handler) {
	sf.rights[pattern] = need
	sf.mux.Handle(pattern, h)
}

// of is the right and the limit of a request's route.
func (sf *surface) of(r *http.Request) (need right, declared bool, limit *limiter) {
	_, pattern := sf.mux.Handler(r)
	need, declared = sf.rights[pattern]
	return need, declared, sf.limits[pattern]
}

// handle registers a JSON operation: huma reads and checks the request, and
// errors become problems. Of the statuses, one of 2xx is that of success.
func handle[In, Out any](sf *surface, need right, route, id, summary string, f func(context.Context, *In) (*Out, error), statuses ...int) {
	op := operation(need, route, id, summary, statuses)
	op.MaxBodyBytes = maxBody + 1
	op.BodyReadTimeout = sf.answerTime
	sf.rights[route] = need
	huma.Register(sf.api, *op, func(ctx context.Context, in *In) (*Out, error) {
		out, err := f(ctx, in)
		if err != nil {
			return nil, problemOf(ctx, err)
		}
		return out, nil
	})
}

// plain registers a handler that reads and answers by itself; byHand says the
// rest of what the document needs.
func plain(sf *surface, need right, route, id, summary string, f http.HandlerFunc, statuses ...int) {
	sf.serve(need, route, f)
	describe(sf, need, route, id, summary, statuses...)
}

func describe(sf *surface, need right, route, id, summary string, statuses ...int) {
	op := operation(need, route, id, summary, statuses)
	byHand(sf.api.OpenAPI(), op)
	sf.api.OpenAPI().AddOperation(op)
}
