package httpd_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"importer"
	"importer/httpd"
)

// documented is the client's side of every HTTP test: each answer has to be
// one that the OpenAPI document announces, by status, content type, headers
// and the schema of its body.
type documented struct {
	t    *testing.T
	next http.RoundTripper
}

func (d *documented) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := d.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if !strings.HasSuffix(kind, "json") {
		if err := contract().check(r, resp, kind, nil); err != nil {
			d.t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		}
		return resp, nil
	}
	content, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(content))
	if err := contract().check(r, resp, kind, content); err != nil {
		d.t.Errorf("%s %s: %v\n%.2000s", r.Method, r.URL.Path, err, content)
	}
	return resp, nil
}

func (d *documented) CloseIdleConnections() {
	if c, ok := d.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// openAPI is the document as far as answers go.
type openAPI struct {
	raw      []byte
	compiler *jsonschema.Compiler
	mu       sync.Mutex // a compiler is for one goroutine
	Paths    map[string]map[string]struct {
		OperationID string
		Summary     string
		Scope       string `json:"x-scope"`
		Responses   map[string]announced
	}
	Components struct{ Responses map[string]announced }
}

type announced struct {
	Ref     string `json:"$ref"`
	Headers map[string]struct{}
	Content map[string]struct {
		Example json.RawMessage
	}
}

// contract is the document of a server like those of the tests.
var contract = sync.OnceValue(func() *openAPI {
	server, err := httpd.New(httpd.Options{
		Imports: newFakeStore(), Products: newFakeProducts(), Events: &fakeEvents{}, Status: &fakeStatus{}, Importer: newFakeImporter(), Hub: newFakeHub(), Webhooks: noWebhooks{}, WebhookSender: &fakeSender{}, Access: newFakeAccess(),
		Spool: struct{ importer.Spool }{}, Node: uuid.New(), MaxUpload: 1, Version: "test",
	})
	if err != nil {
		panic(err)
	}
	w := httptest.NewRecorder()
	server.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/api/openapi.json", nil))
	doc := &openAPI{raw: w.Body.Bytes(), compiler: jsonschema.NewCompiler()}
	if err := json.Unmarshal(doc.raw, doc); err != nil {
		panic(err)
	}
	resource, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc.raw))
	if err == nil {
		err = doc.compiler.AddResource("openapi.json", resource)
	}
	if err != nil {
		panic(err)
	}
	doc.compiler.AssertFormat()
	return doc
})

func (o *openAPI) check(r *http.Request, resp *http.Response, kind string, content []byte) error {
	template := o.template(r.URL.Path)
	op, found := o.Paths[template][strings.ToLower(r.Method)]
	if !found {
		if r.Method == http.MethodHead || !strings.HasPrefix(r.URL.Path, "/api/") {
			return nil // HEAD of a GET, and pages
		}
		if kind != "application/problem+json" {
			return fmt.Errorf("nothing is documented there, so %d %q should be a problem", resp.StatusCode, kind)
		}
		return o.valid("#/components/responses/Error/content/application~1problem+json/schema", content)
	}
	at := "#/paths/" + escape(template) + "/" + strings.ToLower(r.Method) + "/responses/"
	status := strconv.Itoa(resp.StatusCode)
	answer, found := op.Responses[status]
	if !found && resp.StatusCode >= 400 {
		status = "default"
		answer, found = op.Responses[status]
	}
	if !found {
		return fmt.Errorf("%s does not announce status %s", op.OperationID, status)
	}
	at += status
	if answer.Ref != "" {
		at = answer.Ref
		if answer, found = o.Components.Responses[strings.TrimPrefix(answer.Ref, "#/components/responses/")]; !found {
			return fmt.Errorf("%s refers to %s, which is not there", op.OperationID, at)
		}
	}
	for _, name := range []string{"Location", "ETag", "Idempotency-Replayed"} {
		if _, announced := answer.Headers[name]; resp.Header.Get(name) != "" && !announced && status != "304" {
			return fmt.Errorf("%s %s does not announce the header %s", op.OperationID, status, name)
		}
	}
	if len(answer.Content) == 0 {
		if len(content) > 0 || resp.ContentLength > 0 && r.Method != http.MethodHead {
			return fmt.Errorf("%s %s announces no body", op.OperationID, status)
		}
		return nil
	}
	if _, found := answer.Content[kind]; !found {
		return fmt.Errorf("%s %s does not announce content type %q", op.OperationID, status, kind)
	}
	if !strings.HasSuffix(kind, "json") {
		return nil
	}
	return o.valid(at+"/content/"+escape(kind)+"/schema", content)
}

