package httpd_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"importer"
	"importer/httpd"
)

// The JSON of an import, word for word: clients in other languages rely on it.
func TestImportJSON(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := uuid.MustParse("0198c0de-0000-7000-8000-000000000001")
	at := time.Date(2026, 1, 2, 3, 4, 5, 678000, time.UTC)
	b.store.put(importer.Import{ID: id, Filename: "a.csv", Size: 12, State: importer.Failed, CreatedAt: at, StartedAt: &at,
		Error: &importer.ImportError{Code: importer.MissingColumn, Message: "There is no column <sku>."}})
	r := b.do("GET", "/api/imports/"+id.String(), nil)
	const want = `{"id":"0198c0de-0000-7000-8000-000000000001","filename":"a.csv","size":12,"state":"failed","dry_run":false,"resumable":false,` +
		`"counts":{"rows":0,"created":0,"updated":0,"unchanged":0,"duplicates":0,"rejected":0},` +
		`"progress":{"phase":"","bytes":0,"bytes_total":0,"bytes_scanned":0,"rows_scanned":0,"rows_done":0,"rows_total":0,"rows_per_s":0,"percent":0,"notice":""},` +
		`"encoding":"","delimiter":"","mapping":{},"error":{"code":"missing_column","message":"There is no column <sku>.","retry":false},"attempts":0,` +
		`"created_at":"2026-01-02T03:04:05.000678Z","started_at":"2026-01-02T03:04:05.000678Z","finished_at":null}` + "\n"
	if d := cmp.Diff(want, string(r.body)); r.status != http.StatusOK || d != "" {
		t.Errorf("status %d, body (-want +got):\n%s", r.status, d)
	}
	for name, want := range map[string]string{"Content-Type": "application/json", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
		if got := r.header.Get(name); got != want {
			t.Errorf("got %s %q, want %q", name, got, want)
		}
	}
}

func TestListImports(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.do("GET", "/api/imports", nil)
	if got, want := string(r.body), `{"items":[],"next":null,"total":0}`+"\n"; got != want {
		t.Errorf("empty list: got %s, want %s", got, want)
	}
	if d := cmp.Diff(importer.ImportPage{Limit: 50}, b.store.page); d != "" {
		t.Errorf("page asked for (-want +got):\n%s", d)
	}
	first := b.store.put(importer.Import{State: importer.Queued})
	second := b.store.put(importer.Import{State: importer.Failed})
	page := decode[importer.Page[importer.Import]](b, b.do("GET", "/api/imports?state=failed&state=queued&before="+second.ID.String()+"&limit=7", nil), http.StatusOK)
	if len(page.Items) != 2 || page.Items[1].ID != first.ID || page.Items[0].Mapping == nil || page.Total != 2 {
		t.Errorf("got %+v, want the two imports", page)
	}
	want := importer.ImportPage{States: []importer.State{importer.Failed, importer.Queued}, Before: second.ID.String(), Limit: 7}
	if d := cmp.Diff(want, b.store.page); d != "" {
		t.Errorf("page asked for (-want +got):\n%s", d)
	}
}

func TestValuesThatAreNotAllowed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	imp := b.store.put(importer.Import{State: importer.Completed})
	for path, pointer := range map[string]string{
		"/api/imports?limit=0":                                  "limit",
		"/api/imports?limit=101":                                "limit",
		"/api/imports?limit=ten":                                "limit",
		"/api/imports?state=eaten":                              "state[0]",
		"/api/imports/" + imp.ID.String() + "/rejects?after=-1": "after",
	} {
		p := b.problem(b.do("GET", path, nil), http.StatusUnprocessableEntity, importer.Invalid)
		if len(p.Errors) != 1 || p.Errors[0].Pointer != pointer || p.Errors[0].Detail == "" {
			t.Errorf("%s: got errors %+v, want one at %q", path, p.Errors, pointer)
		}
	}
}

func TestRejectsJSON(t *testing.T) {
	t.Parallel()
	b := setup(t)
	imp := b.store.put(importer.Import{State: importer.Completed})
	path := "/api/imports/" + imp.ID.String() + "/rejects"
	if got, want := string(b.do("GET", path, nil).body), `{"items":[],"next":null,"total":0}`+"\n"; got != want {
		t.Errorf("no rejects: got %s, want %s", got, want)
	}
	b.store.rejects = []importer.Reject{{Line: 3, Reason: "missing_sku", Field: "sku", Name: "x", Raw: []byte("secret")}, {Line: 9}, {Line: 12}}
	got := string(b.do("GET", path+"?limit=1", nil).body)
	if want := `{"items":[{"line":3,"reason":"missing_sku","field":"sku","sku":"","name":"x"}],"next":null,"total":3}` + "\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	page := decode[importer.Page[importer.Reject]](b, b.do("GET", path+"?after=9", nil), http.StatusOK)
	if len(page.Items) != 1 || page.Items[0].Line != 12 {
		t.Errorf("got %+v after line 9, want line 12", page.Items)
	}
}

