package httpd_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"importer"
)

// fakeStore keeps imports in memory under the contract of
// importer.ImportStore, as far as httpd uses it: the embedded nil interface
// panics on the rest.
type fakeStore struct {
	importer.ImportStore

	mu      sync.Mutex
	imports map[uuid.UUID]importer.Import
	rejects []importer.Reject
	head    importer.Head
	down    error               // what every call returns while it is set
	page    importer.ImportPage // the last one asked for

	failAfterReject error
}

func newFakeStore() *fakeStore { return &fakeStore{imports: map[uuid.UUID]importer.Import{}} }

func (f *fakeStore) setDown(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = err
}

// put adds an import, or changes one.
func (f *fakeStore) put(i importer.Import) importer.Import {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i.ID == uuid.Nil {
		i.ID = uuid.Must(uuid.NewV7())
	}
	f.imports[i.ID] = i
	return i
}

func (f *fakeStore) all() []importer.Import {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.SortedFunc(maps.Values(f.imports), func(a, b importer.Import) int { return cmp.Compare(b.ID.String(), a.ID.String()) })
}

// only returns the one import there is.
func (f *fakeStore) only() (importer.Import, error) {
	all := f.all()
	if len(all) != 1 {
		return importer.Import{}, fmt.Errorf("got %d imports, want 1", len(all))
	}
	return all[0], nil
}

func (f *fakeStore) change(id uuid.UUID, from []importer.State, do func(*importer.Import)) (importer.Import, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, ok := f.imports[id]
	switch {
	case f.down != nil:
		return i, f.down
	case !ok:
		return i, importer.Errorf(importer.NotFound, "There is no such import.")
	case !slices.Contains(from, i.State):
		return i, importer.Errorf(importer.Conflict, "The import is %s.", i.State)
	}
	do(&i)
	f.imports[id] = i
	return i, nil
}

func (f *fakeStore) CreateImport(_ context.Context, n importer.NewImport, _ uuid.UUID) (importer.Claim, error) {
	f.mu.Lock()
	down := f.down
	f.mu.Unlock()
	if down != nil {
		return importer.Claim{}, down
	}
	i := f.put(importer.Import{
		Filename: n.Filename, Size: n.Size, State: importer.Uploading, DryRun: n.DryRun, Resumable: n.Resumable,
		Mapping: n.Mapping, Attempts: 1, CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	})
	return importer.Claim{Import: i, Epoch: 1, BatchRows: importer.DefaultBatchRows}, nil
}

func (f *fakeStore) Uploaded(_ context.Context, id uuid.UUID, size int64) (importer.Import, error) {
	return f.change(id, []importer.State{importer.Uploading}, func(i *importer.Import) { i.State, i.Size, i.Whole = importer.Queued, size, true })
}

func (f *fakeStore) UploadFailed(_ context.Context, id uuid.UUID, why importer.ImportError) error {
	_, err := f.change(id, []importer.State{importer.Uploading}, func(i *importer.Import) { i.State, i.Error = importer.Failed, &why })
	return err
}

func (f *fakeStore) Import(_ context.Context, id uuid.UUID) (importer.Import, error) {
	any := []importer.State{importer.Uploading, importer.Queued, importer.Scanning, importer.Writing, importer.Completed, importer.Failed, importer.Cancelled}
	return f.change(id, any, func(*importer.Import) {})
}

func (f *fakeStore) Imports(_ context.Context, p importer.ImportPage) (importer.Page[importer.Import], error) {
	f.mu.Lock()
	f.page = p
	down := f.down
	f.mu.Unlock()
	all := f.all()
	return importer.Page[importer.Import]{Items: all[:min(len(all), p.Limit):len(all)], Total: int64(len(all))}, down
}

func (f *fakeStore) CancelImport(_ context.Context, id uuid.UUID) (importer.Import, error) {
	running := []importer.State{importer.Uploading, importer.Queued, importer.Scanning, importer.Writing}
	return f.change(id, running, func(i *importer.Import) { i.State = importer.Cancelled })
}

