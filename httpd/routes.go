package httpd

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// routes is the map of the whole surface. Routes of the api are described by
// OpenAPI; those of the mux stream, or are not JSON.
func (s *Server) routes() (http.Handler, error) {
	mux := http.NewServeMux()
	tus, err := s.tus()
	if err != nil {
		return nil, err
	}
	api := humago.New(mux, apiConfig(s.Version))

	handle(api, "GET /api/imports", "list-imports", "Imports, newest first", s.listImports)
	handle(api, "GET /api/imports/{id}", "get-import", "One import, with its counts and progress", s.getImport)
	handle(api, "POST /api/imports/{id}/cancel", "cancel-import", "End an import; what it has written stays", s.cancelImport)
	handle(api, "POST /api/imports/{id}/retry", "retry-import", "Start a failed or cancelled import again where it stopped", s.retryImport)
	handle(api, "GET /api/imports/{id}/rejects", "list-rejects", "Rows that were not imported, and why", s.listRejects)

	describe(api.OpenAPI())
	mux.HandleFunc("POST /api/imports", s.uploadFile)
	mux.HandleFunc("PUT /api/imports", s.uploadFile) // what `curl -T file` sends
	mux.HandleFunc("GET /api/imports/{id}/rejects.csv", s.rejectsCSV)

	mux.Handle("OPTIONS /api/uploads", tus.options)
	mux.Handle("POST /api/uploads", tus.create)
	mux.Handle("HEAD /api/uploads/{id}", tus.offset)
	mux.Handle("PATCH /api/uploads/{id}", tus.append)
	mux.Handle("DELETE /api/uploads/{id}", tus.terminate)

	mux.Handle("GET /ws", s.sockets)
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)

	mux.Handle("/api/", notFound(mux))
	if s.Web != nil {
		mux.Handle("/", s.Web)
	}
	return mux, nil
}

func apiConfig(version string) huma.Config {
	useProblems()
	config := huma.DefaultConfig("Product Importer", version)
	config.OpenAPIPath = "/api/openapi"
	config.DocsPath = ""
	config.SchemasPath = ""
	config.CreateHooks = nil // no $schema member in every answer
	return config
}
