-- Who is there: for the status page only. The right to work on something is a
-- lease of its own; seen_at is by this database's clock.
CREATE TABLE machines (
	id         uuid        PRIMARY KEY,
	name       text        NOT NULL,
	version    text        NOT NULL,
	started_at timestamptz NOT NULL,
	seen_at    timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
