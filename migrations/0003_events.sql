-- The log of state changes, numbered without gaps in each topic. seq is taken
-- under the lock of the topic's head in the transaction of the change, so
-- that the order of commits is the order of seq.
CREATE TABLE stream_head (
	topic text   COLLATE "C" PRIMARY KEY,
	seq   bigint NOT NULL,          -- of the newest event
	floor bigint NOT NULL DEFAULT 0 -- events up to here are deleted
) WITH (fillfactor = 50);

CREATE TABLE stream_event (
	topic text        COLLATE "C" NOT NULL,
	seq   bigint      NOT NULL,
	kind  text        NOT NULL,
	data  json        NOT NULL, -- not jsonb: stored as it is sent
	at    timestamptz NOT NULL,
	PRIMARY KEY (topic, seq)
);

-- One row. A restored or truncated log gets a new epoch, for its numbers mean
-- something else from then on.
CREATE TABLE stream_epoch (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	epoch    text    NOT NULL
);
INSERT INTO stream_epoch (epoch) VALUES (left(gen_random_uuid()::text, 8));
