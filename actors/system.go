package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"importer"
)

// Options is what a System needs from outside.
type Options struct {
	Store    importer.ImportStore
	Products importer.ProductStore // nil: nobody indexes products here
	Events   importer.EventLog
	Spool    importer.Spool
	OpenRows importer.OpenRows
	Node     uuid.UUID // names this process as the owner of its claims

	Webhooks         importer.WebhookQueue // nil: nobody sends to webhooks here
	WebhookTransport http.RoundTripper     // over which that is done; see internal/guard
	WebhookSlots     int                   // deliveries under way at once, until their results are saved; 0 means 128

	Writers      int   // an import; 0 means 4, or GOMAXPROCS when that is less
	MaxImports   int   // that run at once here; 0 means DefaultMaxImports
	MaxFileBytes int64 // of a file, also after decompression; 0 means 2 GiB

	// StrayAfter is the age from which a file is removed whose import is not in
	// the store; 0 means an hour, so that no upload that begins is taken for a
	// stray. A spool that others use with a store of their own needs more than
	// they keep a file for.
	StrayAfter time.Duration

	// How often the log is asked for events of other machines: while their
	// hints cannot be heard (0 means 250 ms), and while they can, for a hint
	// may get lost (0 means 2 s).
	DeafEvery, CheckEvery time.Duration

	// OnCommit is called with Publish before the first claim, so that the
	// store can tell of its very first change; db.DB has such a method. nil
	// when the caller sees to it.
	OnCommit func(publish func([]importer.Event))

	Observe Observer // nil: nobody
	Log     zerolog.Logger
	Now     func() time.Time // nil means time.Now
}

// DefaultMaxImports is how many imports run at once on a machine: one keeps a
// small Postgres busy, and behind four large ones a small one is not stuck.
const DefaultMaxImports = 4

// System runs imports and fans out what happens. It implements
// importer.Importer and importer.Hub; their methods send a message and return.
type System struct {
	*settings
	hub     pid
	imports pid
	indexer pid // nil without Options.Products

	// nil without Options.Webhooks
	results  pid
	webhooks pid
	client   webhookClient

	closing sync.Once
	closed  []chan struct{} // of the managers: what they had under way has ended
}

// settings is what every actor may look at.
type settings struct {
	Options
	*house
}

var (
	_ importer.Importer = (*System)(nil)
	_ importer.Hub      = (*System)(nil)

	_ importer.WebhookSender = (*System)(nil)
)