// template finds /api/products/{id} for /api/products/7.
func (o *openAPI) template(path string) string {
	if _, ok := o.Paths[path]; ok {
		return path
	}
	have := strings.Split(path, "/")
	for template := range o.Paths {
		want := strings.Split(template, "/")
		same := len(want) == len(have)
		for i := 0; same && i < len(want); i++ {
			same = want[i] == have[i] || strings.HasPrefix(want[i], "{") && have[i] != ""
		}
		if same {
			return template
		}
	}
	return ""
}

func (o *openAPI) valid(schema string, content []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		return err
	}
	o.mu.Lock()
	compiled, err := o.compiler.Compile("openapi.json" + schema)
	o.mu.Unlock()
	if err != nil {
		return err
	}
	return compiled.Validate(value)
}

func escape(token string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(token)
}

// The check itself must be able to fail.
func TestContractNoticesOtherAnswers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		path, kind, body string
		status           int
		header           string
	}{
		"wrong type of a member":   {"/api/products/7", "application/json", `{"id":"7"}`, 200, ""},
		"member too many":          {"/api/products/indexing", "application/json", `{"indexed":1,"total":1,"pending":0,"more":1}`, 200, ""},
		"null for a list":          {"/api/imports", "application/json", `{"items":null,"next":null,"total":0}`, 200, ""},
		"status not announced":     {"/api/products/indexing", "application/json", `{"indexed":1,"total":1,"pending":0}`, 202, ""},
		"type not announced":       {"/api/products/indexing", "text/html", ``, 200, ""},
		"error that is no problem": {"/api/nothing", "text/plain", ``, 404, ""},
		"header not announced":     {"/api/products/indexing", "application/json", `{"indexed":1,"total":1,"pending":0}`, 200, "ETag"},
	} {
		resp := &http.Response{StatusCode: test.status, Header: http.Header{}}
		if test.header != "" {
			resp.Header.Set(test.header, "x")
		}
		err := contract().check(httptest.NewRequest("GET", test.path, nil), resp, test.kind, []byte(test.body))
		if err == nil {
			t.Errorf("%s: got no complaint", name)
		}
	}
	fine := []byte(`{"indexed":1,"total":1,"pending":0}`)
	if err := contract().check(httptest.NewRequest("GET", "/api/products/indexing", nil), &http.Response{StatusCode: 200}, "application/json", fine); err != nil {
		t.Errorf("got %v for a good answer", err)
	}
}

// Every example of the document is an instance of its schema.
func TestExamplesFitTheirSchemas(t *testing.T) {
	t.Parallel()
	doc := contract()
	seen := 0
	check := func(at string, a announced) {
		for kind, media := range a.Content {
			if media.Example != nil {
				seen++
				if err := doc.valid(at+"/content/"+escape(kind)+"/schema", media.Example); err != nil {
					t.Errorf("%s %s: %v", at, kind, err)
				}
			}
		}
	}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			for status, a := range op.Responses {
				check("#/paths/"+escape(path)+"/"+method+"/responses/"+status, a)
			}
		}
	}
	for name, a := range doc.Components.Responses {
		check("#/components/responses/"+name, a)
	}
	if seen < 20 {
		t.Errorf("got %d examples, want one wherever there is one to show", seen)
	}
}
