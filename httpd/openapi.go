package httpd

import (
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"importer"
)

// describe adds to the document what streams and therefore does not go
// through huma.
func describe(doc *huma.OpenAPI) {
	text := &huma.Schema{Type: huma.TypeString}
	file := &huma.Schema{Type: huma.TypeString, Format: "binary"}
	schema := func(t reflect.Type) *huma.Schema { return doc.Components.Schemas.Schema(t, true, "") }
	problem := &huma.Response{Description: "Error", Content: map[string]*huma.MediaType{"application/problem+json": {Schema: schema(reflect.TypeFor[Problem]())}}}

	doc.AddOperation(&huma.Operation{
		OperationID: "create-import", Method: http.MethodPost, Path: "/api/imports", Tags: []string{"imports"},
		Summary: "Upload a CSV file and import it",
		Description: "The file is the raw body, whatever its content type, or the field `file` of a multipart form. " +
			"The answer comes when the file is stored; the import then runs by itself. " +
			"For files that should survive a broken connection there is tus 1.0.0 at /api/uploads: " +
			"the upload's id is the import's, and Upload-Metadata takes filename, dry_run, map_sku, map_name and map_description.",
		Parameters: []*huma.Param{
			{Name: "filename", In: "query", Description: "Shown to people.", Schema: text},
			{Name: "dry_run", In: "query", Description: "Check the file and change nothing.", Schema: &huma.Schema{Type: huma.TypeBoolean}},
			{Name: "map[sku]", In: "query", Description: "Header text of the SKU's column, when it is none of the usual ones.", Schema: text},
			{Name: "map[name]", In: "query", Description: "Likewise for the name.", Schema: text},
			{Name: "map[description]", In: "query", Description: "Likewise for the description.", Schema: text},
		},
		RequestBody: &huma.RequestBody{Content: map[string]*huma.MediaType{
			"text/csv":            {Schema: file},
			"multipart/form-data": {Schema: &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{"file": file}, Required: []string{"file"}}},
		}},
		Responses: map[string]*huma.Response{
			"202": {
				Description: "Stored and queued",
				Headers:     map[string]*huma.Param{"Location": {Description: "The import.", Schema: text}},
				Content:     map[string]*huma.MediaType{"application/json": {Schema: schema(reflect.TypeFor[importer.Import]())}},
			},
			"default": problem,
		},
	})
	doc.AddOperation(&huma.Operation{
		OperationID: "download-rejects", Method: http.MethodGet, Path: "/api/imports/{id}/rejects.csv", Tags: []string{"imports"},
		Summary:     "Rejected rows as a file that can be mended and imported again",
		Description: "The columns line and reason, then the columns of the file; every row as it was.",
		Parameters:  []*huma.Param{{Name: "id", In: "path", Required: true, Schema: text}},
		Responses: map[string]*huma.Response{
			"200":     {Description: "OK", Content: map[string]*huma.MediaType{"text/csv": {Schema: file}}},
			"default": problem,
		},
	})
}
