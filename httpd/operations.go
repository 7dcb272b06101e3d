package httpd

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// handle registers a JSON operation: huma reads and checks the request, and
// errors become problems. Of the statuses, one of 2xx is that of success.
func handle[In, Out any](api huma.API, route, id, summary string, f func(context.Context, *In) (*Out, error), statuses ...int) {
	op := operation(route, id, summary, statuses)
	op.MaxBodyBytes = maxBody + 1
	op.BodyReadTimeout = answerTime
	huma.Register(api, *op, func(ctx context.Context, in *In) (*Out, error) {
		out, err := f(ctx, in)
		if err != nil {
			return nil, problemOf(ctx, err)
		}
		return out, nil
	})
}

// plain registers a handler that reads and answers by itself; byHand says the
// rest of what the document needs.
func plain(api huma.API, mux *http.ServeMux, route, id, summary string, f http.HandlerFunc, statuses ...int) {
	mux.HandleFunc(route, f)
	describe(api.OpenAPI(), route, id, summary, statuses...)
}

func describe(doc *huma.OpenAPI, route, id, summary string, statuses ...int) {
	op := operation(route, id, summary, statuses)
	byHand(doc, op)
	doc.AddOperation(op)
}

func operation(route, id, summary string, statuses []int) *huma.Operation {
	method, path, _ := strings.Cut(route, " ")
	op := &huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{tagOf(path)}, Description: descriptions[id],
		Responses: map[string]*huma.Response{"default": {Ref: responsePath + "Error"}},
	}
	for _, status := range statuses {
		if status < 300 {
			op.DefaultStatus = status
			continue
		}
		op.Responses[strconv.Itoa(status)] = &huma.Response{Ref: responsePath + responseName(status)}
	}
	return op
}

// tagOf groups operations: /api/products/{id} belongs to products. What is no
// list of things belongs to the server itself.
func tagOf(path string) string {
	rest, ok := strings.CutPrefix(path, "/api/")
	tag, _, _ := strings.Cut(rest, "/")
	switch {
	case !ok || strings.Contains(tag, "."):
		return "server"
	case tag == "deliveries" || tag == "event-types":
		return "webhooks"
	}
	return tag
}

const responsePath = "#/components/responses/"

// responseName is "NotFound" for 404.
func responseName(status int) string {
	return strings.ReplaceAll(http.StatusText(status), " ", "")
}
