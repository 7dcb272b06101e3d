package httpd

import (
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"importer"
)

// The words and examples of the OpenAPI document, and so of /docs. They are
// constants to the program.

const about = `Products, imports of them from CSV files, and webhooks that tell of both.

Everything is JSON in UTF-8, times are RFC 3339 in UTC, lists are never null. An error is a problem (RFC 9457, ` + "`application/problem+json`" + `): ` + "`code`" + ` is for programs, ` + "`detail`" + ` for people, and ` + "`errors`" + ` points at every value at fault. A parameter or member that does not exist is an error. Once a password is set or the server has an admin token, requests need credentials: an API token, as a bearer token or as the password of Basic authentication, whose scope includes the one that the operation names. Scopes are ` + "`read`, `import`, `write` and `admin`" + `; each includes those before it. Any request may be answered by 401, 403 (too small a scope, or another site's page), 429 with Retry-After, 500, or 503 with Retry-After.`

var tags = map[string]string{
	"products": "The catalogue. A product's version is its ETag: send it as If-Match with a change, and nobody's change is lost.",
	"imports":  "One file on its way into the catalogue. Rows whose SKU exists change that product; the last of several rows with one SKU wins; a row that cannot be imported is listed with its line and the reason, and does not stop the others.",
	"uploads":  "tus 1.0.0 (tus.io), for files that should survive a broken connection. The upload's id is the import's.",
	"webhooks": "Addresses that are told of events: one signed POST each, at least once, as Standard Webhooks (standardwebhooks.com) has it. A webhook's version is its ETag.",
	"access":   "Who may come in: the password of people, their sessions, and tokens of programs.",
	"server":   "Health, and the WebSocket with live progress.",
}

var descriptions = map[string]string{
	"list-products":         "Texts match any part, upper and lower case alike; % and _ are plain text. total is exact unless total_is_floor. Go from page to page with next and prev: products that come and go meanwhile are neither skipped nor shown twice.",
	"create-product":        "Another product with the same SKU, in whatever case, is a conflict at /sku.",
	"update-product":        "Only the fields given change. A product that was deleted is 404. A change to what is there already changes nothing and keeps the version.",
	"delete-all-products":   "Wants ?confirm=delete-all. A conflict while an import writes.",
	"get-indexing":          "Search answers are complete also while products wait for the index, only slower.",
	"export-products":       "Columns sku, name, description, active, by order of creation, of one moment. The file is streamed; should the server fail in the middle, the connection breaks.",
	"get-status":            "For people and for scripts that look after the server; Prometheus has figures of its own.",
	"create-import":         "The file is the raw body, whatever its content type, or the field `file` of a multipart form. The answer comes when the file is stored; the import then runs by itself. For files that should survive a broken connection there is tus at /api/uploads.",
	"put-import":            "See POST.",
	"retry-import":          "The file is kept until the import has completed; rows that were written are not written again.",
	"download-rejects":      "The columns line and reason, then the columns of the file; every row as it was.",
	"list-events":           "The durable events of the import's topic, numbered without gaps. Ask again with after = the last seq to follow an import without a socket. Events are kept for a week.",
	"create-webhook":        "The answer is the only one with the secret in it; /secret reveals it later. The address is checked when it is sent to: it has to be a public one.",
	"update-webhook":        "Only the fields given change. What waits is looked at at once; switching a disabled webhook on forgets its failures.",
	"delete-webhook":        "What waits for it is not sent, and its deliveries cannot be seen any more.",
	"test-webhook":          "Sends a signed webhook.test at once, whatever the webhook's events and state are, and answers with what came of it; that it failed is no error.",
	"rotate-webhook-secret": "For 24 hours deliveries carry a signature with the new secret and one with the old, so that the receiver can change over in between.",
	"list-deliveries":       "attempts has the newest only. total counts up to 1,000.",
	"get-delivery":          "payload is the body as it is sent. Deliveries and their attempts are kept for 30 days.",
	"resend-delivery":       "It keeps its id, so that a receiver which has it already can tell. All its attempts are to come again.",
	"resend-failed":         "All that were given up, or cancelled when the webhook was disabled.",
	"list-event-types":      "The schemas are of whole bodies, and stand by themselves.",
	"create-upload":         "The answer's Location takes the parts by PATCH. Scanning begins with the first part.",
	"append-upload":         "A part that breaks off is kept as far as it came; ask HEAD where to go on. With the last byte the import is queued.",
	"cancel-upload":         "Cancels the import.",
	"sign-in":               "Sets the cookie of a session: HttpOnly, SameSite=Lax, and Secure behind TLS. It ends after a day without a request, and after two weeks in any case. 409 while there is nothing to sign in with.",
	"get-session":           "The first thing that the dashboard asks.",
	"sign-out":              "Ends the session on the server and deletes the cookie.",
	"set-password":          "Signs out every other browser. Set for the first time, it signs this one in.",
	"create-token":          "The answer is the only one with the token in it. There may be 200 tokens.",
	"revoke-token":          "It opens nothing any more; sockets that came with it are closed at their next heartbeat.",
	"create-ticket":         "Opens one WebSocket within 30 s, with the scope of who asks: for pages of other sites, which can send neither a header nor a cookie with it.",
	"open-socket":           "A WebSocket with the subprotocol importer.v1.json: subscribe to topics, get every event after the last one seen, and progress.",
}

