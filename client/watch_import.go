package client

import (
	"context"
	"encoding/json"
	"iter"

	"github.com/google/uuid"

	"importer"
)

// ConnectionLost is the notice of an import while nothing is heard of it.
const ConnectionLost = "connection lost, trying again"

// WatchImport yields the state of an import whenever it changes, and ends
// after the state in which the import has ended. While the connection is lost,
// Progress.Notice says so. Percent never falls. The one error it yields is the
// last thing it yields, beside what was known of the import until then.
func (c *Client) WatchImport(ctx context.Context, id uuid.UUID) iter.Seq2[importer.Import, error] {
	return func(yield func(importer.Import, error) bool) {
		im := importer.Import{ID: id}
		for m, err := range c.Watch(ctx, importer.ImportTopic(id)) {
			if err == nil {
				err = apply(&im, m)
			}
			if err == nil && im.State == "" {
				continue // not heard of yet
			}
			if !yield(im, err) || err != nil || im.State.Ended() {
				return
			}
		}
	}
}

// apply brings the import up to date with what was heard of it.
func apply(im *importer.Import, m Message) error {
	next := *im
	state := struct {
		Import *importer.Import `json:"import"`
	}{&next}
	switch {
	case m.Snapshot != nil:
		next = importer.Import{}
		if err := json.Unmarshal(m.Snapshot.Data, &state); err != nil {
			return err
		}
		if err := progress(&next, m.Snapshot.Update); err != nil {
			return err
		}
		if m.Snapshot.Reason == "epoch" || m.Snapshot.Reason == "ahead" {
			*im = next // the server's past has changed
			return nil
		}
	case m.Event != nil:
		next = importer.Import{}
		if err := json.Unmarshal(m.Event.Data, &state); err != nil {
			return err
		}
	case m.Update != nil:
		if err := progress(&next, m.Update); err != nil {
			return err
		}
	case m.Resumed:
		next.Progress.Notice = ""
	case m.Down != nil:
		next.Progress.Notice = ConnectionLost
	}
	forward(*im, &next)
	*im = next
	return nil
}

func progress(im *importer.Import, u *importer.Update) error {
	if u == nil || im.State.Ended() {
		return nil // only an event takes it up again
	}
	var p importer.ImportUpdate
	if err := json.Unmarshal(u.Data, &p); err != nil {
		return err
	}
	im.State, im.Counts, im.Progress = p.State, p.Counts, p.Progress
	return nil
}

// forward keeps figures from falling below what was shown. Those in a snapshot
// may: the server saves them every few seconds, and another machine goes on
// from what was saved.
func forward(known importer.Import, next *importer.Import) {
	percent := max(known.Progress.Percent, next.Progress.Percent)
	if known.Attempts == next.Attempts && !next.State.Ended() { // the last ones are exact
		next.Progress = known.Progress.Fold(next.Progress)
		c, k := &next.Counts, known.Counts
		c.Rows, c.Duplicates, c.Rejected = max(c.Rows, k.Rows), max(c.Duplicates, k.Duplicates), max(c.Rejected, k.Rejected)
		c.Created, c.Updated, c.Unchanged = max(c.Created, k.Created), max(c.Updated, k.Updated), max(c.Unchanged, k.Unchanged)
	}
	next.Progress.Percent = max(percent, next.Progress.Percent)
}
