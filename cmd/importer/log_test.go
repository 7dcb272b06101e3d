package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"importer"
	"importer/db/dbtest"
)

// logLine is a line of a server's log.
type logLine struct {
	text      string
	Level     string
	Message   string
	Actor     string
	Component string
	RequestID string `json:"request_id"`
	ImportID  string `json:"import_id"`
	Conn      string
	Code      string
	PID       any // of the actors' library
}

func (p *process) lines() (all []logLine) {
	for text := range strings.Lines(p.log.String()) {
		l := logLine{text: text}
		if json.Unmarshal([]byte(text), &l) == nil { // others are for people
			all = append(all, l)
		}
	}
	return all
}

// of selects the lines for which f holds.
func of(all []logLine, f func(logLine) bool) []logLine {
	return slices.DeleteFunc(slices.Clone(all), func(l logLine) bool { return !f(l) })
}

// One id leads from a request over the import that it created to every line
// that an actor writes about it. Nothing that is said because of a request or
// an import lacks its id.
func TestIDsLeadThroughTheLog(t *testing.T) {
	t.Parallel()
	p := serveProcess(t, []string{"DATABASE_URL=" + dbtest.URL(t)}, "--data-dir", t.TempDir())
	ask := func(id, method, path, body string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, p.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Request-Id", id)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	made := ask("from-the-proxy-17", "PUT", "/api/imports?filename=a.csv", "sku,name\nA,B\n,no SKU\n")
	if made.StatusCode != http.StatusAccepted {
		t.Fatalf("status %d", made.StatusCode)
	}
	imp := filepath.Base(made.Header.Get("Location"))
	ask("asks-for-the-import", "GET", "/api/imports/"+imp, "")
	ask("asks-for-a-product", "GET", "/api/products/"+strings.Repeat("9", 30), "")
	ask("makes-a-product", "POST", "/api/products", `{"sku":"X-1","name":"One"}`)
	ask("makes-it-once-more", "POST", "/api/products", `{"sku":"x-1","name":"One"}`)
	ours := ask("no id\tbut text", "GET", "/api/status", "").Header.Get("X-Request-Id")
	if _, err := uuid.Parse(ours); err != nil {
		t.Errorf("instead of an id that is none the answer has %q, want one of our own", ours)
	}
	watcher := subscribe(t, "watcher", newFront(t, p), importer.TopicImports)
	eventually(t, "it watches", func() bool { return watcher.seq(importer.TopicImports) >= 0 })
	failed := filepath.Base(ask("makes-one-that-fails", "PUT", "/api/imports?filename=b.csv", "colour\nred\n").Header.Get("Location"))
	eventually(t, "both imports end", func() bool {
		return len(of(p.lines(), func(l logLine) bool { return l.Message == "import ends here" })) == 2
	})
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}

	lines := p.lines()
	for _, id := range []string{"from-the-proxy-17", "asks-for-the-import", "asks-for-a-product", "makes-a-product", "makes-it-once-more", ours, "makes-one-that-fails"} {
		said := of(lines, func(l logLine) bool { return l.RequestID == id && l.Message == "request" })
		if len(said) != 1 {
			t.Errorf("request %q has %d lines that tell of its answer, want 1", id, len(said))
		}
	}
	for request, about := range map[string]string{"from-the-proxy-17": imp, "makes-one-that-fails": failed} {
		if len(of(lines, func(l logLine) bool { return l.RequestID == request && l.ImportID == about })) == 0 {
			t.Errorf("no line has request %q and import %s", request, about)
		}
		for _, message := range []string{"import begins here", "import ends here"} {
			if len(of(lines, func(l logLine) bool { return l.Message == message && l.ImportID == about && l.Actor == "import" })) != 1 {
				t.Errorf("import %s has no line %q", about, message)
			}
		}
	}
	if len(of(lines, func(l logLine) bool { return l.RequestID == "asks-for-the-import" && l.ImportID == imp })) != 1 {
		t.Error("the line of a request for an import lacks the import's id")
	}

	if len(of(lines, func(l logLine) bool { return l.ImportID == failed && l.Code == string(importer.MissingColumn) })) != 1 {
		t.Error("the end of the import that failed does not say why")
	}

	// What may be said without either id is what the process says of itself.
	ofItself := []string{"metrics", "ready", "migrated", "no metrics and no profiles: the default address cannot be used, choose another with --metrics-addr"}
	for _, l := range lines {
		switch {
		case slices.Contains([]string{"import", "parser", "deduper", "writer"}, l.Actor):
			if _, err := uuid.Parse(l.ImportID); err != nil {
				t.Errorf("an actor of an import does not name it: %s", l.text)
			}
		case l.Actor != "" || l.Component != "" || l.RequestID != "" || l.PID != nil:
		case !slices.Contains(ofItself, l.Message):
			t.Errorf("a line without an id: %s", l.text)
		}
		if l.Conn != "" && l.RequestID == "" {
			t.Errorf("a socket does not name the request that it began as: %s", l.text)
		}
	}
}
