package httpd

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// operation begins the description of a route.
func operation(need right, route, id, summary string, statuses []int) *huma.Operation {
	method, path, _ := strings.Cut(route, " ")
	op := &huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{tagOf(path)}, Description: descriptions[id],
		Responses: map[string]*huma.Response{"default": {Ref: responsePath + "Error"}},
	}
	if need != public && need != anyone {
		op.Extensions = map[string]any{"x-scope": string(need)}
		op.Security = []map[string][]string{{"token": {string(need)}}, {"session": {}}}
		statuses = append(statuses, http.StatusUnauthorized, http.StatusForbidden)
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
	case tag == "session" || tag == "sessions" || tag == "password" || tag == "tokens" || tag == "ws-tickets":
		return "access"
	}
	return tag
}

const responsePath = "#/components/responses/"

// responseName is "NotFound" for 404.
func responseName(status int) string {
	return strings.ReplaceAll(http.StatusText(status), " ", "")
}
