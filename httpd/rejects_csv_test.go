package httpd_test

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"importer"
	"importer/internal/csvfile"
)

func TestRejectsCSV(t *testing.T) {
	t.Parallel()
	b := setup(t)
	imp := b.store.put(importer.Import{State: importer.Completed, Filename: `prices "süd".csv.gz`})
	b.store.head = importer.Head{Delimiter: ";", Raw: []byte(`"Art.-Nr.";Name`)}
	b.store.rejects = []importer.Reject{
		{Line: 3, Reason: "missing_sku", Raw: []byte(`;"no ""number"""`)},
		{Line: 4, Reason: "invalid_encoding", Raw: []byte("7;caf\xe9")},
		{Line: 6, Reason: "record_too_long"},
	}
	r := b.do("GET", "/api/imports/"+imp.ID.String()+"/rejects.csv", nil)
	want := "\uFEFFline;reason;\"Art.-Nr.\";Name\r\n3;missing_sku;;\"no \"\"number\"\"\"\r\n4;invalid_encoding;7;caf\xe9\r\n6;record_too_long;\r\n"
	if d := cmp.Diff(want, string(r.body)); r.status != http.StatusOK || d != "" {
		t.Errorf("status %d, body (-want +got):\n%s", r.status, d)
	}
	kind, params, err := mime.ParseMediaType(r.header.Get("Content-Disposition"))
	if err != nil || kind != "attachment" || params["filename"] != `prices "süd"-rejects.csv` {
		t.Errorf("got Content-Disposition %q (%v)", r.header.Get("Content-Disposition"), err)
	}
	if got := r.header.Get("Content-Type"); got != "text/csv; charset=utf-8" {
		t.Errorf("got content type %q", got)
	}
}

// What comes out goes back in: the same rows are rejected for the same
// reasons, and a row that was mended is read.
func TestRejectsCSVGoesBackIn(t *testing.T) {
	t.Parallel()
	file := "sku;name;description\n" +
		"1;fine;\n" +
		";no sku;\"two\nlines\"\n" +
		"2;;no name\n" +
		"3;\"bad\" quote;x\n" +
		"4;one;too;many\n" +
		"5;\"never closed;x\n" +
		"6;caf\xe9;x\n" +
		"é;makes it UTF-8;\n"
	head, first := scan(t, "sku;name;description\né;x;\n"+file[len("sku;name;description\n"):])
	if len(first) < 6 {
		t.Fatalf("got only %d rejects of the file: %+v", len(first), first)
	}
	b := setup(t)
	imp := b.store.put(importer.Import{State: importer.Completed, Filename: "a.csv"})
	b.store.head, b.store.rejects = head, first
	download := b.do("GET", "/api/imports/"+imp.ID.String()+"/rejects.csv", nil).body

	again, second := scan(t, string(download))
	if again.Encoding != "utf-8" || again.Delimiter != ";" {
		t.Errorf("got encoding %q and delimiter %q, want utf-8 and ;", again.Encoding, again.Delimiter)
	}
	reasons := func(rejects []importer.Reject) (all []string) {
		for _, r := range rejects {
			all = append(all, r.Reason)
		}
		return all
	}
	if d := cmp.Diff(reasons(first), reasons(second)); d != "" {
		t.Errorf("reasons the second time (-want +got):\n%s", d)
	}

	mended := bytes.Replace(download, []byte(";missing_name;2;;"), []byte(";missing_name;2;Now it has one;"), 1)
	if bytes.Equal(mended, download) {
		t.Fatalf("the row without a name is not in the download:\n%s", download)
	}
	if _, third := scan(t, string(mended)); len(third) != len(first)-1 {
		t.Errorf("got %d rejects after one row was mended, want %d", len(third), len(first)-1)
	}
}

func scan(t *testing.T, file string) (importer.Head, []importer.Reject) {
	t.Helper()
	rows := csvfile.Open(bytes.NewReader([]byte(file)), nil, 1<<20)
	head, err := rows.Head()
	if err != nil {
		t.Fatal(err)
	}
	var rejects []importer.Reject
	for {
		record, err := rows.Next()
		if err == io.EOF {
			return head, rejects
		}
		if err != nil {
			t.Fatal(err)
		}
		if record.Reject != nil {
			rejects = append(rejects, *record.Reject)
		}
	}
}

// A download that breaks off must not look whole.
func TestRejectsCSVBreaksOffVisibly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	imp := b.store.put(importer.Import{State: importer.Completed, Filename: "a.csv"})
	// The database goes away after the first row.
	b.store.rejects = []importer.Reject{{Line: 1, Raw: bytes.Repeat([]byte("x"), 200_000)}, {Line: 2}}
	b.store.failAfterReject = importer.Errorf(importer.Unavailable, "The database cannot be reached.")
	path := "/api/imports/" + imp.ID.String() + "/rejects.csv"
	resp, err := b.client.Get(b.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("got %d bytes and a proper end, want an error", n)
	}

	// Nothing was sent yet: there is still a better way to say it.
	b.store.rejects = b.store.rejects[1:]
	r := b.do("GET", path, nil)
	b.problem(r, http.StatusServiceUnavailable, importer.Unavailable)
	if got := r.header.Get("Content-Disposition"); got != "" {
		t.Errorf("got Content-Disposition %q of a problem, want none", got)
	}
}
