package httpd_test

import (
	"bytes"
	"net/http"
	"slices"
	"testing"

	"importer"
	"importer/db/dbtest"
	"importer/httpd"
)

// The same over a real database: what the fake store promises is what the
// real one does.

func TestUploadIntoPostgres(t *testing.T) {
	t.Parallel()
	store := dbtest.Open(t)
	b := setup(t, func(o *httpd.Options) { o.Imports = store })
	content := csv(1_000)

	whole := decode[importer.Import](b, b.do("POST", "/api/imports?filename=a.csv", bytes.NewReader(content)), http.StatusAccepted)
	location := createTus(b, len(content), "filename", "b.csv")
	b.patch(location, 0, content[:100])
	if got := b.patch(location, 100, content[100:]).status; got != http.StatusNoContent {
		t.Fatalf("got status %d for the last part, want 204", got)
	}
	half := createTus(b, len(content), "filename", "c.csv")

	var names []string
	for path := "/api/imports?limit=2"; path != ""; {
		page := decode[importer.Page[importer.Import]](b, b.do("GET", path, nil), http.StatusOK)
		if page.Total != 3 {
			t.Errorf("got total %d, want 3", page.Total)
		}
		for _, i := range page.Items {
			names = append(names, i.Filename+" "+string(i.State))
		}
		path = ""
		if page.Next != nil {
			path = "/api/imports?limit=2&before=" + *page.Next
		}
	}
	if want := []string{"c.csv uploading", "b.csv queued", "a.csv queued"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}

	path := "/api/imports/" + whole.ID.String()
	decode[importer.Import](b, b.do("POST", path+"/cancel", nil), http.StatusOK)
	b.problem(b.do("POST", path+"/cancel", nil), http.StatusConflict, importer.Conflict)
	if got := decode[importer.Import](b, b.do("POST", path+"/retry", nil), http.StatusOK); got.State != importer.Queued {
		t.Errorf("got state %q after the retry, want queued", got.State)
	}
	if !bytes.Equal(b.stored(whole.ID), content) {
		t.Error("the file is not there for the retry")
	}

	b.do("DELETE", half, nil, "Tus-Resumable", tusVersion)
	b.problem(b.do("POST", "/api/imports/"+tusID(half).String()+"/retry", nil), http.StatusConflict, importer.Conflict)
	b.problem(b.do("GET", "/api/imports?before=nonsense", nil), http.StatusBadRequest, importer.Malformed)
	rejects := b.do("GET", path+"/rejects.csv", nil)
	if got, want := string(rejects.body), "\uFEFFline,reason,\r\n"; rejects.status != http.StatusOK || got != want {
		t.Errorf("got %d %q, want an empty list %q", rejects.status, got, want)
	}
}

func TestUploadWithoutPostgres(t *testing.T) {
	t.Parallel()
	store := dbtest.OpenURL(t, "postgres://nobody@127.0.0.1:1/none") // where nothing listens
	b := setup(t, func(o *httpd.Options) { o.Imports, o.Status = store, store })
	b.problem(b.do("POST", "/api/imports", bytes.NewReader(csv(10))), http.StatusServiceUnavailable, importer.Unavailable)
	b.nothingLeft()
	b.problem(b.do("GET", "/api/status", nil), http.StatusServiceUnavailable, importer.Unavailable)
}
