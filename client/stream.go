package client

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/coder/websocket"

	"importer"
)

// Message is one thing that happened on a watched topic. Topic says on which,
// and one of the other fields is set.
type Message struct {
	Topic string // "" with Down, which is about all of them
	// Snapshot replaces all that was known of the topic. It comes first, and
	// again whenever the events missed could not be replayed.
	Snapshot *Snapshot
	// Resumed says that nothing is lost: the events missed follow, if any.
	Resumed bool
	// Event is a durable change; each comes once, in order.
	Event *importer.Event
	// Update is progress; it only moves forward.
	Update *importer.Update
	// Down says that the connection was lost and is being made again.
	Down error
}

// Snapshot is the state of a topic after event Seq.
type Snapshot struct {
	Epoch  string
	Seq    int64
	Reason string           // why it is a snapshot and not a replay: fresh, epoch, gap or ahead
	Data   json.RawMessage  // {"import": …} or {"imports": […]}
	Update *importer.Update // the newest progress after Seq; may be nil
}

const (
	reconnectFirst = 500 * time.Millisecond
	reconnectMost  = 30 * time.Second
	healthyAfter   = 30 * time.Second // a connection that held this long starts the backoff anew

	helloSilence = 40 * time.Second // the longest silence until hello says better
	byeSilence   = 5 * time.Second  // between bye and the end

	// A server takes 50 messages at once from a client.
	maxTopics = 32
)

// Watch follows up to 32 topics over one connection until ctx ends, the caller
// stops, or the server says that coming back is of no use. It reconnects with
// full jitter and resumes each topic where it was. The one error it yields is
// the last thing it yields.
//
// Nothing is read while the caller handles a message: one that takes longer
// than the server waits for it is cut off, and resumes.
func (c *Client) Watch(ctx context.Context, topics ...string) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		if len(topics) == 0 || len(topics) > maxTopics {
			yield(Message{}, importer.Errorf(importer.Invalid, "%d topics to watch, want 1 to %d", len(topics), maxTopics))
			return
		}
		w := watcher{client: c, yield: yield, topics: map[string]*follower{}}
		for _, t := range topics {
			w.topics[t] = &follower{topic: t}
		}
		if err := w.run(ctx); !w.stopped {
			yield(Message{}, err)
		}
	}
}

// watcher is one call of Watch.
type watcher struct {
	client  *Client
	yield   func(Message, error) bool
	stopped bool // the caller left the loop
	topics  map[string]*follower
	lastID  int64 // of a subscribe

	// Of the connection:
	opened  time.Time     // zero until it stands
	silence time.Duration // the longest that may pass without a frame
	stay    time.Duration // how long the server asked to stay away; 0 when it did not
}

// run makes one connection after the other and returns why it gave up.
func (w *watcher) run(ctx context.Context) error {
	for tries := 1; ; tries++ {
		w.opened, w.stay = time.Time{}, 0
		err := w.connection(ctx)
		switch {
		case w.stopped || final(err):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
		if !w.opened.IsZero() && time.Since(w.opened) > healthyAfter {
			tries = 1
		}
		if w.emit(Message{Down: err}) != nil {
			return err
		}
		wait := w.stay
		if wait == 0 {
			wait = backoff(tries, reconnectFirst, reconnectMost)
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// connection follows the topics over one connection and returns why it ended.
func (w *watcher) connection(ctx context.Context) error {
	conn, err := w.client.dial(ctx)
	if err != nil {
		if busy, ok := errors.AsType[*busyError](err); ok {
			w.stay = busy.after + backoff(1, reconnectFirst, reconnectFirst)
		}
		return err
	}
	defer conn.CloseNow()
	w.opened, w.silence = time.Now(), helloSilence
	for _, t := range w.topics {
		if err := w.subscribe(ctx, conn, t); err != nil {
			return err
		}
	}
	for {
		frames, err := read(ctx, conn, w.silence)
		if err != nil {
			return err
		}
		for _, f := range frames {
			err := w.take(ctx, conn, f)
			if w.stopped {
				_ = conn.Close(websocket.StatusNormalClosure, "")
			}
			if err != nil {
				return err
			}
		}
	}
}

// take handles one frame.
func (w *watcher) take(ctx context.Context, conn *websocket.Conn, f frame) error {
	switch f.Type {
	case "hello":
		if f.PingMS > 0 {
			w.silence = time.Duration(f.PingMS+f.PongMS) * time.Millisecond
		}
		return nil
	case "ping":
		return write(ctx, conn, map[string]string{"type": "pong"})
	case "error":
		return w.refused(f)
	case "bye":
		return w.bye(f)
	}
	t := w.topics[f.Topic]
	if t == nil {
		return nil // a later server may say more
	}
	messages, err := t.take(f)
	for _, m := range messages {
		if err := w.emit(m); err != nil {
			return err
		}
	}
	if errors.Is(err, errMissed) {
		return w.subscribe(ctx, conn, t)
	}
	return err
}

// bye notes when to come back; the close frame follows.
func (w *watcher) bye(f frame) error {
	w.silence = byeSilence
	if f.Reconnect != nil && !*f.Reconnect {
		return importer.Errorf(importer.Forbidden, "the server said goodbye for good: %s", f.Reason)
	}
	if len(f.AfterMS) == 2 {
		from, to := max(0, f.AfterMS[0]), max(0, f.AfterMS[1])
		w.stay = time.Duration(from)*time.Millisecond + rand.N(time.Duration(max(1, to-from))*time.Millisecond) + 1
	}
	return nil
}

func (w *watcher) refused(f frame) error {
	message := f.Message
	for _, t := range w.topics {
		if t.asked == f.ID && len(w.topics) > 1 {
			message = t.topic + ": " + message
		}
	}
	return &importer.Error{Code: importer.Code(f.Code.text), Message: message}
}

var errStopped = errors.New("the caller stopped watching")

func (w *watcher) emit(m Message) error {
	if !w.yield(m, nil) {
		w.stopped = true
		return errStopped
	}
	return nil
}

func (w *watcher) subscribe(ctx context.Context, conn *websocket.Conn, t *follower) error {
	w.lastID++
	t.asked, t.answered = w.lastID, false
	return write(ctx, conn, struct {
		Type  string           `json:"type"`
		ID    int64            `json:"id"`
		Topic string           `json:"topic"`
		Since *importer.Cursor `json:"since,omitempty"`
	}{"subscribe", t.asked, t.topic, t.cursor})
}
