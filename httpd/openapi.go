package httpd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"importer"
)

// document completes the description of all operations and serves it, for
// programs at /api/openapi.json and for people at /docs.
func document(sf *surface) error {
	doc := sf.api.OpenAPI()
	complete(doc)
	plain, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("encode the OpenAPI document: %w", err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, plain, "", "  "); err != nil {
		return fmt.Errorf("encode the OpenAPI document: %w", err)
	}
	sf.serve(public, "GET /api/openapi.json", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(indented.Bytes()) // the client is gone: nothing to tell it
	}))
	return docs(sf)
}

// complete adds what neither types nor tags can say.
func complete(doc *huma.OpenAPI) {
	doc.Info.Description = about
	doc.Servers = []*huma.Server{{URL: "/", Description: "The server that this document comes from."}}
	for _, name := range []string{"products", "imports", "uploads", "webhooks", "access", "server"} {
		doc.Tags = append(doc.Tags, &huma.Tag{Name: name, Description: tags[name]})
	}
	doc.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token":   {Type: "http", Scheme: "bearer", Description: "An API token of the scope that the operation names, or the server's admin token. Also taken as the password of Basic authentication."},
		"session": {Type: "apiKey", In: "cookie", Name: cookieName, Description: "Of a browser that has signed in. It may do everything."},
	}
	problem := schemaOf[Problem](doc)
	doc.Components.Responses = map[string]*huma.Response{
		"Error":       problemResponse("Any other error", problem, 500, importer.Internal, "Something went wrong on the server. Its log tells more under request 0198c0de-7f3a.", nil),
		"NotModified": {Description: "The client has this version already."},
	}
	for status, p := range problems {
		doc.Components.Responses[responseName(status)] = problemResponse(p.means, problem, status, p.code, p.detail, p.fields)
	}
	current := &huma.Schema{AllOf: []*huma.Schema{problem, {Type: huma.TypeObject, Properties: map[string]*huma.Schema{
		"current": {AnyOf: []*huma.Schema{schemaOf[importer.Product](doc), schemaOf[importer.Webhook](doc)}},
	}}}}
	failed := doc.Components.Responses[responseName(http.StatusPreconditionFailed)]
	media := failed.Content["application/problem+json"]
	media.Schema = current
	stale := media.Example.(*Problem)
	stale.Current = exampleProduct
	failed.Headers = map[string]*huma.Param{"ETag": {Description: "That of the product or webhook as it is now.", Schema: text()}}

	schemas := doc.Components.Schemas.Map()
	for name, members := range members {
		for member, says := range members {
			schemas[name].Properties[member].Description = says
		}
	}
	for name, members := range formats {
		for member, format := range members {
			schemas[name].Properties[member].Format = format
		}
	}
	for _, state := range []importer.State{importer.Uploading, importer.Queued, importer.Scanning, importer.Writing, importer.Completed, importer.Failed, importer.Cancelled} {
		schemas["Import"].Properties["state"].Enum = append(schemas["Import"].Properties["state"].Enum, state)
	}
	// The document says so; the store checks it, see products.go.
	schemas["NewProduct"].Required = []string{"sku", "name"}
	schemas["NewWebhook"].Required = []string{"url", "events"}
	nullables(doc.Components.Schemas)
	eachOperation(doc, func(op *huma.Operation) { addExamples(op) })
}

// nullables says of which objects there may be none.
func nullables(r huma.Registry) {
	schemas := r.Map()
	if i := schemas["Import"]; i != nil {
		i.Properties["error"] = orNull(r, reflect.TypeFor[importer.ImportError](), "Why it failed; null when it did not.")
	}
	if w := schemas["Webhook"]; w != nil {
		w.Properties["last_attempt"] = orNull(r, reflect.TypeFor[importer.Attempt](), "The last request; null when there was none.")
	}
}

