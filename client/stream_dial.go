package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"

	"importer"
)

// Subprotocol names the WebSocket protocol this client speaks.
const Subprotocol = "importer.v1.json"

// readLimit is generous: replays and snapshots come in one message.
const readLimit = 4 << 20

// dial connects; an answer that is no WebSocket is an *importer.Error.
func (c *Client) dial(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	header := http.Header{}
	if c.token != "" {
		header.Set("Authorization", "Bearer "+c.token)
	}
	conn, resp, err := websocket.Dial(ctx, c.base.JoinPath("/ws").String(), &websocket.DialOptions{ //nolint:bodyclose // the library has
		HTTPClient:   c.http,
		HTTPHeader:   header,
		Subprotocols: []string{Subprotocol},
	})
	if err != nil {
		if resp == nil || resp.StatusCode == http.StatusSwitchingProtocols {
			return nil, &importer.Error{Code: importer.Unavailable, Message: "the server cannot be reached", Err: err}
		}
		err = &importer.Error{Code: codeOf(resp.StatusCode), Message: fmt.Sprintf("the server answered %s to /ws", resp.Status), Err: err}
		if after := retryAfter(resp.Header.Get("Retry-After")); after > 0 {
			err = &busyError{err, after}
		}
		return nil, err
	}
	conn.SetReadLimit(readLimit)
	return conn, nil
}

// busyError is a refusal that says when to come back.
type busyError struct {
	error
	after time.Duration
}

func (e *busyError) Unwrap() error { return e.error }

// retryAfter reads seconds or a date (RFC 9110, 10.2.3); 0 when it is neither.
func retryAfter(v string) time.Duration {
	if s, err := strconv.Atoi(v); err == nil {
		return time.Duration(s) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return time.Until(at)
	}
	return 0
}

// final reports whether reconnecting is of no use: the server refused the
// topic or the connection, or closed with a code that says stop.
func final(err error) bool {
	if errors.Is(err, websocket.ErrMessageTooBig) {
		return true // the next one would be as big
	}
	switch code := websocket.CloseStatus(err); {
	case code == websocket.StatusInvalidFramePayloadData, code == websocket.StatusMessageTooBig, code >= 4500:
		return true
	case code != -1:
		return false
	}
	e, ok := errors.AsType[*importer.Error](err)
	return ok && e.Code != importer.Unavailable && e.Code != importer.Limited && e.Code != importer.Internal
}
