package httpd

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/coder/websocket"

	"importer"
)

// The frames of importer.v1.json. Events and updates come encoded from the
// hub; the rest is made here.

// clientFrame is any frame of a client; Type says which fields count.
type clientFrame struct {
	Type  string           `json:"type"`
	ID    int64            `json:"id"`
	Topic string           `json:"topic"`
	Since *importer.Cursor `json:"since"`
	Token string           `json:"token"`
}

func parseFrame(b []byte) (clientFrame, bool) {
	var f clientFrame
	b = bytes.TrimSpace(b)
	if len(b) == 0 || b[0] != '{' || json.Unmarshal(b, &f) != nil {
		return f, false
	}
	return f, true
}

var pingFrame = []byte(`{"type":"ping"}`)

// validity says until when credentials hold: at the heartbeat after that the
// connection is closed.
type validity struct {
	Expires time.Time `json:"expires,omitzero"` // never, if not given
}

func authedFrame(id int64, expires time.Time) []byte {
	return encode(struct {
		Type string `json:"type"`
		ID   int64  `json:"id"`
		validity
	}{"authed", id, validity{expires}})
}

func helloFrame(id string, o SocketOptions, expires time.Time) []byte {
	return encode(struct {
		Type   string         `json:"type"`
		V      int            `json:"v"`
		Conn   string         `json:"conn"`
		PingMS int64          `json:"ping_ms"`
		PongMS int64          `json:"pong_ms"`
		Limits map[string]int `json:"limits"`
		Auth   validity       `json:"auth,omitzero"`
	}{"hello", 1, id, o.Ping.Milliseconds(), o.Pong.Milliseconds(),
		map[string]int{"frame": maxFrame, "topics": maxTopics, "queue": o.Queue}, validity{expires}})
}

// byeFrame says within what time to come back, unless the code says not to.
func byeFrame(code websocket.StatusCode, reason string, after time.Duration) []byte {
	f := struct {
		Type      string   `json:"type"`
		Code      int      `json:"code"`
		Reason    string   `json:"reason"`
		Reconnect bool     `json:"reconnect"`
		AfterMS   [2]int64 `json:"after_ms,omitzero"`
	}{Type: "bye", Code: int(code), Reason: reason, Reconnect: code < closeBadMessage}
	if f.Reconnect {
		f.AfterMS = [2]int64{0, after.Milliseconds()}
	}
	return encode(f)
}

// subscribedFrame answers with the events that were missed, or with the state
// of the topic and its newest progress.
func subscribedFrame(id int64, topic string, s importer.Subscription) []byte {
	type event struct { // the topic need not be said again
		Seq  int64           `json:"seq"`
		Kind string          `json:"kind"`
		At   time.Time       `json:"at"`
		Data json.RawMessage `json:"data"`
	}
	f := struct {
		Type      string          `json:"type"`
		ID        int64           `json:"id"`
		Topic     string          `json:"topic"`
		Epoch     string          `json:"epoch"`
		Seq       int64           `json:"seq"`
		Recovered bool            `json:"recovered"`
		Reason    string          `json:"reason,omitempty"`
		Events    []event         `json:"events,omitzero"` // an array, if empty, in every replay
		Snapshot  json.RawMessage `json:"snapshot,omitempty"`
	}{Type: "subscribed", ID: id, Topic: topic, Epoch: s.Epoch, Seq: s.Seq, Recovered: s.Reason == "", Reason: s.Reason}
	if f.Recovered {
		f.Events = make([]event, len(s.Events))
		for i, e := range s.Events {
			f.Events[i] = event{e.Seq, e.Kind, e.At, e.Data}
		}
		return encode(f)
	}
	f.Snapshot = s.Snapshot
	if s.Update != nil {
		fields := map[string]json.RawMessage{}
		if json.Unmarshal(s.Snapshot, &fields) == nil {
			fields["update"] = encode(s.Update)
			f.Snapshot = encode(fields)
		}
	}
	return encode(f)
}

func updateFrame(u importer.Update) []byte {
	return encode(struct {
		Type string `json:"type"`
		importer.Update
	}{"update", u})
}

func answerFrame(kind string, id int64, topic string) []byte {
	return encode(struct {
		Type  string `json:"type"`
		ID    int64  `json:"id"`
		Topic string `json:"topic,omitempty"`
	}{kind, id, topic})
}

func errorFrame(id int64, code importer.Code, message string) []byte {
	return encode(struct {
		Type    string        `json:"type"`
		ID      int64         `json:"id"`
		Code    importer.Code `json:"code"`
		Message string        `json:"message"`
	}{"error", id, code, message})
}

// encode is for our own structs, which always encode.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// join makes one message of one or more frames.
func join(frames [][]byte) []byte {
	if len(frames) == 1 {
		return frames[0]
	}
	size := 1 + len(frames)
	for _, f := range frames {
		size += len(f)
	}
	b := make([]byte, 0, size)
	for i, f := range frames {
		b = append(b, "[,"[min(i, 1)])
		b = append(b, f...)
	}
	return append(b, ']')
}
