package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"importer"
	"importer/client"
)

const (
	askFresh = `{"type":"subscribe","id":1,"topic":"imports"}`
	fresh4   = `{"type":"subscribed","id":1,"topic":"imports","epoch":"e","seq":4,"recovered":false,"reason":"fresh","snapshot":{"imports":[]}}`
)

func event(seq int) string {
	return fmt.Sprintf(`{"type":"event","topic":"imports","seq":%d,"kind":"import.queued","at":"2026-01-02T03:04:05Z","data":{}}`, seq)
}

func update(seq, rev int) string {
	return fmt.Sprintf(`{"type":"update","topic":"imports","seq":%d,"rev":%d,"data":{}}`, seq, rev)
}

func ask(id, seq int) string {
	return fmt.Sprintf(`{"type":"subscribe","id":%d,"topic":"imports","since":{"epoch":"e","seq":%d}}`, id, seq)
}

// replay answers with the events from one seq to another.
func replay(id, from, to int) string {
	var events []string
	for seq := from; seq <= to; seq++ {
		events = append(events, event(seq))
	}
	return fmt.Sprintf(`{"type":"subscribed","id":%d,"topic":"imports","epoch":"e","seq":%d,"recovered":true,"events":[%s]}`, id, to, strings.Join(events, ","))
}

// told describes the first n messages, and the error at the end.
func told(ctx context.Context, c *client.Client, n int, topics ...string) (heard []string) {
	for m, err := range c.Watch(ctx, topics...) {
		heard = append(heard, describe(m, err))
		if len(heard) == n {
			break
		}
	}
	return heard
}

func describe(m client.Message, err error) string {
	switch {
	case err != nil:
		return "end"
	case m.Snapshot != nil:
		return fmt.Sprintf("%s: snapshot %d %s", m.Topic, m.Snapshot.Seq, m.Snapshot.Reason)
	case m.Resumed:
		return m.Topic + ": resumed"
	case m.Event != nil:
		return fmt.Sprintf("%s: event %d", m.Topic, m.Event.Seq)
	case m.Update != nil:
		return fmt.Sprintf("%s: update %d.%d", m.Topic, m.Update.Seq, m.Update.Rev)
	case m.Down != nil:
		return "down"
	}
	return "nothing"
}

