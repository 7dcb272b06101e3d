// Package actors runs imports and fans out what happens to them. httpd calls
// it through importer.Importer and importer.Hub, which System implements; db
// calls Publish after each commit. It never speaks HTTP and holds no SQL.
//
// The supervision tree; a file's prefix is its parent:
//
//	System
//	├─ deadletters                  logs what reached nobody
//	├─ hub                          topics, their events and their subscribers;
//	│                               beside it a goroutine that hears other machines
//	├─ indexer                      indexes products in rounds, for searches
//	├─ imports                      claims by lease, places to run, housekeeping
//	│  └─ import      (one each)    supervisor: steps, lease, progress, outcome
//	│     ├─ parser   (one a pass)  file → chunks of rows
//	│     ├─ deduper                last row of a key wins; windows → batches
//	│     └─ writer   (×N)          batches → catalogue, one transaction each
//	├─ results                      saves what came of requests, many at once
//	└─ webhooks                     fan-out, claims by lease, slots, housekeeping
//	   └─ sender      (one each)    requests to one webhook, for its turn
//
// Rows flow down that list, and only credit flows back: the deduper asks the
// parser for chunks while nothing waits for a writer, and a writer holds at
// most two batches. So memory is bounded whatever the size of the file.
//
// An import reads its file twice. The scan, which runs while the file is
// still uploading, finds the rows that later rows supersede and the rows to
// reject, and makes the totals known; the write pass puts every key into the
// catalogue once. Batches are numbered, and a number always stands for the
// same rows, so whoever takes the import over scans again and writes only
// what the ledger does not have.
//
// Events have one way to subscribers, wherever they were committed: those of
// this machine are published to the hub, those of others it finds in the log
// when it is told to look (hub_machines.go), and what is missing in between it
// reads again. The hub passes on only what is contiguous.
//
// Webhooks take another way: what they are to hear waits in the store, written
// with the change, and the pool of senders works that off. A webhook has one
// sender in the world at a time (webhooks_sender.go), so its limits, its order
// and its breaker are plain fields, and one that hangs holds up nobody else.
//
// hollywood is our mailbox and scheduler. Life and death are the cell's
// (cell.go), because hollywood's supervision is not safe: see there.
package actors

import "time"

// How the actors are treated when they fail.
var (
	// The hub and the manager keep their state through a failure and drop the
	// message at fault; there is nobody to escalate to.
	hubSpec     = childSpec{name: "hub", restart: permanent, maxFailures: unlimited, window: time.Minute, backoff: 10 * time.Millisecond}
	importsSpec = childSpec{name: "imports", restart: permanent, maxFailures: unlimited, window: time.Minute, backoff: 10 * time.Millisecond}

	// Nobody waits for it, and what it does not do waits in the store.
	indexerSpec = childSpec{name: "indexer", restart: permanent, maxFailures: unlimited, window: time.Minute, backoff: time.Second}

	// These keep their state, too. What a sender has under way when it crashes
	// is sent again, once its lease has run out.
	webhooksSpec = childSpec{name: "webhooks", restart: permanent, maxFailures: unlimited, window: time.Minute, backoff: 10 * time.Millisecond}
	resultsSpec  = childSpec{name: "results", restart: permanent, maxFailures: unlimited, window: time.Minute, backoff: 10 * time.Millisecond}
	senderSpec   = childSpec{name: "sender", restart: temporary}

	// A supervisor that crashes takes its pipeline with it, and its import
	// fails.
	importSpec = childSpec{name: "import", restart: temporary}

	// What these know of the file cannot be rebuilt in place: they fail the
	// attempt, and a retry goes on from the ledger.
	parserSpec  = childSpec{name: "parser", restart: temporary}
	deduperSpec = childSpec{name: "deduper", restart: temporary}

	// The ledger makes it safe to give a writer the same batch again.
	writerSpec = childSpec{name: "writer", restart: permanent, maxFailures: 5, window: time.Minute, backoff: 100 * time.Millisecond, redeliver: true}
)
