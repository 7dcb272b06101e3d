package db

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"importer"
)

// snapshotImports is how many imports the snapshot of the list holds: a page.
const snapshotImports = 50

type streamHead struct {
	bun.BaseModel `bun:"table:stream_head,alias:h"`

	Topic string `bun:",pk"`
	Seq   int64
}

type streamEvent struct {
	bun.BaseModel `bun:"table:stream_event,alias:e"`

	Topic string `bun:",pk"`
	Seq   int64  `bun:",pk"`
	Kind  string
	Data  json.RawMessage `bun:"type:json"`
	At    time.Time
}

// TopicSnapshot reads the state and the seq of a topic in one statement, so
// that they agree whatever is committed meanwhile.
func (d *DB) TopicSnapshot(ctx context.Context, topic string) (importer.Snapshot, error) {
	id, ok := importer.ParseTopic(topic)
	if !ok {
		return importer.Snapshot{}, importer.Errorf(importer.NotFound, "There is no topic %q.", topic)
	}
	if topic == importer.TopicWebhooks {
		return d.webhooksSnapshot(ctx)
	}
	var rows []struct {
		LogEpoch string
		LogSeq   int64
		importRow
	}
	q := d.bun.NewSelect().
		ColumnExpr("log.epoch AS log_epoch, coalesce(h.seq, 0) AS log_seq, i.*").
		TableExpr("stream_epoch AS log").
		Join("LEFT JOIN stream_head AS h ON h.topic = ?", topic)
	switch {
	case id != uuid.Nil:
		q = q.Join("JOIN imports AS i ON i.id = ?", id)
	case topic == importer.TopicImports:
		q = q.Join("LEFT JOIN LATERAL (SELECT * FROM imports ORDER BY id DESC LIMIT ?) AS i ON true", snapshotImports).
			OrderExpr("i.id DESC")
	default: // a topic without a state of its own
		q = q.Join("LEFT JOIN imports AS i ON false")
	}
	if err := q.Scan(ctx, &rows); err != nil {
		return importer.Snapshot{}, domain("read snapshot of "+topic, err)
	}
	if len(rows) == 0 {
		return importer.Snapshot{}, importer.Errorf(importer.NotFound, "There is no such import.")
	}

	var data any = struct{}{}
	switch {
	case id != uuid.Nil:
		data = importData{rows[0].toImport()}
	case topic == importer.TopicImports:
		imports := make([]importer.Import, 0, len(rows))
		for _, r := range rows {
			if r.ID != uuid.Nil { // the outer join's row of an empty list
				imports = append(imports, r.toImport())
			}
		}
		data = struct {
			Imports []importer.Import `json:"imports"`
		}{imports}
	}
	raw, err := json.Marshal(data)
	return importer.Snapshot{Epoch: rows[0].LogEpoch, Seq: rows[0].LogSeq, Data: raw}, err
}

// importData is the data of the events and the snapshot of an import.
type importData struct {
	Import importer.Import `json:"import"`
}

// announce leaves the event of a change for the transaction to append, on the
// import's own topic and on that of the list.
func (t *tx) announce(kind string, r *importRow, at time.Time) error {
	data, err := json.Marshal(importData{r.toImport()})
	if err != nil {
		return err
	}
	for _, topic := range []string{importer.ImportTopic(r.ID), importer.TopicImports} {
		t.events = append(t.events, importer.Event{Topic: topic, Kind: kind, At: at, Data: data})
	}
	return t.announceEnd(r, at)
}

// appendEvents numbers events and writes them. The lock on a topic's head,
// held until the commit, makes the order of commits the order of seq. Heads
// are locked in the order of their names, so "import:…" before "imports".
func appendEvents(ctx context.Context, t *tx, events []importer.Event) ([]importer.Event, error) {
	if len(events) == 0 {
		return nil, nil
	}
	count := map[string]int64{}
	for _, e := range events {
		count[e.Topic]++
	}
	heads := make([]streamHead, 0, len(count))
	for topic, n := range count {
		heads = append(heads, streamHead{Topic: topic, Seq: n})
	}
	slices.SortFunc(heads, func(a, b streamHead) int { return strings.Compare(a.Topic, b.Topic) })
	_, err := t.NewInsert().Model(&heads).
		On("CONFLICT (topic) DO UPDATE").Set("seq = h.seq + EXCLUDED.seq").
		Returning("topic, seq").Exec(ctx)
	if err != nil {
		return nil, err
	}

	next := map[string]int64{}
	for _, h := range heads {
		next[h.Topic] = h.Seq - count[h.Topic] + 1
	}
	rows := make([]streamEvent, len(events))
	for i := range events {
		e := &events[i]
		e.Seq = next[e.Topic]
		next[e.Topic]++
		rows[i] = streamEvent{Topic: e.Topic, Seq: e.Seq, Kind: e.Kind, Data: e.Data, At: e.At}
	}
	if _, err = t.NewInsert().Model(&rows).Exec(ctx); err != nil {
		return nil, err
	}
	return events, appendOutbox(ctx, t, events)
}
