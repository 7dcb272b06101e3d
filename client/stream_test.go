package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"importer"
	"importer/client"
)

// session plays the server's part of one connection: it may read what the
// client sends and write what it likes.
type session func(ctx context.Context, t *testing.T, c *websocket.Conn)

// server plays one session a connection, in order; more connections than
// sessions are a failure.
func server(t *testing.T, sessions ...session) *client.Client {
	t.Helper()
	next := make(chan session, len(sessions))
	for _, s := range sessions {
		next <- s
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{client.Subprotocol}})
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		select {
		case play := <-next:
			send(r.Context(), t, c, `{"type":"hello","v":1,"ping_ms":20000,"pong_ms":10000}`)
			play(r.Context(), t, c)
		default:
			t.Error("the client connected once more than it should")
		}
	}))
	t.Cleanup(s.Close)
	cl, err := client.New(client.Options{Server: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	return cl
}

func send(ctx context.Context, t *testing.T, c *websocket.Conn, frame string) {
	t.Helper()
	if err := c.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
		t.Errorf("send %s: %v", frame, err)
	}
}

// expect reads a frame of the client and compares it.
func expect(ctx context.Context, t *testing.T, c *websocket.Conn, want string) {
	t.Helper()
	_, b, err := c.Read(ctx)
	if err != nil {
		t.Errorf("waiting for %s: %v", want, err)
		return
	}
	var got, wanted any
	if json.Unmarshal(b, &got) != nil || json.Unmarshal([]byte(want), &wanted) != nil || !cmp.Equal(got, wanted) {
		t.Errorf("the client sent %s, want %s", b, want)
	}
}

func event(seq int) string {
	return fmt.Sprintf(`{"type":"event","topic":"imports","seq":%d,"kind":"k","at":"2026-01-02T03:04:05Z","data":{"n":%d}}`, seq, seq)
}

// told writes down what the caller of Watch hears, until n things were said.
func told(t *testing.T, c *client.Client, n int) (heard []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for m, err := range c.Watch(ctx, "imports") {
		switch {
		case err != nil:
			heard = append(heard, "end: "+string(importer.ErrorCode(err)))
		case m.Snapshot != nil:
			heard = append(heard, fmt.Sprintf("snapshot %d %s", m.Snapshot.Seq, m.Snapshot.Reason))
		case m.Event != nil:
			heard = append(heard, fmt.Sprintf("event %s %d", m.Event.Topic, m.Event.Seq))
		case m.Update != nil:
			heard = append(heard, fmt.Sprintf("update %d.%d", m.Update.Seq, m.Update.Rev))
		case m.Down != nil:
			heard = append(heard, "down")
		}
		if len(heard) == n {
			break
		}
	}
	return heard
}

func TestWatchGivesEveryEventOnceInOrder(t *testing.T) {
	t.Parallel()
	const fresh = `{"type":"subscribe","id":1,"topic":"imports"}`
	c := server(t,
		func(ctx context.Context, t *testing.T, c *websocket.Conn) {
			expect(ctx, t, c, fresh)
			send(ctx, t, c, `{"type":"subscribed","id":1,"topic":"imports","epoch":"e","seq":4,"recovered":false,"reason":"fresh","snapshot":{"imports":[]}}`)
			// One frame may hold several; what is known already is dropped.
			send(ctx, t, c, "["+event(4)+","+event(5)+`,{"type":"news"},`+event(5)+"]")
			send(ctx, t, c, `{"type":"update","topic":"imports","seq":5,"rev":2,"data":{}}`)
			send(ctx, t, c, `{"type":"update","topic":"imports","seq":5,"rev":1,"data":{}}`)
			send(ctx, t, c, `{"type":"update","topic":"imports","seq":4,"rev":9,"data":{}}`)
			// 6 is missing: the client asks for it.
			send(ctx, t, c, event(7))
			expect(ctx, t, c, `{"type":"subscribe","id":1,"topic":"imports","since":{"epoch":"e","seq":5}}`)
			send(ctx, t, c, `{"type":"subscribed","id":1,"topic":"imports","epoch":"e","seq":7,"recovered":true,"events":[`+event(6)+","+event(7)+"]}")
			send(ctx, t, c, `{"type":"ping"}`)
			expect(ctx, t, c, `{"type":"pong"}`)
			send(ctx, t, c, `{"type":"bye","code":1012,"reason":"restart","reconnect":true,"after_ms":[0,1]}`)
			_ = c.Close(websocket.StatusServiceRestart, "restart")
		},
		func(ctx context.Context, t *testing.T, c *websocket.Conn) {
			expect(ctx, t, c, `{"type":"subscribe","id":1,"topic":"imports","since":{"epoch":"e","seq":7}}`)
			send(ctx, t, c, `{"type":"subscribed","id":1,"topic":"imports","epoch":"f","seq":2,"recovered":false,"reason":"epoch","snapshot":{"imports":[]}}`)
			send(ctx, t, c, event(3))
			_, _, _ = c.Read(ctx) // until the client has had enough
		})
	want := []string{"snapshot 4 fresh", "event imports 5", "update 5.2", "event imports 6", "event imports 7", "down", "snapshot 2 epoch", "event imports 3"}
	if diff := cmp.Diff(want, told(t, c, len(want))); diff != "" {
		t.Errorf("heard (-want +got):\n%s", diff)
	}
}

func TestWatchStopsWhenComingBackIsOfNoUse(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]session{
		"close code 4501": func(ctx context.Context, t *testing.T, c *websocket.Conn) {
			_ = c.Close(4501, "unauthorized")
		},
		"unknown topic": func(ctx context.Context, t *testing.T, c *websocket.Conn) {
			_, _, _ = c.Read(ctx)
			send(ctx, t, c, `{"type":"error","id":1,"code":"not_found","message":"There is no such import."}`)
			_, _, _ = c.Read(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := told(t, server(t, last), 1); len(got) != 1 || got[0][:4] != "end:" {
				t.Errorf("heard %v, want the end", got)
			}
		})
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	c := server(t, func(ctx context.Context, t *testing.T, c *websocket.Conn) {
		cancel()
		_, _, _ = c.Read(ctx)
		_, _, _ = c.Read(ctx)
	})
	for _, err := range c.Watch(ctx, "imports") {
		if err == nil {
			continue
		}
		if err != context.Canceled {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		return
	}
	t.Error("the stream ended without an error")
}
