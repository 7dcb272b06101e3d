package actors_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"importer"
	"importer/actors"
)

// shelf is a ProductStore of which only indexing is used.
type shelf struct {
	importer.ProductStore
	takes time.Duration // a round

	mu     sync.Mutex
	left   int64
	err    error
	rounds []time.Duration // when each began
	origin time.Time
}

func (s *shelf) IndexProducts(ctx context.Context, limit int) (int64, error) {
	s.mu.Lock()
	s.rounds = append(s.rounds, time.Since(s.origin))
	s.mu.Unlock()
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = max(0, s.left-int64(limit))
	return s.left, s.err
}

// began returns when the rounds began since it was last asked.
func (s *shelf) began() []time.Duration {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	rounds := s.rounds
	s.rounds, s.origin = nil, time.Now()
	return rounds
}

func withShelf(s *shelf) func(*bundle, *actors.Options) {
	s.origin = time.Now()
	return func(_ *bundle, o *actors.Options) { o.Products = s }
}

func TestIndexerRestsAsLongAsItWorks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{takes: time.Second, left: 12_000}
		b := setup(t, withShelf(s))
		time.Sleep(15 * time.Second)
		want := []time.Duration{0, 2 * time.Second, 4 * time.Second, 10 * time.Second}
		if diff := gocmp.Diff(want, s.began()); diff != "" {
			t.Errorf("rounds (-want +got):\n%s", diff)
		}
		// The last round has ended at 11 s, so the next is due at 16 s: an
		// edit, seen at 15 s, does not wait for it.
		b.system.Publish([]importer.Event{{Topic: importer.TopicImports, Seq: 1}})
		if got := s.began(); got != nil {
			t.Errorf("a change of an import: got rounds at %v, want none", got)
		}
		b.system.Publish([]importer.Event{{Topic: importer.TopicProducts, Seq: 1}})
		synctest.Wait()
		b.system.Publish([]importer.Event{{Topic: importer.TopicProducts, Seq: 2}})
		b.system.Publish([]importer.Event{{Topic: importer.TopicProducts, Seq: 3}})
		time.Sleep(6 * time.Second)
		if diff := gocmp.Diff([]time.Duration{0, 2 * time.Second}, s.began()); diff != "" {
			t.Errorf("rounds after edits (-want +got):\n%s", diff)
		}
	})
}

func TestIndexerLetsImportsGoFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{takes: time.Second, left: 12_000}
		var hold, held = make(chan struct{}), make(chan struct{}, 100)
		b := setup(t, func(b *bundle, o *actors.Options) {
			withShelf(s)(b, o)
			b.store.beforeMerge = func(ctx context.Context, _ importer.Batch) error {
				held <- struct{}{}
				select {
				case <-hold:
				case <-ctx.Done():
				}
				return nil
			}
		})
		text, _ := file(100, 100)
		id := b.upload(importer.NewImport{}, text)
		<-held
		s.began()
		time.Sleep(time.Minute)
		if got := s.began(); len(got) != 0 {
			t.Errorf("while an import writes: got rounds at %v, want none", got)
		}
		time.Sleep(2 * time.Minute)
		if got := s.began(); len(got) == 0 {
			t.Error("an import that stands still for minutes holds the indexer up for ever")
		}
		close(hold)
		b.await(id, importer.Completed)
	})
}

func TestIndexerOutlivesFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{err: errors.New("away"), left: 1}
		setup(t, withShelf(s))
		time.Sleep(11 * time.Second)
		want := []time.Duration{0, 5 * time.Second, 10 * time.Second}
		if diff := gocmp.Diff(want, s.began()); diff != "" {
			t.Errorf("rounds (-want +got):\n%s", diff)
		}
	})
}

func TestShutdownEndsARound(t *testing.T) {
	t.Parallel()
	s := &shelf{takes: time.Hour, left: 1}
	b := setup(t, withShelf(s))
	until(t, "a round", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.rounds) > 0
	})
	b.shutdown()
}
