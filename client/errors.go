package client

import (
	"context"
	"errors"
	"net/http"

	"github.com/go-resty/resty/v2"

	"importer"
)

// problem is an application/problem+json body (RFC 9457) with our members.
type problem struct {
	Title  string                `json:"title"`
	Detail string                `json:"detail"`
	Code   importer.Code         `json:"code"`
	Errors []importer.FieldError `json:"errors"`
}

// failure is the error of an answer with status 400 or more. Something between
// us and the server may have answered in its place, so the body may be
// anything.
func failure(r *resty.Response) error {
	p, _ := r.Error().(*problem)
	if p == nil || p.Code == "" {
		return importer.Errorf(codeOf(r.StatusCode()), "%s answered %s to %s", r.Request.URL, r.Status(), r.Request.Method)
	}
	message := p.Detail
	if message == "" {
		message = p.Title
	}
	return &importer.Error{Code: p.Code, Message: message, Fields: p.Errors}
}

// unreachable is the error of a request that got no answer.
func unreachable(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &importer.Error{Code: importer.Unavailable, Message: "the server cannot be reached", Err: err}
}

func codeOf(status int) importer.Code {
	switch status {
	case http.StatusUnauthorized:
		return importer.Unauthorized
	case http.StatusForbidden:
		return importer.Forbidden
	case http.StatusNotFound:
		return importer.NotFound
	case http.StatusConflict:
		return importer.Conflict
	case http.StatusRequestEntityTooLarge:
		return importer.TooLarge
	case http.StatusTooManyRequests:
		return importer.Limited
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return importer.Unavailable
	}
	if status < 500 {
		return importer.Malformed
	}
	return importer.Internal
}
