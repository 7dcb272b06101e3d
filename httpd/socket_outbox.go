package httpd

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"importer"
)

// A message of several frames is at most this large, or one frame.
const messageSize = 64 << 10

// outbox holds what waits for one client and sends it. Frames in the queue are
// never dropped and keep their order; of the updates of a topic only the
// newest waits, and it goes after the queue, so an update never overtakes the
// event it belongs to.
//
// A frame that comes after a silence leaves at once. What comes within the
// gap after a message waits for its end and leaves together; a lone update
// waits one gap, because more may follow. No goroutine runs while there is
// nothing to write.
type outbox struct {
	gap   time.Duration
	limit int                                         // bytes in the queue
	write func([]byte) error                          // one message
	end   func(code websocket.StatusCode, why string) // after the last message, when closed
	cut   func(error)                                 // nothing more can be sent; must not block
	sent  func(lag time.Duration)                     // after a message with events: how old the oldest is

	mu      sync.Mutex
	queue   [][]byte
	bytes   int
	oldest  time.Time // of the events in the queue; zero when there is none
	updates map[string][]byte
	order   []string  // topics of updates, oldest first
	last    time.Time // when the last message was written
	running bool      // a writer is at work
	timer   *time.Timer
	due     time.Time // when the timer starts a writer; zero when it is off
	backlog bool      // the last message did not hold all there was
	closing bool      // nothing more is taken
	code    websocket.StatusCode
	why     string
	dead    bool // nothing more is written

	room     sync.Cond // on mu: the queue is shorter, or a promise kept, or nothing is sent anymore
	promises int       // answers to come
}

// answerShare is the part of the queue that the answer to a subscribe may
// take: more of them at once than fit must not count as a slow client.
const answerShare = 4

var errSlow = errors.New("the client reads too slowly")

// push adds a frame that must arrive. When topic is not empty the frame is an
// event of it, and an update of it that waits is out of date.
func (o *outbox) push(topic string, frame []byte) {
	o.mu.Lock()
	if o.closing || o.dead {
		o.mu.Unlock()
		return
	}
	o.dropUpdate(topic)
	o.queue = append(o.queue, frame)
	o.bytes += len(frame)
	if o.bytes > o.limit {
		o.stop()
		o.mu.Unlock()
		o.cut(errSlow)
		return
	}
	o.schedule()
	o.mu.Unlock()
}

// pushEvent adds an event, and remembers since when the oldest waits.
func (o *outbox) pushEvent(e importer.Event, frame []byte) {
	o.mu.Lock()
	if o.oldest.IsZero() {
		o.oldest = e.At
	}
	o.mu.Unlock()
	o.push(e.Topic, frame)
}

// waiting is how many bytes wait in the queue.
func (o *outbox) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes
}

// promise waits until there is room in the queue for a long answer and keeps
// it; release must follow.
func (o *outbox) promise() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.closing && !o.dead && o.bytes+(o.promises+1)*(o.limit/answerShare) > o.limit {
		o.room.Wait()
	}
	o.promises++
}

func (o *outbox) release() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.promises--
	o.room.Signal()
}

// update replaces the update of a topic that waits.
func (o *outbox) update(topic string, frame []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closing || o.dead {
		return
	}
	if _, waits := o.updates[topic]; !waits {
		if o.updates == nil {
			o.updates = map[string][]byte{}
		}
		o.order = append(o.order, topic)
	}
	o.updates[topic] = frame
	o.schedule()
}

// forget drops the update of a topic that waits.
func (o *outbox) forget(topic string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dropUpdate(topic)
}

// close sends what waits, then ends the connection with a close frame.
func (o *outbox) close(code websocket.StatusCode, why string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closing || o.dead {
		return
	}
	o.closing, o.code, o.why = true, code, why
	o.room.Signal()
	o.schedule()
}

// kill drops what waits.
func (o *outbox) kill() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stop()
}

func (o *outbox) stop() {
	o.dead = true
	o.room.Signal()
	o.queue, o.updates, o.order, o.bytes = nil, nil, nil, 0
	if o.timer != nil {
		o.timer.Stop()
	}
}

func (o *outbox) dropUpdate(topic string) {
	if _, waits := o.updates[topic]; waits {
		delete(o.updates, topic)
		o.order = slices.DeleteFunc(o.order, func(t string) bool { return t == topic })
	}
}

// schedule makes sure that a writer starts when the next message is due.
func (o *outbox) schedule() {
	if o.running || o.dead {
		return
	}
	now := time.Now()
	due := o.last.Add(o.gap)
	switch {
	case o.closing:
		due = now
	case len(o.queue) == 0 && len(o.order) == 0:
		return
	case len(o.queue) == 0 && due.Before(now):
		due = now.Add(o.gap)
	}
	if !due.After(now) {
		o.due = time.Time{}
		o.running = true
		go o.run()
		return
	}
	if !o.due.IsZero() && !due.Before(o.due) {
		return
	}
	o.due = due
	if o.timer == nil {
		o.timer = time.AfterFunc(due.Sub(now), o.wake)
	} else {
		o.timer.Reset(due.Sub(now))
	}
}

// wake is the timer's.
func (o *outbox) wake() {
	o.mu.Lock()
	if o.running || o.dead || o.due.IsZero() {
		o.mu.Unlock()
		return
	}
	o.due = time.Time{}
	o.running = true
	o.mu.Unlock()
	o.run()
}

// run writes until nothing is due.
func (o *outbox) run() {
	for again := true; again; {
		frames, oldest := o.take()
		if len(frames) > 0 {
			if err := o.write(join(frames)); err != nil {
				o.kill()
				o.cut(err)
				return
			}
		}
		if !oldest.IsZero() && o.sent != nil {
			o.sent(time.Since(oldest))
		}
		again = o.rest(len(frames) > 0)
	}
}

// take removes the frames of the next message, and tells since when the oldest
// event in the queue has waited.
func (o *outbox) take() ([][]byte, time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var frames [][]byte
	size := 0
	fits := func(frame []byte) bool {
		size += len(frame)
		return len(frames) == 0 || size <= messageSize
	}
	n := 0
	for n < len(o.queue) && fits(o.queue[n]) {
		frames = append(frames, o.queue[n])
		o.bytes -= len(o.queue[n])
		n++
	}
	o.queue = o.queue[n:]
	o.room.Signal()
	oldest := o.oldest
	if o.backlog = len(o.queue) > 0; o.backlog {
		return frames, time.Time{} // counted with the last of them
	}
	o.oldest = time.Time{}
	o.queue = nil // an idle connection keeps no memory
	n = 0
	for n < len(o.order) && fits(o.updates[o.order[n]]) {
		frames = append(frames, o.updates[o.order[n]])
		delete(o.updates, o.order[n])
		n++
	}
	o.order = o.order[n:]
	o.backlog = len(o.order) > 0
	return frames, oldest
}

// rest decides after a message whether the writer goes on: at once with what
// did not fit and with what comes before a close; otherwise a timer starts it
// again when the gap is over.
func (o *outbox) rest(wrote bool) (again bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if wrote {
		o.last = time.Now()
	}
	if !o.dead && (o.backlog || o.closing && len(o.queue)+len(o.order) > 0) {
		return true
	}
	o.running = false
	if o.closing && !o.dead {
		o.stop()
		go o.end(o.code, o.why) // waits for the client's answer
		return false
	}
	o.schedule()
	return false
}
