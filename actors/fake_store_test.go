package actors_test

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

// memory is an importer.ImportStore and EventLog that keeps the promises of
// the ports: fenced steps, a ledger in the transaction of its batch, events
// numbered without gaps. Hooks let a test disturb it.
type memory struct {
	lonely

	// beforeMerge and afterMerge run around the commit of a batch, without
	// the lock. An error of theirs is what the writer gets.
	beforeMerge func(ctx context.Context, b importer.Batch) error
	afterMerge  func(ctx context.Context, b importer.Batch) error
	// beforeStep may refuse any other call.
	beforeStep func(ctx context.Context, name string, id uuid.UUID) error

	mu        sync.Mutex
	listeners []func([]importer.Event)
	imports   map[uuid.UUID]*storedImport
	catalogue map[string]importer.Row
	events    map[string][]importer.Event
	merges    map[string]int // id/batch: commits
	again     int            // batches that were there already
	forgotten []uuid.UUID
}

type storedImport struct {
	importer.Claim
	owner     uuid.UUID
	lease     time.Time
	notBefore time.Time
	ledger    map[int]importer.Merged
	rejects   map[int64]importer.Reject
	progress  []importer.Progress // every one that was saved
}

func newMemory() *memory {
	return &memory{
		imports: map[uuid.UUID]*storedImport{}, catalogue: map[string]importer.Row{},
		events: map[string][]importer.Event{}, merges: map[string]int{},
	}
}

func (m *memory) step(ctx context.Context, name string, id uuid.UUID, f func(i *storedImport) (string, error)) (importer.Import, error) {
	if m.beforeStep != nil {
		if err := m.beforeStep(ctx, name, id); err != nil {
			return importer.Import{}, err
		}
	}
	if err := ctx.Err(); err != nil {
		return importer.Import{}, err
	}
	m.mu.Lock()
	i := m.imports[id]
	if i == nil {
		m.mu.Unlock()
		return importer.Import{}, importer.Errorf(importer.NotFound, "no such import")
	}
	kind, err := f(i)
	imp := i.Import
	var events []importer.Event
	if err == nil && kind != "" {
		events = m.append(kind, imp)
	}
	m.mu.Unlock()
	m.tell(events)
	return imp, err
}

// OnCommit adds a machine that is told; those that are shut down do not mind.
func (m *memory) OnCommit(f func([]importer.Event)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listeners = append(m.listeners, f)
}

func (m *memory) tell(events []importer.Event) {
	if len(events) == 0 {
		return
	}
	m.mu.Lock()
	listeners := slices.Clone(m.listeners)
	m.mu.Unlock()
	for _, f := range listeners {
		f(events)
	}
}

func (m *memory) append(kind string, imp importer.Import) (events []importer.Event) {
	data, _ := json.Marshal(map[string]importer.Import{"import": imp})
	for _, topic := range []string{importer.ImportTopic(imp.ID), importer.TopicImports} {
		e := importer.Event{Topic: topic, Seq: int64(len(m.events[topic]) + 1), Kind: kind, At: time.Now().UTC(), Data: data}
		m.events[topic] = append(m.events[topic], e)
		events = append(events, e)
	}
	return events
}

// fenced is step for whoever holds the lease of that epoch.
func (m *memory) fenced(ctx context.Context, name string, id uuid.UUID, epoch int64, f func(i *storedImport) (string, error)) (importer.Import, error) {
	return m.step(ctx, name, id, func(i *storedImport) (string, error) {
		if i.Epoch != epoch || i.owner == uuid.Nil || i.State.Ended() {
			return "", importer.ErrLeaseLost
		}
		return f(i)
	})
}

func (i *storedImport) sum() (c importer.Counts) {
	for _, b := range i.ledger {
		c.Created += b.Created
		c.Updated += b.Updated
		c.Unchanged += b.Unchanged
	}
	return c
}

func (i *storedImport) end(s importer.State) {
	c := i.sum()
	i.State, i.owner = s, uuid.Nil
	i.Counts.Created, i.Counts.Updated, i.Counts.Unchanged = c.Created, c.Updated, c.Unchanged
}

func (i *storedImport) learn(s importer.Scan) {
	i.Encoding, i.Delimiter = s.Encoding, s.Delimiter
	if s.Mapping != nil {
		i.Mapping = s.Mapping
	}
	i.Counts.Rows, i.Counts.Duplicates, i.Counts.Rejected = s.Rows, s.Duplicates, s.Rejected
}

func (m *memory) CreateImport(_ context.Context, n importer.NewImport, node uuid.UUID) (importer.Claim, error) {
	m.mu.Lock()
	i := &storedImport{owner: node, lease: time.Now().Add(importer.LeaseTime), ledger: map[int]importer.Merged{}, rejects: map[int64]importer.Reject{}}
	i.Import = importer.Import{
		ID: uuid.Must(uuid.NewV7()), Filename: n.Filename, Size: n.Size, DryRun: n.DryRun, Resumable: n.Resumable,
		State: importer.Uploading, Attempts: 1, Mapping: map[string]string{},
		Progress: importer.Progress{Phase: importer.PhaseUploading, BytesTotal: n.Size},
	}
	i.Epoch, i.BatchRows = 1, cmp.Or(n.BatchRows, importer.DefaultBatchRows)
	m.imports[i.ID] = i
	claim := i.Claim
	events := m.append(importer.EventImportCreated, i.Import)
	m.mu.Unlock()
	m.tell(events)
	return claim, nil
}

