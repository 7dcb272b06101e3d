package httpd

import (
	"context"
	"time"

	"importer"
)

type deliveryList struct {
	WebhookID
	State    []importer.DeliveryState `query:"state,explode" enum:"pending,delivered,exhausted,cancelled" doc:"Only deliveries in one of these states; may be repeated."`
	Retrying string                   `query:"retrying" enum:"true" doc:"Only those that have failed and will be tried again."`
	Type     string                   `query:"type" maxLength:"64" doc:"Only events of this type."`
	Cursor   string                   `query:"cursor" maxLength:"64" doc:"The next of the page before."`
	Limit    int                      `query:"limit" minimum:"1" maximum:"100" default:"25"`
}

func (s *Server) listDeliveries(ctx context.Context, in *deliveryList) (*body[importer.Page[importer.Delivery]], error) {
	id, err := in.parse()
	if err != nil {
		return nil, err
	}
	page, err := s.Webhooks.Deliveries(ctx, importer.DeliveryQuery{
		WebhookID: id, States: in.State, Retrying: in.Retrying != "", Type: in.Type, Before: in.Cursor, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	return &body[importer.Page[importer.Delivery]]{page}, nil
}

type deliveryID struct {
	ID int64 `path:"id" minimum:"1" doc:"The delivery's id."`
}

func (s *Server) getDelivery(ctx context.Context, in *deliveryID) (*body[importer.Delivery], error) {
	d, err := s.Webhooks.Delivery(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &body[importer.Delivery]{d}, nil
}

func (s *Server) resend(ctx context.Context, in *deliveryID) (*body[importer.Delivery], error) {
	d, err := s.Webhooks.Resend(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	s.WebhookSender.WakeWebhooks()
	return &body[importer.Delivery]{d}, nil
}

type resendFailed struct {
	WebhookID
	Since time.Time `query:"since" required:"true" doc:"Deliveries made at this time or later (RFC 3339)."`
}

// Resent tells how many deliveries are sent again.
type Resent struct {
	Resent int64 `json:"resent"`
}

func (s *Server) resendFailed(ctx context.Context, in *resendFailed) (*body[Resent], error) {
	id, err := in.parse()
	if err != nil {
		return nil, err
	}
	n, err := s.Webhooks.ResendFailed(ctx, id, in.Since)
	if err != nil {
		return nil, err
	}
	s.WebhookSender.WakeWebhooks()
	return &body[Resent]{Resent{n}}, nil
}