var problems = map[int]struct {
	means  string
	code   importer.Code
	detail string
	fields []importer.FieldError
}{
	400: {"The request cannot be understood", importer.Malformed, "The body of the request is no JSON.", []importer.FieldError{{Pointer: "", Detail: "unexpected end of JSON input"}}},
	401: {"The credentials are missing, wrong, expired or revoked", importer.Unauthorized, "This needs credentials: sign in, or send an API token as a bearer token.", nil},
	403: {"The scope of the credentials is too small, or another site's page asks", importer.Forbidden, "This takes the scope write; these credentials have read.", nil},
	429: {"Too many requests; Retry-After says how many seconds to wait", importer.Limited, "The password was wrong too often. Try again in 3 s.", nil},
	404: {"There is no such thing, or not any more", importer.NotFound, "There is no product 42.", nil},
	409: {"It cannot be done as things are", importer.Conflict, "Another product already has this SKU (upper and lower case count as the same).", []importer.FieldError{{Pointer: "/sku", Detail: "is taken"}}},
	412: {"If-Match names another version than the product's or webhook's, which is in current", importer.Precondition, "The product has changed meanwhile.", nil},
	413: {"The body or file is over the limit", importer.TooLarge, "The file is over the limit of 2147483648 bytes; split it, or raise the limit.", nil},
	422: {"A value is not allowed; errors lists all of them", importer.Invalid, "The request has values that are not allowed.", []importer.FieldError{{Pointer: "/sku", Detail: "is missing"}, {Pointer: "/name", Detail: "is over 512 characters"}}},
	507: {"The server's disk is full", importer.StorageFull, "The disk is full; make room, or ask the operator to, and upload the file again.", nil},
}

