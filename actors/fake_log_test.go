package actors_test

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"importer"
)

// lonely is the part of a log that other machines and old age concern, for a
// fake on which there are none.
type lonely struct{}

func (lonely) NewEvents(context.Context, map[string]int64, int) (importer.News, error) {
	return importer.News{}, nil
}

func (lonely) Listen(ctx context.Context, _, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}

func (lonely) Hint(context.Context) error { return nil }

func (lonely) TrimEvents(context.Context, time.Duration, int) (int, error) { return 0, nil }

func (lonely) ImportUpdates(context.Context, []uuid.UUID) ([]importer.Update, error) { return nil, nil }

// shared is the log of several machines, which tell each other.
type shared struct {
	*eventLog

	mu        sync.Mutex
	deaf      bool // nobody can listen
	silent    bool // hints get lost
	lines     map[*line]bool
	listens   int
	hints     int
	looks     int
	afterLook func() // before its answer
}

// line is a connection that listens.
type line struct {
	hint func()
	cut  chan error
}

func newShared() *shared {
	return &shared{eventLog: &eventLog{epoch: "e1"}, lines: map[*line]bool{}}
}

func (l *shared) NewEvents(_ context.Context, seen map[string]int64, limit int) (importer.News, error) {
	l.mu.Lock()
	l.looks++
	after := l.afterLook
	l.mu.Unlock()
	log, err := l.read(seen[importer.TopicProducts], limit)
	if after != nil {
		after()
	}
	news := importer.News{Epoch: log.Epoch, Events: log.Events}
	if last, watched := seen[importer.TopicProducts]; watched && log.Floor > last {
		news.Floors = map[string]int64{importer.TopicProducts: log.Floor}
	}
	return news, err
}

func (l *shared) Listen(ctx context.Context, up, hint func()) error {
	l.mu.Lock()
	l.listens++
	if l.deaf {
		l.mu.Unlock()
		return errAway
	}
	own := &line{hint, make(chan error, 1)}
	l.lines[own] = true
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.lines, own)
	}()
	up()
	select {
	case err := <-own.cut:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *shared) Hint(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hints++
	if l.silent {
		return nil
	}
	for line := range l.lines {
		line.hint()
	}
	return nil
}

// cut ends all connections that listen; deaf says whether they can come back.
func (l *shared) cut(deaf bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deaf = deaf
	for line := range l.lines {
		line.cut <- errAway
	}
}

// tally returns how often the log was listened to, told and looked into since
// the last time.
func (l *shared) tally() (listens, hints, looks int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	listens, hints, looks = l.listens, l.hints, l.looks
	l.listens, l.hints, l.looks = 0, 0, 0
	return listens, hints, looks
}
