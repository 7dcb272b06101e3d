package httpd

import (
	"context"
	"strconv"

	"importer"
)

type eventQuery struct {
	ID    string `path:"id" doc:"The import's id (UUID)."`
	After int64  `query:"after" minimum:"0" doc:"Only events with a higher seq: that of the last one known."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Events a page."`
}

// EventPage is a part of a topic's log.
type EventPage struct {
	Items []importer.Event `json:"items"`
	Next  *string          `json:"next" doc:"The after of the part that follows; null at the end."`
	Epoch string           `json:"epoch" doc:"With seq the cursor to go on from at the WebSocket. Seqs of another epoch mean nothing."`
	Floor int64            `json:"floor" doc:"Events up to this seq are deleted; they are kept for a week."`
	Head  int64            `json:"head" doc:"The seq of the newest event."`
}

// listEvents is the log of one import for those without a socket.
func (s *Server) listEvents(ctx context.Context, q *eventQuery) (*body[EventPage], error) {
	id, err := parseID(q.ID)
	if err != nil {
		return nil, err
	}
	if _, err := s.Imports.Import(ctx, id); err != nil {
		return nil, err
	}
	log, err := s.Events.ReadLog(ctx, importer.ImportTopic(id), q.After, q.Limit)
	if err != nil {
		return nil, err
	}
	page := EventPage{Items: log.Events, Epoch: log.Epoch, Floor: log.Floor, Head: log.Head}
	if n := len(page.Items); n == 0 {
		page.Items = []importer.Event{}
	} else if last := page.Items[n-1].Seq; last < log.Head {
		next := strconv.FormatInt(last, 10)
		page.Next = &next
	}
	return &body[EventPage]{page}, nil
}
