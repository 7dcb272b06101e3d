package importer

import (
	"context"
	"io"
	"time"

	"github.com/google/uuid"
)

// State is where an import stands.
//
//	uploading ─▶ queued ─▶ scanning ─▶ writing ─▶ completed
//	    │           │          │          │
//	    └─ failed   └──────────┴──────────┴──▶ cancelled | failed ─▶ (retry) queued
//
// Scanning may begin while the state is still uploading; nothing is written
// to the catalogue before the upload is whole.
type State string

// The states of an import.
const (
	Uploading State = "uploading"
	Queued    State = "queued"
	Scanning  State = "scanning"
	Writing   State = "writing"
	Completed State = "completed"
	Failed    State = "failed"
	Cancelled State = "cancelled"
)

// Ended reports whether the import will do nothing more by itself.
func (s State) Ended() bool { return s == Completed || s == Failed || s == Cancelled }

// Import is one file on its way into the catalogue.
type Import struct {
	ID        uuid.UUID         `json:"id"` // v7
	Filename  string            `json:"filename"`
	Size      int64             `json:"size"` // bytes; the announced size while uploading, 0 when unknown
	State     State             `json:"state"`
	DryRun    bool              `json:"dry_run"`
	Resumable bool              `json:"resumable"` // uploaded in parts that can go on after a break
	Counts    Counts            `json:"counts"`
	Progress  Progress          `json:"progress"`
	Encoding  string            `json:"encoding"`
	Delimiter string            `json:"delimiter"`
	Mapping   map[string]string `json:"mapping"` // field to header text; never nil
	Error     *ImportError      `json:"error"`
	Attempts  int               `json:"attempts"` // 1 for the first run; retries and takeovers add one
	Whole     bool              `json:"-"`        // the file has arrived; of the store alone, not of what is sent

	CreatedAt  time.Time  `json:"created_at"`
	StartedAt  *time.Time `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at"`
}

// Counts is what became of the rows of a file:
//
//	Rows = Created + Updated + Unchanged + Duplicates + Rejected
//
// once the import has completed. A dry run writes nothing, so there the three
// in the middle stay 0.
type Counts struct {
	Rows       int64 `json:"rows"`       // data records; header and blank lines are none
	Created    int64 `json:"created"`    // SKUs that were not in the catalogue before
	Updated    int64 `json:"updated"`    // SKUs whose sku, name or description differs now
	Unchanged  int64 `json:"unchanged"`  // SKUs that were there and the same
	Duplicates int64 `json:"duplicates"` // rows superseded by a later row with the same SKU
	Rejected   int64 `json:"rejected"`
}

// Written is the number of rows the ledger accounts for.
func (c Counts) Written() int64 { return c.Created + c.Updated + c.Unchanged }

// ImportError tells a person why an import failed.
type ImportError struct {
	Code    Code   `json:"code"`
	Message string `json:"message"` // what happened, what is saved, what a retry does
	Retry   bool   `json:"retry"`   // a retry of the same file can help
}

// NewImport is what creating an import needs.
type NewImport struct {
	Filename  string
	Size      int64 // 0 when unknown
	DryRun    bool
	Resumable bool
	Mapping   map[string]string // fields the user mapped by hand; may be nil
	BatchRows int               // rows a batch, fixed for the life of the import; 0 means DefaultBatchRows
}

// DefaultBatchRows is small enough for short locks and smooth progress (50 to
// 100 ms a batch) and large enough that round trips do not count.
const DefaultBatchRows = 10_000

// Claim is the right to work on an import: a lease of LeaseTime that has to be
// renewed, fenced by Epoch. Whoever claims next has a higher epoch, and from
// then on every write under the old one is refused with ErrLeaseLost.
type Claim struct {
	Import
	Epoch     int64
	BatchRows int
	// Expired: the one before was not given back. Its machine has died, or
	// could not reach the database for long.
	Expired bool
}

// LeaseTime is how long a claim lasts without being renewed: the time after
// which another machine takes over the imports of one that died.
const LeaseTime = 10 * time.Second

// ErrLeaseLost means that the import was claimed by somebody else, cancelled
// or ended: stop working on it and change nothing more.
var ErrLeaseLost = &Error{Code: Conflict, Message: "The import has gone on elsewhere or was ended."}

// ErrLedgerShort means that rows which were acknowledged are not in the ledger:
// the database has lost its latest commits, as after a failover to a copy that
// lagged. Nothing is wrong with the import; it has to be taken up again.
var ErrLedgerShort = &Error{Code: Internal, Message: "The database has lost rows that it had acknowledged."}

// Scan is the result of the first pass over a whole file.
type Scan struct {
	Head
	Rows, Duplicates, Rejected int64
}

// Batch is a part of an import's rows: sorted by key, no key twice in the
// whole import. Its content is a function of the file, the mapping and the
// batch size alone, so that its number means the same after a crash.
type Batch struct {
	ImportID       uuid.UUID
	Epoch          int64
	Number         int
	Rows           []Row
	HasDescription bool
}

// MergeWay is how a batch is put into the catalogue. The result is the same;
// the fastest depends on what is there already. A writer starts with "" and
// then passes on what the last batch suggested.
type MergeWay string

// Merged is what a batch did. Again is true when an earlier try had already
// committed it: the counts are then those of the ledger.
type Merged struct {
	Created, Updated, Unchanged int64
	Again                       bool
	Next                        MergeWay
}

// ImportPage selects imports, newest first.
type ImportPage struct {
	States []State // none means all
	Before string  // the Next of the page before, or ""
	Limit  int     // 1 to 100
}

