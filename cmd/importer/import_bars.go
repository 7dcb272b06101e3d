package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"importer"
)

// bars shows one bar an import on a terminal, and a table at the end.
type bars struct {
	out   io.Writer
	group *mpb.Progress
	bar   *mpb.Bar
	of    string       // the import the bar belongs to
	line  atomic.Value // string beside the bar; drawn by mpb's goroutine
}

func newBars(out io.Writer) *bars {
	return &bars{out: out, group: mpb.New(mpb.WithOutput(out), mpb.WithWidth(48), mpb.WithRefreshRate(100*time.Millisecond))}
}

// A bar counts in thousandths: the server's percentage has a decimal.
const barTotal = 1000

func (b *bars) progress(im importer.Import) {
	b.line.Store(status(im))
	if id := im.ID.String(); b.bar == nil || b.of != id {
		b.of = id
		b.bar = b.group.AddBar(barTotal,
			mpb.PrependDecorators(decor.Name(im.Filename+"  ")),
			mpb.AppendDecorators(decor.Any(func(s decor.Statistics) string {
				return fmt.Sprintf(" %5.1f %%  ", float64(s.Current)/10)
			}), decor.Any(func(decor.Statistics) string { return b.line.Load().(string) })))
	}
	b.bar.SetCurrent(int64(im.Progress.Percent * barTotal / 100))
	if im.State.Ended() && !b.bar.Completed() {
		b.bar.Abort(false) // stays where it stopped
	}
}

// done prints the table of counts.
func (b *bars) done(ended []importer.Import) {
	if b.bar != nil && !b.bar.Completed() {
		b.bar.Abort(false)
	}
	b.group.Wait()
	if len(ended) == 0 {
		return
	}
	p := message.NewPrinter(language.English) // 500,000 rather than 500000
	t := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	p.Fprintln(t, "\nfile\trows\tcreated\tupdated\tunchanged\trepeated\trejected\ttook\trows/s\t")
	for _, im := range ended {
		took := took(im)
		p.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t\n", im.Filename, im.Counts.Rows, im.Counts.Created, im.Counts.Updated,
			im.Counts.Unchanged, im.Counts.Duplicates, im.Counts.Rejected, took.Round(10*time.Millisecond), perSecond(im.Counts.Rows, took))
	}
	_ = t.Flush()
}

func status(im importer.Import) string {
	switch {
	case im.Progress.Notice != "":
		return im.Progress.Notice
	case im.State.Ended():
		return string(im.State)
	case im.Progress.RowsPerSecond > 0:
		return fmt.Sprintf("%s, %.0f rows/s", im.Progress.Phase, im.Progress.RowsPerSecond)
	}
	return string(im.Progress.Phase)
}

// took is the time from the first byte to the end.
func took(im importer.Import) time.Duration {
	if im.FinishedAt == nil {
		return 0
	}
	return im.FinishedAt.Sub(im.CreatedAt)
}

func perSecond(n int64, d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64(float64(n) / d.Seconds())
}
