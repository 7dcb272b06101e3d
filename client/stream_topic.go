package client

import (
	"encoding/json"
	"errors"

	"importer"
)

// follower is what is known of one topic. It outlives connections, does no
// I/O, and holds the rules of what to believe: an event follows the one before
// or something is missing, and progress only grows.
type follower struct {
	topic    string
	asked    int64            // id of the latest subscribe
	answered bool             // what comes before the answer is of an older subscription
	cursor   *importer.Cursor // nil until a snapshot came
	rev      int64            // of the last update after the cursor
}

// errMissed asks to subscribe again from the cursor.
var errMissed = errors.New("events are missing")

// take handles a frame of the topic. It returns what to tell the caller;
// the error is about what comes after that.
func (t *follower) take(f frame) ([]Message, error) {
	switch {
	case f.Type == "subscribed" && f.ID == t.asked:
		t.answered = true
		if f.Recovered {
			return t.replay(f)
		}
		return t.restart(f)
	case !t.answered:
		return nil, nil
	case f.Type == "event":
		return t.event(f.event())
	case f.Type == "update":
		return t.update(f.update())
	}
	return nil, nil
}

// restart begins anew with a snapshot.
func (t *follower) restart(f frame) ([]Message, error) {
	var newest struct {
		Update *importer.Update `json:"update"`
	}
	if err := json.Unmarshal(f.Snapshot, &newest); err != nil {
		return nil, importer.Errorf(importer.Internal, "the server sent no snapshot of %s: %v", t.topic, err)
	}
	t.cursor, t.rev = &importer.Cursor{Epoch: f.Epoch, Seq: f.Seq}, 0
	if newest.Update != nil {
		t.rev = newest.Update.Rev
	}
	s := &Snapshot{Epoch: f.Epoch, Seq: f.Seq, Reason: f.Reason, Data: f.Snapshot, Update: newest.Update}
	return []Message{{Topic: t.topic, Snapshot: s}}, nil
}

// replay goes on with the events that were missed. A replay that does not
// close the gap is worth nothing: the next subscribe asks for a snapshot.
func (t *follower) replay(f frame) ([]Message, error) {
	if t.cursor == nil || f.Epoch != t.cursor.Epoch {
		t.cursor = nil
		return nil, importer.Errorf(importer.Internal, "the server replayed events of %s that do not follow on what was seen", t.topic)
	}
	messages, seq := []Message{{Topic: t.topic, Resumed: true}}, t.cursor.Seq
	for _, e := range f.Events {
		if e.Seq <= seq {
			continue
		}
		if e.Seq != seq+1 {
			break
		}
		seq, e.Topic = e.Seq, t.topic
		messages = append(messages, Message{Topic: t.topic, Event: &e})
	}
	if seq != f.Seq {
		from := t.cursor.Seq
		t.cursor = nil
		return nil, importer.Errorf(importer.Internal, "the server's replay of %s lacks events from %d to %d", t.topic, from+1, f.Seq)
	}
	if seq > t.cursor.Seq {
		t.cursor.Seq, t.rev = seq, 0
	}
	return messages, nil
}

func (t *follower) event(e importer.Event) ([]Message, error) {
	switch {
	case e.Seq <= t.cursor.Seq:
		return nil, nil
	case e.Seq > t.cursor.Seq+1:
		return nil, errMissed
	}
	t.cursor.Seq, t.rev = e.Seq, 0
	return []Message{{Topic: t.topic, Event: &e}}, nil
}

func (t *follower) update(u importer.Update) ([]Message, error) {
	switch {
	case u.Seq > t.cursor.Seq:
		return nil, errMissed // it belongs after an event that did not come
	case u.Seq < t.cursor.Seq || u.Rev <= t.rev:
		return nil, nil // older than what was shown
	}
	t.rev = u.Rev
	return []Message{{Topic: t.topic, Update: &u}}, nil
}
