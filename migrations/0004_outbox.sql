-- What integrations are to hear of, written in the transaction of the change.
-- Sending is somebody else's work: a row only waits to be fanned out.
CREATE TABLE webhook_events (
	id         text        COLLATE "C" PRIMARY KEY, -- msg_ and a UUIDv7: sorts by time
	type       text        NOT NULL,
	payload    bytea       NOT NULL, -- the exact bytes to sign and send, 64 KiB at most
	created_at timestamptz NOT NULL,
	fanned_out boolean     NOT NULL DEFAULT false
);
CREATE INDEX webhook_events_waiting ON webhook_events (id) WHERE NOT fanned_out;
