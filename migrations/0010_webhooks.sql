-- Addresses that are told of events. The columns of the last part belong to
-- whoever sends: they are written without touching version, and a machine
-- that holds the lease is the only one that sends to the webhook.
CREATE TABLE webhooks (
	id               uuid             PRIMARY KEY, -- v7
	url              text             NOT NULL,
	events           text[]           NOT NULL,
	headers          jsonb            NOT NULL,
	timeout_ms       integer          NOT NULL,
	max_in_flight    integer          NOT NULL,
	rate_per_s       double precision NOT NULL,
	strict_order     boolean          NOT NULL,
	state            text             NOT NULL CHECK (state IN ('active', 'paused', 'disabled')),
	state_reason     text             NOT NULL,
	secret           text             NOT NULL,
	old_secret       text,             -- signs too
	old_secret_until timestamptz,      -- until then
	version          bigint           NOT NULL,
	created_at       timestamptz      NOT NULL,
	updated_at       timestamptz      NOT NULL,

	failures      integer          NOT NULL DEFAULT 0, -- attempts in a row that failed
	failing_since timestamptz,
	not_before    timestamptz      NOT NULL DEFAULT '-infinity', -- nobody sends before
	load          double precision NOT NULL DEFAULT 0, -- seconds of requests, halved every minute
	served_at     timestamptz      NOT NULL DEFAULT now(), -- when load was that
	last_attempt  json,
	owner         uuid,
	lease_until   timestamptz      NOT NULL DEFAULT '-infinity',
	epoch         bigint           NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- One event for one webhook. It outlives its success, so that people can look
-- at it and send it again. No foreign keys: those of a deleted webhook are
-- invisible and go when they are old.
CREATE TABLE webhook_deliveries (
	id              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	webhook_id      uuid        NOT NULL,
	event_id        text        COLLATE "C" NOT NULL,
	type            text        NOT NULL,
	state           text        NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'exhausted', 'cancelled')),
	tries           integer     NOT NULL DEFAULT 0,
	next_attempt_at timestamptz DEFAULT now(), -- of a pending one
	created_at      timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, next_attempt_at, id) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_list ON webhook_deliveries (webhook_id, id);
CREATE INDEX webhook_deliveries_failed ON webhook_deliveries (webhook_id, id) WHERE state IN ('exhausted', 'cancelled');

-- Every request that was made. A partition a day (UTC), made ahead, so that
-- old ones go by dropping it.
CREATE TABLE webhook_attempts (
	at          timestamptz NOT NULL,
	webhook_id  uuid        NOT NULL,
	delivery_id bigint,               -- none for a test
	event_id    text        NOT NULL,
	n           integer     NOT NULL,
	ok          boolean     NOT NULL,
	status      integer     NOT NULL,
	error       text        NOT NULL,
	ms          bigint      NOT NULL,
	remote_ip   text        NOT NULL,
	response    text        NOT NULL,
	request     json,                 -- the headers; values set by people are left out
	node        uuid        NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX webhook_attempts_delivery ON webhook_attempts (delivery_id, at);

-- How deliveries ended, a row a webhook and day, so that a week's figures for
-- all webhooks are seven rows each.
CREATE TABLE webhook_days (
	webhook_id uuid   NOT NULL,
	day        date   NOT NULL,
	delivered  bigint NOT NULL,
	failed     bigint NOT NULL,
	PRIMARY KEY (webhook_id, day)
) WITH (fillfactor = 50);

-- When import.progress was last told to webhooks.
ALTER TABLE imports ADD COLUMN progress_told timestamptz NOT NULL DEFAULT '-infinity';

-- To compress the bodies took more of an import's time than to write them.
ALTER TABLE webhook_events ALTER COLUMN payload SET STORAGE EXTERNAL;
