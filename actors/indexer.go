package actors

import (
	"context"
	"time"

	"importer"
)

// indexer has the store index products that wait, a round at a time, for
// searches to be fast again after an import. Answers are right without it.
//
// It rests as long as each round took, so that it never takes more than half
// of what the database can do, and it lets imports go first, wherever they
// run: they are what somebody waits for. Machines share the work by the
// store's lock.
type indexer struct {
	*settings
	life    context.Context
	endLife context.CancelFunc
	timer   *time.Timer
	busy    bool
	resting bool // there is more to do, after a while
	again   bool // look once more after the round: products have changed
	yields  int  // rounds given up to an import, in a row
	away    bool // the store could not be asked the last time
}

const (
	roundProducts = 5000             // half a second's work
	roundTimeout  = time.Minute      //
	indexEvery    = 5 * time.Second  // other machines change products, too
	yieldTime     = time.Second      //
	maxYields     = 120              // an import that stands still does not hold it up for ever
	shortestRest  = time.Millisecond // after a round in which another machine was at it
)

// indexer → itself
type (
	index   struct{}
	indexed struct {
		left    int64
		took    time.Duration
		yielded bool
		err     error
	}
)

// System → indexer
type changed struct{} // products have

func newIndexer(s *settings) *indexer {
	x := &indexer{settings: s}
	x.life, x.endLife = context.WithCancel(context.Background())
	return x
}

func (x *indexer) start(c *cell) error {
	c.send(c.self, index{})
	return nil
}

func (x *indexer) stop(error) {
	x.endLife()
	if x.timer != nil {
		x.timer.Stop()
	}
}

func (x *indexer) handle(c *cell, msg any) error {
	switch msg := msg.(type) {
	case index:
		x.round(c)
	case changed:
		if x.again = x.busy; !x.busy && !x.resting {
			x.round(c)
		}
	case indexed:
		x.onIndexed(c, msg)
	}
	return nil
}

func (x *indexer) round(c *cell) {
	if x.busy || x.life.Err() != nil {
		return
	}
	x.busy, x.resting = true, false
	if x.timer != nil {
		x.timer.Stop()
	}
	yield := x.yields < maxYields
	c.beside(func() any { return x.indexSome(yield) }, func(err error) any { return indexed{err: err} })
}

// indexSome runs beside the actor.
func (x *indexer) indexSome(yield bool) indexed {
	ctx, cancel := context.WithTimeout(x.life, roundTimeout)
	defer cancel()
	if yield {
		writing, err := x.Store.Imports(ctx, importer.ImportPage{States: []importer.State{importer.Writing}, Limit: 1})
		if err != nil || writing.Total > 0 {
			return indexed{yielded: true, err: err}
		}
	}
	began := time.Now()
	left, err := x.Products.IndexProducts(ctx, roundProducts)
	return indexed{left: left, took: time.Since(began), err: err}
}

func (x *indexer) onIndexed(c *cell, msg indexed) {
	x.busy = false
	if msg.err != nil && !x.away && x.life.Err() == nil {
		c.log.Warn().Err(msg.err).Msg("index products")
	}
	x.away = msg.err != nil
	x.yields++
	if !msg.yielded {
		x.yields = 0
	}
	wait := indexEvery
	switch {
	case msg.err != nil:
		x.resting = true
	case msg.yielded:
		wait, x.resting = yieldTime, true
	case msg.left > 0 || x.again:
		wait, x.resting = max(msg.took, shortestRest), true
	}
	x.again = false
	x.timer = c.after(wait, index{})
}
