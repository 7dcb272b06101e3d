package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/coder/websocket"

	"importer"
)

// frame is any object the server may send; Type says which fields count.
type frame struct {
	Type string `json:"type"`
	ID   int64  `json:"id"` // of the request it answers

	PingMS int `json:"ping_ms"` // hello
	PongMS int `json:"pong_ms"`

	Topic string          `json:"topic"` // subscribed, event, update
	Epoch string          `json:"epoch"`
	Seq   int64           `json:"seq"`
	Rev   int64           `json:"rev"`
	Kind  string          `json:"kind"`
	At    time.Time       `json:"at"`
	Data  json.RawMessage `json:"data"`

	Recovered bool             `json:"recovered"` // subscribed
	Reason    string           `json:"reason"`    // also of bye
	Snapshot  json.RawMessage  `json:"snapshot"`
	Events    []importer.Event `json:"events"`

	Code      code   `json:"code"` // error: a word; bye: a close code
	Message   string `json:"message"`
	Reconnect *bool  `json:"reconnect"` // bye
	AfterMS   []int  `json:"after_ms"`
}

func (f frame) event() importer.Event {
	return importer.Event{Topic: f.Topic, Seq: f.Seq, Kind: f.Kind, At: f.At, Data: f.Data}
}

func (f frame) update() importer.Update {
	return importer.Update{Topic: f.Topic, Seq: f.Seq, Rev: f.Rev, Data: f.Data}
}

// understood are the types this client acts on. A frame of any other type may
// have any fields.
var understood = []string{"hello", "ping", "subscribed", "event", "update", "error", "bye"}

// code is a word in an error frame and a number in a bye.
type code struct{ text string }

func (c *code) UnmarshalJSON(b []byte) error {
	c.text = string(bytes.Trim(b, `"`))
	return nil
}

// read returns the next frame or frames: the server sends one object or an
// array of them. Silence longer than limit is an error.
func read(ctx context.Context, conn *websocket.Conn, limit time.Duration) ([]frame, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("nothing heard from the server for %v", limit))
	defer cancel()
	_, b, err := conn.Read(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	return parse(b)
}

func parse(b []byte) (frames []frame, err error) {
	objects := []json.RawMessage{b}
	if b = bytes.TrimSpace(b); len(b) > 0 && b[0] == '[' {
		if err := json.Unmarshal(b, &objects); err != nil {
			return nil, err
		}
	}
	for _, object := range objects {
		var f frame
		// After a field of the wrong type the others are read all the same.
		err := json.Unmarshal(object, &f)
		if !slices.Contains(understood, f.Type) && json.Valid(object) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("frame %q: %w", f.Type, err)
		}
		frames = append(frames, f)
	}
	return frames, nil
}

func write(ctx context.Context, conn *websocket.Conn, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return conn.Write(ctx, websocket.MessageText, b)
}