func orNull(r huma.Registry, t reflect.Type, says string) *huma.Schema {
	return &huma.Schema{Description: says, AnyOf: []*huma.Schema{r.Schema(t, true, ""), {Type: "null"}}}
}

func problemResponse(means string, schema *huma.Schema, status int, code importer.Code, detail string, fields []importer.FieldError) *huma.Response {
	r := &huma.Response{Description: means, Content: map[string]*huma.MediaType{
		"application/problem+json": {Schema: schema, Example: newProblem(status, code, detail, fields)},
	}}
	if status == http.StatusServiceUnavailable {
		r.Headers = map[string]*huma.Param{"Retry-After": {Description: "Seconds to wait.", Schema: number()}}
	}
	return r
}

// addExamples shows a request and an answer where there is one to show.
func addExamples(op *huma.Operation) {
	example, ok := examples[op.OperationID]
	if !ok {
		return
	}
	if example.request != nil {
		op.RequestBody.Content["application/json"].Example = example.request
	}
	for status, response := range op.Responses {
		if n, err := strconv.Atoi(status); err == nil && n < 300 && response.Content["application/json"] != nil {
			response.Content["application/json"].Example = example.answer
		}
	}
	for _, p := range op.Parameters {
		if p.In == "path" && p.Example == nil {
			p.Example = example.id
		}
	}
}

func eachOperation(doc *huma.OpenAPI, f func(*huma.Operation)) {
	for _, path := range sortedKeys(doc.Paths) {
		item := doc.Paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Head, item.Patch, item.Delete, item.Options} {
			if op != nil {
				f(op)
			}
		}
	}
}

// byHand describes what an operation outside of huma takes and gives.
func byHand(doc *huma.OpenAPI, op *huma.Operation) {
	created := &huma.Response{
		Description: "Stored and queued",
		Headers: map[string]*huma.Param{
			"Location":             {Description: "The import.", Schema: text()},
			"Idempotency-Replayed": {Description: "true when this is the answer to an earlier request with the same key.", Schema: text()},
		},
		Content: map[string]*huma.MediaType{"application/json": {Schema: schemaOf[importer.Import](doc)}},
	}
	csv := func() *huma.Response {
		return &huma.Response{Description: "OK", Content: map[string]*huma.MediaType{"text/csv": {Schema: file()}}}
	}
	offset := map[string]*huma.Param{"Upload-Offset": {Description: "Bytes that have arrived.", Schema: number()}}
	switch op.OperationID {
	case "create-import", "put-import":
		op.Parameters = append(uploadParams(), &huma.Param{Name: "Idempotency-Key", In: "header", Schema: text(),
			Description: "Chosen by the client. Another upload with the same key, options and length within a day gets the first answer again, and is not read."})
		op.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{
			"text/csv":            {Schema: file()},
			"multipart/form-data": {Schema: &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{"file": file()}, Required: []string{"file"}}},
		}}
		op.Responses["202"] = created
	case "download-rejects":
		op.Parameters = []*huma.Param{pathID("The import's id (UUID).")}
		op.Responses["200"] = csv()
	case "export-products":
		op.Parameters = exportParams()
		op.Responses["200"] = csv()
	case "upload-options":
		op.Responses["200"] = &huma.Response{Description: "Tus-Version, Tus-Extension and Tus-Max-Size"}
	case "create-upload":
		op.Parameters = []*huma.Param{tusHeader(), {Name: "Upload-Length", In: "header", Required: true, Description: "Bytes of the whole file.", Example: 124, Schema: number()},
			{Name: "Upload-Metadata", In: "header", Description: "Pairs of a name and a base64 text, separated by commas: filename, dry_run, map_sku, map_name, map_description.", Schema: text()}}
		op.Responses["201"] = &huma.Response{Description: "Begun; the id in Location is that of the import too", Headers: map[string]*huma.Param{"Location": {Description: "Where to send the parts.", Schema: text()}}}
	case "get-upload-offset":
		op.Parameters = []*huma.Param{tusHeader(), pathID("The upload's id.")}
		op.Responses = map[string]*huma.Response{
			"200":     {Description: "OK", Headers: maps.Clone(offset)},
			"default": {Description: "An error. As for every HEAD there is no body: 404 means to begin the upload again."},
		}
	case "append-upload":
		op.Parameters = []*huma.Param{tusHeader(), pathID("The upload's id."),
			{Name: "Upload-Offset", In: "header", Required: true, Description: "Where this part begins: what HEAD said.", Example: 0, Schema: number()}}
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/offset+octet-stream": {Schema: file()}}}
		op.Responses["204"] = &huma.Response{Description: "Kept", Headers: maps.Clone(offset)}
	case "cancel-upload":
		op.Parameters = []*huma.Param{tusHeader(), pathID("The upload's id.")}
		op.Responses["204"] = &huma.Response{Description: "The import is cancelled"}
	case "open-socket":
		op.Responses["101"] = &huma.Response{Description: "Now a WebSocket"}
		op.Responses["default"] = &huma.Response{Description: "No upgrade", Content: map[string]*huma.MediaType{
			"text/plain": {Schema: text()}, "application/problem+json": {Schema: schemaOf[Problem](doc)},
		}}
	case "get-asyncapi":
		op.Responses["200"] = objectOf("application/json")
	case "get-openapi":
		op.Responses["200"] = objectOf("application/openapi+json")
	case "get-health":
		op.Responses["200"] = answers[health](doc, "Alive")
	case "get-readiness":
		op.Responses["200"] = answers[readiness](doc, "Ready")
		op.Responses["503"] = answers[readiness](doc, "Not ready")
	}
}