func TestCancelAndRetry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	imp := b.store.put(importer.Import{State: importer.Writing})
	path := "/api/imports/" + imp.ID.String()
	if got := decode[importer.Import](b, b.do("POST", path+"/cancel", nil), http.StatusOK); got.State != importer.Cancelled {
		t.Errorf("got state %q, want cancelled", got.State)
	}
	b.problem(b.do("POST", path+"/cancel", nil), http.StatusConflict, importer.Conflict)
	if got := decode[importer.Import](b, b.do("POST", path+"/retry", nil), http.StatusOK); got.State != importer.Queued {
		t.Errorf("got state %q, want queued", got.State)
	}
	b.problem(b.do("POST", path+"/retry", nil), http.StatusConflict, importer.Conflict)
	if d := cmp.Diff([]string{"stop", "wake"}, b.importer.told()); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
}

// A cancelled import may be retried, so its file stays; half an upload is of
// no use to anybody.
func TestCancelKeepsWholeFiles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	whole := decode[importer.Import](b, b.do("POST", "/api/imports", strings.NewReader("sku,name\n1,x\n")), http.StatusAccepted)
	decode[importer.Import](b, b.do("POST", "/api/imports/"+whole.ID.String()+"/cancel", nil), http.StatusOK)
	half := createTus(b, 100)
	decode[importer.Import](b, b.do("POST", "/api/imports/"+tusID(half).String()+"/cancel", nil), http.StatusOK)
	got, err := b.spool.List(t.Context())
	if err != nil || !slices.Equal(got, []uuid.UUID{whole.ID}) {
		t.Errorf("got files %v (%v), want only %v", got, err, whole.ID)
	}
}

func TestThereIsNoSuchThing(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpd.Options) {
		o.Web = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "page "+r.URL.Path) })
	})
	none := "/api/imports/" + uuid.NewString()
	for _, test := range []struct{ method, path string }{
		{"GET", none}, {"GET", none + "/rejects"}, {"GET", none + "/rejects.csv"}, {"POST", none + "/cancel"}, {"POST", none + "/retry"},
		{"GET", "/api/imports/nonsense"}, {"GET", "/api/imports/nonsense/rejects.csv"}, {"GET", "/api/nothing"}, {"POST", "/api/"}, {"GET", "/api/imports/"},
	} {
		b.problem(b.do(test.method, test.path, nil), http.StatusNotFound, importer.NotFound)
	}
	if got := string(b.do("GET", "/imports/7", nil).body); got != "page /imports/7" {
		t.Errorf("got %q, want the dashboard's page", got)
	}
}

func TestMethodsThatAreNotAllowed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for path, allow := range map[string]string{
		"/api/imports":                                "GET, HEAD, POST, PUT",
		"/api/imports/" + uuid.NewString():            "GET, HEAD",
		"/api/imports/" + uuid.NewString() + "/retry": "POST",
		"/api/uploads":                                "POST, OPTIONS",
	} {
		r := b.do("DELETE", path, nil)
		b.problem(r, http.StatusMethodNotAllowed, importer.Malformed)
		if got := r.header.Get("Allow"); got != allow {
			t.Errorf("%s: got Allow %q, want %q", path, got, allow)
		}
	}
}

// The JSON of a problem, word for word.
func TestProblemJSON(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, test := range []struct {
		err    error
		status int
		want   string
	}{
		{importer.Errorf(importer.Conflict, "The import is %s.", "completed"), 409,
			`{"type":"about:blank","title":"Conflict","status":409,"code":"conflict","detail":"The import is completed."}`},
		{&importer.Error{Code: importer.Malformed, Message: "That is no cursor.", Fields: []importer.FieldError{{Pointer: "before", Detail: "is no cursor"}}, Err: errors.New("secret")}, 400,
			`{"type":"about:blank","title":"Bad Request","status":400,"code":"malformed","detail":"That is no cursor.","errors":[{"pointer":"before","detail":"is no cursor"}]}`},
		{&importer.Error{Code: importer.Unavailable, Message: "The database cannot be reached.", Err: errors.New("secret")}, 503,
			`{"type":"about:blank","title":"Service Unavailable","status":503,"code":"unavailable","detail":"The database cannot be reached."}`},
		{&importer.Error{Code: importer.StorageFull, Message: "The disk is full."}, 507,
			`{"type":"about:blank","title":"Insufficient Storage","status":507,"code":"storage_full","detail":"The disk is full."}`},
		{errors.New("secret"), 500,
			`{"type":"about:blank","title":"Internal Server Error","status":500,"code":"internal","detail":"Something went wrong on the server. Its log tells more under request my-request-1."}`},
	} {
		b.store.setDown(test.err)
		r := b.do("GET", "/api/imports", nil, "X-Request-Id", "my-request-1")
		if d := cmp.Diff(test.want+"\n", string(r.body)); r.status != test.status || d != "" {
			t.Errorf("%v: status %d, body (-want +got):\n%s", test.err, r.status, d)
		}
		if got := r.header.Get("Content-Type"); got != "application/problem+json" {
			t.Errorf("%v: got content type %q", test.err, got)
		}
		if got := r.header.Get("Retry-After") != ""; got != (test.status == 503) {
			t.Errorf("%v: got Retry-After %q", test.err, r.header.Get("Retry-After"))
		}
	}
}

