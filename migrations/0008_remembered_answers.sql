-- Answers to requests with an Idempotency-Key, kept for a day.
CREATE TABLE remembered_answers (
	key     text        COLLATE "C" PRIMARY KEY,
	request text        NOT NULL, -- what the key was used for
	answer  bytea       NOT NULL,
	at      timestamptz NOT NULL
);
CREATE INDEX remembered_answers_at ON remembered_answers (at);
