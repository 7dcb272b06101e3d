package main

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"importer"
	"importer/actors"
	"importer/client"
	"importer/db/dbtest"
	"importer/httpd"
	"importer/internal/csvfile"
	"importer/internal/spool"
)

// BenchmarkLiveProgress reports progress of one import 500 times a second, in
// bursts of a second, and looks at what a viewer gets of it: how many updates
// a second, and how long after the end of a burst its last one is there.
//
// The server runs in this process: from outside nothing makes progress as
// often, for an upload reports ten times a second at most.
func BenchmarkLiveProgress(b *testing.B) {
	const rate = 500
	bursts := setting("LIVE_SECONDS", 20)
	for b.Loop() {
		p := startProgress(b)
		late := make([]float64, 0, bursts)
		var updates int64
		for range bursts {
			before, tick := p.updates.Load(), time.NewTicker(time.Second/rate)
			for range rate {
				<-tick.C
				p.report()
			}
			last := time.Now()
			tick.Stop()
			updates += p.updates.Load() - before
			at := p.await(b, p.sent)
			late = append(late, float64(max(0, at.Sub(last)).Milliseconds()))
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(updates)/float64(bursts), "updates/s")
		b.ReportMetric(median(late), "ms/last")
		b.ReportMetric(slices.Max(late), "ms/last-max")
		p.stop(b)
	}
}

// progressing is a server, an import whose upload goes on, and a viewer.
type progressing struct {
	system *actors.System
	server *httpd.Server
	http   *httptest.Server
	id     uuid.UUID
	sent   int64
	cancel context.CancelFunc

	updates atomic.Int64
	seen    chan seenBytes
}

type seenBytes struct {
	bytes int64
	at    time.Time
}

func startProgress(b *testing.B) *progressing {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	p := &progressing{seen: make(chan seenBytes, 100_000), cancel: cancel}
	d, node := dbtest.Open(b), uuid.Must(uuid.NewV7())
	files, err := spool.Open(b.TempDir())
	must(b, err)
	p.system, err = actors.Start(actors.Options{Store: d, Events: d, Spool: files, OpenRows: csvfile.Open, OnCommit: d.OnCommit, Node: node, Log: zerolog.Nop()})
	must(b, err)
	p.server, err = httpd.New(httpd.Options{Imports: d, Products: d, Events: d, Status: d, Webhooks: d, Access: d, Importer: p.system, WebhookSender: p.system, Hub: p.system, Spool: files, Node: node, MaxUpload: 1 << 30, Log: zerolog.Nop()})
	must(b, err)
	p.http = httptest.NewServer(p.server.Handler())
	claim, err := d.CreateImport(ctx, importer.NewImport{Filename: "a.csv", Size: 1 << 30}, node)
	must(b, err)
	p.id = claim.ID
	must(b, files.Create(ctx, p.id))
	p.system.Begin(claim)
	c, err := client.New(client.Options{Server: p.http.URL})
	must(b, err)
	following := make(chan struct{})
	go func() {
		for m, err := range c.Watch(ctx, importer.ImportTopic(p.id)) {
			switch {
			case err != nil:
				return
			case m.Snapshot != nil:
				close(following)
			case m.Update != nil:
				var u importer.ImportUpdate
				if err := json.Unmarshal(m.Update.Data, &u); err != nil {
					b.Error(err)
				}
				p.updates.Add(1)
				p.seen <- seenBytes{u.Progress.Bytes, time.Now()}
			}
		}
	}()
	<-following
	return p
}

func (p *progressing) report() {
	p.sent += 1_000
	p.system.Received(p.id, p.sent)
}

// await returns when the viewer was told of so many bytes.
func (p *progressing) await(b *testing.B, bytes int64) time.Time {
	b.Helper()
	deadline := time.After(patience)
	for {
		select {
		case s := <-p.seen:
			if s.bytes >= bytes {
				return s.at
			}
		case <-deadline:
			b.Fatalf("no update has %d bytes", bytes)
		}
	}
}

func (p *progressing) stop(b *testing.B) {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	p.cancel()
	must(b, p.system.Shutdown(ctx))
	must(b, p.server.Shutdown(ctx))
	p.http.Close()
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