// members describes members of the domain's types, which carry no tags of
// this package.
var members = map[string]map[string]string{
	"Product": {
		"sku": "Unique; upper and lower case count as the same.", "active": "An import never changes it.",
		"version": "Grows with every change; the ETag.",
	},
	"ProductPage": {
		"next": "The cursor of the page that follows; null at the end.", "prev": "The cursor of the page before; null at the beginning.",
		"total": "Products that match.", "total_is_floor": "There are more than total, and counting them all would take too long.",
	},
	"Machine": {
		"name": "Of its host.", "seen_at": "Its last sign of life, one every 10 s.", "alive": "The last sign of life is no older than 30 s.",
		"imports": "Imports that it works on or receives.", "leases": "The oldest of them.", "webhooks": "Webhooks that it sends to.",
	},
	"Indexing": {"indexed": "Products in the search index.", "total": "Products there are.", "pending": "Products still to be indexed."},
	"Import": {
		"size": "Bytes; 0 while unknown.", "dry_run": "The file is checked and nothing is changed.", "resumable": "Uploaded in parts.",
		"mapping": "Field to header text.", "encoding": "utf-8, utf-16le, utf-16be or windows-1252.", "delimiter": "One of , ; tab |",
		"attempts": "1 for the first run; retries and takeovers add one.",
	},
	"Counts": {
		"rows":    "Rows of the file; header and blank lines are none. Once completed, the sum of the others.",
		"created": "SKUs that were not in the catalogue before.", "updated": "SKUs whose sku, name or description differs now.",
		"unchanged": "SKUs that were there and the same.", "duplicates": "Rows superseded by a later row with the same SKU.",
		"rejected": "Rows that were not imported.",
	},
	"Progress": {
		"phase": "uploading, parsing, validating, writing or complete.", "bytes": "Received.", "bytes_total": "0 while unknown.",
		"rows_done": "Written.", "rows_total": "To write; 0 until the scan is done.", "percent": "0 to 100; never falls.",
		"notice": "What it waits for, in words; empty when it runs.",
	},
	"ImportError": {"message": "What happened, what is saved, and what a retry does.", "retry": "A retry of the same file can help."},
	"Reject":      {"line": "The line of the file on which the row starts, from 1.", "reason": "Such as missing_sku or bad_quote.", "field": "sku, name, description, or empty for the whole row."},
	"Event":       {"seq": "Without gaps in its topic.", "kind": "Such as import.completed.", "data": "What it is about, as the REST API shows it."},
	"Webhook": {
		"events": "Types of events, families like import.*, or * for all.", "enabled": "state is active.",
		"state": "active, paused (people switched it off) or disabled (it failed for days, or said that it is gone).", "state_reason": "Why it is disabled, a sentence; else empty.",
		"timeout_ms": "For a whole answer.", "max_in_flight": "Deliveries on their way at once.", "rate_per_s": "Deliveries started a second; 0 is no limit.",
		"strict_order": "One at a time, in order.", "version": "Grows with every change by people; the ETag.", "week": "Deliveries of the last seven days that ended.",
		"pending": "Deliveries that wait for their first or next attempt; more than 1,000 are not counted.", "secret": "In the answer to its creation only.",
	},
	"WebhookSecret": {"secret": "whsec_ and base64.", "old_until": "Until when the secret before signs, too; null when it does not."},
	"Delivery": {
		"event_id": "msg_…, the header webhook-id.", "state": "pending, delivered, exhausted (given up) or cancelled (its webhook was disabled).", "attempts": "Newest first.",
		"tries": "Attempts so far.", "next_attempt_at": "null when no more will be made.", "payload": "The body as it is sent; null in a list.",
	},
	"Attempt": {
		"n": "1 for the first of its delivery; 0 for a test.", "status": "0 when there was no answer.",
		"error":     "Empty for a success; else status, redirect, timeout, dns, refused, reset, tls, blocked, bad_reply or other.",
		"remote_ip": "Whom it was sent to.", "response": "The first 4 KiB of the body.", "request": "Headers as they were sent; values set by people are left out.",
	},
	"Session":    {"seen_at": "Up to a minute before its last request.", "expires_at": "If nothing is asked until then, and at the latest.", "address": "It signed in from.", "browser": "Its User-Agent.", "current": "It is the one that asks."},
	"Token":      {"hint": "Its last four characters.", "last_used_at": "Up to a minute before its last request; null for never.", "expires_at": "null for never.", "token": "In the answer to its creation only."},
	"FieldError": {"pointer": "RFC 6901 into the body, or the name of a parameter or header.", "detail": "What is wrong with it."},
}

var formats = map[string]map[string]string{"Import": {"id": "uuid"}, "Machine": {"id": "uuid"}, "Lease": {"import_id": "uuid"}, "Webhook": {"id": "uuid"}, "Delivery": {"webhook_id": "uuid"}, "Session": {"id": "uuid"}, "Token": {"id": "uuid"}}

var (
	exampleTime    = time.Date(2026, 3, 14, 9, 26, 53, 589793000, time.UTC)
	exampleProduct = importer.Product{ID: 42, SKU: "LMP-1", Name: "Desk lamp", Description: "Warm light, 40 cm", Active: true, Version: 3, CreatedAt: exampleTime, UpdatedAt: exampleTime.Add(26 * time.Hour)}
	exampleImport  = importer.Import{
		ID: uuid.MustParse("0198c0de-7f3a-7000-8000-000000000001"), Filename: "products.csv", Size: 51_200_000, State: importer.Writing,
		Counts:   importer.Counts{Rows: 500_000, Created: 120_000, Duplicates: 25_000, Rejected: 3},
		Progress: importer.Progress{Phase: importer.PhaseWriting, Bytes: 51_200_000, BytesTotal: 51_200_000, BytesScanned: 51_200_000, RowsScanned: 500_000, RowsDone: 120_000, RowsTotal: 474_997, RowsPerSecond: 61_000, Percent: 47.7},
		Encoding: "utf-8", Delimiter: ",", Mapping: map[string]string{"sku": "SKU", "name": "Name", "description": "Description"}, Attempts: 1, CreatedAt: exampleTime, StartedAt: &exampleTime,
	}
)

