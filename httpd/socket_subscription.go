package httpd

import (
	"errors"

	"importer"
)

// subscription is one client's interest in one topic: what the hub calls.
// Subscribing again makes a new one, so that nothing meant for the old one
// gets through.
type subscription struct {
	conn  *conn
	topic string
	id    int64 // of the client's subscribe, for the answer
	heard bool  // the answer is there, or nobody waits for it
}

// Subscribed implements importer.Subscriber. The answer discards an update that
// waits, as an event does: it is from before.
func (s *subscription) Subscribed(topic string, answer importer.Subscription) {
	s.send(func(out *outbox) {
		s.conn.server.observe.Subscribed(outcomeOf(answer), len(answer.Events))
		out.push(topic, subscribedFrame(s.id, topic, answer))
		if answer.Reason == "" && answer.Update != nil {
			out.update(topic, updateFrame(*answer.Update))
		}
		s.answered()
	})
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
		s.conn.server.observe.Subscribed(outcomeRefused, 0)
		delete(s.conn.subs, topic)
		out.push("", errorFrame(s.id, code, message))
		s.answered()
	})
}

// Event implements importer.Subscriber.
func (s *subscription) Event(e importer.Event, frame []byte) {
	s.send(func(out *outbox) { out.pushEvent(e, frame) })
}

// Update implements importer.Subscriber.
func (s *subscription) Update(u importer.Update, frame []byte) {
	s.send(func(out *outbox) { out.update(u.Topic, frame) })
}

// answered gives back the room that was kept for the answer. The caller holds
// conn.mu.
func (s *subscription) answered() {
	if !s.heard {
		s.heard = true
		s.conn.out.release()
	}
}

// send does something to the outbox unless the client has left the topic.
func (s *subscription) send(f func(*outbox)) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if s.conn.subs[s.topic] == s {
		f(&s.conn.out)
	}
}
