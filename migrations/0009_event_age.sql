-- Retention asks for the oldest events every minute. Events come in the order
-- of their time, so the index grows at its right end.
CREATE INDEX stream_event_at ON stream_event (at);
