package httpd

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// routes is the map of the whole surface. handle registers what is JSON in
// and out, plain what streams or is something else; the document has both.
func (s *Server) routes() (*surface, error) {
	mux := http.NewServeMux()
	tus, err := s.tus()
	if err != nil {
		return nil, err
	}
	sf := &surface{mux: mux, api: humago.New(mux, apiConfig(s.Version)), rights: map[string]right{}, limits: map[string]*limiter{}, answerTime: s.AnswerTime}
	sf.api.UseMiddleware(strictQuery)

	// The numbers are the statuses an operation may answer with, besides 200
	// and what can happen to any request of its right.
	handle(sf, reads, "GET /api/products", "list-products", "Products, page by page", s.listProducts, 400, 422)
	handle(sf, writes, "POST /api/products", "create-product", "Create a product", s.createProduct, 201, 400, 409, 413, 422)
	handle(sf, writes, "DELETE /api/products", "delete-all-products", "Delete all products", s.deleteProducts, 400, 409)
	handle(sf, reads, "GET /api/products/indexing", "get-indexing", "How far the search index is behind", s.indexing)
	plain(sf, reads, "GET /api/products/export.csv", "export-products", "All products as a CSV file", s.productsCSV, 422)
	handle(sf, reads, "GET /api/products/{id}", "get-product", "One product", s.getProduct, 304, 404)
	handle(sf, writes, "PATCH /api/products/{id}", "update-product", "Change fields of a product", s.updateProduct, 400, 404, 409, 412, 413, 422)
	handle(sf, writes, "DELETE /api/products/{id}", "delete-product", "Delete a product", s.deleteProduct, 204, 400, 404, 412)

	handle(sf, reads, "GET /api/imports", "list-imports", "Imports, newest first", s.listImports, 400, 422)
	plain(sf, imports, "POST /api/imports", "create-import", "Upload a CSV file and import it", s.uploadFile, 400, 409, 413, 422, 507)
	plain(sf, imports, "PUT /api/imports", "put-import", "The same, as curl -T sends it", s.uploadFile, 400, 409, 413, 422, 507)
	handle(sf, reads, "GET /api/imports/{id}", "get-import", "One import, with its counts and progress", s.getImport, 404)
	handle(sf, imports, "POST /api/imports/{id}/cancel", "cancel-import", "End an import; what it has written stays", s.cancelImport, 404, 409)
	handle(sf, imports, "POST /api/imports/{id}/retry", "retry-import", "Start a failed or cancelled import again where it stopped", s.retryImport, 404, 409)
	handle(sf, reads, "GET /api/imports/{id}/rejects", "list-rejects", "Rows that were not imported, and why", s.listRejects, 404, 422)
	plain(sf, reads, "GET /api/imports/{id}/rejects.csv", "download-rejects", "Rejected rows as a file that can be mended and imported again", s.rejectsCSV, 404)
	handle(sf, reads, "GET /api/imports/{id}/events", "list-events", "What happened to an import, in order", s.listEvents, 404, 422)

	plain(sf, imports, "OPTIONS /api/uploads", "upload-options", "What this tus server can do", tus.options.ServeHTTP)
	plain(sf, imports, "POST /api/uploads", "create-upload", "Begin an upload in parts", tus.create.ServeHTTP, 400, 413, 422)
	plain(sf, imports, "HEAD /api/uploads/{id}", "get-upload-offset", "How much of the file has arrived", tus.offset.ServeHTTP)
	plain(sf, imports, "PATCH /api/uploads/{id}", "append-upload", "Send the next part", tus.append.ServeHTTP, 404, 409, 507)
	plain(sf, imports, "DELETE /api/uploads/{id}", "cancel-upload", "Give an upload up", tus.terminate.ServeHTTP, 404)

	handle(sf, admin, "GET /api/webhooks", "list-webhooks", "All webhooks", s.listWebhooks)
	handle(sf, admin, "POST /api/webhooks", "create-webhook", "Add a webhook", s.createWebhook, 201, 400, 409, 413, 422)
	handle(sf, admin, "GET /api/webhooks/{id}", "get-webhook", "One webhook", s.getWebhook, 304, 404)
	handle(sf, admin, "PATCH /api/webhooks/{id}", "update-webhook", "Change a webhook, or switch it on or off", s.updateWebhook, 400, 404, 412, 413, 422)
	handle(sf, admin, "DELETE /api/webhooks/{id}", "delete-webhook", "Delete a webhook", s.deleteWebhook, 204, 400, 404, 412)
	handle(sf, admin, "POST /api/webhooks/{id}/test", "test-webhook", "Send a test and see the answer", s.testWebhook, 404)
	handle(sf, admin, "GET /api/webhooks/{id}/secret", "get-webhook-secret", "Reveal the secret", s.webhookSecret, 404)
	handle(sf, admin, "POST /api/webhooks/{id}/rotate-secret", "rotate-webhook-secret", "Make a new secret", s.rotateSecret, 404)
	handle(sf, admin, "GET /api/webhooks/{id}/deliveries", "list-deliveries", "Deliveries of a webhook, newest first", s.listDeliveries, 400, 404, 422)
	handle(sf, admin, "POST /api/webhooks/{id}/resend", "resend-failed", "Send again all that failed since a time", s.resendFailed, 404, 409, 422)
	handle(sf, admin, "GET /api/deliveries/{id}", "get-delivery", "One delivery, with its attempts and its body", s.getDelivery, 404)
	handle(sf, admin, "POST /api/deliveries/{id}/resend", "resend-delivery", "Send a delivery again", s.resend, 404, 409)
	handle(sf, reads, "GET /api/event-types", "list-event-types", "What webhooks can be told, with schemas and examples", s.listEventTypes)

	handle(sf, public, "POST /api/session", "sign-in", "Sign in with the password", s.signIn, 401, 409, 413, 422, 429)
	handle(sf, anyone, "GET /api/session", "get-session", "Who asks, and whether anybody has to sign in", s.session)
	handle(sf, anyone, "DELETE /api/session", "sign-out", "Sign out", s.signOut, 204)
	handle(sf, admin, "PUT /api/password", "set-password", "Set or change the password", s.setPassword, 413, 422, 429)
	handle(sf, admin, "GET /api/sessions", "list-sessions", "Browsers that are signed in", s.listSessions)
	handle(sf, admin, "DELETE /api/sessions/{id}", "end-session", "Sign a browser out", s.endSession, 204, 404)
	handle(sf, admin, "GET /api/tokens", "list-tokens", "API tokens, newest first", s.listTokens)
	handle(sf, admin, "POST /api/tokens", "create-token", "Create an API token", s.createToken, 201, 409, 413, 422)
	handle(sf, admin, "DELETE /api/tokens/{id}", "revoke-token", "Revoke an API token", s.revokeToken, 204, 404)
	handle(sf, reads, "POST /api/ws-tickets", "create-ticket", "A ticket for one WebSocket", s.createTicket, 201)

	sf.serve(reads, "GET /ws", s.sockets)
	describe(sf, reads, "GET /ws", "open-socket", "Live progress and changes")
	plain(sf, public, "GET /api/asyncapi.json", "get-asyncapi", "What /ws says and takes (AsyncAPI 3)", serveAsyncAPI)
	describe(sf, public, "GET /api/openapi.json", "get-openapi", "This document") // see document
	handle(sf, reads, "GET /api/status", "get-status", "How things stand", s.status)
	plain(sf, public, "GET /healthz", "get-health", "Whether the process is alive", s.healthz)
	plain(sf, public, "GET /readyz", "get-readiness", "Whether requests should come here", s.readyz)

	if err := document(sf); err != nil {
		return nil, err
	}
	sf.serve(reads, "/api/", notFound(mux))
	if s.Web != nil {
		sf.serve(public, "/", s.Web)
	}

	searches, uploads := newLimiter(searchRate, searchBurst), newLimiter(uploadRate, uploadBurst)
	sf.limits["GET /api/products"] = searches
	sf.limits["GET /api/products/export.csv"] = searches
	sf.limits["POST /api/imports"] = uploads
	sf.limits["PUT /api/imports"] = uploads
	sf.limits["POST /api/uploads"] = uploads
	return sf, nil
}

func apiConfig(version string) huma.Config {
	useProblems()
	config := huma.DefaultConfig("Product Importer", version)
	config.OpenAPIPath = "" // document serves it
	config.DocsPath = ""
	config.SchemasPath = ""
	config.CreateHooks = nil // no $schema member in every answer
	config.Formats = map[string]huma.Format{"application/json": strictJSON, "json": strictJSON}
	return config
}
