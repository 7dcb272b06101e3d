package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"importer"
)

// Subprotocol names the WebSocket protocol this client speaks.
const Subprotocol = "importer.v1.json"

const (
	reconnectFirst = 500 * time.Millisecond
	reconnectMost  = 30 * time.Second
	healthyAfter   = 30 * time.Second // a connection that held this long starts the backoff anew
	readLimit      = 4 << 20          // replays and snapshots come in one frame
)

// Message is one thing that happened on a watched topic. Exactly one field is
// set.
type Message struct {
	// Snapshot replaces all that was known of the topic. It comes first, and
	// again whenever the events missed could not be replayed.
	Snapshot *Snapshot
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
	Reason string          // why it is a snapshot and not a replay: fresh, epoch, gap or ahead
	Data   json.RawMessage // {"import": …, "update": …} or {"imports": […]}
}

// Watch follows a topic until ctx ends, the caller stops, or the server says
// that coming back is of no use. It reconnects with full jitter and resumes
// where it was. The one error it yields is the last thing it yields.
func (c *Client) Watch(ctx context.Context, topic string) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		w := watcher{client: c, topic: topic, yield: yield}
		for tries := 1; ; tries++ {
			began := time.Now()
			err := w.session(ctx)
			switch {
			case w.stopped:
				return
			case ctx.Err() != nil:
				yield(Message{}, ctx.Err())
				return
			case final(err):
				yield(Message{}, err)
				return
			}
			if time.Since(began) > healthyAfter {
				tries = 1
			}
			if !yield(Message{Down: err}, nil) {
				return
			}
			wait := backoff(tries, reconnectFirst, reconnectMost)
			if w.after > 0 {
				wait, w.after = backoff(1, w.after, w.after), 0
			}
			if err := sleep(ctx, wait); err != nil {
				yield(Message{}, err)
				return
			}
		}
	}
}

// watcher is the state that outlives a connection.
type watcher struct {
	client  *Client
	topic   string
	yield   func(Message, error) bool
	stopped bool // the caller left the loop
	cursor  *importer.Cursor
	rev     int64
	after   time.Duration // what the last bye asked to wait at most
}

// session runs one connection and returns why it ended.
func (w *watcher) session(ctx context.Context) error {
	conn, err := w.client.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	if err := w.subscribe(ctx, conn); err != nil {
		return err
	}
	silence := 40 * time.Second // until hello says better
	for {
		frames, err := read(ctx, conn, silence)
		if err != nil {
			return err
		}
		for _, f := range frames {
			if f.Type == "hello" && f.PingMS > 0 {
				silence = time.Duration(f.PingMS+f.PongMS) * time.Millisecond
			}
			if err := w.take(ctx, conn, f); err != nil {
				if w.stopped {
					_ = conn.Close(websocket.StatusNormalClosure, "")
				}
				return err
			}
		}
	}
}

var errStopped = errors.New("the caller stopped watching")

// take handles one frame.
func (w *watcher) take(ctx context.Context, conn *websocket.Conn, f frame) error {
	switch f.Type {
	case "ping":
		return write(ctx, conn, map[string]any{"type": "pong"})
	case "error":
		return importer.Errorf(importer.Code(f.Code.text), "%s", f.Message)
	case "bye":
		if len(f.AfterMS) == 2 {
			w.after = time.Duration(f.AfterMS[1]) * time.Millisecond
		}
		return nil // the close frame follows
	case "subscribed":
		return w.subscribed(f)
	case "event":
		return w.event(ctx, conn, importer.Event{Topic: f.Topic, Seq: f.Seq, Kind: f.Kind, At: f.At, Data: f.Data})
	case "update":
		if w.cursor == nil || f.Seq < w.cursor.Seq || (f.Seq == w.cursor.Seq && f.Rev <= w.rev) {
			return nil // older than what was shown
		}
		w.rev = f.Rev
		return w.emit(Message{Update: &importer.Update{Topic: f.Topic, Seq: f.Seq, Rev: f.Rev, Data: f.Data}})
	}
	return nil // a later server may say more
}

func (w *watcher) subscribed(f frame) error {
	if !f.Recovered {
		w.cursor, w.rev = &importer.Cursor{Epoch: f.Epoch, Seq: f.Seq}, 0
		return w.emit(Message{Snapshot: &Snapshot{Epoch: f.Epoch, Seq: f.Seq, Reason: f.Reason, Data: f.Snapshot}})
	}
	if w.cursor == nil {
		return importer.Errorf(importer.Internal, "the server replayed events to a client that had none")
	}
	for _, e := range f.Events {
		if e.Seq <= w.cursor.Seq {
			continue
		}
		e.Topic = w.topic
		if err := w.apply(e); err != nil {
			return err
		}
	}
	return nil
}

func (w *watcher) event(ctx context.Context, conn *websocket.Conn, e importer.Event) error {
	switch {
	case w.cursor == nil || e.Seq <= w.cursor.Seq:
		return nil
	case e.Seq > w.cursor.Seq+1:
		return w.subscribe(ctx, conn) // something is missing: ask for it
	}
	return w.apply(e)
}

func (w *watcher) apply(e importer.Event) error {
	w.cursor.Seq, w.rev = e.Seq, 0
	return w.emit(Message{Event: &e})
}

func (w *watcher) emit(m Message) error {
	if !w.yield(m, nil) {
		w.stopped = true
		return errStopped
	}
	return nil
}

func (w *watcher) subscribe(ctx context.Context, conn *websocket.Conn) error {
	return write(ctx, conn, struct {
		Type  string           `json:"type"`
		ID    int              `json:"id"`
		Topic string           `json:"topic"`
		Since *importer.Cursor `json:"since,omitempty"`
	}{"subscribe", 1, w.topic, w.cursor})
}

// final reports whether reconnecting is of no use: the server refused the
// topic, or closed with a code that says stop (1007, 1009, 4500 to 4999).
func final(err error) bool {
	switch code := websocket.CloseStatus(err); {
	case code == websocket.StatusInvalidFramePayloadData, code == websocket.StatusMessageTooBig, code >= 4500:
		return true
	case code != -1:
		return false
	}
	switch importer.ErrorCode(err) {
	case importer.NotFound, importer.Malformed, importer.Invalid, importer.Unauthorized, importer.Forbidden:
		return true
	}
	return false
}

func (c *Client) dial(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	header := http.Header{}
	if c.token != "" {
		header.Set("Authorization", "Bearer "+c.token)
	}
	conn, resp, err := websocket.Dial(ctx, c.base.JoinPath("/ws").String(), &websocket.DialOptions{
		HTTPClient:   c.http,
		HTTPHeader:   header,
		Subprotocols: []string{Subprotocol},
	})
	if err != nil {
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			return nil, &importer.Error{Code: codeOf(resp.StatusCode), Message: fmt.Sprintf("the server answered %s to /ws", resp.Status), Err: err}
		}
		return nil, unreachable(err)
	}
	conn.SetReadLimit(readLimit)
	return conn, nil
}
