package actors

import (
	"encoding/json"
	"fmt"

	"importer"
)

// history is the newest events of a topic, contiguous, for those who come
// back after a break. Slices of events are handed out: what is in them never
// changes.
type history struct {
	events []importer.Event
	frames [][]byte // of events; nil until somebody needs it
	bytes  int      // of data and frames
}

const (
	recentMax   = 256     // events kept
	recentBytes = 1 << 20 // of them and their frames
	replayMax   = 1_000   // events replayed; who has missed more gets a snapshot
	replayBytes = 256 << 10
)

// push adds the event that follows.
func (h *history) push(e importer.Event, frame []byte) {
	h.events, h.frames = append(h.events, e), append(h.frames, frame)
	h.bytes += len(e.Data) + len(frame)
}

// prepend adds the events before the ones there are.
func (h *history) prepend(events []importer.Event) {
	h.events = append(events[:len(events):len(events)], h.events...)
	h.frames = append(make([][]byte, len(events)), h.frames...)
	for _, e := range events {
		h.bytes += len(e.Data)
	}
}

// trim forgets the oldest events, so that no more than limit are left.
func (h *history) trim(limit int) {
	for len(h.events) > limit || h.bytes > recentBytes {
		h.bytes -= len(h.events[0].Data) + len(h.frames[0])
		h.events, h.frames = h.events[1:], h.frames[1:]
	}
}

// last returns the last n events, if there are as many.
func (h *history) last(n int64) ([]importer.Event, bool) {
	if n < 0 || n > int64(len(h.events)) {
		return nil, false
	}
	from := len(h.events) - int(n)
	return h.events[from:len(h.events):len(h.events)], true
}

// frame returns the bytes of an event.
func (h *history) frame(i int) ([]byte, error) {
	if h.frames[i] == nil {
		frame, err := eventFrame(h.events[i])
		if err != nil {
			return nil, err
		}
		h.frames[i] = frame
		h.bytes += len(frame)
	}
	return h.frames[i], nil
}

// replayable says whether events are few and small enough to be replayed.
func replayable(events []importer.Event) bool {
	bytes := 0
	for _, e := range events {
		bytes += len(e.Data)
	}
	return len(events) <= replayMax && bytes <= replayBytes
}

func eventFrame(e importer.Event) ([]byte, error) {
	frame, err := json.Marshal(struct {
		Type string `json:"type"`
		importer.Event
	}{"event", e})
	if err != nil {
		return nil, fmt.Errorf("encode event %d: %w", e.Seq, err)
	}
	return frame, nil
}
