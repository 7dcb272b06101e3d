package actors

import (
	"time"

	"github.com/google/uuid"

	"importer"
)

// Messages are facts or requests. What is sent belongs to the receiver. Those
// that carry rows are pointers, so that whoever has used the rows can let go
// of them while the mailbox still holds the message.

// System → imports
type (
	begin    struct{ claim importer.Claim }
	wake     struct{ id uuid.UUID }
	halt     struct{ id uuid.UUID }
	received struct {
		id    uuid.UUID
		bytes int64
	}
	shutDown struct{ done chan<- struct{} }
)

// imports → itself
type (
	lookForWork struct{}
	keepHouse   struct{}
	claimed     struct {
		claims []importer.Claim
		err    error
	}
	houseKept struct{ err error }
	cleanedUp struct { // after an import that ended badly
		id  uuid.UUID
		err error
	}
)

// imports → import
type (
	// scanAhead allows the scan of a file that is still uploading.
	scanAhead struct{}
	// goOn grants a place to run to an import whose file is whole.
	goOn struct{}
	// end stops the attempt. release gives the lease back.
	end struct{ release bool }
)

// imports → import, import → imports: the file is whole, for an import that
// has been told so by its row.
type uploaded struct{ id uuid.UUID }

// import → imports
type ended struct{ id uuid.UUID } // comes once, when nothing of the attempt is left

// import → itself
type (
	tick    struct{}
	stepped struct { // a step of the store is done
		step   step
		imp    importer.Import
		ledger map[int]struct{}
		counts importer.Counts // of the ledger
		err    error
	}
	again   struct{} // the backoff of a step is over
	renewed struct {
		asked time.Time
		whole bool // the upload is whole
		err   error
	}
)

// deduper → parser
type demand struct{ chunks int }

// parser → itself
type readOn struct{}

// parser → deduper
type (
	chunk struct {
		rows    []importer.Row
		rejects []importer.Reject
		offset  int64
	}
	parsed struct{ head importer.Head } // the whole file was read
)

// parser → import
type unreadable struct { // the file as a whole is wrong
	err  *importer.Error
	head importer.Head
}

// import → deduper
type (
	scanFile struct {
		parser  pid
		writers []pid
	}
	// writeFile starts the second pass; a dry run only counts in it.
	writeFile struct {
		parser pid
		head   importer.Head
		ledger map[int]struct{}
		dry    bool
	}
	// hold stops or resumes the handing out of batches.
	hold struct{ on bool }
)

// deduper → import
type (
	scanning struct{ rows, duplicates, rejected, offset int64 } // so far
	scanned  struct {
		scan  importer.Scan
		vague bool // Duplicates may be too high by a few: see keyTable
	}
	drained struct{ rows, duplicates int64 } // valid rows of the write pass, and those it dropped
)

// deduper → writer
type (
	merge  struct{ batch importer.Batch }
	record struct{ rejects []importer.Reject }
)

// writer → deduper
type freed struct{ writer int } // one piece of work is done

// writer → import
type (
	wrote struct {
		number int
		merged importer.Merged
	}
	recorded struct{}
	stalled  struct{ err error } // the database cannot be reached; the writer tries again
	fenced   struct{}            // the lease is lost
)

// import → hub
type (
	progressed struct {
		id     uuid.UUID
		update importer.ImportUpdate
	}
	importEnded struct{ id uuid.UUID }
)

// System → hub
type (
	publish   struct{ events []importer.Event }
	subscribe struct {
		topic string
		since *importer.Cursor
		s     importer.Subscriber
	}
	unsubscribe struct {
		topic string
		s     importer.Subscriber
	}
)

// hub → itself
type (
	snapshotRead struct {
		topic string
		snap  importer.Snapshot
		err   error
	}
	logRead struct {
		topic string
		after int64
		heard int64 // the highest seq heard of when the read began
		log   importer.Log
		err   error
	}
	gapLasts  struct{ topic string }
	updateDue struct{ topic string }

	heard   struct{ err error } // nil: hints of other machines come in from now on
	hinted  struct{}
	lookDue struct{}
	looked  struct {
		seen map[string]int64
		news importer.News
		err  error
	}
	told         struct{ err error }
	tellDue      struct{}
	progressDue  struct{}
	progressRead struct {
		updates []importer.Update
		err     error
	}
)

// System → webhooks
type wakeWebhooks struct{} // something may be due

// webhooks → itself
type (
	fanOutDue struct{}
	fannedOut struct {
		n       int
		yielded bool
		err     error
	}
	claimDue        struct{}
	webhooksClaimed struct {
		asked  time.Time
		claims []importer.WebhookClaim
		err    error
	}
	renewDue        struct{}
	webhooksRenewed struct {
		asked time.Time
		ids   []uuid.UUID
		held  map[uuid.UUID]int64
		err   error
	}
	giveBackDue      struct{}
	webhooksReleased struct {
		releases []importer.WebhookRelease
		err      error
	}
	trimDue struct{}
	trimmed struct{ err error }
)

// sender → webhooks
type sent struct{ release importer.WebhookRelease } // comes once, when nothing is under way or unsaved

// sender → itself
type (
	sendOn  struct{}
	fetched struct {
		due []importer.DueDelivery
		all bool // there is no more
		err error
	}
	answered struct {
		delivery importer.DueDelivery
		answer   answer
		began    time.Time
		err      error // it was not sent, or nobody knows
	}
)

// sender → results
type attempted struct {
	sender pid
	result importer.AttemptResult
	began  time.Time
}

// results → itself
type (
	saveDue    struct{}
	batchSaved struct {
		batch []attempted
		err   error
	}
)

// results → sender
type attemptsSaved struct{ deliveries []int64 }