func (f *fakeStore) RetryImport(_ context.Context, id uuid.UUID) (importer.Import, error) {
	return f.change(id, []importer.State{importer.Failed, importer.Cancelled}, func(i *importer.Import) { i.State, i.Error = importer.Queued, nil })
}

func (f *fakeStore) Rejects(ctx context.Context, id uuid.UUID, after int64, limit int) (importer.Page[importer.Reject], error) {
	if _, err := f.Import(ctx, id); err != nil {
		return importer.Page[importer.Reject]{}, err
	}
	page := importer.Page[importer.Reject]{Total: int64(len(f.rejects))}
	for _, r := range f.rejects {
		if r.Line > after && len(page.Items) < limit {
			page.Items = append(page.Items, r)
		}
	}
	return page, nil
}

func (f *fakeStore) EachReject(ctx context.Context, _ uuid.UUID, do func(importer.Reject) error) error {
	for _, r := range f.rejects {
		if err := do(r); err != nil {
			return err
		}
		if f.failAfterReject != nil {
			return f.failAfterReject
		}
	}
	return ctx.Err()
}

func (f *fakeStore) RejectHead(context.Context, uuid.UUID) (importer.Head, error) { return f.head, nil }

// fakeStatus says what it is told to.
type fakeStatus struct {
	importer.StoreStatus
	down error
}

func (f *fakeStatus) Status(context.Context) (importer.StoreStatus, error) {
	return f.StoreStatus, f.down
}

// fakeImporter records what it was told.
type fakeImporter struct {
	mu       sync.Mutex
	calls    []string // begin, wake and stop, in order
	received map[uuid.UUID][]int64
}

func newFakeImporter() *fakeImporter { return &fakeImporter{received: map[uuid.UUID][]int64{}} }

func (f *fakeImporter) note(call string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call)
}

func (f *fakeImporter) Begin(importer.Claim) { f.note("begin") }
func (f *fakeImporter) Wake(uuid.UUID)       { f.note("wake") }
func (f *fakeImporter) Stop(uuid.UUID)       { f.note("stop") }

func (f *fakeImporter) Received(id uuid.UUID, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.received[id] = append(f.received[id], bytes)
}

func (f *fakeImporter) told() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func (f *fakeImporter) bytes(id uuid.UUID) []int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.received[id])
}

// fakeHub answers every subscribe with what answer says, and passes on what a
// test publishes. Like the real one it calls subscribers one at a time.
type fakeHub struct {
	mu     sync.Mutex
	subs   map[string][]importer.Subscriber
	answer func(topic string, since *importer.Cursor, s importer.Subscriber)
}

func newFakeHub() *fakeHub {
	h := &fakeHub{subs: map[string][]importer.Subscriber{}}
	h.answer = func(topic string, _ *importer.Cursor, s importer.Subscriber) {
		s.Subscribed(topic, importer.Subscription{Epoch: "e1", Snapshot: json.RawMessage(`{"import":{}}`), Reason: "fresh"})
	}
	return h
}

func (h *fakeHub) Subscribe(topic string, since *importer.Cursor, s importer.Subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.subs[topic] = append(h.subs[topic], s)
	h.answer(topic, since, s)
}

func (h *fakeHub) Unsubscribe(topic string, s importer.Subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.subs[topic] = slices.DeleteFunc(h.subs[topic], func(o importer.Subscriber) bool { return o == s })
}

func (h *fakeHub) count(topic string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.subs[topic])
}

func (h *fakeHub) event(topic string, seq int64, data string) {
	e := importer.Event{Topic: topic, Seq: seq, Kind: "import.queued", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Data: json.RawMessage(data)}
	frame, err := json.Marshal(struct {
		Type string `json:"type"`
		importer.Event
	}{"event", e})
	if err != nil {
		panic(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.subs[topic] {
		s.Event(e, frame)
	}
}

func (h *fakeHub) update(topic string, seq, rev int64) {
	u := importer.Update{Topic: topic, Seq: seq, Rev: rev, Data: json.RawMessage(`{}`)}
	frame, err := json.Marshal(struct {
		Type string `json:"type"`
		importer.Update
	}{"update", u})
	if err != nil {
		panic(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.subs[topic] {
		s.Update(u, frame)
	}
}
