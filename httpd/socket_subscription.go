package httpd

import (
	"encoding/json"
	"errors"
	"time"

	"importer"
)

// subscription is one client's interest in one topic: what the hub calls.
// Subscribing again makes a new one, so that nothing meant for the old one
// gets through.
type subscription struct {
	conn  *conn
	topic string
	id    int64 // of the client's subscribe, for the answer
	since *importer.Cursor

	// While missed events come in: they go into one answer. Only the hub's
	// calls touch these, and they come one at a time.
	replay *importer.Snapshot
	last   *importer.Update
	events []json.RawMessage
}

// Subscribed implements importer.Subscriber. Without a reason the client can
// go on from where it was, and the events up to s.Seq follow.
func (s *subscription) Subscribed(topic string, snap importer.Snapshot, last *importer.Update, reason string) {
	if reason != "" || s.since == nil {
		s.send(func(out *outbox) { out.push("", snapshotFrame(s.id, topic, snap, last, reason)) })
		return
	}
	s.replay, s.last = &snap, last
	s.answerReplay(s.since.Seq)
}

// Refused implements importer.Subscriber.
func (s *subscription) Refused(topic string, err error) {
	code, message := importer.ErrorCode(err), "The topic cannot be followed at the moment."
	if e, ok := errors.AsType[*importer.Error](err); ok && e.Message != "" {
		message = e.Message
	} else {
		s.conn.log.Error().Err(err).Str("topic", topic).Msg("subscribe failed")
	}
	s.send(func(out *outbox) {
		delete(s.conn.subs, topic)
		out.push("", errorFrame(s.id, code, message))
	})
}

// Event implements importer.Subscriber.
func (s *subscription) Event(e importer.Event, frame []byte) {
	if s.replay == nil {
		s.send(func(out *outbox) { out.push(e.Topic, frame) })
		return
	}
	s.events = append(s.events, encode(struct {
		Seq  int64           `json:"seq"`
		Kind string          `json:"kind"`
		At   time.Time       `json:"at"`
		Data json.RawMessage `json:"data"`
	}{e.Seq, e.Kind, e.At, e.Data}))
	s.answerReplay(e.Seq)
}

// Update implements importer.Subscriber.
func (s *subscription) Update(u importer.Update, frame []byte) {
	if s.replay != nil {
		s.last = &u
		return
	}
	s.send(func(out *outbox) { out.update(u.Topic, frame) })
}

// answerReplay sends the answer once the events up to its seq are there.
func (s *subscription) answerReplay(at int64) {
	if at < s.replay.Seq {
		return
	}
	answer, last := replayFrame(s.id, s.topic, *s.replay, s.events), s.last
	s.replay, s.last, s.events = nil, nil, nil
	s.send(func(out *outbox) {
		out.push("", answer)
		if last != nil {
			out.update(s.topic, updateFrame(*last))
		}
	})
}

// send does something to the outbox unless the client has left the topic.
func (s *subscription) send(f func(*outbox)) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if s.conn.subs[s.topic] == s {
		f(&s.conn.out)
	}
}
