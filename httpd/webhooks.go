package httpd

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/google/uuid"

	"importer"
)

// WebhookChange is the body of PATCH /api/webhooks/{id}: a field not given
// stays as it is.
type WebhookChange struct {
	URL         member[string]            `json:"url,omitzero" doc:"Where to send the events: https://…, up to 2,048 bytes, without a password or fragment."`
	Events      member[[]string]          `json:"events,omitzero" doc:"Types of events as /api/event-types lists them, families like import.*, or * for all."`
	Enabled     member[bool]              `json:"enabled,omitzero" doc:"Events that happen while it is off wait for it, unless failures have disabled it."`
	Headers     member[map[string]string] `json:"headers,omitzero" doc:"Sent with each delivery: 20 at most, of 1,024 bytes. They replace those that were there."`
	TimeoutMS   member[int]               `json:"timeout_ms,omitzero" doc:"For a whole answer, 1,000 to 30,000; 15,000 by default."`
	MaxInFlight member[int]               `json:"max_in_flight,omitzero" doc:"Deliveries on their way at once, 1 to 32; 8 by default."`
	RatePerS    member[float64]           `json:"rate_per_s,omitzero" doc:"Deliveries started a second, 0.01 to 1,000; 0, the default, is no limit."`
	StrictOrder member[bool]              `json:"strict_order,omitzero" doc:"One at a time, in order; one that fails holds up the others."`
}

// NewWebhook is the body of POST /api/webhooks.
type NewWebhook WebhookChange

func (c WebhookChange) fields() importer.WebhookFields {
	return importer.WebhookFields{
		URL: c.URL.value, Events: c.Events.value, Enabled: c.Enabled.value, Headers: c.Headers.value,
		TimeoutMS: c.TimeoutMS.value, MaxInFlight: c.MaxInFlight.value, RatePerS: c.RatePerS.value, StrictOrder: c.StrictOrder.value,
	}
}

// WebhookList is all webhooks there are.
type WebhookList struct {
	Items []importer.Webhook `json:"items"`
	Total int64              `json:"total"`
}

func (s *Server) listWebhooks(ctx context.Context, _ *struct{}) (*body[WebhookList], error) {
	list, err := s.Webhooks.Webhooks(ctx)
	if err != nil {
		return nil, err
	}
	if list == nil {
		list = []importer.Webhook{}
	}
	return &body[WebhookList]{WebhookList{list, int64(len(list))}}, nil
}

type webhookAnswer struct {
	ETag string `header:"ETag" doc:"The version, for If-Match and If-None-Match."`
	Body importer.Webhook
}

type getWebhook struct {
	WebhookID
	IfNoneMatch string `header:"If-None-Match" doc:"An ETag: answers 304 while that is the webhook's. Deliveries do not change it."`
}

// WebhookID is the id in a path. It is exported for huma, which looks into it.
type WebhookID struct {
	ID string `path:"id" doc:"The webhook's id (UUID)."`
}

// parse takes the id. What is no UUID names no webhook either.
func (w WebhookID) parse() (uuid.UUID, error) {
	id, err := uuid.Parse(w.ID)
	if err != nil {
		return uuid.Nil, importer.Errorf(importer.NotFound, "There is no webhook %q.", shortened(w.ID))
	}
	return id, nil
}

func (s *Server) getWebhook(ctx context.Context, in *getWebhook) (*webhookAnswer, error) {
	id, err := in.parse()
	if err != nil {
		return nil, err
	}
	w, err := s.Webhooks.Webhook(ctx, id)
	if err != nil {
		return nil, err
	}
	if noneMatch(in.IfNoneMatch, w.Version) {
		return nil, notModified(w.Version)
	}
	return &webhookAnswer{etag(w.Version), w}, nil
}

type createWebhook struct {
	IdempotencyKey string `header:"Idempotency-Key" doc:"Chosen by the client, for instance a UUID. The same request with the same key within a day gets the first answer again, without the secret."`
	Body           NewWebhook
}

