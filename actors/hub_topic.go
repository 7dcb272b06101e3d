package actors

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"importer"
)

// topic is what the hub knows of one topic. It does no I/O and starts nothing:
// the hub asks it what it needs (wantsSnapshot, gap) and brings it.
//
// seq is the last event passed on; events over it are held until they are
// contiguous. Before the first snapshot seq is unknown. The last events are
// kept in recent: a snapshot that is read while events pass is completed from
// there, and so could a reconnecting client be.
type topic struct {
	name string
	now  func() time.Time
	log  zerolog.Logger

	epoch  string
	seq    int64
	head   int64 // the highest seq heard of
	early  map[int64]importer.Event
	recent []framed // contiguous, the last one has seq

	members map[importer.Subscriber]*member

	latest json.RawMessage  // the newest progress; no event came after it
	last   *importer.Update // of latest, once seq is known
	frame  []byte           // of last
	rev    int64
	over   bool // the last event ended the import: progress that is still on its way is stale

	running bool // an import here sends updates
	reading bool // the log is being read for it
	waiting bool // for a gap to close by itself
}

// framed is an event with the bytes that everybody gets.
type framed struct {
	event importer.Event
	frame []byte
}

// member is a subscription.
type member struct {
	since  *importer.Cursor
	joined bool  // has its snapshot
	seq    int64 // last event it knows
}

const (
	unknownSeq = -1
	recentMax  = 256
	earlyMax   = 1_024
)

// Why a subscriber gets a snapshot.
const (
	reasonFresh = "fresh" // it had nothing
	reasonGap   = "gap"   // it is behind
	reasonEpoch = "epoch" // the log was restored since
	reasonAhead = "ahead" // it knows more than the log
)

func newTopic(name string, now func() time.Time, log zerolog.Logger) *topic {
	return &topic{
		name: name, now: now, log: log.With().Str("topic", name).Logger(), seq: unknownSeq,
		early: map[int64]importer.Event{}, members: map[importer.Subscriber]*member{},
	}
}

func (t *topic) join(s importer.Subscriber, since *importer.Cursor) {
	t.members[s] = &member{since: since}
}

func (t *topic) leave(s importer.Subscriber) { delete(t.members, s) }

func (t *topic) idle() bool { return len(t.members) == 0 && !t.running }

func (t *topic) wantsSnapshot() bool {
	for _, m := range t.members {
		if !m.joined {
			return true
		}
	}
	return false
}

// gap reports whether events are known of that have not been passed on.
func (t *topic) gap() bool { return t.seq != unknownSeq && t.head > t.seq }

// offer takes an event that is committed, and passes on what is contiguous.
func (t *topic) offer(e importer.Event) {
	if t.seq == unknownSeq && len(t.members) == 0 {
		t.outdate(e) // the snapshot of whoever comes will have it
		return
	}
	if e.Seq <= t.seq {
		return
	}
	t.head = max(t.head, e.Seq)
	if len(t.early) < earlyMax {
		t.early[e.Seq] = e
	}
	t.drain()
}

// drain passes on what is contiguous.
func (t *topic) drain() {
	for t.seq != unknownSeq {
		e, ok := t.early[t.seq+1]
		if !ok {
			return
		}
		delete(t.early, e.Seq)
		t.pass(e)
	}
}