// Page is a part of a list. Next is the cursor of the part that follows, nil
// at the end.
type Page[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next"`
	Total int64   `json:"total"`
}

// ImportStore keeps imports. db implements it on Postgres. Every method that
// changes a state appends the events of the change in the same transaction
// and hands them to the hub after the commit.
//
// Errors are *Error: NotFound, Conflict when the state does not allow the
// step, Unavailable when Postgres cannot be reached, and ErrLeaseLost from
// all methods that take an epoch.
type ImportStore interface {
	// CreateImport registers an upload that begins, owned by node, epoch 1.
	CreateImport(ctx context.Context, n NewImport, node uuid.UUID) (Claim, error)
	// Uploaded says that the file is whole and safe: uploading to queued. To
	// say it again, when the answer was lost, changes nothing. Conflict when
	// the import has ended before.
	Uploaded(ctx context.Context, id uuid.UUID, size int64) (Import, error)
	// UploadFailed ends an import whose file will not come.
	UploadFailed(ctx context.Context, id uuid.UUID, why ImportError) error

	Import(ctx context.Context, id uuid.UUID) (Import, error)
	Imports(ctx context.Context, p ImportPage) (Page[Import], error)
	// Rejects lists rejected rows by line, those after line `after`.
	Rejects(ctx context.Context, id uuid.UUID, after int64, limit int) (Page[Reject], error)
	// EachReject calls f with every rejected row, Raw included, by line.
	EachReject(ctx context.Context, id uuid.UUID, f func(Reject) error) error
	// RejectHead returns what a file of rejected rows begins with.
	RejectHead(ctx context.Context, id uuid.UUID) (Head, error)

	// CancelImport ends an import at once; batches in flight are rolled back.
	CancelImport(ctx context.Context, id uuid.UUID) (Import, error)
	// RetryImport queues a failed or cancelled import again, with its ledger.
	RetryImport(ctx context.Context, id uuid.UUID) (Import, error)

	// ClaimImports takes up to limit imports that are due and unowned.
	ClaimImports(ctx context.Context, node uuid.UUID, limit int) ([]Claim, error)
	// Renew keeps the lease and saves progress for those who watch elsewhere.
	Renew(ctx context.Context, id uuid.UUID, epoch int64, p Progress, c Counts) error
	// Release gives the import back, for anyone to claim from notBefore on.
	Release(ctx context.Context, id uuid.UUID, epoch int64, notBefore time.Time) error
	// StartScan moves a whole file's import to scanning.
	StartScan(ctx context.Context, id uuid.UUID, epoch int64) (Import, error)
	// StartWrite records the scan and moves to writing.
	StartWrite(ctx context.Context, id uuid.UUID, epoch int64, s Scan) (Import, error)
	// Complete ends the import with the counts of its ledger; ErrLedgerShort
	// when that does not account for every row of the scan.
	Complete(ctx context.Context, id uuid.UUID, epoch int64, s Scan) (Import, error)
	// Fail ends the import with the reason; s is what was known of the file.
	Fail(ctx context.Context, id uuid.UUID, epoch int64, s Scan, why ImportError) (Import, error)

	// AddRejects records rejected rows; rows already recorded are skipped.
	AddRejects(ctx context.Context, id uuid.UUID, epoch int64, rejects []Reject) error
	// Ledger returns the numbers of the batches that are written, and the sum
	// of their counts.
	Ledger(ctx context.Context, id uuid.UUID) (map[int]struct{}, Counts, error)
	// MergeBatch writes one batch and its ledger row in one transaction.
	MergeBatch(ctx context.Context, b Batch, way MergeWay) (Merged, error)
	// ForgottenUploads fails uploads whose machine is gone and returns the
	// imports whose files are no longer needed.
	ForgottenUploads(ctx context.Context, older time.Duration) ([]uuid.UUID, error)
}

// Importer runs imports. actors.System implements it; httpd calls it after it
// has changed the row. All methods return at once.
type Importer interface {
	// Begin starts to scan a file that is still uploading.
	Begin(c Claim)
	// Wake looks for work now: an upload is whole, or a retry is due.
	Wake(id uuid.UUID)
	// Stop ends the local work of an import that was cancelled.
	Stop(id uuid.UUID)
	// Received says how many bytes of an upload have arrived so far.
	Received(id uuid.UUID, bytes int64)
}

// Spool keeps uploaded files until their import has completed.
type Spool interface {
	// Create makes room for a file. Errors: Conflict when it exists.
	Create(ctx context.Context, id uuid.UUID) error
	// Append adds what r yields at offset, which must be the current size:
	// else Conflict. It returns the bytes added, also with an error; those are
	// safe. A full storage is StorageFull, one that does not answer Unavailable.
	// NotFound when there is no file, or no longer.
	Append(ctx context.Context, id uuid.UUID, offset int64, r io.Reader) (int64, error)
	// Size is the number of bytes that are safe so far.
	Size(ctx context.Context, id uuid.UUID) (int64, error)
	// Seal says that the file is whole; after it returns it survives a crash.
	Seal(ctx context.Context, id uuid.UUID) error
	// Open reads from the start. At the end of what is there it waits for
	// more, until the file is sealed or ctx ends. NotFound when there is none.
	Open(ctx context.Context, id uuid.UUID) (io.ReadCloser, error)
	// Remove deletes the file; no error when there is none.
	Remove(ctx context.Context, id uuid.UUID) error
	// List returns the files that are there, and those of which a removal that
	// was cut short has left something.
	List(ctx context.Context) ([]uuid.UUID, error)
}