type createdWebhook struct {
	Location     string `header:"Location" doc:"The webhook."`
	ETag         string `header:"ETag"`
	Replayed     string `header:"Idempotency-Replayed" doc:"true when this is the answer to an earlier request with the same key."`
	CacheControl string `header:"Cache-Control"`
	Body         importer.Webhook
}

func (s *Server) createWebhook(ctx context.Context, in *createWebhook) (*createdWebhook, error) {
	fields := WebhookChange(in.Body).fields()
	request, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	secret := ""
	w, replayed, err := once(ctx, s, in.IdempotencyKey, "POST /api/webhooks "+string(request), func() (importer.Webhook, error) {
		w, err := s.Webhooks.CreateWebhook(ctx, fields)
		secret, w.Secret = w.Secret, "" // what is remembered for the key does not have it
		return w, err
	})
	if err != nil {
		return nil, err
	}
	w.Secret = secret
	return &createdWebhook{"/api/webhooks/" + w.ID.String(), etag(w.Version), replayedHeader(replayed), noStore, w}, nil
}

type updateWebhook struct {
	WebhookID
	IfMatch string `header:"If-Match" doc:"The ETag of the webhook that was changed. 412 when it is another by now; without this header the last change wins."`
	Body    WebhookChange
}

func (s *Server) updateWebhook(ctx context.Context, in *updateWebhook) (*webhookAnswer, error) {
	id, err := in.parse()
	if err != nil {
		return nil, err
	}
	version, err := matchVersion(in.IfMatch)
	if err != nil {
		return nil, err
	}
	w, err := s.Webhooks.UpdateWebhook(ctx, id, version, in.Body.fields())
	if err != nil {
		return nil, s.withCurrentWebhook(ctx, id, err)
	}
	s.WebhookSender.WakeWebhooks()
	return &webhookAnswer{etag(w.Version), w}, nil
}

type deleteWebhook struct {
	WebhookID
	IfMatch string `header:"If-Match" doc:"As for PATCH."`
}

func (s *Server) deleteWebhook(ctx context.Context, in *deleteWebhook) (*struct{}, error) {
	id, err := in.parse()
	if err != nil {
		return nil, err
	}
	version, err := matchVersion(in.IfMatch)
	if err != nil {
		return nil, err
	}
	return nil, s.withCurrentWebhook(ctx, id, s.Webhooks.DeleteWebhook(ctx, id, version))
}

// withCurrentWebhook is withCurrent for webhooks.
func (s *Server) withCurrentWebhook(ctx context.Context, id uuid.UUID, err error) error {
	if importer.ErrorCode(err) != importer.Precondition {
		return err
	}
	w, now := s.Webhooks.Webhook(ctx, id)
	if now != nil {
		return now // deleted meanwhile
	}
	problem := problemOf(ctx, err)
	problem.Current = w
	problem.header = http.Header{"Etag": {etag(w.Version)}}
	return problem
}

func (s *Server) testWebhook(ctx context.Context, in *WebhookID) (*body[importer.Attempt], error) {
	id, err := in.parse()
	if err != nil {
		return nil, err
	}
	a, err := s.WebhookSender.TestWebhook(ctx, id)
	if err != nil {
		return nil, err
	}
	return &body[importer.Attempt]{a}, nil
}

// noStore keeps secrets out of caches.
const noStore = "no-store"

type secretAnswer struct {
	CacheControl string `header:"Cache-Control"`
	Body         importer.WebhookSecret
}

func (s *Server) webhookSecret(ctx context.Context, in *WebhookID) (*secretAnswer, error) {
	return secretOf(ctx, in, s.Webhooks.WebhookSecret)
}

func (s *Server) rotateSecret(ctx context.Context, in *WebhookID) (*secretAnswer, error) {
	return secretOf(ctx, in, s.Webhooks.RotateWebhookSecret)
}

func secretOf(ctx context.Context, in *WebhookID, ask func(context.Context, uuid.UUID) (importer.WebhookSecret, error)) (*secretAnswer, error) {
	id, err := in.parse()
	if err != nil {
		return nil, err
	}
	secret, err := ask(ctx, id)
	if err != nil {
		return nil, err
	}
	return &secretAnswer{noStore, secret}, nil
}