func (t *topic) pass(e importer.Event) {
	t.seq = e.Seq
	t.outdate(e)
	frame, err := json.Marshal(struct {
		Type string `json:"type"`
		importer.Event
	}{"event", e})
	if err != nil { // Data is not JSON, which the log would not have taken
		t.log.Error().Err(err).Int64("seq", e.Seq).Msg("encode event")
		return
	}
	f := framed{e, frame}
	if len(t.recent) == recentMax {
		copy(t.recent, t.recent[1:])
		t.recent = t.recent[:recentMax-1]
	}
	t.recent = append(t.recent, f)
	for s, m := range t.members {
		t.give(s, m, f)
	}
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

// update passes progress on. A subscriber whose snapshot is ahead of seq has
// what is newer.
func (t *topic) update(u importer.ImportUpdate) error {
	if t.over && !u.State.Ended() {
		return nil
	}
	data, err := json.Marshal(u)
	if err != nil {
		return fmt.Errorf("encode update: %w", err)
	}
	t.latest = data
	if t.seq == unknownSeq {
		return nil
	}
	if err := t.stamp(); err != nil {
		return err
	}
	for s, m := range t.members {
		if m.joined && m.seq == t.seq {
			t.call(s, m, func() { s.Update(*t.last, t.frame) })
		}
	}
	return nil
}

// stamp makes latest the last update. Rev follows the clock, so that it also
// grows when the topic was forgotten in between or another machine sends.
func (t *topic) stamp() error {
	t.rev = max(t.rev+1, t.now().UnixMilli())
	u := importer.Update{Topic: t.name, Seq: t.seq, Rev: t.rev, Data: t.latest}
	frame, err := json.Marshal(struct {
		Type string `json:"type"`
		importer.Update
	}{"update", u})
	if err != nil {
		return fmt.Errorf("encode update: %w", err)
	}
	t.last, t.frame = &u, frame
	return nil
}

// give passes an event to one subscriber if it has its snapshot and not yet
// the event.
func (t *topic) give(s importer.Subscriber, m *member, f framed) {
	if m.joined && f.event.Seq > m.seq {
		m.seq = f.event.Seq
		t.call(s, m, func() { s.Event(f.event, f.frame) })
	}
}

// answer gives the snapshot to those who wait for one, and what came after.
func (t *topic) answer(snap importer.Snapshot, err error) {
	if err != nil {
		for s, m := range t.members {
			if !m.joined {
				t.call(s, m, func() { s.Refused(t.name, err) })
				delete(t.members, s)
			}
		}
		return
	}
	t.enter(snap)
	if len(t.recent) > 0 && snap.Seq < t.recent[0].event.Seq-1 {
		return // too much has passed meanwhile: the hub reads again
	}
	for s, m := range t.members {
		if !m.joined {
			t.admit(s, m, snap)
		}
	}
}

// enter brings the topic to the snapshot's epoch and, when nobody follows it
// yet, to its seq.
func (t *topic) enter(snap importer.Snapshot) {
	if t.epoch != "" && t.epoch != snap.Epoch {
		t.restart()
	}
	t.epoch = snap.Epoch
	t.head = max(t.head, snap.Seq)
	if t.seq == unknownSeq {
		t.seq = snap.Seq
		for seq := range t.early {
			if seq <= t.seq {
				delete(t.early, seq)
			}
		}
		t.drain()
		if t.latest != nil && t.stamp() != nil {
			t.latest = nil
		}
	}
}

// restart forgets where the topic stood; all members need a snapshot.
func (t *topic) restart() {
	t.seq, t.head = unknownSeq, 0
	clear(t.early)
	t.recent = nil
	for _, m := range t.members {
		if m.joined {
			m.joined, m.since = false, &importer.Cursor{Epoch: t.epoch, Seq: m.seq}
		}
	}
}

func (t *topic) admit(s importer.Subscriber, m *member, snap importer.Snapshot) {
	m.joined, m.seq = true, snap.Seq
	reason := reasonFor(m.since, snap)
	last := t.last
	if last != nil && last.Seq != snap.Seq {
		last = nil
	}
	t.call(s, m, func() {
		s.Subscribed(t.name, importer.Subscription{Epoch: snap.Epoch, Seq: snap.Seq, Reason: reason, Snapshot: snap.Data, Update: last})
	})
	for _, f := range t.recent {
		t.give(s, m, f)
	}
	if t.last != nil && last == nil && m.seq == t.last.Seq {
		t.call(s, m, func() { s.Update(*t.last, t.frame) })
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
func (t *topic) call(s importer.Subscriber, m *member, f func()) {
	if t.members[s] != m {
		return
	}
	if err := guard(func() error { f(); return nil }); err != nil {
		t.log.Error().Err(err).Msg("subscriber dropped")
		delete(t.members, s)
	}
}