func (m *memory) Uploaded(ctx context.Context, id uuid.UUID, size int64) (importer.Import, error) {
	return m.step(ctx, "Uploaded", id, func(i *storedImport) (string, error) {
		if i.State != importer.Uploading {
			return "", importer.Errorf(importer.Conflict, "the upload has ended")
		}
		i.State, i.Size = importer.Queued, size
		return importer.EventImportQueued, nil
	})
}

func (m *memory) UploadFailed(ctx context.Context, id uuid.UUID, why importer.ImportError) error {
	_, err := m.step(ctx, "UploadFailed", id, func(i *storedImport) (string, error) {
		i.Error = &why
		i.end(importer.Failed)
		return importer.EventImportFailed, nil
	})
	return err
}

func (m *memory) Import(ctx context.Context, id uuid.UUID) (importer.Import, error) {
	return m.step(ctx, "Import", id, func(*storedImport) (string, error) { return "", nil })
}

func (m *memory) CancelImport(ctx context.Context, id uuid.UUID) (importer.Import, error) {
	return m.step(ctx, "CancelImport", id, func(i *storedImport) (string, error) {
		if i.State.Ended() {
			return "", importer.Errorf(importer.Conflict, "it has ended")
		}
		i.end(importer.Cancelled)
		return importer.EventImportCancelled, nil
	})
}

func (m *memory) RetryImport(ctx context.Context, id uuid.UUID) (importer.Import, error) {
	return m.step(ctx, "RetryImport", id, func(i *storedImport) (string, error) {
		i.State, i.Error, i.owner = importer.Queued, nil, uuid.Nil
		i.Epoch++
		return importer.EventImportQueued, nil
	})
}

func (m *memory) ClaimImports(ctx context.Context, node uuid.UUID, limit int) ([]importer.Claim, error) {
	if m.beforeStep != nil {
		if err := m.beforeStep(ctx, "ClaimImports", uuid.Nil); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	var claims []importer.Claim
	var events []importer.Event
	now := time.Now()
	for _, id := range slices.SortedFunc(maps.Keys(m.imports), func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) }) {
		i := m.imports[id]
		due := i.State == importer.Queued || i.State == importer.Scanning || i.State == importer.Writing
		if len(claims) == limit || !due || now.Before(i.notBefore) || i.owner != uuid.Nil && now.Before(i.lease) {
			continue
		}
		i.Expired = i.owner != uuid.Nil
		i.owner, i.lease = node, now.Add(importer.LeaseTime)
		i.Epoch++
		i.Attempts++
		if i.State != importer.Queued {
			events = append(events, m.append(importer.EventImportStarted, i.Import)...)
		}
		claims = append(claims, i.Claim)
	}
	m.mu.Unlock()
	m.tell(events)
	return claims, nil
}

func (m *memory) Renew(ctx context.Context, id uuid.UUID, epoch int64, p importer.Progress, c importer.Counts) error {
	_, err := m.fenced(ctx, "Renew", id, epoch, func(i *storedImport) (string, error) {
		i.lease = time.Now().Add(importer.LeaseTime)
		i.Progress, i.Counts = p, c
		i.progress = append(i.progress, p)
		return "", nil
	})
	return err
}

func (m *memory) Release(ctx context.Context, id uuid.UUID, epoch int64, notBefore time.Time) error {
	_, err := m.fenced(ctx, "Release", id, epoch, func(i *storedImport) (string, error) {
		i.owner, i.notBefore = uuid.Nil, notBefore
		return "", nil
	})
	return err
}

func (m *memory) StartScan(ctx context.Context, id uuid.UUID, epoch int64) (importer.Import, error) {
	return m.fenced(ctx, "StartScan", id, epoch, func(i *storedImport) (string, error) {
		switch i.State {
		case importer.Scanning, importer.Writing:
			return "", nil
		case importer.Queued:
			i.State = importer.Scanning
			return importer.EventImportStarted, nil
		}
		return "", importer.Errorf(importer.Conflict, "cannot scan when %s", i.State)
	})
}

func (m *memory) StartWrite(ctx context.Context, id uuid.UUID, epoch int64, s importer.Scan) (importer.Import, error) {
	return m.fenced(ctx, "StartWrite", id, epoch, func(i *storedImport) (string, error) {
		i.learn(s)
		switch i.State {
		case importer.Writing:
			return "", nil
		case importer.Scanning:
			i.State = importer.Writing
			return importer.EventImportWriting, nil
		}
		return "", importer.Errorf(importer.Conflict, "cannot write when %s", i.State)
	})
}

