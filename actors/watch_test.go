package actors_test

import (
	"encoding/json"
	"sync"
	"time"

	"importer"
)

// watcher is a subscriber that remembers all it gets.
type watcher struct {
	mu         sync.Mutex
	log        []string            // kinds of calls, in order
	snapshots  []importer.Snapshot // without Data when it was a replay
	reasons    []string            // "" for a replay
	lasts      []*importer.Update
	refusals   []error
	events     []importer.Event
	updates    []importer.Update
	frames     []string
	updateAt   []time.Time
	onCall     func(kind string)
	lastUpdate importer.ImportUpdate
}

// watch subscribes and waits for the answer.
func (b *bundle) watch(topic string) *watcher {
	b.t.Helper()
	w := &watcher{}
	b.system.Subscribe(topic, nil, w)
	until(b.t, "the subscription", func() bool { return w.count("subscribed") == 1 })
	return w
}

func (w *watcher) note(kind string, f func()) {
	w.mu.Lock()
	w.log = append(w.log, kind)
	f()
	w.mu.Unlock()
	if w.onCall != nil {
		w.onCall(kind)
	}
}

func (w *watcher) Subscribed(_ string, s importer.Subscription) {
	w.note("subscribed", func() {
		w.snapshots = append(w.snapshots, importer.Snapshot{Epoch: s.Epoch, Seq: s.Seq, Data: s.Snapshot})
		w.lasts = append(w.lasts, s.Update)
		w.reasons = append(w.reasons, s.Reason)
		w.events = append(w.events, s.Events...)
	})
}

func (w *watcher) Refused(_ string, err error) {
	w.note("refused", func() { w.refusals = append(w.refusals, err) })
}

func (w *watcher) Event(e importer.Event, frame []byte) {
	w.note("event", func() {
		w.events = append(w.events, e)
		w.frames = append(w.frames, string(frame))
	})
}

func (w *watcher) Update(u importer.Update, frame []byte) {
	w.note("update", func() {
		w.updates = append(w.updates, u)
		w.frames = append(w.frames, string(frame))
		w.updateAt = append(w.updateAt, time.Now())
		if err := json.Unmarshal(u.Data, &w.lastUpdate); err != nil {
			panic(err)
		}
	})
}

func (w *watcher) count(kind string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range w.log {
		if k == kind {
			n++
		}
	}
	return n
}

func (w *watcher) progress() importer.Progress {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lastUpdate.Progress
}

func (w *watcher) seqs() (seqs []int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		seqs = append(seqs, e.Seq)
	}
	return seqs
}
