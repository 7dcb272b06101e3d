package httpd_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"importer"
	"importer/httpd"
)

func TestEventsOfAnImport(t *testing.T) {
	t.Parallel()
	b := setup(t)
	imp := b.store.put(importer.Import{State: importer.Completed})
	path := "/api/imports/" + imp.ID.String() + "/events"
	if got, want := string(b.do("GET", path, nil).body), `{"items":[],"next":null,"epoch":"e1","floor":0,"head":0}`+"\n"; got != want {
		t.Errorf("no events: got %s, want %s", got, want)
	}
	for seq := int64(1); seq <= 3; seq++ {
		b.events.events = append(b.events.events, importer.Event{
			Topic: importer.ImportTopic(imp.ID), Seq: seq, Kind: importer.EventImportQueued, At: productTime, Data: json.RawMessage(`{"import":{}}`),
		})
	}
	const first = `{"topic":"import:ID","seq":1,"kind":"import.queued","at":"2026-01-02T03:04:05.000678Z","data":{"import":{}}}`
	want := `{"items":[` + string(bytes.ReplaceAll([]byte(first), []byte("ID"), []byte(imp.ID.String()))) + `],"next":"1","epoch":"e1","floor":0,"head":3}` + "\n"
	if got := string(b.do("GET", path+"?limit=1", nil).body); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var seqs []int64
	for after := "0"; ; {
		page := decode[httpd.EventPage](b, b.do("GET", path+"?limit=2&after="+after, nil), http.StatusOK)
		for _, e := range page.Items {
			seqs = append(seqs, e.Seq)
		}
		if page.Next == nil {
			break
		}
		after = *page.Next
	}
	if d := cmp.Diff([]int64{1, 2, 3}, seqs); d != "" {
		t.Errorf("all pages (-want +got):\n%s", d)
	}
	b.problem(b.do("GET", path+"?after=-1", nil), http.StatusUnprocessableEntity, importer.Invalid)
	b.problem(b.do("GET", path+"?since=1", nil), http.StatusUnprocessableEntity, importer.Invalid)
	b.problem(b.do("GET", "/api/imports/"+uuid.NewString()+"/events", nil), http.StatusNotFound, importer.NotFound)
}

func TestEventsInPostgres(t *testing.T) {
	t.Parallel()
	b := setup(t, inPostgres(t))
	imp := decode[importer.Import](b, b.do("POST", "/api/imports", bytes.NewReader(csv(3))), http.StatusAccepted)
	page := decode[httpd.EventPage](b, b.do("GET", "/api/imports/"+imp.ID.String()+"/events", nil), http.StatusOK)
	var kinds []string
	for _, e := range page.Items {
		kinds = append(kinds, e.Kind)
	}
	if d := cmp.Diff([]string{importer.EventImportCreated, importer.EventImportQueued}, kinds); d != "" || page.Next != nil || page.Head != 2 {
		t.Errorf("head %d, kinds (-want +got):\n%s", page.Head, d)
	}
}
