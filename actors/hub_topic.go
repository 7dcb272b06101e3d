package actors

import (
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"importer"
)

// topic is what the hub knows of one topic. It does no I/O and starts nothing:
// the hub asks it what it needs (need, gap) and brings it.
//
// seq is the last event passed on; events over it are held until they are
// contiguous. Before the first read of the log seq is unknown. The newest
// events are kept: they complete a snapshot that is read while events pass,
// and bring those up to date who come back after a break.
type topic struct {
	name string
	id   uuid.UUID // of the import whose topic it is, or nil
	now  func() time.Time
	log  zerolog.Logger

	epoch  string
	seq    int64
	head   int64 // the highest seq heard of
	floor  int64 // events up to here are deleted, by the last read
	early  map[int64]importer.Event
	recent history   // the last one has seq
	deepAt time.Time // when the log was last read for it

	members map[importer.Subscriber]*member // have their answer
	waiting map[importer.Subscriber]*member // for a read of the log
	snap    importer.Snapshot               // the last one
	snapAt  time.Time

	progress

	running bool // an import here sends updates
	reading bool // the log is being read for it
	stateUp bool // the next read is one of the state, if somebody waits for it
	patient bool // a timer runs, for a gap to close by itself or the log to be back
}

const (
	unknownSeq = -1
	earlyMax   = 1_024
	// What a read of the log has brought is kept for this long for all who
	// come back in the same moment.
	sharedFor = time.Second
)

func newTopic(name string, now func() time.Time, log zerolog.Logger) *topic {
	id, _ := importer.ParseTopic(name)
	return &topic{
		name: name, id: id, now: now, log: log.With().Str("topic", name).Logger(), seq: unknownSeq,
		early:   map[int64]importer.Event{},
		members: map[importer.Subscriber]*member{}, waiting: map[importer.Subscriber]*member{},
	}
}

func (t *topic) watched() bool { return len(t.members)+len(t.waiting) > 0 }

func (t *topic) idle() bool { return !t.watched() && !t.running && !t.reading }

// gap reports whether events are known of that have not been passed on.
func (t *topic) gap() bool { return t.seq != unknownSeq && t.head > t.seq }

// oldest is the seq of the first event in recent.
func (t *topic) oldest() int64 { return t.seq - int64(len(t.recent.events)) + 1 }

// offer takes an event that is committed, and passes on what is contiguous.
func (t *topic) offer(e importer.Event) {
	if t.seq == unknownSeq {
		t.outdate(e)
		if !t.watched() {
			return // the snapshot of whoever comes will have it
		}
	}
	if e.Seq <= t.seq {
		return
	}
	t.head = max(t.head, e.Seq)
	if len(t.early) < earlyMax || e.Seq == t.seq+1 {
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
	frame, err := eventFrame(e)
	if err != nil { // Data is not JSON, which the log would not have taken
		t.log.Error().Err(err).Msg("event dropped")
		t.restart()
		return
	}
	t.seq = e.Seq
	t.outdate(e)
	t.recent.push(e, frame)
	t.trim()
	for s, m := range t.members {
		t.give(s, m, e, frame)
	}
}

// trim keeps recent small, but for a moment after a deep read.
func (t *topic) trim() {
	if t.now().Sub(t.deepAt) < sharedFor {
		t.recent.trim(replayMax)
	} else {
		t.recent.trim(recentMax)
	}
}

// enter brings the topic to the epoch of what was read and, when nobody
// follows it yet, to its head.
func (t *topic) enter(epoch string, head int64) {
	if t.epoch != "" && t.epoch != epoch {
		t.restart()
	}
	t.epoch = epoch
	t.head = max(t.head, head)
	if t.seq == unknownSeq {
		t.seq = head
		for seq := range t.early {
			if seq <= t.seq {
				delete(t.early, seq)
			}
		}
		t.drain()
	}
}

// learn takes in a read of the log from after on. heard is what head was when
// it began.
func (t *topic) learn(after, heard int64, log importer.Log) {
	if t.seq == unknownSeq {
		t.latest = nil // from before or after the head, who knows
	}
	t.enter(log.Epoch, log.Head)
	t.floor = log.Floor
	old := 0
	for old < len(log.Events) && log.Events[old].Seq <= t.seq {
		old++
	}
	t.recall(after, log.Events[:old])
	for _, e := range log.Events[old:] {
		t.offer(e)
	}
	// The log has lost events, or was cut off without a new epoch.
	whole := len(log.Events) < replayMax
	if t.seq != unknownSeq && (t.seq < log.Floor || whole && t.seq < heard) {
		t.restart()
	}
}

// recall puts events of the log before those in recent.
func (t *topic) recall(after int64, events []importer.Event) {
	before := t.oldest() - 1
	for len(events) > 0 && events[len(events)-1].Seq > before {
		events = events[:len(events)-1]
	}
	if len(events) > 0 && events[len(events)-1].Seq != before {
		return // too much has passed meanwhile: the hub reads again
	}
	t.recent.prepend(events)
	t.deepAt = t.now()
	t.trim()
	for _, m := range t.waiting {
		if m.since != nil && m.since.Seq >= after && m.since.Seq < t.oldest()-1 {
			m.snapshot = true // the read had it, but it is too much
		}
	}
}

// restart forgets where the topic stood; all members need a snapshot.
func (t *topic) restart() {
	for s, m := range t.members {
		t.await(s, m, true)
	}
	t.seq, t.head, t.floor = unknownSeq, 0, 0
	clear(t.early)
	t.recent, t.snap = history{}, importer.Snapshot{}
	t.latest, t.last, t.frame = nil, nil, nil
}

// mend sees to those whom a crash of the hub has kept from an event.
func (t *topic) mend() {
	if n := len(t.recent.events); n > 0 && t.recent.events[n-1].Seq != t.seq {
		t.recent = history{}
	}
	for s, m := range t.members {
		if m.seq < t.seq {
			t.await(s, m, false)
		}
	}
}
