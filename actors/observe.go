package actors

import (
	"time"

	"importer"
)

// Observer is told what happens, for figures. Its methods must not block.
type Observer interface {
	// Merged: a batch is in the catalogue, that long after it was begun. It is
	// not told of one that an earlier try had committed.
	Merged(m importer.Merged, took time.Duration)
	// Rejected: rows are recorded as rejected. Whoever scans a file again
	// records them again.
	Rejected(rows int)
	// Ended: an import has, here, by itself.
	Ended(imp importer.Import)
	// TakenOver: an import was claimed that another machine had begun, and has
	// given back, or not: then its lease has expired.
	TakenOver(expired bool)
	// Restarted and GivenUp: an actor failed, and what became of it.
	Restarted(actor string)
	GivenUp(actor string)
	// DeadLetter: a message reached nobody.
	DeadLetter()

	// Attempted: a webhook was sent to, and that long it took. class is
	// delivered, or the class of the failure as in importer.Attempt.
	Attempted(class string, took time.Duration)
	// BreakerOpened: a webhook failed so often that it is only probed from now
	// on. BreakerClosed: it is well again, or nobody here sends to it any more.
	BreakerOpened()
	BreakerClosed()
	// WebhookDisabled: a webhook is not sent to any more until people say so.
	WebhookDisabled()
}

// unobserved is the Observer when nobody wants figures.
type unobserved struct{}

func (unobserved) Merged(importer.Merged, time.Duration) {}
func (unobserved) Rejected(int)                          {}
func (unobserved) Ended(importer.Import)                 {}
func (unobserved) TakenOver(bool)                        {}
func (unobserved) Restarted(string)                      {}
func (unobserved) GivenUp(string)                        {}
func (unobserved) DeadLetter()                           {}
func (unobserved) Attempted(string, time.Duration)       {}
func (unobserved) BreakerOpened()                        {}
func (unobserved) BreakerClosed()                        {}
func (unobserved) WebhookDisabled()                      {}
