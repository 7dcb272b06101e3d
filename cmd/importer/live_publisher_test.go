package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"importer"
	"importer/db"
)

// publisher commits changes of imports, two events each, as another machine
// does: the events in the transaction of the change, and a hint afterwards.
type publisher struct {
	db   *db.DB
	node uuid.UUID
	hint chan struct{}
}

func newPublisher(b *testing.B, url string) *publisher {
	b.Helper()
	p := &publisher{node: uuid.Must(uuid.NewV7()), hint: make(chan struct{}, 1)}
	var err error
	if p.db, err = db.Open(db.Options{URL: url, MaxConns: 8, Log: zerolog.Nop()}); err != nil {
		b.Fatal(err)
	}
	p.db.OnCommit(func([]importer.Event) {
		select {
		case p.hint <- struct{}{}:
		default:
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	var hinting sync.WaitGroup
	hinting.Go(func() {
		for {
			select {
			case <-p.hint:
				time.Sleep(20 * time.Millisecond) // hints are coalesced
				_ = p.db.Hint(ctx)
			case <-ctx.Done():
				return
			}
		}
	})
	b.Cleanup(func() {
		cancel()
		hinting.Wait()
		_ = p.db.Close()
	})
	return p
}

func (p *publisher) change(b *testing.B) {
	c, err := p.db.CreateImport(b.Context(), importer.NewImport{Filename: "load.csv"}, p.node)
	if err == nil {
		_, err = p.db.CancelImport(b.Context(), c.ID)
	}
	if err != nil {
		b.Errorf("publish: %v", err)
	}
}

// publish commits events at a rate for a time, and returns how many a second it
// came to.
func (p *publisher) publish(b *testing.B, rate int, d time.Duration) (perSecond float64) {
	b.Helper()
	tick := time.NewTicker(2 * time.Second / time.Duration(rate))
	defer tick.Stop()
	var running sync.WaitGroup
	places := make(chan struct{}, 8)
	start, n := time.Now(), 0
	for time.Since(start) < d {
		<-tick.C
		places <- struct{}{}
		running.Go(func() {
			p.change(b)
			<-places
		})
		n += 2
	}
	running.Wait()
	return float64(n) / time.Since(start).Seconds()
}

// head is the newest event of a topic.
func (p *publisher) head(b *testing.B, topic string) int64 {
	b.Helper()
	log, err := p.db.ReadLog(b.Context(), topic, 0, 1)
	if err != nil {
		b.Fatal(err)
	}
	return log.Head
}

// cpuSeconds is what a process has used so far (proc(5), stat): user and
// system, in ticks of 10 ms.
func cpuSeconds(b *testing.B, pid int) float64 {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // from the third on
	ticks := 0.0
	for _, f := range fields[11:13] {
		n, err := strconv.ParseFloat(f, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return ticks / 100
}

// settledKiB is the resident memory of a process once it falls no more.
func settledKiB(b *testing.B, pid int) float64 {
	b.Helper()
	least := residentKiB(b, pid)
	for quiet := 0; quiet < 10; quiet++ {
		time.Sleep(500 * time.Millisecond)
		if now := residentKiB(b, pid); now < 0.99*least {
			least, quiet = now, 0
		}
	}
	return least
}

func residentKiB(b *testing.B, pid int) float64 {
	b.Helper()
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.ParseFloat(strings.Fields(string(statm))[1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return pages * float64(os.Getpagesize()) / 1024
}
