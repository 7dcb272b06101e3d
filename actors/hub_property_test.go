package actors_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"importer"
	"importer/actors"
)

// reader is a client that holds the hub to the protocol: it must be able to
// take in all that it gets, and ends where the log does.
type reader struct {
	mu      sync.Mutex
	epoch   string
	seq     int64 // the last event it knows; unread without any
	answers int
	wrong   []string
}

const unread = -1

func newReader(since *importer.Cursor) *reader {
	if since == nil {
		return &reader{seq: unread}
	}
	return &reader{epoch: since.Epoch, seq: since.Seq}
}

func (r *reader) cursor() *importer.Cursor {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seq == unread {
		return nil
	}
	return &importer.Cursor{Epoch: r.epoch, Seq: r.seq}
}

func (r *reader) Subscribed(_ string, s importer.Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers++
	if s.Reason != "" {
		if string(s.Snapshot) != string(stateAt(s.Seq)) || len(s.Events) > 0 {
			r.complain("a snapshot at %d with %s and %d events", s.Seq, s.Snapshot, len(s.Events))
		}
		r.epoch, r.seq = s.Epoch, s.Seq
		return
	}
	if r.seq == unread || s.Epoch != r.epoch || s.Snapshot != nil {
		r.complain("a replay of epoch %s to one at %s %d", s.Epoch, r.epoch, r.seq)
	}
	for _, e := range s.Events {
		r.take(e)
	}
	if s.Seq != r.seq {
		r.complain("a replay to %d ends at %d", s.Seq, r.seq)
	}
}

func (r *reader) Refused(_ string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.complain("refused: %v", err)
}

func (r *reader) Event(e importer.Event, _ []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answers == 0 {
		r.complain("event %d before the answer", e.Seq)
	}
	r.take(e)
}

func (r *reader) Update(importer.Update, []byte) {}

func (r *reader) take(e importer.Event) {
	if e.Seq != r.seq+1 {
		r.complain("event %d after %d", e.Seq, r.seq)
	}
	r.seq = e.Seq
}

func (r *reader) complain(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

// TestHubProperty does what can happen to two machines in any order: commits
// that are published late, in disorder, twice or never; clients that come
// with any cursor, go, and come back on the other machine; crashes, lost
// hints and connections, deleted events, a restored log. Whatever it was,
// every client that is there at the end has got every event once and in
// order, or a snapshot in place of what it missed.
func TestHubProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(drawStep), 1, 60).Draw(rt, "steps")
		var wrong string // rapid cannot be told from the goroutine of synctest
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			for _, s := range steps {
				s.do(w, s.a, s.b)
				time.Sleep(s.pause)
			}
			w.settle()
			for i, c := range w.clients {
				if len(c.r.wrong) > 0 || c.r.seq != w.log.head || c.r.epoch != w.log.epoch {
					wrong = fmt.Sprintf("client %d, since %+v: at %s %d of %s %d, wrong %q", i, c.since, c.r.epoch, c.r.seq, w.log.epoch, w.log.head, c.r.wrong)
				}
			}
		})
		if wrong != "" {
			rt.Fatal(wrong)
		}
	})
}

type step struct {
	name  string
	do    func(w *world, a, b int)
	a, b  int
	pause time.Duration
}

func (s step) String() string { return fmt.Sprintf("%s(%d, %d) %v", s.name, s.a, s.b, s.pause) }

func drawStep(rt *rapid.T) step {
	s := rapid.SampledFrom([]step{
		{name: "commit", do: (*world).commit}, {name: "commit", do: (*world).commit}, {name: "commit", do: (*world).commit},
		{name: "publish", do: (*world).publish}, {name: "publish", do: (*world).publish}, {name: "publish", do: (*world).publish},
		{name: "come", do: (*world).come}, {name: "come", do: (*world).come},
		{name: "go", do: (*world).leave}, {name: "return", do: (*world).comeBack},
		{name: "crash", do: (*world).crash}, {name: "trim", do: (*world).trim},
		{name: "restore", do: (*world).restore}, {name: "cut", do: (*world).cut}, {name: "lose hints", do: (*world).loseHints},
	}).Draw(rt, "kind")
	s.a, s.b = rapid.IntRange(0, 9).Draw(rt, "a"), rapid.IntRange(0, 400).Draw(rt, "b")
	s.pause = time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 30, 60, 300, 2_500}).Draw(rt, "ms")) * time.Millisecond
	return s
}