func TestEveryCodeHasAStatus(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for code, want := range map[importer.Code]int{
		importer.Invalid: 422, importer.Malformed: 400, importer.Unauthorized: 401, importer.Forbidden: 403, importer.NotFound: 404,
		importer.Conflict: 409, importer.Precondition: 412, importer.TooLarge: 413, importer.Limited: 429, importer.Unavailable: 503,
		importer.Internal: 500, importer.StorageFull: 507, importer.DatabaseUnavailable: 503, importer.MissingColumn: 422,
		importer.UploadIncomplete: 400, importer.StorageLost: 409, importer.PipelineFailed: 500,
	} {
		b.store.setDown(importer.Errorf(code, "Words."))
		b.problem(b.do("GET", "/api/imports", nil), want, code)
	}
}

func TestOtherSitesMayNotChangeAnything(t *testing.T) {
	t.Parallel()
	b := setup(t)
	imp := b.store.put(importer.Import{State: importer.Writing})
	path := "/api/imports/" + imp.ID.String() + "/cancel"
	b.problem(b.do("POST", path, nil, "Origin", "https://elsewhere.example"), http.StatusForbidden, importer.Forbidden)
	b.problem(b.do("POST", path, nil, "Sec-Fetch-Site", "cross-site"), http.StatusForbidden, importer.Forbidden)
	decode[importer.Import](b, b.do("POST", path, nil, "Origin", b.url, "Sec-Fetch-Site", "same-origin"), http.StatusOK)
}

func TestHealthAndReadiness(t *testing.T) {
	t.Parallel()
	var down []string
	b := setup(t, func(o *httpd.Options) { o.Ready = func(context.Context) []string { return down } })
	if got, want := string(b.do("GET", "/healthz", nil).body), `{"status":"ok","version":"test"}`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := string(b.do("GET", "/readyz", nil).body), `{"status":"ready","missing":[]}`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	down = []string{"The database cannot be reached right now.", "The uploads cannot be written to."}
	r := b.do("GET", "/readyz", nil)
	if want := `{"status":"not ready","missing":["The database cannot be reached right now.","The uploads cannot be written to."]}` + "\n"; r.status != 503 || string(r.body) != want {
		t.Errorf("got %d %s, want 503 %s", r.status, r.body, want)
	}
	down = nil
	if err := b.server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := b.do("GET", "/readyz", nil); r.status != 503 {
		t.Errorf("got status %d while shutting down, want 503", r.status)
	}
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if got := b.do("GET", "/healthz", nil, "X-Request-Id", "from-the-proxy.1").header.Get("X-Request-Id"); got != "from-the-proxy.1" {
		t.Errorf("got %q, want the proxy's id", got)
	}
	for _, bad := range []string{"", "short", "with spaces and \"quotes\"", strings.Repeat("x", 65)} {
		got := b.do("GET", "/healthz", nil, "X-Request-Id", bad).header.Get("X-Request-Id")
		if _, err := uuid.Parse(got); err != nil {
			t.Errorf("%q: got %q, want an id of our own", bad, got)
		}
	}
}

func TestPanicsBecomeProblems(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpd.Options) {
		o.Web = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/half" {
				io.WriteString(w, strings.Repeat("x", 10_000))
			}
			panic("secret")
		})
	})
	p := b.problem(b.do("GET", "/page", nil), http.StatusInternalServerError, importer.Internal)
	if strings.Contains(p.Detail, "secret") {
		t.Errorf("got detail %q, want no cause", p.Detail)
	}
	resp, err := b.client.Get(b.url + "/half")
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		t.Error("half an answer looks like a whole one")
	}
}

func TestOptionsAreRequired(t *testing.T) {
	t.Parallel()
	_, err := httpd.New(httpd.Options{})
	for _, name := range []string{"Imports", "Products", "Events", "Importer", "Hub", "Spool", "Node", "MaxUpload"} {
		if err == nil || !strings.Contains(err.Error(), "Options."+name) {
			t.Errorf("got %v, want it to name %s", err, name)
		}
	}
}