func objectOf(kind string) *huma.Response {
	return &huma.Response{Description: "OK", Content: map[string]*huma.MediaType{kind: {Schema: &huma.Schema{Type: huma.TypeObject}}}}
}

func answers[T any](doc *huma.OpenAPI, means string) *huma.Response {
	return &huma.Response{Description: means, Content: map[string]*huma.MediaType{"application/json": {Schema: schemaOf[T](doc)}}}
}

func schemaOf[T any](doc *huma.OpenAPI) *huma.Schema {
	return doc.Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
}

func uploadParams() []*huma.Param {
	return []*huma.Param{
		{Name: "filename", In: "query", Description: "Shown to people.", Schema: text()},
		{Name: "dry_run", In: "query", Description: "Check the file and change nothing.", Schema: flag()},
		{Name: "map[sku]", In: "query", Description: "Header text of the SKU's column, when it is none of the usual ones.", Schema: text()},
		{Name: "map[name]", In: "query", Description: "Likewise for the name.", Schema: text()},
		{Name: "map[description]", In: "query", Description: "Likewise for the description.", Schema: text()},
	}
}

func exportParams() []*huma.Param {
	return []*huma.Param{{Name: "spreadsheet", In: "query", Schema: flag(),
		Description: "For opening in a spreadsheet: texts that begin with = + - @, a tab or a carriage return get an apostrophe in front, so that they do not run as formulas. Without it the file can be imported again and changes nothing."}}
}

func pathID(says string) *huma.Param {
	return &huma.Param{Name: "id", In: "path", Required: true, Description: says, Schema: text()}
}

func tusHeader() *huma.Param {
	return &huma.Param{Name: "Tus-Resumable", In: "header", Required: true, Description: "The version of tus.", Example: "1.0.0", Schema: &huma.Schema{Type: huma.TypeString, Enum: []any{"1.0.0"}}}
}

func text() *huma.Schema   { return &huma.Schema{Type: huma.TypeString} }
func number() *huma.Schema { return &huma.Schema{Type: huma.TypeInteger} }
func flag() *huma.Schema   { return &huma.Schema{Type: huma.TypeBoolean} }
func file() *huma.Schema   { return &huma.Schema{Type: huma.TypeString, Format: "binary"} }
