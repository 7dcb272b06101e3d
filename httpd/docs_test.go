package httpd_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"importer/internal/golden"
)

// The document is kept, so that a change of the API is seen in review and
// scripts/lint-openapi has something to read.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.do("GET", "/api/openapi.json", nil)
	if got := r.header.Get("Content-Type"); got != "application/openapi+json" {
		t.Errorf("got content type %q", got)
	}
	golden.File(t, "testdata/openapi.json", string(r.body)+"\n")
}

// The page shows every operation and schema, and wants nothing from elsewhere.
func TestDocs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.do("GET", "/docs", nil)
	page := string(r.body)
	if r.status != http.StatusOK || r.header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("got %d %q", r.status, r.header.Get("Content-Type"))
	}
	var doc struct {
		Paths      map[string]map[string]struct{ OperationID, Summary string }
		Components struct{ Schemas map[string]json.RawMessage }
	}
	if err := json.Unmarshal(contract().raw, &doc); err != nil {
		t.Fatal(err)
	}
	for path, methods := range doc.Paths {
		for _, op := range methods {
			if op.Summary == "" || !strings.Contains(page, `<article id="`+op.OperationID+`"`) {
				t.Errorf("%s (%s) is not on the page", op.OperationID, path)
			}
		}
	}
	for name := range doc.Components.Schemas {
		if !strings.Contains(page, `<article id="schema-`+name+`"`) {
			t.Errorf("schema %s is not on the page", name)
		}
	}
	for _, link := range regexp.MustCompile(`href="#([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if !strings.Contains(page, `id="`+link[1]+`"`) {
			t.Errorf("a link leads to #%s, which is not there", link[1])
		}
	}
	if found := regexp.MustCompile(`(?:src|href)="(?:https?:)?//[^"]*"|<script|style=|>anything</a>|ZgotmplZ|&lt;nil&gt;|%!`).FindString(page); found != "" {
		t.Errorf("the page has %q", found)
	}
	for _, want := range []string{
		`curl -X PATCH -H &#39;If-Match: &#34;3&#34;&#39; -H &#39;Content-Type: application/json&#39; -d &#39;{&#34;active&#34;:false,&#34;name&#34;:&#34;Desk lamp, brass&#34;}&#39; &#34;$SERVER/api/products/42&#34;`,
		"product 42",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	style := b.do("GET", "/docs/style.css", nil)
	for _, r := range []reply{r, style} {
		policy := r.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "script-src") {
			t.Errorf("got policy %q", policy)
		}
		if r.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Error("got no nosniff")
		}
	}
	if got := style.header.Get("Content-Type"); got != "text/css; charset=utf-8" {
		t.Errorf("got style of type %q", got)
	}
	if again := b.do("GET", "/docs", nil, "If-None-Match", r.header.Get("ETag")); again.status != http.StatusNotModified {
		t.Errorf("asked again: got %d, want 304", again.status)
	}
}