func (m *memory) Complete(ctx context.Context, id uuid.UUID, epoch int64, s importer.Scan) (importer.Import, error) {
	return m.fenced(ctx, "Complete", id, epoch, func(i *storedImport) (string, error) {
		written, valid := i.sum().Written(), s.Rows-s.Duplicates-s.Rejected
		if !i.DryRun && written != valid {
			return "", fmt.Errorf("%d rows of %d: %w", written, valid, importer.ErrLedgerShort)
		}
		i.learn(s)
		i.end(importer.Completed)
		i.Progress = i.Progress.Fold(importer.Progress{Phase: importer.PhaseComplete, RowsDone: written, RowsTotal: written})
		return importer.EventImportCompleted, nil
	})
}

func (m *memory) Fail(ctx context.Context, id uuid.UUID, epoch int64, s importer.Scan, why importer.ImportError) (importer.Import, error) {
	return m.fenced(ctx, "Fail", id, epoch, func(i *storedImport) (string, error) {
		i.learn(s)
		i.Error = &why
		i.end(importer.Failed)
		return importer.EventImportFailed, nil
	})
}

func (m *memory) AddRejects(ctx context.Context, id uuid.UUID, epoch int64, rejects []importer.Reject) error {
	_, err := m.fenced(ctx, "AddRejects", id, epoch, func(i *storedImport) (string, error) {
		for _, r := range rejects {
			i.rejects[r.Line] = r
		}
		return "", nil
	})
	return err
}

func (m *memory) Ledger(ctx context.Context, id uuid.UUID) (map[int]struct{}, importer.Counts, error) {
	numbers, sum := map[int]struct{}{}, importer.Counts{}
	_, err := m.step(ctx, "Ledger", id, func(i *storedImport) (string, error) {
		for n := range i.ledger {
			numbers[n] = struct{}{}
		}
		sum = i.sum()
		return "", nil
	})
	return numbers, sum, err
}

func (m *memory) MergeBatch(ctx context.Context, b importer.Batch, _ importer.MergeWay) (importer.Merged, error) {
	if m.beforeMerge != nil {
		if err := m.beforeMerge(ctx, b); err != nil {
			return importer.Merged{}, err
		}
	}
	var merged importer.Merged
	_, err := m.fenced(ctx, "MergeBatch", b.ImportID, b.Epoch, func(i *storedImport) (string, error) {
		if done, ok := i.ledger[b.Number]; ok {
			m.again++
			merged = done
			merged.Again = true
			return "", nil
		}
		for _, r := range b.Rows {
			switch old, ok := m.catalogue[r.Key]; {
			case !ok:
				merged.Created++
			case old == r:
				merged.Unchanged++
			default:
				merged.Updated++
			}
			m.catalogue[r.Key] = r
		}
		i.ledger[b.Number] = merged
		m.merges[batchName(b.ImportID, b.Number)]++
		return "", nil
	})
	if err == nil && m.afterMerge != nil {
		err = m.afterMerge(ctx, b)
	}
	return merged, err
}

func (m *memory) ForgottenUploads(ctx context.Context, _ time.Duration) ([]uuid.UUID, error) {
	if m.beforeStep != nil {
		if err := m.beforeStep(ctx, "ForgottenUploads", uuid.Nil); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.forgotten), nil
}

func (m *memory) TopicSnapshot(ctx context.Context, topic string) (importer.Snapshot, error) {
	id, _ := importer.ParseTopic(topic)
	snap := importer.Snapshot{Epoch: "e1", Data: json.RawMessage(`{"imports":[]}`)}
	if id == uuid.Nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		snap.Seq = int64(len(m.events[topic]))
		return snap, nil
	}
	_, err := m.step(ctx, "TopicSnapshot", id, func(i *storedImport) (string, error) {
		snap.Seq = int64(len(m.events[topic]))
		var err error
		snap.Data, err = json.Marshal(map[string]importer.Import{"import": i.Import})
		return "", err
	})
	return snap, err
}

func (m *memory) ReadLog(_ context.Context, topic string, after int64, limit int) (importer.Log, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.events[topic]
	log := importer.Log{Epoch: "e1", Head: int64(len(all))}
	rest := all[min(max(after, 0), log.Head):]
	log.Events = slices.Clone(rest[:min(limit, len(rest))])
	return log, nil
}

func (m *memory) Imports(_ context.Context, p importer.ImportPage) (importer.Page[importer.Import], error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var page importer.Page[importer.Import]
	for _, i := range m.imports {
		if slices.Contains(p.States, i.State) {
			page.Items = append(page.Items, i.Import)
		}
	}
	page.Total = int64(len(page.Items))
	return page, nil
}

// httpd alone calls these.
func (m *memory) Rejects(context.Context, uuid.UUID, int64, int) (importer.Page[importer.Reject], error) {
	panic("not for actors")
}
func (m *memory) EachReject(context.Context, uuid.UUID, func(importer.Reject) error) error {
	panic("not for actors")
}
func (m *memory) RejectHead(context.Context, uuid.UUID) (importer.Head, error) {
	panic("not for actors")
}
