package httpd

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
)

// These run in virtual time: what leaves when is exact.

type sent struct {
	At      time.Duration
	Message string
}

type outboxBench struct {
	*outbox
	began  time.Time
	log    []sent
	closed string
	failed error
	block  chan struct{} // when set, a write waits for it
	broken error         // what a write returns
}

func newOutboxBench() *outboxBench {
	b := &outboxBench{began: time.Now()}
	b.outbox = &outbox{
		gap: 20 * time.Millisecond, limit: 1000,
		write: func(m []byte) error {
			if b.block != nil {
				<-b.block
			}
			b.log = append(b.log, sent{time.Since(b.began), string(m)})
			return b.broken
		},
		end: func(code websocket.StatusCode, why string) { b.closed = fmt.Sprintf("%d %s", code, why) },
		cut: func(err error) { b.failed = err },
	}
	return b
}

func (b *outboxBench) want(t *testing.T, want ...sent) {
	t.Helper()
	time.Sleep(time.Second) // virtual: all timers have fired
	synctest.Wait()
	if d := cmp.Diff(want, b.log); d != "" {
		t.Errorf("messages (-want +got):\n%s", d)
	}
}

const ms = time.Millisecond

func TestOutboxLoneEventLeavesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newOutboxBench()
		b.push("a", []byte("1"))
		time.Sleep(100 * ms)
		b.push("a", []byte("2"))
		b.want(t, sent{0, "1"}, sent{100 * ms, "2"})
	})
}

func TestOutboxGathersWhatComesTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newOutboxBench()
		b.push("a", []byte("1"))
		synctest.Wait()
		b.push("a", []byte("2"))
		time.Sleep(5 * ms)
		b.push("b", []byte("3"))
		b.want(t, sent{0, "1"}, sent{20 * ms, "[2,3]"})
	})
}

func TestOutboxKeepsTheNewestUpdate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newOutboxBench()
		b.update("a", []byte("a1"))
		b.update("b", []byte("b1"))
		time.Sleep(10 * ms)
		b.update("a", []byte("a2"))
		b.want(t, sent{20 * ms, "[a2,b1]"})
	})
}

func TestOutboxEventDiscardsUpdate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newOutboxBench()
		b.update("a", []byte("old"))
		b.update("b", []byte("other"))
		b.push("a", []byte("event"))
		b.update("a", []byte("new"))
		// The event takes the updates along, and they go last.
		b.want(t, sent{0, "[event,other,new]"})
	})
}

func TestOutboxEventDoesNotWaitForUpdates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newOutboxBench()
		b.update("a", []byte("u"))
		time.Sleep(5 * ms)
		b.push("b", []byte("e"))
		b.want(t, sent{5 * ms, "[e,u]"})
	})
}

func TestOutboxForgetsUpdates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newOutboxBench()
		b.update("a", []byte("u"))
		b.forget("a")
		b.want(t)
	})
}

func TestOutboxSplitsLargeMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newOutboxBench()
		b.limit = 1 << 20
		large, over := strings.Repeat("x", 30<<10), strings.Repeat("y", 100<<10)
		b.push("a", []byte("1"))
		synctest.Wait()
		for _, f := range []string{large, large, large, over, "2"} {
			b.push("a", []byte(f))
		}
		b.update("a", []byte("u"))
		b.want(t, sent{0, "1"}, sent{20 * ms, "[" + large + "," + large + "]"}, sent{20 * ms, large}, sent{20 * ms, over}, sent{20 * ms, "[2,u]"})
	})
}

func TestOutboxOverflowCuts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newOutboxBench()
		b.block = make(chan struct{})
		b.push("a", []byte("first"))
		synctest.Wait() // the writer hangs in it
		for range 10 {
			b.push("a", make([]byte, 100))
		}
		if b.failed != nil {
			t.Fatalf("got %v with exactly the limit waiting, want no cut", b.failed)
		}
		for range 100 {
			b.update("a", make([]byte, 1000)) // conflated, so not counted
		}
		b.push("a", []byte("x"))
		if !errors.Is(b.failed, errSlow) {
			t.Errorf("got %v over the limit, want a cut", b.failed)
		}
		b.push("a", []byte("late"))
		close(b.block)
		b.want(t, sent{0, "first"})
	})
}

func TestOutboxWriteErrorCuts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newOutboxBench()
		b.broken = errors.New("connection reset")
		b.push("a", []byte("1"))
		synctest.Wait()
		b.push("a", []byte("2"))
		b.close(4500, "late")
		b.want(t, sent{0, "1"})
		if !errors.Is(b.failed, b.broken) || b.closed != "" {
			t.Errorf("got cut %v and close %q, want the cut alone", b.failed, b.closed)
		}
	})
}

func TestOutboxCloseSendsWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newOutboxBench()
		b.push("a", []byte("1"))
		synctest.Wait()
		b.push("a", []byte("2"))
		b.update("a", []byte("u"))
		b.close(1012, "restart")
		b.close(4500, "second")
		b.push("a", []byte("late"))
		b.update("a", []byte("late"))
		b.want(t, sent{0, "1"}, sent{0, "[2,u]"})
		if b.closed != "1012 restart" {
			t.Errorf("got close %q, want the first one", b.closed)
		}
	})
}

func TestOutboxCloseWhileWriting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newOutboxBench()
		b.block = make(chan struct{}, 9)
		b.push("a", []byte("1"))
		synctest.Wait()
		b.push("a", []byte("2"))
		b.close(1012, "restart")
		if b.closed != "" {
			t.Error("closed before the messages were out")
		}
		close(b.block)
		b.want(t, sent{0, "1"}, sent{0, "2"})
		if b.closed != "1012 restart" {
			t.Errorf("got close %q", b.closed)
		}
	})
}

func TestBudget(t *testing.T) {
	t.Parallel()
	const rate, burst = 20, 50
	at := time.Now()
	b := budget{rate: rate, most: burst, left: burst, at: at}
	for i := range burst {
		if !b.take(at) {
			t.Fatalf("message %d of the burst was refused", i+1)
		}
	}
	if b.take(at) {
		t.Error("a message over the burst was allowed")
	}
	for i := range rate {
		if at = at.Add(time.Second / rate); !b.take(at) {
			t.Errorf("message %d at the allowed rate was refused", i+1)
		}
	}
	if at = at.Add(time.Hour); !b.take(at) || b.left > burst {
		t.Errorf("got %v left after an hour, want no more than the burst", b.left)
	}
}
