package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/coder/websocket"

	"importer"
)

// frame is any object the server may send; Type says which fields count.
type frame struct {
	Type string `json:"type"`

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
	Reason    string           `json:"reason"`
	Snapshot  json.RawMessage  `json:"snapshot"`
	Events    []importer.Event `json:"events"`

	Code    code   `json:"code"` // error: a word; bye: a close code
	Message string `json:"message"`
	AfterMS []int  `json:"after_ms"`
}

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
	if b = bytes.TrimSpace(b); len(b) > 0 && b[0] == '[' {
		var frames []frame
		err = json.Unmarshal(b, &frames)
		return frames, err
	}
	var f frame
	err = json.Unmarshal(b, &f)
	return []frame{f}, err
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
