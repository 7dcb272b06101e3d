package actors

import (
	"math"
	"time"

	"importer"
)

// member is a subscription.
type member struct {
	since    *importer.Cursor
	snapshot bool  // its events cannot be replayed
	asked    bool  // the log was asked since it came
	again    bool  // it had an answer before: a read that fails is tried again for it
	seq      int64 // last event it knows, once it has its answer
}

// Why a subscriber gets a snapshot.
const (
	reasonFresh = "fresh" // it had nothing
	reasonGap   = "gap"   // it is behind
	reasonEpoch = "epoch" // the log was restored since
	reasonAhead = "ahead" // it knows more than the log
)

// snapshotFor is how long a snapshot serves others who come, if no event
// follows it.
const snapshotFor = 250 * time.Millisecond

func (t *topic) join(s importer.Subscriber, since *importer.Cursor) {
	t.leave(s)
	m := &member{since: since, snapshot: since == nil}
	t.waiting[s] = m
	t.settle(s, m)
}

func (t *topic) leave(s importer.Subscriber) {
	delete(t.members, s)
	delete(t.waiting, s)
}

// await makes a member wait for another answer.
func (t *topic) await(s importer.Subscriber, m *member, snapshot bool) {
	delete(t.members, s)
	t.waiting[s] = &member{since: &importer.Cursor{Epoch: t.epoch, Seq: m.seq}, snapshot: snapshot, again: true}
}

// settleAll answers those who can be.
func (t *topic) settleAll() {
	for s, m := range t.waiting {
		t.settle(s, m)
	}
}

// settle answers from memory if it can be done.
func (t *topic) settle(s importer.Subscriber, m *member) {
	if t.seq == unknownSeq {
		return
	}
	if !m.snapshot {
		t.replay(s, m)
	}
	if m.snapshot && t.snap.Epoch == t.epoch && t.snap.Seq >= t.head && t.now().Sub(t.snapAt) < snapshotFor {
		t.admit(s, m, t.snap)
	}
}

// replay answers with the events missed, or finds that it cannot be done.
func (t *topic) replay(s importer.Subscriber, m *member) {
	since := m.since
	if since.Epoch != t.epoch || !t.exists() {
		m.snapshot = true
		return
	}
	events, ok := t.recent.last(t.seq - since.Seq)
	switch {
	case since.Seq > t.seq:
		m.snapshot = m.asked && since.Seq > t.head // else the log may be ahead of this machine
		return
	case !ok:
		m.snapshot = since.Seq < t.floor || since.Seq < t.head-replayMax
		return
	case !replayable(events):
		m.snapshot = true
		return
	}
	t.enroll(s, m, t.seq)
	t.call(s, func() {
		s.Subscribed(t.name, importer.Subscription{Epoch: t.epoch, Seq: t.seq, Events: events, Update: t.update(t.seq)})
	})
}

// exists is false for an import of which the log knows nothing: whether there
// is one, a snapshot will say.
func (t *topic) exists() bool { return t.head > 0 || !t.ofImport() }

// need says what to read from the log: its events after a seq, the state, or
// both.
func (t *topic) need() (events bool, after int64, state bool) {
	after = math.MaxInt64
	if t.seq != unknownSeq {
		after = t.seq
	}
	for _, m := range t.waiting {
		if m.snapshot {
			state = true
		} else {
			events = true
			after = min(after, m.since.Seq)
		}
	}
	if events && t.seq != unknownSeq && t.now().Sub(t.deepAt) < sharedFor {
		// The second in a moment: more will come, so read all that is replayed.
		after = min(after, max(t.floor, t.head-replayMax))
	}
	return events, after, state
}

// answer gives the snapshot to those who wait for one, and what came after.
func (t *topic) answer(snap importer.Snapshot) {
	first := t.seq == unknownSeq
	t.enter(snap.Epoch, snap.Seq)
	if first && t.seq == snap.Seq {
		t.confirm(snap)
	}
	if t.seq == unknownSeq || snap.Seq < t.oldest()-1 {
		return // too much has passed meanwhile: the hub reads again
	}
	t.snap, t.snapAt = snap, t.now()
	for s, m := range t.waiting {
		if m.snapshot {
			t.admit(s, m, snap)
		}
	}
}

// refuse tells those who wait for a read that it failed. It reports whether
// there are any for whom to try again.
func (t *topic) refuse(err error, snapshot bool) (again bool) {
	for s, m := range t.waiting {
		switch {
		case m.snapshot != snapshot:
		case m.again && importer.ErrorCode(err) != importer.NotFound:
			again = true
		default:
			delete(t.waiting, s)
			t.call(s, func() { s.Refused(t.name, err) })
		}
	}
	return again
}

func (t *topic) admit(s importer.Subscriber, m *member, snap importer.Snapshot) {
	t.enroll(s, m, snap.Seq)
	// What other machines tell of an import may be older than its row.
	var update *importer.Update
	if t.running {
		update = t.update(snap.Seq)
	}
	t.call(s, func() {
		s.Subscribed(t.name, importer.Subscription{
			Epoch: snap.Epoch, Seq: snap.Seq, Reason: reasonFor(m.since, snap), Snapshot: snap.Data, Update: update,
		})
	})
	missed, _ := t.recent.last(max(0, t.seq-snap.Seq))
	for i, e := range missed {
		frame, err := t.recent.frame(len(t.recent.events) - len(missed) + i)
		if err != nil {
			t.log.Error().Err(err).Msg("event dropped")
			return
		}
		t.give(s, m, e, frame)
	}
	if last := t.update(m.seq); t.running && last != nil && update == nil && t.members[s] == m {
		t.call(s, func() { s.Update(*last, t.frame) })
	}
}

func (t *topic) enroll(s importer.Subscriber, m *member, seq int64) {
	delete(t.waiting, s)
	m.seq = seq
	t.members[s] = m
}

// give passes an event to a member that does not know it yet.
func (t *topic) give(s importer.Subscriber, m *member, e importer.Event, frame []byte) {
	if t.members[s] == m && e.Seq > m.seq {
		m.seq = e.Seq
		t.call(s, func() { s.Event(e, frame) })
	}
}

func reasonFor(since *importer.Cursor, snap importer.Snapshot) string {
	switch {
	case since == nil:
		return reasonFresh
	case since.Epoch != snap.Epoch:
		return reasonEpoch
	case since.Seq > snap.Seq:
		return reasonAhead
	default:
		return reasonGap
	}
}

// call shields the hub from a subscriber that panics: it is not called again.
func (t *topic) call(s importer.Subscriber, f func()) {
	if err := guard(func() error { f(); return nil }); err != nil {
		t.log.Error().Err(err).Msg("subscriber dropped")
		t.leave(s)
	}
}
