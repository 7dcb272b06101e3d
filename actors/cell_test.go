package actors

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/rs/zerolog"
)

func newHouse(t *testing.T) *house {
	t.Helper()
	engine, err := actor.NewEngine(actor.NewEngineConfig())
	if err != nil {
		t.Fatal(err)
	}
	return &house{engine: engine, log: zerolog.Nop(), observe: unobserved{}, now: time.Now}
}

// script is a behavior made of functions.
type script struct {
	onStart func(c *cell) error
	onMsg   func(c *cell, msg any) error
	onStop  func(reason error)
}

func (s script) start(c *cell) error {
	if s.onStart == nil {
		return nil
	}
	return s.onStart(c)
}
func (s script) handle(c *cell, msg any) error { return s.onMsg(c, msg) }
func (s script) stop(reason error) {
	if s.onStop != nil {
		s.onStop(reason)
	}
}

// parent collects what a child tells it.
func parent(h *house) (pid, chan any) {
	told := make(chan any, 100)
	return h.spawn(nil, importsSpec, func() behavior {
		return script{onMsg: func(_ *cell, msg any) error { told <- msg; return nil }}
	}), told
}

func TestCellRedeliversAfterPanicAndKeepsTheOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		var mu sync.Mutex
		var handled []int
		builds, panics := 0, 2
		done := func() []int {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(handled)
		}
		child := h.spawn(nil, writerSpec, func() behavior {
			builds++
			return script{onMsg: func(_ *cell, msg any) error {
				if n := msg.(int); n == 2 && panics > 0 {
					panics--
					panic("driver")
				}
				mu.Lock()
				defer mu.Unlock()
				handled = append(handled, msg.(int))
				return nil
			}}
		})
		for n := range 5 {
			h.send(child, n)
		}
		began := time.Now()
		synctest.Wait()
		if want := []int{0, 1}; !slices.Equal(done(), want) {
			t.Errorf("before the backoff: got %v, want %v", done(), want)
		}
		time.Sleep(time.Second) // virtual
		synctest.Wait()
		if want := []int{0, 1, 2, 3, 4}; !slices.Equal(done(), want) {
			t.Errorf("got %v, want %v", done(), want)
		}
		if builds != 3 {
			t.Errorf("built %d times, want 3", builds)
		}
		h.reap(child)
		h.live.Wait()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("took %v of virtual time", took)
		}
	})
}

func TestCellBacksOffTwiceAsLongEachTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		p, told := parent(h)
		var at []time.Duration
		began := time.Now()
		child := h.spawn(p, writerSpec, func() behavior {
			return script{onMsg: func(*cell, any) error {
				at = append(at, time.Since(began))
				return errors.New("always")
			}}
		})
		h.send(child, "work")
		e := (<-told).(escalated)
		if e.child != child || e.err == nil || e.err.Error() != "always" {
			t.Errorf("got %+v, want the last error of the child", e)
		}
		ms := time.Millisecond
		want := []time.Duration{0, 100 * ms, 300 * ms, 700 * ms, 1500 * ms, 3100 * ms}
		if !slices.Equal(at, want) {
			t.Errorf("tried at %v, want %v", at, want)
		}
		h.send(child, "more") // a dead cell drops it
		h.reap(child)
		if e := (<-told).(exited); e.child != child {
			t.Errorf("got exit of %v, want %v", e.child, child)
		}
		h.reap(p)
		h.live.Wait()
		if len(told) != 0 {
			t.Errorf("parent was told %v more, want nothing after exited", <-told)
		}
	})
}

func TestCellForgetsFailuresOutsideTheWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		p, told := parent(h)
		done := 0
		fails := true
		child := h.spawn(p, writerSpec, func() behavior {
			return script{onMsg: func(*cell, any) error {
				if fails = !fails; !fails {
					return errors.New("every other time")
				}
				done++
				return nil
			}}
		})
		for range 50 { // 50 failures, but never more than 3 a minute
			h.send(child, "work")
			time.Sleep(20 * time.Second)
		}
		synctest.Wait()
		if done != 50 || len(told) != 0 {
			t.Errorf("did %d of 50, parent told %d times, want all and nothing", done, len(told))
		}
		h.reap(child)
		h.reap(p)
		h.live.Wait()
	})
}

func TestCellOfATemporaryActorEscalatesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		p, told := parent(h)
		var stopped []error
		child := h.spawn(p, parserSpec, func() behavior {
			return script{
				onMsg:  func(*cell, any) error { panic("boom") },
				onStop: func(reason error) { stopped = append(stopped, reason) },
			}
		})
		h.send(child, 1)
		if _, ok := (<-told).(escalated); !ok {
			t.Error("want escalated")
		}
		h.reap(child)
		<-told
		h.reap(p)
		h.live.Wait()
		if len(stopped) != 1 || stopped[0] == nil {
			t.Errorf("stopped with %v, want once with the panic", stopped)
		}
	})
}

func TestCellThatRestsCanBeReaped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		p, told := parent(h)
		child := h.spawn(p, writerSpec, func() behavior {
			return script{onStart: func(*cell) error { panic("no start") }}
		})
		synctest.Wait()
		h.reap(child)
		if _, ok := (<-told).(exited); !ok {
			t.Error("want exited")
		}
		h.reap(p)
		h.live.Wait()
	})
}

func TestCellKeepsStateThatItsBuilderKeeps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		var handled []any
		same := script{onMsg: func(_ *cell, msg any) error {
			if msg == "bad" {
				panic("bad message")
			}
			handled = append(handled, msg)
			return nil
		}}
		child := h.spawn(nil, hubSpec, func() behavior { return same })
		for _, msg := range []any{1, "bad", 2} {
			h.send(child, msg)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if want := []any{1, 2}; !slices.Equal(handled, want) {
			t.Errorf("got %v, want %v: the message at fault is dropped", handled, want)
		}
		h.reap(child)
		h.live.Wait()
	})
}

func TestBesideTurnsAPanicIntoAMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		got := make(chan any, 2)
		child := h.spawn(nil, importSpec, func() behavior {
			return script{
				onStart: func(c *cell) error {
					c.beside(func() any { panic("store") }, func(err error) any { return err })
					return nil
				},
				onMsg: func(_ *cell, msg any) error { got <- msg; return nil },
			}
		})
		if err, ok := (<-got).(error); !ok || err == nil {
			t.Error("want the panic as an error")
		}
		h.reap(child)
		h.live.Wait()
	})
}
