package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-resty/resty/v2"

	"importer"
)

// Options say which server to talk to.
type Options struct {
	Server string       // base URL, e.g. http://127.0.0.1:8080
	Token  string       // API token, sent as a bearer token; "" for none
	HTTP   *http.Client // nil for one of our own
}

// Client talks to one server. It is safe for use by several goroutines.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
	rest  *resty.Client
}

// New checks the options; it does not connect.
func New(o Options) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(o.Server, "/"))
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, fmt.Errorf("server %q: want a URL like http://127.0.0.1:8080", o.Server)
	}
	c := &Client{base: base, token: o.Token, http: o.HTTP}
	if c.http == nil {
		// resty's own client shares a cookie jar; this one keeps nothing.
		c.http = &http.Client{Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			MaxIdleConnsPerHost:   4,
			IdleConnTimeout:       time.Minute,
			ResponseHeaderTimeout: time.Minute,
		}}
	}
	c.rest = resty.NewWithClient(c.http).SetBaseURL(base.String()).SetHeader("User-Agent", "importer-go")
	if c.token != "" {
		c.rest.SetAuthToken(c.token)
	}
	return c, nil
}

// request prepares a call whose failure comes back as *importer.Error.
func (c *Client) request(ctx context.Context) *resty.Request {
	return c.rest.R().SetContext(ctx).SetError(&problem{})
}

// done is finish for an answer without a body.
func done(r *resty.Response, err error) error {
	if err != nil {
		return unreachable(err)
	}
	if r.IsError() {
		return failure(r)
	}
	return nil
}

// finish turns what resty returned into the caller's value or error.
func finish[T any](r *resty.Response, err error) (T, error) {
	var zero T
	if err := done(r, err); err != nil {
		return zero, err
	}
	v, ok := r.Result().(*T)
	if !ok || v == nil {
		return zero, importer.Errorf(importer.Internal, "%s %s: the answer is not what this client understands", r.Request.Method, r.Request.URL)
	}
	return *v, nil
}