var (
	exampleAttempt = importer.Attempt{
		At: exampleTime, N: 1, OK: true, Status: 204, MS: 84, RemoteIP: "93.184.216.34",
	}
	exampleWebhook = importer.Webhook{
		ID: uuid.MustParse("0198c0de-7f3a-7000-8000-000000000002"), URL: "https://example.com/hooks", Events: []string{"import.*", "product.created"},
		Enabled: true, State: importer.WebhookActive, Headers: map[string]string{"Authorization": "Bearer …"},
		TimeoutMS: 15_000, MaxInFlight: 8, Version: 1, LastAttempt: &exampleAttempt, Week: importer.WebhookWeek{Delivered: 1_204, Failed: 1}, Pending: 2,
		CreatedAt: exampleTime, UpdatedAt: exampleTime,
	}
	exampleDelivery = importer.Delivery{
		ID: 1205, WebhookID: exampleWebhook.ID, EventID: "msg_0198c0de-7f3a-7000-8000-000000000003", Type: importer.EventProductsDeletedAll,
		State: importer.DeliveryDelivered, Attempts: []importer.Attempt{exampleAttempt}, Tries: 1, CreatedAt: exampleTime,
		Payload: []byte(`{"type":"products.deleted_all","timestamp":"2026-03-14T09:26:53.589793Z","data":{"deleted":500000,"seq":8}}`),
	}
)

var (
	exampleSession = importer.Session{
		ID: uuid.MustParse("0198c0de-7f3a-7000-8000-000000000004"), CreatedAt: exampleTime, SeenAt: exampleTime.Add(time.Hour), ExpiresAt: exampleTime.Add(25 * time.Hour),
		Address: "203.0.113.7", Browser: "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", Current: true,
	}
	exampleToken = importer.Token{ID: uuid.MustParse("0198c0de-7f3a-7000-8000-000000000005"), Name: "nightly upload", Scope: importer.ScopeImport, Hint: "x3Qa", CreatedAt: exampleTime}
	signedIn     = SessionState{Required: true, PasswordSet: true, Caller: importer.CallerSession, Scope: importer.ScopeAdmin, ExpiresAt: &exampleSession.ExpiresAt}
	newToken     = func() importer.Token {
		t := exampleToken
		t.Token = "imp_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE"
		return t
	}()
)

var exampleStatus = Status{
	Version: "1.0.0", Commit: "9c1fa94", Machine: exampleImport.ID, StartedAt: exampleTime, Uptime: 93_600,
	Machines: []importer.Machine{{
		ID: exampleImport.ID, Name: "app-1", Version: "1.0.0", StartedAt: exampleTime, SeenAt: exampleTime.Add(26 * time.Hour), Alive: true, Imports: 1,
		Leases: []importer.Lease{{ImportID: exampleImport.ID, Filename: exampleImport.Filename, State: exampleImport.State}}, Webhooks: 2,
	}},
	Imports: map[importer.State]int64{
		importer.Uploading: 0, importer.Queued: 0, importer.Scanning: 0, importer.Writing: 1,
		importer.Completed: 41, importer.Failed: 1, importer.Cancelled: 0,
	},
	Indexing: importer.Indexing{Indexed: 499_000, Total: 500_000, Pending: 1_000},
	Webhooks: WebhookStatus{Pending: 12},
	Database: DatabaseStatus{Version: "17.6", Bytes: 412_000_000},
	Disk:     DiskStatus{Free: 38_000_000_000, Total: 80_000_000_000},
	Sockets:  SocketStatus{Open: 3},
}

