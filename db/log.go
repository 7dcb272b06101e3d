package db

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"importer"
)

// ReadLog lists events of a topic with a seq over after, in order, with what
// is known of the log, in one statement.
func (d *DB) ReadLog(ctx context.Context, topic string, after int64, limit int) (importer.Log, error) {
	var log importer.Log
	rows, err := d.pool.Query(ctx, `
		SELECT p.epoch, coalesce(h.seq, 0), coalesce(h.floor, 0), e.seq, e.kind, e.data, e.at
		FROM stream_epoch AS p
		LEFT JOIN stream_head AS h ON h.topic = $1
		LEFT JOIN LATERAL (
			SELECT * FROM stream_event WHERE topic = $1 AND seq > $2 ORDER BY seq LIMIT $3
		) AS e ON true
		ORDER BY e.seq`, topic, after, limit)
	if err == nil {
		log.Events, err = collectEvents(rows, func(e *optionalEvent) []any {
			e.topic = &topic
			return []any{&log.Epoch, &log.Head, &log.Floor, &e.seq, &e.kind, &e.data, &e.at}
		})
	}
	return log, domain("read log of "+topic, err)
}

// NewEvents lists the events of the watched topics with a seq over the one
// given, at most limit of them, in one statement.
func (d *DB) NewEvents(ctx context.Context, seen map[string]int64, limit int) (importer.News, error) {
	topics, seqs := make([]string, 0, len(seen)), make([]int64, 0, len(seen))
	for topic, seq := range seen {
		topics, seqs = append(topics, topic), append(seqs, seq)
	}
	var news importer.News
	var trimmed []string
	var floors []int64
	rows, err := d.pool.Query(ctx, `
		WITH watched AS MATERIALIZED (
			SELECT * FROM unnest($1::text[], $2::bigint[]) AS w (topic, seq)
		), trimmed AS MATERIALIZED (
			SELECT h.topic, h.floor FROM watched AS w JOIN stream_head AS h ON h.topic = w.topic AND h.floor > w.seq
		)
		SELECT p.epoch, ARRAY(SELECT topic FROM trimmed), ARRAY(SELECT floor FROM trimmed), e.topic, e.seq, e.kind, e.data, e.at
		FROM stream_epoch AS p
		LEFT JOIN (
			SELECT e.* FROM watched AS w
			JOIN stream_event AS e ON e.topic = w.topic AND e.seq > w.seq
			ORDER BY e.topic, e.seq LIMIT $3
		) AS e ON true
		ORDER BY e.topic, e.seq`, topics, seqs, limit)
	if err == nil {
		news.Events, err = collectEvents(rows, func(e *optionalEvent) []any {
			return []any{&news.Epoch, &trimmed, &floors, &e.topic, &e.seq, &e.kind, &e.data, &e.at}
		})
	}
	for i, topic := range trimmed {
		if news.Floors == nil {
			news.Floors = map[string]int64{}
		}
		news.Floors[topic] = floors[i]
	}
	return news, domain("read new events", err)
}

// ImportUpdates reads what machines have saved of the progress of imports.
// Saving renews the lease, so that lease_until tells when it was.
func (d *DB) ImportUpdates(ctx context.Context, ids []uuid.UUID) ([]importer.Update, error) {
	var rows []struct {
		LogSeq  int64
		SavedMS int64
		importRow
	}
	err := d.bun.NewSelect().
		ColumnExpr("coalesce(h.seq, 0) AS log_seq, i.*").
		ColumnExpr("(extract(epoch FROM i.lease_until - ?::interval) * 1000)::bigint AS saved_ms", leaseTime).
		TableExpr("imports AS i").
		Join("LEFT JOIN stream_head AS h ON h.topic = 'import:' || i.id").
		Where("i.id IN (?)", bun.List(ids)).Scan(ctx, &rows)
	if err != nil {
		return nil, domain("read progress of imports", err)
	}
	updates := make([]importer.Update, len(rows))
	for i, r := range rows {
		imp := r.toImport()
		data, err := json.Marshal(importer.ImportUpdate{State: imp.State, Counts: imp.Counts, Progress: imp.Progress})
		if err != nil {
			return nil, err
		}
		updates[i] = importer.Update{Topic: importer.ImportTopic(imp.ID), Seq: r.LogSeq, Rev: r.SavedMS, Data: data}
	}
	return updates, nil
}

// TrimEvents deletes up to limit events that are older than keep, and raises
// the floor of their topics. Heads are locked by name, as appending does.
func (d *DB) TrimEvents(ctx context.Context, keep time.Duration, limit int) (int, error) {
	var deleted int
	err := d.retry(ctx, func() error {
		return d.pool.QueryRow(ctx, `
			WITH old AS (
				SELECT topic, max(seq) AS upto FROM (
					SELECT topic, seq FROM stream_event WHERE at < now() - $1::interval ORDER BY at LIMIT $2
				) AS oldest GROUP BY topic
			), heads AS (
				SELECT h.topic, old.upto FROM stream_head AS h JOIN old USING (topic) ORDER BY h.topic FOR UPDATE OF h
			), raised AS (
				UPDATE stream_head AS h SET floor = greatest(h.floor, heads.upto) FROM heads WHERE h.topic = heads.topic
				RETURNING h.topic, h.floor
			), gone AS (
				DELETE FROM stream_event AS e USING raised WHERE e.topic = raised.topic AND e.seq <= raised.floor RETURNING 1
			)
			SELECT count(*) FROM gone`, interval(keep), limit).Scan(&deleted)
	})
	return deleted, domain("trim events", err)
}

// optionalEvent is an event of an outer join.
type optionalEvent struct {
	topic *string
	seq   *int64
	kind  *string
	data  []byte
	at    *time.Time
}

// collectEvents reads rows into events; into says where the columns go.
func collectEvents(rows pgx.Rows, into func(*optionalEvent) []any) (events []importer.Event, err error) {
	defer rows.Close()
	for rows.Next() {
		var e optionalEvent
		if err := rows.Scan(into(&e)...); err != nil {
			return nil, err
		}
		if e.seq == nil {
			continue
		}
		if e.topic == nil || e.kind == nil || e.at == nil {
			return nil, errors.New("an event lacks a column")
		}
		events = append(events, importer.Event{Topic: *e.topic, Seq: *e.seq, Kind: *e.kind, At: e.at.UTC(), Data: e.data})
	}
	return events, rows.Err()
}
