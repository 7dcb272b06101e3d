package actors

import (
	"context"
	"time"

	"github.com/google/uuid"

	"importer"
)

// results saves what came of requests, many at once, and tells each sender of
// what is saved. While the store is away it tries again: senders stop by
// themselves meanwhile, so what waits is bounded by what they may have unsaved.
//
// Its state survives a crash of its own.
type results struct {
	*settings
	waiting []attempted
	saving  bool
	timer   bool // runs to collect some more
	away    bool

	news   map[uuid.UUID]importer.Attempt // last attempts that nobody was told of
	toldAt time.Time
	due    bool // a timer runs to tell
}

const (
	saveAtOnce  = 256
	collectTime = 5 * time.Millisecond // while one batch is saved the next one collects by itself
	saveTimeout = 10 * time.Second
	saveAgain   = time.Second
	tellEvery   = time.Second
)

func newResults(s *settings) *results {
	return &results{settings: s, news: map[uuid.UUID]importer.Attempt{}}
}

func (r *results) start(*cell) error { return nil }
func (r *results) stop(error)        {}

func (r *results) handle(c *cell, msg any) error {
	switch msg := msg.(type) {
	case attempted:
		r.waiting = append(r.waiting, msg)
		switch {
		case r.saving:
		case len(r.waiting) >= saveAtOnce:
			r.save(c)
		case !r.timer:
			r.timer = true
			c.after(collectTime, saveDue{})
		}
	case saveDue:
		r.timer = false
		if !r.saving {
			r.save(c)
		}
	case batchSaved:
		r.onSaved(c, msg)
	case tellDue:
		r.due = false
		r.tell(c)
	case told:
		if msg.err != nil && !r.away {
			c.log.Warn().Err(msg.err).Msg("tell of attempts")
		}
	}
	return nil
}

func (r *results) save(c *cell) {
	n := min(len(r.waiting), saveAtOnce)
	if n == 0 {
		return
	}
	batch := r.waiting[:n:n]
	r.waiting = r.waiting[n:]
	r.saving = true
	c.beside(func() any { return r.saveBatch(batch) }, func(err error) any { return batchSaved{batch, err} })
}

// saveBatch runs beside the actor.
func (r *results) saveBatch(batch []attempted) batchSaved {
	list := make([]importer.AttemptResult, len(batch))
	for i, a := range batch {
		list[i] = a.result
		list[i].Age = time.Since(a.began)
	}
	ctx, cancel := context.WithTimeout(context.Background(), saveTimeout)
	defer cancel()
	return batchSaved{batch, r.Webhooks.SaveAttempts(ctx, r.Node, list)}
}

func (r *results) onSaved(c *cell, msg batchSaved) {
	if msg.err != nil {
		if !r.away {
			c.log.Warn().Err(msg.err).Msg("save attempts, trying again")
		}
		r.away = true
		c.after(saveAgain, saveDue{})
		r.saving = false
		r.waiting = append(msg.batch, r.waiting...)
		r.timer = true
		return
	}
	r.saving, r.away = false, false
	saved := map[pid][]int64{}
	for _, a := range msg.batch {
		saved[a.sender] = append(saved[a.sender], a.result.Delivery)
		last := a.result.Attempt
		last.At, last.Response, last.Request = a.began, "", nil
		r.news[a.result.Webhook] = last
	}
	for sender, deliveries := range saved {
		c.send(sender, attemptsSaved{deliveries})
	}
	r.save(c)
	r.tell(c)
}

// tell lets those know who watch, once a second at most.
func (r *results) tell(c *cell) {
	if len(r.news) == 0 || r.due {
		return
	}
	if wait := tellEvery - time.Since(r.toldAt); wait > 0 {
		r.due = true
		c.after(min(wait, tellEvery), tellDue{})
		return
	}
	r.toldAt = time.Now()
	list := make([]importer.WebhookAttempted, 0, len(r.news))
	for id, a := range r.news {
		list = append(list, importer.WebhookAttempted{ID: id, LastAttempt: a})
	}
	clear(r.news)
	c.beside(func() any {
		ctx, cancel := context.WithTimeout(context.Background(), saveTimeout)
		defer cancel()
		return told{r.Webhooks.TellAttempts(ctx, list)}
	}, func(err error) any { return told{err} })
}