// Each case is what the server does and what the caller is told of it. The
// server checks what the client asks.
func TestWatch(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server []session
		want   []string
	}{
		"events once and in order, several in a message": {
			[]session{func(p *peer) {
				p.want(askFresh)
				p.say(fresh4, "["+event(4)+","+event(5)+","+event(5)+"]", event(6))
				p.wait()
			}},
			[]string{"imports: snapshot 4 fresh", "imports: event 5", "imports: event 6"},
		},
		"unknown types and fields are passed over, whatever they hold": {
			[]session{func(p *peer) {
				p.want(askFresh)
				p.say(`{"type":"news","seq":"many","topic":{}}`, fresh4, `[{"type":"news","id":[]},`+event(5)+"]",
					`{"type":"event","topic":"imports","seq":6,"kind":"k","at":"2026-01-02T03:04:05Z","data":{},"more":1}`)
				p.wait()
			}},
			[]string{"imports: snapshot 4 fresh", "imports: event 5", "imports: event 6"},
		},
		"a gap is asked for once, and what comes before the answer is of no use": {
			[]session{func(p *peer) {
				p.want(askFresh)
				p.say(fresh4, event(5), event(7), event(8), update(8, 1))
				p.want(ask(2, 5))
				p.say(replay(1, 6, 6), replay(2, 6, 8), `{"type":"ping"}`)
				p.want(`{"type":"pong"}`) // no other subscribe
				p.say(event(9))
				p.wait()
			}},
			[]string{"imports: snapshot 4 fresh", "imports: event 5", "imports: resumed", "imports: event 6", "imports: event 7", "imports: event 8", "imports: event 9"},
		},
		"updates only grow": {
			[]session{func(p *peer) {
				p.want(askFresh)
				p.say(`{"type":"subscribed","id":1,"topic":"imports","epoch":"e","seq":4,"recovered":false,"reason":"fresh","snapshot":{"imports":[],"update":{"topic":"imports","seq":4,"rev":7,"data":{}}}}`)
				p.say(update(4, 7), update(4, 6), update(4, 8), update(3, 9), event(5), update(4, 10), update(5, 2), update(5, 2), update(5, 3))
				p.wait()
			}},
			[]string{"imports: snapshot 4 fresh", "imports: update 4.8", "imports: event 5", "imports: update 5.2", "imports: update 5.3"},
		},
		"an update after an event that did not come tells of a gap": {
			[]session{func(p *peer) {
				p.want(askFresh)
				p.say(fresh4, update(5, 1))
				p.want(ask(2, 4))
				p.say(replay(2, 5, 5), update(5, 1))
				p.wait()
			}},
			[]string{"imports: snapshot 4 fresh", "imports: resumed", "imports: event 5", "imports: update 5.1"},
		},
		"the next connection resumes, and progress shown before stays": {
			[]session{
				func(p *peer) {
					p.want(askFresh)
					p.say(fresh4, update(4, 5))
					p.close(4000)
				},
				func(p *peer) {
					p.want(ask(2, 4))
					p.say(replay(2, 5, 4), update(4, 5), update(4, 6))
					p.wait()
				},
			},
			[]string{"imports: snapshot 4 fresh", "imports: update 4.5", "down", "imports: resumed", "imports: update 4.6"},
		},
		"a snapshot replaces what was known": {
			[]session{
				func(p *peer) {
					p.want(askFresh)
					p.say(fresh4, update(4, 5))
					p.close(4001)
				},
				func(p *peer) {
					p.want(ask(2, 4))
					p.say(`{"type":"subscribed","id":2,"topic":"imports","epoch":"f","seq":2,"recovered":false,"reason":"epoch","snapshot":{"imports":[]}}`)
					p.say(update(2, 1), event(3))
					// The server could not fill a gap and begins anew by itself.
					p.say(`{"type":"subscribed","id":2,"topic":"imports","epoch":"f","seq":9,"recovered":false,"reason":"gap","snapshot":{"imports":[]}}`)
					p.say(event(10))
					p.wait()
				},
			},
			[]string{"imports: snapshot 4 fresh", "imports: update 4.5", "down", "imports: snapshot 2 epoch", "imports: update 2.1", "imports: event 3", "imports: snapshot 9 gap", "imports: event 10"},
		},
		"a replay with a hole is not believed": {
			[]session{
				func(p *peer) {
					p.want(askFresh)
					p.say(fresh4)
					p.close(1011)
				},
				func(p *peer) {
					p.want(ask(2, 4))
					p.say(`{"type":"subscribed","id":2,"topic":"imports","epoch":"e","seq":7,"recovered":true,"events":[` + event(5) + "," + event(7) + "]}")
					p.wait()
				},
				func(p *peer) {
					p.want(`{"type":"subscribe","id":3,"topic":"imports"}`)
					p.say(`{"type":"subscribed","id":3,"topic":"imports","epoch":"e","seq":7,"recovered":false,"reason":"fresh","snapshot":{"imports":[]}}`)
					p.wait()
				},
			},
			[]string{"imports: snapshot 4 fresh", "down", "down", "imports: snapshot 7 fresh"},
		},
		"a replay of another epoch is not believed": {
			[]session{
				func(p *peer) {
					p.want(askFresh)
					p.say(fresh4)
					p.close(1013)
				},
				func(p *peer) {
					p.want(ask(2, 4))
					p.say(strings.Replace(replay(2, 5, 5), `"epoch":"e"`, `"epoch":"f"`, 1))
					p.wait()
				},
				func(p *peer) { p.want(`{"type":"subscribe","id":3,"topic":"imports"}`); p.close(4501) },
			},
			[]string{"imports: snapshot 4 fresh", "down", "down", "end"},
		},
		"refusals that may pass are tried again": {
			[]session{
				func(p *peer) {
					p.want(askFresh)
					p.say(`{"type":"error","id":1,"code":"unavailable","message":"Later."}`)
					p.wait()
				},
				func(p *peer) { p.say(`{"type":"error","id":2,"code":"limited","message":"Later."}`); p.wait() },
				func(p *peer) { p.say(`{"type":"error","id":3,"code":"internal","message":"Later."}`); p.wait() },
				func(p *peer) {
					p.want(`{"type":"subscribe","id":4,"topic":"imports"}`)
					p.say(strings.Replace(fresh4, `"id":1`, `"id":4`, 1))
					p.wait()
				},
			},
			[]string{"down", "down", "down", "imports: snapshot 4 fresh"},
		},
		"other refusals are the end": {
			[]session{func(p *peer) {
				p.want(askFresh)
				p.say(`{"type":"error","id":1,"code":"not_found","message":"There is no such topic."}`)
				p.wait()
			}},
			[]string{"end"},
		},
		"a frame that cannot be read ends the connection only": {
			[]session{
				func(p *peer) { p.say(`{"type":"event","seq":"five"}`); p.wait() },
				func(p *peer) { p.say(`[{"type":`); p.wait() },
				func(p *peer) { p.close(4500) },
			},
			[]string{"down", "down", "end"},
		},
		"a message too big to be read would be as big again": {
			[]session{func(p *peer) {
				_ = p.ws.Write(p.ctx, websocket.MessageText, make([]byte, 5<<20))
				p.wait()
			}},
			[]string{"end"},
		},
		"a goodbye for good": {
			[]session{func(p *peer) {
				p.say(`{"type":"bye","code":4504,"reason":"too many","reconnect":false}`)
				p.wait()
			}},
			[]string{"end"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				if diff := cmp.Diff(c.want, told(t.Context(), play(t, c.server...), len(c.want), "imports")); diff != "" {
					t.Errorf("told (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestCloseCodesSayWhetherToComeBack(t *testing.T) {
	t.Parallel()
	for code, back := range map[websocket.StatusCode]bool{
		1001: true, 1011: true, 1012: true, 1013: true, 4000: true, 4002: true, 4499: true,
		1007: false, 1009: false, 4500: false, 4504: false, 4999: false,
	} {
		synctest.Test(t, func(t *testing.T) {
			closes := func(p *peer) { p.close(code) }
			want := "end"
			if back {
				want = "down"
			}
			if got := told(t.Context(), play(t, closes), 1, "imports"); got[0] != want {
				t.Errorf("close code %d: %s, want %s", code, got[0], want)
			}
		})
	}
}

func TestSeveralTopicsOverOneConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		on := func(topic, frame string) string {
			return strings.Replace(frame, `"topic":"imports"`, `"topic":"`+topic+`"`, -1)
		}
		asked := func(p *peer) map[string]string { // topic to the id of its subscribe
			ids := map[string]string{}
			for range 2 {
				_, b, _ := p.ws.Read(p.ctx)
				var f struct {
					ID    int
					Topic string
				}
				_ = json.Unmarshal(b, &f)
				ids[f.Topic] = fmt.Sprintf(`"id":%d`, f.ID)
			}
			return ids
		}
		c := play(t,
			func(p *peer) {
				ids := asked(p)
				p.say(strings.Replace(fresh4, `"id":1`, ids["imports"], 1), on("products", strings.Replace(fresh4, `"id":1`, ids["products"], 1)))
				p.say(event(5), on("products", event(5)), on("products", event(6)))
				p.close(4000)
			},
			func(p *peer) {
				ids := asked(p)
				p.say(on("products", strings.Replace(replay(9, 7, 7), `"id":9`, ids["products"], 1)), strings.Replace(replay(9, 6, 6), `"id":9`, ids["imports"], 1))
				p.say(`{"type":"error",` + ids["products"] + `,"code":"forbidden","message":"No more."}`)
				p.wait()
			})
		want := []string{"imports: snapshot 4 fresh", "products: snapshot 4 fresh", "imports: event 5", "products: event 5", "products: event 6", "down",
			"products: resumed", "products: event 7", "imports: resumed", "imports: event 6"}
		var got []string
		var end error
		for m, err := range c.Watch(t.Context(), "imports", "products") {
			if end = err; err == nil {
				got = append(got, describe(m, err))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		if importer.ErrorCode(end) != importer.Forbidden || !strings.Contains(end.Error(), "products: No more.") {
			t.Errorf("got %v, want the topic's refusal", end)
		}
	})
}

func TestWatchChecksTheNumberOfTopics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, n := range []int{0, 33} {
			for _, err := range play(t).Watch(t.Context(), make([]string, n)...) {
				if importer.ErrorCode(err) != importer.Invalid {
					t.Errorf("%d topics: got %v", n, err)
				}
			}
		}
	})
}

func TestWatchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]func(p *peer, cancel func()){
		"while it waits for a frame": func(p *peer, cancel func()) { p.want(askFresh); cancel(); p.wait() },
		"while it stays away": func(p *peer, cancel func()) {
			p.say(`{"type":"bye","code":1012,"reason":"restart","reconnect":true,"after_ms":[60000,60001]}`)
			p.close(1012)
			time.AfterFunc(10*time.Second, cancel)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var last error
				for _, err := range play(t, func(p *peer) { server(p, cancel) }).Watch(ctx, "imports") {
					last = err
				}
				if !errors.Is(last, context.Canceled) {
					t.Errorf("got %v, want %v", last, context.Canceled)
				}
			})
		})
	}
}
