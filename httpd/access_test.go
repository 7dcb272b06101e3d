package httpd_test

import (
	"net/http"
	"strings"
	"testing"

	"importer"
	"importer/httpd"
)

const adminToken = "0123456789abcdef"

func guarded(t *testing.T) *bench {
	t.Helper()
	return setup(t, func(o *httpd.Options) {
		o.AdminToken = adminToken
		o.Web = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) })
	})
}

// TestEveryRouteIsGuarded asks for each operation of the document, and for
// what is outside of it, without credentials: nothing but probes is answered.
func TestEveryRouteIsGuarded(t *testing.T) {
	t.Parallel()
	b := guarded(t)
	routes := []string{"GET /", "GET /assets/app.js", "GET /docs", "GET /api/nothing", "GET /ws"}
	for path, methods := range contract().Paths {
		for method := range methods {
			routes = append(routes, strings.ToUpper(method)+" "+strings.ReplaceAll(path, "{id}", "1"))
		}
	}
	if len(routes) < 40 {
		t.Fatalf("%d routes: where are the others?", len(routes))
	}
	for _, route := range routes {
		method, path, _ := strings.Cut(route, " ")
		r := b.do(method, path, nil)
		if open := path == "/healthz" || path == "/readyz"; open != (r.status == 200) || !open && r.status != 401 {
			t.Errorf("%s without credentials: %d", route, r.status)
		}
		if r.status == 401 && (!strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Basic ") || len(r.header.Values("WWW-Authenticate")) != 2) {
			t.Errorf("%s does not say what to bring: %v", route, r.header)
		}
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, header string
		want         int
	}{
		{"bearer", "Bearer " + adminToken, 200},
		{"in another case", "bearer  " + adminToken + " ", 200},
		{"basic", basic("", adminToken), 200},
		{"basic with a name", basic("anna", adminToken), 200},
		{"wrong", "Bearer 0123456789abcdeg", 401},
		{"a part", "Bearer 0123456789abcde", 401},
		{"empty", "Bearer ", 401},
		{"wrong password", basic(adminToken, "x"), 401},
		{"another scheme", "Token " + adminToken, 401},
	} {
		b := guarded(t) // wrong ones are counted
		if r := b.do("GET", "/api/products", nil, "Authorization", c.header); r.status != c.want {
			t.Errorf("%s: %d, want %d", c.name, r.status, c.want)
		}
	}
}

func basic(user, password string) string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}

// TestGuessingIsSlow: after a few wrong tokens there is no answer to more, and
// the right one is let in all the same.
func TestGuessingIsSlow(t *testing.T) {
	t.Parallel()
	b := guarded(t)
	limited := 0
	for range 40 {
		r := b.do("GET", "/api/products", nil, "Authorization", "Bearer wrong")
		if r.status == 429 {
			limited++
			b.problem(r, 429, importer.Limited)
			if r.header.Get("Retry-After") == "" {
				t.Error("429 without Retry-After")
			}
		}
	}
	if limited < 20 {
		t.Errorf("%d of 40 guesses were refused", limited)
	}
	if r := b.do("GET", "/api/products", nil, "Authorization", "Bearer "+adminToken); r.status != 200 {
		t.Errorf("the right token: %d", r.status)
	}
}

// Another site's page may not use what the browser remembers.
func TestOtherSitesMayNotUseCredentials(t *testing.T) {
	t.Parallel()
	b := guarded(t)
	r := b.do("DELETE", "/api/products?confirm=delete-all", nil, "Authorization", basic("", adminToken), "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example")
	b.problem(r, 403, importer.Forbidden)
}
