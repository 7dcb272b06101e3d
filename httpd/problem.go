package httpd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/rs/zerolog"

	"importer"
)

// Problem is the body of every answer with a status of 400 or more:
// application/problem+json (RFC 9457) with the members code and errors.
type Problem struct {
	Type   string                `json:"type" doc:"Always about:blank; code says what it is."`
	Title  string                `json:"title" doc:"The status in words."`
	Status int                   `json:"status"`
	Code   importer.Code         `json:"code" doc:"For programs; it does not change."`
	Detail string                `json:"detail" doc:"For people: what is wrong and what to do."`
	Errors []importer.FieldError `json:"errors,omitempty" doc:"The values at fault."`
	// Current is what a failed If-Match was compared with.
	Current any `json:"current,omitempty" doc:"With 412: the resource as it is now."`

	header http.Header // sent beside the usual ones
}

// Error implements error.
func (p *Problem) Error() string { return string(p.Code) + ": " + p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	maps.Copy(h, p.header)
	if (p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests) && h.Get("Retry-After") == "" {
		h.Set("Retry-After", "5")
	}
	return h
}

// statusOf is the one place where codes become statuses.
func statusOf(code importer.Code) int {
	switch code {
	case importer.Malformed, importer.UploadIncomplete:
		return http.StatusBadRequest
	case importer.Unauthorized:
		return http.StatusUnauthorized
	case importer.Forbidden:
		return http.StatusForbidden
	case importer.NotFound:
		return http.StatusNotFound
	case importer.Conflict, importer.StorageLost:
		return http.StatusConflict
	case importer.Precondition:
		return http.StatusPreconditionFailed
	case importer.TooLarge:
		return http.StatusRequestEntityTooLarge
	case importer.Limited:
		return http.StatusTooManyRequests
	case importer.Unavailable, importer.DatabaseUnavailable:
		return http.StatusServiceUnavailable
	case importer.StorageFull:
		return http.StatusInsufficientStorage
	case importer.Internal, importer.PipelineFailed:
		return http.StatusInternalServerError
	}
	return http.StatusUnprocessableEntity
}

// codeOf names the statuses that huma and tusd choose themselves.
func codeOf(status int) importer.Code {
	switch status {
	case http.StatusUnprocessableEntity:
		return importer.Invalid
	case http.StatusUnauthorized:
		return importer.Unauthorized
	case http.StatusForbidden:
		return importer.Forbidden
	case http.StatusNotFound, http.StatusGone:
		return importer.NotFound
	case http.StatusConflict, http.StatusLocked:
		return importer.Conflict
	case http.StatusPreconditionFailed:
		return importer.Precondition
	case http.StatusRequestEntityTooLarge:
		return importer.TooLarge
	case http.StatusTooManyRequests:
		return importer.Limited
	case http.StatusServiceUnavailable:
		return importer.Unavailable
	}
	if status >= 500 {
		return importer.Internal
	}
	return importer.Malformed
}

// problemOf makes an answer of any error and logs what the answer hides.
func problemOf(ctx context.Context, err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	e, ok := errors.AsType[*importer.Error](err)
	if !ok {
		e = &importer.Error{Code: importer.Internal, Err: err}
	}
	log := zerolog.Ctx(ctx)
	switch {
	case ctx.Err() != nil: // nobody is there to read the answer
		log.Debug().Err(err).Msg("request was given up")
	case statusOf(e.Code) == http.StatusInternalServerError:
		log.Error().Err(err).Msg("request failed")
		e = &importer.Error{Code: e.Code, Message: "Something went wrong on the server. Its log tells more under request " + visitOf(ctx).id + "."}
	case e.Err != nil:
		log.Warn().Err(err).Msg("request failed")
	}
	return newProblem(statusOf(e.Code), e.Code, e.Message, e.Fields)
}

func newProblem(status int, code importer.Code, detail string, fields []importer.FieldError) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail, Errors: fields}
}

// notModified is no error, but it ends a request like one: 304, without a body.
func notModified(version int64) *Problem {
	return &Problem{Status: http.StatusNotModified, header: http.Header{"Etag": {etag(version)}}}
}

// fail answers a plain handler's request with a problem.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	writeProblem(w, problemOf(r.Context(), err))
}

func writeProblem(w http.ResponseWriter, p *Problem) {
	h := w.Header()
	for name, values := range p.GetHeaders() {
		h[name] = values
	}
	h.Del("Content-Length")
	h.Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone: nothing to tell it
}

// useProblems makes huma's own errors problems too. Huma keeps its error
// constructor and other settings in package variables, so this happens once in
// the process, before the first API is made.
var useProblems = sync.OnceFunc(func() {
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		fields := make([]importer.FieldError, 0, len(errs))
		for _, err := range errs {
			if d, ok := err.(huma.ErrorDetailer); ok {
				detail := d.ErrorDetail()
				fields = append(fields, importer.FieldError{Pointer: pointer(detail.Location), Detail: detail.Message})
			}
		}
		return newProblem(status, codeOf(status), inOurWords(status, message), fields)
	}
	huma.DefaultArrayNullable = false
	// "SKU" for "sku" would be taken, and then not found by whoever reads the
	// document.
	huma.ValidateStrictCasing = true
})

func inOurWords(status int, message string) string {
	switch {
	case status == http.StatusUnprocessableEntity:
		return "The request has values that are not allowed."
	case status == http.StatusRequestEntityTooLarge:
		return fmt.Sprintf("The body of the request is over %d bytes.", maxBody)
	case status == http.StatusUnsupportedMediaType:
		return "The body has to be JSON, with Content-Type: application/json."
	case status == http.StatusRequestTimeout:
		return "The body of the request did not arrive in time."
	case status == http.StatusBadRequest && message == "validation failed":
		return "The body of the request is no JSON."
	case status == http.StatusBadRequest:
		return "The request has no body; it takes a JSON object."
	}
	return message
}

// pointer turns huma's "body.items[3].sku" into "/items/3/sku" (RFC 6901) and
// "query.limit" into "limit".
func pointer(location string) string {
	in, path, _ := strings.Cut(location, ".")
	if in != "body" {
		return path
	}
	if path == "" {
		return ""
	}
	return "/" + strings.NewReplacer(".", "/", "[", "/", "]", "").Replace(path)
}

// notFound answers what no route under /api/ matched: 405 when another method
// would have, else 404.
func notFound(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var allow []string
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
			other := &http.Request{Method: method, URL: r.URL, Host: r.Host}
			if _, pattern := mux.Handler(other); pattern != "/api/" {
				allow = append(allow, method)
			}
		}
		if len(allow) == 0 {
			fail(w, r, importer.Errorf(importer.NotFound, "There is nothing at %s.", r.URL.Path))
			return
		}
		w.Header().Set("Allow", strings.Join(allow, ", "))
		writeProblem(w, newProblem(http.StatusMethodNotAllowed, importer.Malformed,
			r.Method+" is not possible here, only "+strings.Join(allow, ", ")+".", nil))
	})
}