// examples of a request, an answer and the id in the path, by operation.
var examples = map[string]struct{ request, answer, id any }{
	"list-products":         {answer: importer.ProductPage{Items: []importer.Product{exampleProduct}, Total: 1}},
	"create-product":        {request: map[string]any{"sku": "LMP-1", "name": "Desk lamp", "description": "Warm light, 40 cm"}, answer: exampleProduct},
	"get-product":           {answer: exampleProduct, id: 42},
	"update-product":        {request: map[string]any{"name": "Desk lamp, brass", "active": false}, answer: exampleProduct, id: 42},
	"delete-product":        {id: 42},
	"delete-all-products":   {answer: Deleted{500_000}},
	"get-indexing":          {answer: importer.Indexing{Indexed: 499_000, Total: 500_000, Pending: 1_000}},
	"list-imports":          {answer: importer.Page[importer.Import]{Items: []importer.Import{exampleImport}, Total: 1}},
	"create-import":         {answer: exampleImport},
	"put-import":            {answer: exampleImport},
	"get-import":            {answer: exampleImport, id: exampleImport.ID},
	"cancel-import":         {answer: exampleImport, id: exampleImport.ID},
	"retry-import":          {answer: exampleImport, id: exampleImport.ID},
	"list-rejects":          {answer: importer.Page[importer.Reject]{Items: []importer.Reject{{Line: 3, Reason: importer.ReasonMissingSKU, Field: "sku", Name: "Lamp"}}, Total: 1}, id: exampleImport.ID},
	"download-rejects":      {id: exampleImport.ID},
	"list-events":           {answer: EventPage{Items: []importer.Event{{Topic: importer.ImportTopic(exampleImport.ID), Seq: 1, Kind: importer.EventImportCreated, At: exampleTime, Data: []byte(`{"import":{}}`)}}, Epoch: "k3f9", Head: 1}, id: exampleImport.ID},
	"list-webhooks":         {answer: WebhookList{[]importer.Webhook{exampleWebhook}, 1}},
	"create-webhook":        {request: map[string]any{"url": "https://example.com/hooks", "events": []string{"import.*", "product.created"}}, answer: exampleWebhook},
	"get-webhook":           {answer: exampleWebhook, id: exampleWebhook.ID},
	"update-webhook":        {request: map[string]any{"enabled": false}, answer: exampleWebhook, id: exampleWebhook.ID},
	"delete-webhook":        {id: exampleWebhook.ID},
	"test-webhook":          {answer: exampleAttempt, id: exampleWebhook.ID},
	"get-webhook-secret":    {answer: importer.WebhookSecret{Secret: "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}, id: exampleWebhook.ID},
	"rotate-webhook-secret": {answer: importer.WebhookSecret{Secret: "whsec_OTg3NjU0MzIxMDk4NzY1NDMyMTA5ODc2NTQzMjEwOTg=", OldUntil: &exampleTime}, id: exampleWebhook.ID},
	"list-deliveries":       {answer: importer.Page[importer.Delivery]{Items: []importer.Delivery{exampleDelivery}, Total: 1}, id: exampleWebhook.ID},
	"resend-failed":         {answer: Resent{14}, id: exampleWebhook.ID},
	"get-delivery":          {answer: exampleDelivery, id: 1205},
	"resend-delivery":       {answer: exampleDelivery, id: 1205},
	"list-event-types":      {},
	"sign-in":               {request: map[string]any{"password": "correct horse battery"}, answer: signedIn},
	"get-session":           {answer: signedIn},
	"set-password":          {request: map[string]any{"password": "correct horse battery"}, answer: signedIn},
	"list-sessions":         {answer: SessionList{[]importer.Session{exampleSession}}},
	"end-session":           {id: exampleSession.ID},
	"list-tokens":           {answer: TokenList{[]importer.Token{exampleToken}}},
	"create-token":          {request: map[string]any{"name": "nightly upload", "scope": "import"}, answer: newToken},
	"revoke-token":          {id: exampleToken.ID},
	"create-ticket":         {answer: Ticket{"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE", exampleTime}},
	"get-upload-offset":     {id: exampleImport.ID},
	"append-upload":         {id: exampleImport.ID},
	"cancel-upload":         {id: exampleImport.ID},
	"get-status":            {answer: exampleStatus},
	"get-health":            {answer: health{"ok", "1.0.0"}},
	"get-readiness":         {answer: readiness{"ready", []string{}}},
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
