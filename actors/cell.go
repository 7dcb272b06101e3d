package actors

import (
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/rs/zerolog"
)

// This file is the only one that spawns and poisons. hollywood gives us
// mailboxes and scheduling; its supervision is not used, because in v1.0.5
// exhausted restarts kill the process, the message at which an actor panics
// is lost, and children are duplicated when their parent restarts.

// behavior is what an actor does; its cell owns how it lives and dies.
type behavior interface {
	// start is never slow: an actor that has work to begin with sends itself
	// a message.
	start(c *cell) error
	handle(c *cell, msg any) error
	// stop is called once for every successful or failed start; reason is nil
	// when the actor was reaped.
	stop(reason error)
}

// pid addresses an actor.
type pid = *actor.PID

// childSpec says how a failing actor is treated, in OTP's words.
type childSpec struct {
	name    string
	restart restart
	// More than maxFailures within window are too many: the cell goes dead
	// and its parent is told escalated. Only for permanent actors.
	maxFailures int
	window      time.Duration
	backoff     time.Duration // before the first restart; doubles with every failure in the window
	redeliver   bool          // the message at which it failed is handled again
}

type restart int

const (
	temporary restart = iota // never restarted: the first failure escalates
	permanent
)

// unlimited is for actors that nobody could replace.
const unlimited = 1 << 30

// maxBackoff bounds the doubling of childSpec.backoff.
const maxBackoff = 5 * time.Second

// What a cell tells its parent.
type (
	// exited comes once, after the last call to the behavior.
	exited struct{ child pid }
	// escalated: the child failed too often. It drops whatever it is sent
	// until its parent reaps it.
	escalated struct {
		child pid
		name  string
		err   error
	}
)

// What a cell tells itself.
type (
	boot   struct{}
	reboot struct{}
)

// house is what all cells of a System share.
type house struct {
	engine  *actor.Engine
	log     zerolog.Logger
	observe Observer
	now     func() time.Time
	live    sync.WaitGroup // cells that have not exited, and what they run with beside
}

// spawn starts an actor. It always spawns at the engine's root: hollywood's
// own parenthood waits without limit for children and hangs on a second
// poison. Parenthood here is the parent's pid and the message exited.
func (h *house) spawn(parent pid, spec childSpec, build func() behavior) pid {
	return h.spawnIn(h.log, parent, spec, build)
}

// spawnIn starts an actor whose log lines have the fields of about, too.
func (h *house) spawnIn(about zerolog.Logger, parent pid, spec childSpec, build func() behavior) pid {
	h.live.Add(1)
	c := &cell{house: h, spec: spec, parent: parent, build: build}
	c.concerns(about)
	return h.engine.Spawn(func() actor.Receiver { return c }, spec.name,
		actor.WithInboxSize(16),        // 1.1 KB an actor; it grows where needed
		actor.WithMaxRestarts(1<<31-1), // never reached: no panic gets as far as hollywood
	)
}

// send never blocks; what bounds an inbox is the credit that senders hold.
func (h *house) send(to pid, msg any) { h.engine.Send(to, msg) }

// reap ends an actor after the message in hand. Only its owner calls it, once;
// exited tells when it is over.
func (h *house) reap(child pid) { h.engine.Poison(child) }

// cell runs one behavior: it recovers its panics, restarts it as the spec
// says, and tells its parent how it ended.
type cell struct {
	*house
	about  zerolog.Logger // log with the fields that its children have, too
	log    zerolog.Logger
	spec   childSpec
	build  func() behavior
	parent pid
	self   pid

	state    cellState
	behavior behavior
	pending  any   // the message at which the behavior failed
	stash    []any // what came while it rests; bounded by the senders' credit
	failures []time.Time
	reason   error // of the last failure
	timer    *time.Timer
}

type cellState int

const (
	starting cellState = iota
	running
	resting // until the backoff is over
	dead
)