// Start spawns the hub and the imports manager, which claims work at once.
//
// hollywood logs through slog's default logger, so Start points that at
// Options.Log.
func Start(o Options) (*System, error) {
	if o.Store == nil || o.Events == nil || o.Spool == nil || o.OpenRows == nil || o.Node == uuid.Nil {
		return nil, errors.New("actors: Store, Events, Spool, OpenRows and Node are required")
	}
	if o.Webhooks != nil && o.WebhookTransport == nil {
		return nil, errors.New("actors: Webhooks need a WebhookTransport")
	}
	if o.Writers <= 0 {
		o.Writers = min(4, runtime.GOMAXPROCS(0))
	}
	if o.MaxImports <= 0 {
		o.MaxImports = DefaultMaxImports
	}
	if o.MaxFileBytes <= 0 {
		o.MaxFileBytes = 2 << 30
	}
	if o.StrayAfter <= 0 {
		o.StrayAfter = time.Hour
	}
	if o.DeafEvery <= 0 {
		o.DeafEvery = 250 * time.Millisecond
	}
	if o.CheckEvery <= 0 {
		o.CheckEvery = 2 * time.Second
	}
	if o.WebhookSlots <= 0 {
		o.WebhookSlots = 128
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Observe == nil {
		o.Observe = unobserved{}
	}
	slog.SetDefault(slog.New(zerolog.NewSlogHandler(o.Log)))
	engine, err := actor.NewEngine(actor.NewEngineConfig())
	if err != nil {
		return nil, fmt.Errorf("actor engine: %w", err)
	}
	s := &System{
		settings: &settings{o, &house{engine: engine, log: o.Log, observe: o.Observe, now: o.Now}},
	}
	s.watchDeadLetters()
	hub := newHub(s.settings)
	s.hub = s.spawn(nil, hubSpec, func() behavior { return hub })
	if o.Products != nil {
		s.indexer = s.spawn(nil, indexerSpec, func() behavior { return newIndexer(s.settings) })
	}
	if o.OnCommit != nil {
		o.OnCommit(s.Publish)
	}
	imports := newImports(s.settings, s.hub)
	s.imports = s.spawn(nil, importsSpec, func() behavior { return imports })
	if o.Webhooks != nil {
		s.startWebhooks()
	}
	return s, nil
}

func (s *System) startWebhooks() {
	results := newResults(s.settings)
	s.results = s.spawn(nil, resultsSpec, func() behavior { return results })
	webhooks := newWebhooks(s.settings, s.results)
	s.client = webhooks.pool.webhookClient
	s.webhooks = s.spawn(nil, webhooksSpec, func() behavior { return webhooks })
}

// Shutdown refuses new work, ends the attempts that run, lets requests to
// webhooks come to their end, gives all leases back and waits until nothing is
// left, or until ctx ends. It may be called again.
func (s *System) Shutdown(ctx context.Context) error {
	s.closing.Do(func() {
		for _, manager := range []pid{s.imports, s.webhooks} {
			if manager != nil {
				closed := make(chan struct{})
				s.closed = append(s.closed, closed)
				s.send(manager, shutDown{closed})
			}
		}
		if s.indexer != nil {
			s.reap(s.indexer)
		}
	})
	for _, closed := range s.closed {
		select {
		case <-closed:
		case <-ctx.Done():
			return fmt.Errorf("end imports and webhooks: %w", ctx.Err())
		}
	}
	gone := make(chan struct{})
	go func() {
		s.live.Wait()
		close(gone)
	}()
	for _, actor := range []pid{s.imports, s.webhooks, s.results, s.hub} {
		if actor != nil {
			s.reap(actor)
		}
	}
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("await actors: %w", ctx.Err())
	}
}

// Begin starts to scan a file that is still uploading.
func (s *System) Begin(c importer.Claim) { s.send(s.imports, begin{c}) }

// Wake looks for work now: an upload is whole, or a retry is due.
func (s *System) Wake(id uuid.UUID) { s.send(s.imports, wake{id}) }

// Stop ends the local work of an import that was cancelled.
func (s *System) Stop(id uuid.UUID) { s.send(s.imports, halt{id}) }

// Received says how many bytes of an upload have arrived so far.
func (s *System) Received(id uuid.UUID, bytes int64) { s.send(s.imports, received{id, bytes}) }

// Publish hands on events that are committed, in any order. An event that
// comes twice is passed on once.
func (s *System) Publish(events []importer.Event) {
	if len(events) > 0 {
		s.send(s.hub, publish{slices.Clone(events)})
	}
	if s.webhooks != nil && len(events) > 0 {
		s.send(s.webhooks, wakeWebhooks{})
	}
	if s.indexer != nil && slices.ContainsFunc(events, func(e importer.Event) bool { return e.Topic == importer.TopicProducts }) {
		s.send(s.indexer, changed{})
	}
}

// Subscribe implements importer.Hub.
func (s *System) Subscribe(topic string, since *importer.Cursor, sub importer.Subscriber) {
	s.send(s.hub, subscribe{topic, since, sub})
}

// Unsubscribe implements importer.Hub. A call that was under way may still
// reach the subscriber.
func (s *System) Unsubscribe(topic string, sub importer.Subscriber) {
	s.send(s.hub, unsubscribe{topic, sub})
}
