package actors

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"importer"
)

// progress is what a topic knows of its import's progress.
type progress struct {
	latest json.RawMessage  // the newest; no event came after it
	state  importer.State   // of the import, as latest says
	last   *importer.Update // of latest or what was before it, once seq is known
	frame  []byte           // of last
	rev    int64
	sentAt time.Time
	due    bool // a timer runs to send latest
	over   bool // the last event ended the import: progress that is still on its way is stale
}

// What leaves the hub is bounded to ten updates a second a topic, and to 5,000
// with all its subscribers together: a thousand who watch get five a second
// each. At ten they took 8 % of an import's speed on two cores.
const (
	updatesEvery   = 100 * time.Millisecond
	updateEach     = 200 * time.Microsecond // more for each subscriber
	updatesAtLeast = 500 * time.Millisecond // however many they are
)

func (t *topic) pace() time.Duration {
	return min(max(updatesEvery, time.Duration(len(t.members))*updateEach), updatesAtLeast)
}

// outdate discards the progress from before e.
func (t *topic) outdate(e importer.Event) {
	t.latest, t.last, t.frame = nil, nil, nil
	switch e.Kind {
	case importer.EventImportCompleted, importer.EventImportFailed, importer.EventImportCancelled:
		t.over = true
	default:
		t.over = false
	}
}

// report takes progress of an import here.
func (t *topic) report(u importer.ImportUpdate) {
	if t.over && !u.State.Ended() {
		return
	}
	data, err := json.Marshal(u)
	if err != nil {
		t.log.Error().Err(err).Msg("progress dropped")
		return
	}
	t.latest, t.state = data, u.State
}

// confirm compares what was heard of an import before its topic was read with
// what the read found. Progress of another state is from before an event that
// the snapshot has and that has not come here: passed on, it would take a
// failed import back to where it was.
func (t *topic) confirm(snap importer.Snapshot) {
	if !t.ofImport() {
		return
	}
	var found struct {
		Import struct{ State importer.State }
	}
	if err := json.Unmarshal(snap.Data, &found); err != nil {
		t.log.Error().Err(err).Msg("snapshot without an import")
	}
	t.over = found.Import.State.Ended()
	if t.state != found.Import.State {
		t.latest = nil
	}
	t.stamp(t.now().UnixMilli())
}

// reportFar passes on progress of an import elsewhere, as it was saved.
func (t *topic) reportFar(u importer.Update) {
	var what struct{ State importer.State }
	if err := json.Unmarshal(u.Data, &what); err != nil {
		t.log.Error().Err(err).Msg("progress dropped")
		return
	}
	if t.running || u.Seq != t.seq {
		return
	}
	t.over = what.State.Ended()
	if !t.over && u.Rev > t.rev && !bytes.Equal(u.Data, t.latest) {
		t.latest = u.Data
		t.stamp(u.Rev)
		t.tell()
	}
}

// show passes the latest on, or says after how long that may be done.
func (t *topic) show() (wait time.Duration) {
	if t.latest == nil || t.seq == unknownSeq {
		return 0
	}
	every := t.pace()
	if wait := every - t.now().Sub(t.sentAt); wait > 0 {
		return min(wait, every) // the clock may have been set back
	}
	t.stamp(t.now().UnixMilli())
	t.tell()
	return 0
}

// tell passes the last update on. A subscriber whose snapshot is ahead of seq
// has what is newer.
func (t *topic) tell() {
	t.sentAt = t.now()
	for s, m := range t.members {
		if u := t.update(m.seq); u != nil {
			t.call(s, func() { s.Update(*u, t.frame) })
		}
	}
}

// update is the last one, if it belongs after event seq.
func (t *topic) update(seq int64) *importer.Update {
	if t.last == nil || t.last.Seq != seq {
		return nil
	}
	return t.last
}

// stamp makes latest the last update. Its rev is a time in ms, so that it also
// grows when the topic was forgotten in between or another machine sends.
func (t *topic) stamp(ms int64) {
	if t.latest == nil {
		return
	}
	t.rev = max(t.rev+1, ms)
	u := importer.Update{Topic: t.name, Seq: t.seq, Rev: t.rev, Data: t.latest}
	frame, err := json.Marshal(struct {
		Type string `json:"type"`
		importer.Update
	}{"update", u})
	if err != nil { // latest was encoded here, or decoded
		t.log.Error().Err(err).Msg("update dropped")
		t.latest = nil
		return
	}
	t.last, t.frame = &u, frame
}

func (t *topic) ofImport() bool { return t.id != uuid.Nil }

// runsElsewhere says whether its progress is to be read from the store.
func (t *topic) runsElsewhere() bool {
	return t.ofImport() && !t.running && !t.over && t.seq != unknownSeq && len(t.members) > 0
}