// world is two machines on one log, and their clients.
type world struct {
	machines [2]*actors.System
	fuses    [2]*fuse
	log      *shared
	untold   []importer.Event // committed, not published yet
	clients  []*client
	epochs   int
}

type client struct {
	since   *importer.Cursor
	r       *reader
	machine int
}

func newWorld(t *testing.T) *world {
	w := &world{log: newShared()}
	for i := range w.machines {
		f := &fuse{}
		b := setup(t, func(_ *bundle, o *actors.Options) { o.Events, o.Now = w.log, f.now })
		w.machines[i], w.fuses[i] = b.system, f
	}
	return w
}

// commit appends an event, or now and then many.
func (w *world) commit(a, b int) {
	n := 1
	if a == 9 {
		n = b * 3
	}
	for range n {
		w.log.commit(w.log.head + 1)
		w.untold = append(w.untold, event(w.log.head))
	}
}

// publish tells a machine of one of the commits, any of them.
func (w *world) publish(a, b int) {
	if len(w.untold) == 0 {
		return
	}
	i := b % len(w.untold)
	e := w.untold[i]
	if a != 8 { // else it comes once more
		w.untold = append(w.untold[:i:i], w.untold[i+1:]...)
	}
	if a != 9 { // else nobody is told
		w.machines[a%2].Publish([]importer.Event{e})
	}
}

func (w *world) come(a, b int) {
	c := &client{machine: a % 2}
	if a > 2 {
		// Around the head, also beyond it.
		c.since = &importer.Cursor{Epoch: w.log.epoch, Seq: max(0, w.log.head+3-int64(b))}
	}
	if a == 9 {
		c.since.Epoch = "e0"
	}
	c.r = newReader(c.since)
	w.clients = append(w.clients, c)
	w.machines[c.machine].Subscribe(importer.TopicProducts, c.since, c.r)
}

func (w *world) leave(_, b int) {
	if len(w.clients) > 0 {
		i := b % len(w.clients)
		c := w.clients[i]
		w.machines[c.machine].Unsubscribe(importer.TopicProducts, c.r)
		w.clients = append(w.clients[:i:i], w.clients[i+1:]...)
	}
}

// comeBack takes a client to a machine with the cursor it has.
func (w *world) comeBack(a, b int) {
	if len(w.clients) == 0 {
		return
	}
	old := w.clients[b%len(w.clients)]
	w.leave(a, b)
	c := &client{since: old.r.cursor(), machine: a % 2}
	c.r = newReader(c.since)
	w.clients = append(w.clients, c)
	w.machines[c.machine].Subscribe(importer.TopicProducts, c.since, c.r)
}

func (w *world) crash(a, b int) { w.fuses[a%2].light(int64(b % 5)) }

func (w *world) trim(_, b int) {
	w.log.eventLog.mu.Lock()
	defer w.log.eventLog.mu.Unlock()
	w.log.floor = max(w.log.floor, w.log.head-int64(b))
}

// restore takes the log back to some earlier state.
func (w *world) restore(_, b int) {
	w.log.eventLog.mu.Lock()
	defer w.log.eventLog.mu.Unlock()
	w.epochs++
	w.log.epoch = fmt.Sprintf("r%d", w.epochs)
	w.log.head = max(w.log.floor, w.log.head-int64(b))
	w.untold = nil
}

func (w *world) cut(a, _ int) { w.log.cut(a%2 == 0) }

func (w *world) loseHints(a, _ int) {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	w.log.silent = a%2 == 0
}

// settle waits for as long as it may take until everybody is up to date: a
// hub that crashed again and again rests for 5 s.
func (w *world) settle() {
	for _, f := range w.fuses {
		f.ticks.Store(0)
	}
	time.Sleep(30 * time.Second)
	synctest.Wait()
}
