package client_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"importer"
	"importer/client"
)

var watched = uuid.MustParse("0198c0de-0000-7000-8000-000000000001")

// at is an import in the state given, with so many rows of 100 written.
func at(state importer.State, attempt int, done int64, percent float64) importer.Import {
	return importer.Import{ID: watched, Filename: "a.csv", State: state, Attempts: attempt,
		Counts:   importer.Counts{Rows: 100, Created: done},
		Progress: importer.Progress{Phase: importer.PhaseWriting, Bytes: 9, BytesTotal: 9, BytesScanned: 9, RowsDone: done, RowsTotal: 100, Percent: percent}}
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func answer(id int, seq int64, reason string, im importer.Import, update string) string {
	return fmt.Sprintf(`{"type":"subscribed","id":%d,"topic":"%s","epoch":"e","seq":%d,"recovered":false,"reason":"%s","snapshot":{"import":%s%s}}`,
		id, importer.ImportTopic(im.ID), seq, reason, encode(im), update)
}

func changed(seq int64, kind string, im importer.Import) string {
	return fmt.Sprintf(`{"type":"event","topic":"%s","seq":%d,"kind":"%s","at":"2026-01-02T03:04:05Z","data":{"import":%s}}`,
		importer.ImportTopic(im.ID), seq, kind, encode(im))
}

func progressed(seq, rev int64, im importer.Import) string {
	return encode(struct {
		Type string `json:"type"`
		importer.Update
	}{"update", inUpdate(seq, rev, im)})
}

func inUpdate(seq, rev int64, im importer.Import) importer.Update {
	data := encode(importer.ImportUpdate{State: im.State, Counts: im.Counts, Progress: im.Progress})
	return importer.Update{Topic: importer.ImportTopic(im.ID), Seq: seq, Rev: rev, Data: json.RawMessage(data)}
}

// seen are the figures of each state yielded.
func seen(t *testing.T, c *client.Client) (states []string) {
	t.Helper()
	for im, err := range c.WatchImport(t.Context(), watched) {
		if err != nil {
			return append(states, "end: "+string(importer.ErrorCode(err)))
		}
		if im.ID != watched {
			t.Errorf("import %s, want %s", im.ID, watched)
		}
		states = append(states, fmt.Sprintf("%s %d %.1f%% %s", im.State, im.Counts.Created, im.Progress.Percent, im.Progress.Notice))
	}
	return states
}

func TestWatchImportFoldsToTheCurrentState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		writing := importer.Writing
		got := seen(t, play(t,
			func(p *peer) {
				p.say(answer(1, 3, "fresh", at(writing, 1, 10, 37), `,"update":`+encode(inUpdate(3, 5, at(writing, 1, 20, 44)))))
				p.say(progressed(3, 4, at(writing, 1, 15, 40.5)), progressed(3, 6, at(writing, 1, 50, 65)))
				p.close(4000)
			},
			func(p *peer) {
				// What the server had saved is behind what was shown.
				p.say(answer(2, 4, "gap", at(writing, 1, 30, 51), ""), progressed(4, 1, at(writing, 1, 60, 72)))
				// Another machine scans again before it goes on.
				p.say(changed(5, importer.EventImportStarted, at(importer.Scanning, 2, 55, 70)), progressed(5, 1, at(writing, 2, 70, 79)))
				p.say(changed(6, importer.EventImportCompleted, at(importer.Completed, 2, 99, 100)))
				p.wait()
			}))
		want := []string{
			"writing 20 44.0% ", "writing 50 65.0% ", "writing 50 65.0% " + client.ConnectionLost,
			"writing 50 65.0% ", "writing 60 72.0% ", "scanning 55 72.0% ", "writing 70 79.0% ", "completed 99 100.0% ",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
	})
}

// A log that was restored takes everything back.
func TestWatchImportAfterARestore(t *testing.T) {
	t.Parallel()
	for _, reason := range []string{"epoch", "ahead"} {
		synctest.Test(t, func(t *testing.T) {
			got := seen(t, play(t,
				func(p *peer) { p.say(answer(1, 3, "fresh", at(importer.Writing, 1, 50, 65), "")); p.close(1012) },
				func(p *peer) {
					p.say(answer(2, 1, reason, at(importer.Writing, 1, 30, 51), ""))
					p.say(changed(2, importer.EventImportFailed, at(importer.Failed, 1, 31, 51)))
					p.wait()
				}))
			want := []string{"writing 50 65.0% ", "writing 50 65.0% " + client.ConnectionLost, "writing 30 51.0% ", "failed 31 51.0% "}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", reason, diff)
			}
		})
	}
}

func TestWatchImportClearsItsNoticeOnceResumed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topic := importer.ImportTopic(watched)
		got := seen(t, play(t,
			func(p *peer) { p.say(answer(1, 3, "fresh", at(importer.Writing, 1, 50, 65), "")); p.close(1012) },
			func(p *peer) {
				p.say(`{"type":"subscribed","id":2,"topic":"` + topic + `","epoch":"e","seq":3,"recovered":true,"events":[]}`)
				p.say(`{"type":"error","id":2,"code":"not_found","message":"It is gone."}`)
				p.wait()
			}))
		want := []string{"writing 50 65.0% ", "writing 50 65.0% " + client.ConnectionLost, "writing 50 65.0% ", "end: not_found"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
	})
}