// concerns says what the actor and the children it will have are about.
func (c *cell) concerns(about zerolog.Logger) {
	c.about, c.log = about, about.With().Str("actor", c.spec.name).Logger()
}

// Receive is called by hollywood, one message at a time.
func (c *cell) Receive(ctx *actor.Context) {
	switch m := ctx.Message().(type) {
	case actor.Initialized:
	case actor.Started: // on the spawner's goroutine
		c.self = ctx.PID()
		c.send(c.self, boot{})
	case actor.Stopped:
		c.exit()
	case boot:
		c.startBehavior()
	case reboot:
		if c.state == resting {
			c.startBehavior()
		}
	default:
		switch c.state {
		case running:
			c.deliver(m)
		case starting, resting:
			c.stash = append(c.stash, m)
		case dead:
		}
	}
}

// after sends the actor msg when d has passed.
func (c *cell) after(d time.Duration, msg any) *time.Timer {
	h, self := c.house, c.self
	return time.AfterFunc(d, func() { h.send(self, msg) })
}

// spawnChild starts an actor that reports to this one.
func (c *cell) spawnChild(spec childSpec, build func() behavior) pid {
	return c.spawnIn(c.about, c.self, spec, build)
}

// beside runs f on a goroutine of its own and sends the actor what it
// returns, or what failed makes of its panic.
func (c *cell) beside(f func() any, failed func(error) any) {
	h, self := c.house, c.self
	h.live.Go(func() {
		var msg any
		if err := guard(func() error { msg = f(); return nil }); err != nil {
			msg = failed(err)
		}
		h.send(self, msg)
	})
}

func (c *cell) startBehavior() {
	c.behavior = c.build()
	if err := guard(func() error { return c.behavior.start(c) }); err != nil {
		c.fail(err)
		return
	}
	c.state = running
	if m := c.pending; m != nil {
		c.pending = nil
		c.deliver(m)
	}
	for c.state == running && len(c.stash) > 0 {
		m := c.stash[0]
		c.stash[0], c.stash = nil, c.stash[1:]
		c.deliver(m)
	}
}

func (c *cell) deliver(m any) {
	if err := guard(func() error { return c.behavior.handle(c, m) }); err != nil {
		if c.spec.redeliver {
			c.pending = m
		}
		c.fail(err)
	}
}

func (c *cell) fail(err error) {
	c.reason = err
	c.stopBehavior(err)
	now := time.Now()
	if w := c.spec.window; w > 0 {
		for len(c.failures) > 0 && now.Sub(c.failures[0]) > w {
			c.failures = c.failures[1:]
		}
	}
	c.failures = append(c.failures, now)
	n := len(c.failures)
	if c.spec.restart == temporary || n > c.spec.maxFailures {
		c.state, c.pending, c.stash = dead, nil, nil
		c.observe.GivenUp(c.spec.name)
		c.log.Error().Err(err).Int("failures", n).Msg("actor given up")
		if c.parent != nil {
			c.send(c.parent, escalated{c.self, c.spec.name, err})
		}
		return
	}
	c.state = resting
	wait := min(c.spec.backoff<<min(n-1, 16), maxBackoff)
	c.observe.Restarted(c.spec.name)
	c.log.Warn().Err(err).Int("failures", n).Dur("backoff", wait).Msg("actor restarts")
	c.timer = c.after(wait, reboot{})
}

func (c *cell) exit() {
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.behavior != nil {
		c.stopBehavior(nil)
	}
	c.state, c.pending, c.stash = dead, nil, nil
	if c.parent != nil {
		c.send(c.parent, exited{c.self})
	}
	c.live.Done()
}

func (c *cell) stopBehavior(reason error) {
	b := c.behavior
	c.behavior = nil
	if err := guard(func() error { b.stop(reason); return nil }); err != nil {
		c.log.Error().Err(err).Msg("stop of actor")
	}
}

// guard turns a panic of f into an error with the stack.
func guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return f()
}
