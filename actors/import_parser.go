package actors

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"importer"
)

// parser reads the file once, a chunk for every one the deduper asks for. It
// blocks while the upload it reads has no more bytes: only the deduper sends
// to it, and ctx ends with the attempt.
type parser struct {
	ctx     context.Context
	spool   importer.Spool
	open    importer.OpenRows
	id      uuid.UUID
	mapping map[string]string
	limit   int64
	rejects bool // pass them on
	run     pid
	deduper pid

	source  io.ReadCloser
	rows    importer.RowReader
	head    importer.Head
	wanted  int
	reading bool
	over    bool
}

// A chunk is what crosses to the deduper in one message: enough rows that
// the message costs nothing, few enough that a handful in flight weigh
// little. One that a slow upload fills is sent when it is chunkAge old, so
// that progress moves.
const (
	chunkRows  = 2_000
	chunkBytes = 1 << 20
	chunkAge   = 100 * time.Millisecond
)

func (p *parser) start(*cell) error { return nil }

func (p *parser) stop(error) {
	if p.source != nil {
		p.source.Close()
	}
}

func (p *parser) handle(c *cell, msg any) error {
	switch m := msg.(type) {
	case demand:
		p.wanted += m.chunks
		if p.reading || p.over {
			return nil
		}
	case readOn:
	}
	if p.reading = p.wanted > 0 && !p.over; !p.reading {
		return nil
	}
	err := p.read(c)
	if fault, ok := errors.AsType[*importer.Error](err); ok && isFileFault(fault.Code) {
		p.over = true
		c.send(p.run, unreadable{fault, p.head})
		err = nil
	}
	if p.ctx.Err() != nil {
		p.over = true
		err = nil
	}
	if err == nil {
		c.send(c.self, readOn{})
	}
	return err
}

// read sends one chunk, and parsed after the last.
func (p *parser) read(c *cell) error {
	if p.rows == nil {
		if err := p.begin(); err != nil {
			return err
		}
	}
	out, err := p.chunk(c)
	if err != nil && err != io.EOF {
		return fmt.Errorf("read file: %w", err)
	}
	p.wanted--
	c.send(p.deduper, out)
	if err == io.EOF {
		p.over = true
		// Only now the encoding is settled.
		head, err := p.rows.Head()
		if err != nil {
			return fmt.Errorf("head of file: %w", err)
		}
		c.send(p.deduper, parsed{head})
	}
	return nil
}

func (p *parser) begin() (err error) {
	if p.source, err = p.spool.Open(p.ctx, p.id); err != nil {
		if importer.ErrorCode(err) == importer.NotFound {
			return &importer.Error{Code: importer.StorageLost, Message: "The uploaded file is no longer there.", Err: err}
		}
		return fmt.Errorf("open file: %w", err)
	}
	p.rows = p.open(p.source, p.mapping, p.limit)
	p.head, err = p.rows.Head()
	return err
}

func (p *parser) chunk(c *cell) (*chunk, error) {
	out := &chunk{rows: make([]importer.Row, 0, chunkRows)}
	began, bytes := c.now(), 0
	for n := 1; len(out.rows) < chunkRows && bytes < chunkBytes; n++ {
		rec, err := p.rows.Next()
		if err != nil {
			out.offset = p.rows.Offset()
			return out, err
		}
		switch {
		case rec.Reject == nil:
			out.rows = append(out.rows, rec.Row)
			bytes += rec.Row.Size()
		case p.rejects:
			out.rejects = append(out.rejects, *rec.Reject)
			bytes += rejectSize(rec.Reject)
		}
		if n%64 == 0 && c.now().Sub(began) > chunkAge {
			break
		}
	}
	out.offset = p.rows.Offset()
	return out, nil
}

func rejectSize(r *importer.Reject) int { return len(r.Raw) + len(r.SKU) + len(r.Name) + 100 }

// isFileFault reports whether the file is to blame, so that another try
// cannot end otherwise.
func isFileFault(code importer.Code) bool {
	switch code {
	case importer.EmptyFile, importer.NoDataRows, importer.MissingColumn, importer.DuplicateColumn,
		importer.UnsupportedFormat, importer.BadGzip, importer.NoValidRows, importer.TooLarge,
		importer.StorageLost, importer.UploadIncomplete:
		return true
	}
	return false
}
