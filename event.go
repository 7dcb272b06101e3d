package importer

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Topics. A topic is a stream of events with a sequence of its own.
const (
	TopicImports  = "imports"  // imports that begin, change state and end
	TopicProducts = "products" // single edits and bulk changes
	TopicWebhooks = "webhooks" // endpoint changes and delivery results

	importTopicPrefix = "import:"
)

// ImportTopic is the topic of one import.
func ImportTopic(id uuid.UUID) string { return importTopicPrefix + id.String() }

// ParseTopic checks a topic's name. id is set for the topic of one import.
func ParseTopic(topic string) (id uuid.UUID, ok bool) {
	switch topic {
	case TopicImports, TopicProducts, TopicWebhooks:
		return uuid.Nil, true
	}
	s, found := strings.CutPrefix(topic, importTopicPrefix)
	if !found {
		return uuid.Nil, false
	}
	id, err := uuid.Parse(s)
	return id, err == nil && id.String() == s
}

// Event kinds of the topics imports and import:{id}. Data is {"import": …},
// the import as the REST API shows it, with its full counters.
const (
	EventImportCreated   = "import.created"   // the upload began
	EventImportQueued    = "import.queued"    // the file is whole; also after a retry or a hand-over
	EventImportStarted   = "import.started"   // a machine works on it; also after a takeover
	EventImportWriting   = "import.writing"   // the scan is done, rows land in the catalogue
	EventImportCompleted = "import.completed" //
	EventImportFailed    = "import.failed"    //
	EventImportCancelled = "import.cancelled" //
)

// Event is a durable change of state: written in the transaction that makes
// the change, numbered without gaps in its topic.
type Event struct {
	Topic string          `json:"topic"`
	Seq   int64           `json:"seq"`
	Kind  string          `json:"kind"`
	At    time.Time       `json:"at"`
	Data  json.RawMessage `json:"data"`
}

// Update is the newest progress of a topic: not stored, the latest wins. It
// belongs after event Seq; Rev grows within Seq.
type Update struct {
	Topic string          `json:"topic"`
	Seq   int64           `json:"seq"`
	Rev   int64           `json:"rev"`
	Data  json.RawMessage `json:"data"`
}

// ImportUpdate is the Data of an Update on the topic of one import.
type ImportUpdate struct {
	State    State    `json:"state"`
	Counts   Counts   `json:"counts"`
	Progress Progress `json:"progress"`
}

// Cursor is how far a client has read a topic. Seqs of another epoch mean
// nothing: the log was restored or truncated in between.
type Cursor struct {
	Epoch string `json:"epoch"`
	Seq   int64  `json:"seq"`
}

// Snapshot is the state of a topic just after event Seq.
type Snapshot struct {
	Epoch string
	Seq   int64
	Data  json.RawMessage // {"import": …}, {"imports": […]} or {"webhooks": […]}
}

// Subscription answers Subscribe. Either the events missed since the cursor
// are all there, or a snapshot takes their place and Reason says why.
type Subscription struct {
	Epoch    string
	Seq      int64           // the last event the subscriber knows when it has taken this in
	Reason   string          // why it is a snapshot: fresh, epoch, gap or ahead; "" with a replay
	Snapshot json.RawMessage // with a reason
	Events   []Event         // without one: from the cursor's seq + 1 to Seq, perhaps none
	Update   *Update         // the newest progress after Seq; may be nil
}

// Log is a part of a topic's log.
type Log struct {
	Epoch  string
	Head   int64   // seq of the newest event there is
	Floor  int64   // events up to this one are deleted
	Events []Event // in order
}

// News is what was appended to the topics that somebody watches.
type News struct {
	Epoch  string
	Events []Event          // those of a topic in order
	Floors map[string]int64 // of topics with new events that are deleted already
}

// EventLog reads the durable events. db implements it.
type EventLog interface {
	// TopicSnapshot reads state and seq of a topic in one statement. NotFound
	// when the topic names an import that does not exist.
	TopicSnapshot(ctx context.Context, topic string) (Snapshot, error)
	// ReadLog lists events of a topic with a seq over after, in order, with what
	// is known of the log, in one statement.
	ReadLog(ctx context.Context, topic string, after int64, limit int) (Log, error)
	// NewEvents lists the events of the watched topics, given with the last seq
	// known of each, that were appended since, by any machine; at most limit.
	NewEvents(ctx context.Context, seen map[string]int64, limit int) (News, error)
	// ImportUpdates reads how far imports have come, as it was last saved, in
	// one statement. Seq is that of the import's topic, Rev the time of saving
	// in ms. Imports that do not exist are left out.
	ImportUpdates(ctx context.Context, ids []uuid.UUID) ([]Update, error)
	// Listen calls hint whenever another machine may have appended events, until
	// ctx ends or the connection is lost, which is the error. It calls up once
	// it hears.
	Listen(ctx context.Context, up, hint func()) error
	// Hint tells the other machines that there are new events.
	Hint(ctx context.Context) error
	// TrimEvents deletes up to limit events that are older than keep, raising
	// the floor of their topics, and returns how many.
	TrimEvents(ctx context.Context, keep time.Duration, limit int) (int, error)
}

// Subscriber gets what happens on the topics it is subscribed to. The hub
// calls it from one goroutine at a time a topic; no method may block. Frames
// are the bytes to send, shared among all subscribers: do not change them.
type Subscriber interface {
	// Subscribed answers Subscribe and comes before all else of the topic. It
	// may come again, when the hub could not fill a gap.
	Subscribed(topic string, s Subscription)
	// Refused answers Subscribe when it cannot be done.
	Refused(topic string, err error)
	// Event must not be lost: a subscriber that cannot keep it cuts itself off.
	Event(e Event, frame []byte)
	// Update replaces an update of the same topic that is not yet sent; an
	// Event discards it.
	Update(u Update, frame []byte)
}

// Hub fans events and updates out. actors.System implements it; httpd
// subscribes its connections. All methods return at once.
type Hub interface {
	Subscribe(topic string, since *Cursor, s Subscriber)
	Unsubscribe(topic string, s Subscriber)
}
